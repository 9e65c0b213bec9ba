"""What people read of a run: figures, page, model card, closing lines."""
