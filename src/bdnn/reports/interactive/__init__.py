"""A page on which the inputs of a row are moved, and the decision of the model is seen."""
