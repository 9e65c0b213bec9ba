"""A model folder loaded, pictures in, names out: nothing here knows how models are made."""
