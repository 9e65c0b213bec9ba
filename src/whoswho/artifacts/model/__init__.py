"""artifacts/model: the trained model, its backbone's source, how its pictures are prepared."""
