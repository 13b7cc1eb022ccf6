"""Exact robustness verification of trained networks: smallest perturbations, proofs and attacks."""
