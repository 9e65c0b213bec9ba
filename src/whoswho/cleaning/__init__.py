"""Cleaning: which pictures of data/ stay, and every reason why the others do not."""
