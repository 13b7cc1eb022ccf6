"""From a model to a device: integer operations that decide as the model does, and files for it."""
