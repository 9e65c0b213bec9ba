"""Crawling: from a list of names to data/<label>/<site>_0002_ab12cd34.jpg and a manifest."""
