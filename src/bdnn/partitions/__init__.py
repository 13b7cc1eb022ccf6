"""Training on rows that do not fit into memory: parts of the rows stay where they are, sums of buckets travel."""
