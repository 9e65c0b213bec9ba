"""The pictures of a prepared set as batches of views."""
