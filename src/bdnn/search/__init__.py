"""Local search in weight space: exact line search, surrogate starts, separators."""
