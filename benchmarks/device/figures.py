"""Tables."""


def write(path):
    """Write."""
