"""data/manifest.csv: where every picture came from, and what was given up and why."""

from __future__ import annotations

from pathlib import Path

NAME = "manifest.csv"
COLUMNS = (
    "file", "label", "site", "search", "rank", "page_url", "image_url", "fetched_at", "sha256",
    "bytes", "width", "height", "content_type", "author", "licence", "note",
)  # fmt: skip


def path(data: Path) -> Path:
    """The manifest of a set."""
    return data / NAME
