"""Training as a covering program over what hidden neurons fire, with exactly proven cuts."""
