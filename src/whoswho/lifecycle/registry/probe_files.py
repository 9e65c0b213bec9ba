"""A few judged pictures that travel with a version, and what it answered when it was registered.

They are what the network sees, as `prepare` left them, so that asking again shows whether the
version still answers as it did, whatever was installed or copied meanwhile.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from whoswho import paths
from whoswho.errors import UserError, one_line
from whoswho.lifecycle.registry.record import DATASET, Record

FOLDER = Path("probes")
TABLE = FOLDER / "probes.json"
MOST = 8  # each is asked of every version that is to get an alias


@dataclass(frozen=True)
class Probe:
    """A prepared picture, the box of its face (left top right bottom, or empty), its answer."""

    picture: str
    face: str
    predicted: str
    unknown: bool
    probabilities: Mapping[str, float]


def write_probes(folder: Path, record: Record) -> None:
    """Write probes.json and its pictures below `folder`: of each label the first judged one.

    A picture that is not at hand is left out: a record may be registered again without its set.
    """
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    rows = {row.file: row for row in record.split}
    labels = record.model.labels
    probes: dict[str, Probe] = {}
    for answer in sorted(record.evaluation.judged_pictures, key=lambda answer: answer.file):
        row = rows.get(answer.file)
        source = record.folder / DATASET / row.path if row else None
        if row is None or source is None or not source.is_file() or len(probes) == MOST:
            continue
        if answer.actual not in probes:
            name = f"{len(probes)}{source.suffix}"
            shutil.copyfile(source, folder / FOLDER / name)
            numbers = dict(zip(labels, answer.probabilities, strict=True))
            probes[answer.actual] = Probe(
                name, row.face, answer.predicted, answer.unknown, numbers
            )
    paths.write_json(folder / TABLE, [asdict(probe) for probe in probes.values()])


def read_probes(folder: Path) -> list[Probe]:
    """What `write_probes` wrote.

    Raises:
        UserError: the table is absent, damaged or empty.
    """
    try:
        content = paths.read_json(folder / TABLE)
        probes = TypeAdapter(list[Probe]).validate_python(content)
        for probe in probes:
            paths.inside(folder / FOLDER, probe.picture)
    except (OSError, ValueError, UserError) as error:
        raise UserError(f"its probe pictures cannot be read ({one_line(error, 120)})") from None
    if not probes:
        raise UserError("it has no probe pictures to answer")
    return probes
