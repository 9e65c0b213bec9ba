"""Tracking: the store, and the run of a training, however it ends."""
