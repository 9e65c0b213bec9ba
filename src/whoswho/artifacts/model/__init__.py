"""artifacts/model: the trained model, what its backbone came from, how its pictures are prepared."""
