"""The five people of the sample: invented names, invented faces; people.csv has their numbers.

Nobody was drawn after anybody. The numbers differ in what a face is (skull, eyes, brows, nose,
mouth, hairline, skin); the tones of most skins and hair lie so close that light and white balance
mix them up.
"""

from __future__ import annotations

import csv
from importlib import resources
from typing import Any

from whoswho.sample.person import Person


def _read() -> dict[str, Person]:
    """Name -> person; of the table's cells several numbers are a tuple, an empty one is None."""
    text = resources.files(__package__).joinpath("people.csv").read_text(encoding="utf-8")
    header, *rows = csv.reader(text.splitlines())
    features: dict[str, dict[str, Any]] = {name: {} for name in header[1:]}
    for feature, *cells in rows:
        for name, cell in zip(features, cells, strict=True):
            numbers = tuple(map(float, cell.split()))
            features[name][feature] = numbers[0] if len(numbers) == 1 else numbers or None
    return {name: Person(**numbers) for name, numbers in features.items()}


PEOPLE = _read()
