"""Largest margins and small integers: linear scores that order given points in a given way."""
