"""The registry: what a version carries, its aliases, and how a model comes to be one."""
