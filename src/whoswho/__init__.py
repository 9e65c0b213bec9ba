"""Who's Who: from a list of names to a versioned picture set and a registered model."""

__version__ = "0.1.0"
