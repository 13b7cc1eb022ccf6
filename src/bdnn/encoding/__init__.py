"""The encoding of a table's columns as inputs of a network, which is part of the model."""
