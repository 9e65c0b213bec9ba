"""Crawling: from a list of names to data/<label>/<site>_0002.jpg and a manifest."""
