"""Evaluation: how good a model is, and where in a picture it looked."""
