"""From the columns of a table to the inputs of a network; this way is part of the model."""
