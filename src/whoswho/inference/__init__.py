"""Inference: a model folder loaded, pictures in, names out. Nothing here knows how models are made."""
