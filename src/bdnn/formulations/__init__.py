"""Mathematical models: each module states one and builds it as a `Milp`."""
