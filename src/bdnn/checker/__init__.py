"""The independent checker of certificates; it imports only the vocabulary."""
