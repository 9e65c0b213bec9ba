"""Reviewing: a page on which a person turns what the checks decided about single pictures."""
