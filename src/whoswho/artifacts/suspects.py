"""The pictures whose label looks wrong: suspects.csv, and what it rests on: suspects.json."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel

from whoswho import paths, tables

TABLE = paths.SUSPECTS / "suspects.csv"
SUMMARY = paths.SUSPECTS / "suspects.json"

# Why nothing is listed, whatever the pictures look like.
NO_FEATURES: Final = "no_features"
FEW_LABELS: Final = "few_labels"
TOO_LOW: Final = "accuracy_too_low"


class Suspect(BaseModel, frozen=True, extra="forbid"):
    """A picture that looks as if it lay under a wrong label; probabilities in 0..1, four digits.

    Attributes:
        file: posix path below data/.
        suggested: the label it confidently looks like.
        score: the probability of that label less the one of its own.
        rank: 1 is the surest.
    """

    file: str
    sha256: str
    label: str
    split: str
    suggested: str
    probability_label: float
    probability_suggested: float
    score: float
    rank: int


class SuspectList(BaseModel, frozen=True, extra="forbid"):
    """The suspects, the surest first, and how well the labels can be told apart at all.

    Attributes:
        none_because: NO_FEATURES, FEW_LABELS or TOO_LOW; empty where suspects could be listed.
        by_faces: whether they were judged by the vectors of their faces, not by features.
        faceless: pictures without such a vector, which nobody judged.
        judged: pictures with an out-of-fold probability; a label with a single look-alike group
            has nothing to be judged by.
        accuracy: fraction of them that the models name as labelled; accuracy_low is the lower end
            of its 95 % interval (Wilson), chance the largest label's fraction, needed the accuracy
            from which on suspects are listed.
        confident: pictures confidently of another label; suspects.max_fraction of all are listed.
    """

    suspects: tuple[Suspect, ...] = ()
    none_because: Literal["", "no_features", "few_labels", "accuracy_too_low"] = ""
    by_faces: bool = False
    faceless: int = 0
    pictures: int = 0
    judged: int = 0
    accuracy: float = 0.0
    accuracy_low: float = 0.0
    chance: float = 0.0
    needed: float = 0.0
    confident: int = 0

    @property
    def why_none(self) -> str:
        """`none_because` in words."""
        return {
            "": "",
            NO_FEATURES: "the backbone is fine-tuned and no features are kept "
            "(backbone.unfreeze: 0 keeps them), and faces were not told apart",
            FEW_LABELS: "fewer than two labels have pictures that are not look-alikes",
            TOO_LOW: f"out-of-fold accuracy {self.accuracy:.3f} (95% interval from "
            f"{self.accuracy_low:.3f}, chance {self.chance:.3f}) of {self._source} is too low to "
            f"judge labels by: below {self.needed:.3f} most of a list lies under its right label",
        }[self.none_because]

    @property
    def _source(self) -> str:
        return "face vectors" if self.by_faces else "the backbone's features"

    @property
    def sentence(self) -> str:
        """One line for a person."""
        if self.none_because:
            return f"none listed: {self.why_none}"
        text = f"{len(self.suspects)} of {self.judged} pictures look as if under a wrong label"
        counts = Counter(suspect.split for suspect in self.suspects)
        by_split = ", ".join(f"{counts[name]} {name}" for name in paths.SPLITS if counts[name])
        if by_split:
            text += f" ({by_split})"
        if self.confident > len(self.suspects):
            text += f", the surest of {self.confident} (suspects.max_fraction)"
        text += (
            f"; out-of-fold accuracy of {self._source} {self.accuracy:.3f}, "
            f"chance {self.chance:.3f}"
        )
        if self.faceless:
            text += f"; {self.faceless} not judged, without one clear face"
        if alone := self.pictures - self.faceless - self.judged:
            text += f"; {alone} not judged, alone under their label"
        return text


def to_look_at(listed: SuspectList | None, *, untrained: bool) -> tuple[int, str]:
    """How many suspects to look at, and why none where there are none.

    Those that an untrained backbone names are worth no look.
    """
    if listed is None:
        return 0, "the stage suspects has not run"
    if listed.none_because:
        return 0, listed.why_none
    if untrained and not listed.by_faces:
        return 0, "an untrained backbone cannot tell them"
    return len(listed.suspects), "" if listed.suspects else "no label looks wrong"


_COLUMNS = tuple(Suspect.model_fields)


def write_suspects(folder: Path, listed: SuspectList) -> None:
    """Write suspects.csv and suspects.json into `folder`."""
    tables.write(folder / TABLE.name, _COLUMNS, map(dict, listed.suspects))
    paths.write_json(folder / SUMMARY.name, listed.model_dump(exclude={"suspects"}))


def read_suspects(folder: Path) -> SuspectList | None:
    """What `write_suspects` wrote into `folder`; None before the stage suspects has run.

    Raises:
        UserError: a file was changed by hand.
    """
    table = folder / TABLE.name
    if not table.exists():
        return None
    rows, summary = tables.read(table, _COLUMNS), paths.read_json(folder / SUMMARY.name)
    content = {**summary, "suspects": rows} if isinstance(summary, dict) else summary
    return paths.validated(SuspectList, content, folder, "delete it, then run `dvc repro`")
