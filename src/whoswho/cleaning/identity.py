"""Whose face it is: the odd faces of a label, and those that fit another label better.

It knows no person, only crowds: most faces of a label are of one person, so they lie together
(dlib's embedding, `pictures.embedding`), and a stranger's lies apart from them.

A label's centre is the mean of that half of its faces which lie closest together, found by
concentration steps as in least trimmed squares (Rousseeuw and Van Driessen, "A fast algorithm
for the minimum covariance determinant estimator", Technometrics 41, 1999), then of all faces that
lie no further out than the half lets expect. Strangers do not move it while they are fewer than
two in five.

How far out is odd follows from the label's own spread and the false-alarm rate asked for; where
the other labels' faces begin only further out, so does what is odd (see `_limit`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]

NOT_THIS_PERSON = "not_this_person"
SWAPPED = "swapped"

# Fewer faces make no crowd: three of one person and two of another could be either's.
FEWEST = 5
# Where more of a label than this is odd, the centre itself is in doubt, unless a person vouched
# for so many faces that it lies among them.
MOST_ODD = 0.4
VOUCHED = 3
# dlib's own bound for two pictures of one person (dlib.net/face_recognition.py.html).
FURTHEST = 0.6
# Of 470 faces of 14 labels (press pictures, a raw crawl, drawn portraits) that are the label's
# own, 20 % lay more than one deviation beyond its middle, and with every 1.25 deviations more
# that share fell to an e-th: a longer tail than the normal curve's, because a shout or a profile
# moves a face far. At rate 0.01 three of them were taken for odd ones.
TAIL_START, TAIL_SHARE, TAIL_LENGTH = 1.0, 0.20, 1.25
# The rates that bound a crowd while its centre is sought, and from which a face fits another. A
# wider crowd takes in strangers: at 0.001 a fifth of the strangers of a label 35 % theirs stay.
CROWD, FITS = 0.01, 0.10
# A face among the furthest of its own label and well inside another's crowd is the other's, also
# where it is not yet odd: both at once happens to far fewer of a person's own faces.
DOUBTFUL = 0.05
# A label's spread counts as many faces as it has, that of the set as many as this.
PRIOR = 10
# Of the other labels' faces this share may lie nearer than "where other people are".
NEAREST = 0.05
# Deviation of a normal distribution over its median absolute deviation.
MAD = 1.4826
_STARTS = 100
_ROUNDS = 30
_NAMED = 5


@dataclass(frozen=True)
class Verdict:
    """Why a face is odd under its label.

    Attributes:
        other_label: the one it fits better, of a swapped face.
        nearer: by how much it lies nearer to that label's centre than to its own.
    """

    reason: str
    other_label: str = ""
    nearer: float | None = None


@dataclass(frozen=True)
class Judgement:
    """What the faces say.

    Attributes:
        verdicts: by index of the face in what `judge` was given.
        limits: for each label judged, the distance beyond which a face is odd.
        notes: what the user should know, one line each.
        distances: by index of the face, how far it lies from its label's centre.
        sure: of the faces that lie under two labels, those that fit the one they are under.
    """

    verdicts: dict[int, Verdict] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    distances: dict[int, float] = field(default_factory=dict)
    sure: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Crowd:
    """A label's faces: their indices, which are its person's, and how far out they lie."""

    faces: NDArray[np.intp]
    inside: NDArray[np.bool_]
    centre: Vectors
    middle: float
    spread: float

    @property
    def own(self) -> NDArray[np.intp]:
        """The faces that are the person's."""
        return self.faces[self.inside]

    def beyond(self, rate: float) -> float:
        """The distance that a fraction `rate` of the person's own faces exceeds."""
        return min(FURTHEST, self.middle + _deviations(rate) * self.spread)


def judge(
    vectors: Vectors,
    labels: Sequence[str],
    vouched: Sequence[bool],
    false_alarm_rate: float,
    shared: Sequence[bool] | None = None,
) -> Judgement:
    """Which faces are odd under their label.

    Args:
        vectors: faces x 128, the embeddings.
        labels: of each face.
        vouched: whether a person said that the face is rightly there; such faces hold the centre.
        false_alarm_rate: fraction of a person's own faces that may be taken for odd ones, above 0.
        shared: whether the photograph lies under another label too: such a face is judged by the
            crowds of the others and is in none itself. None: no face's does.
    """
    sure = np.asarray(vouched, bool)
    names = np.array(labels, dtype=object)
    apart = np.zeros(len(labels), bool) if shared is None else np.asarray(shared, bool)
    faces = {label: np.flatnonzero((names == label) & ~apart) for label in sorted(set(labels))}
    small = [label for label, own in faces.items() if len(own) < FEWEST]
    crowds = _crowds(vectors, sure, {k: own for k, own in faces.items() if k not in small})
    judgement = Judgement()
    if small:
        listed = ", ".join(map(repr, small[:_NAMED])) + (", …" if len(small) > _NAMED else "")
        judgement.notes.append(
            f"identity not checked where faces are fewer than {FEWEST} ({listed})"
        )
    for label, crowd in crowds.items():
        others = [
            crowds[other].own if other in crowds else own
            for other, own in faces.items()
            if other != label
        ]
        rest = vectors[np.concatenate([np.empty(0, np.intp), *others])]
        limit = round(_limit(crowd, rest, false_alarm_rate), 4)
        beside = np.flatnonzero((names == label) & apart)
        own = _left_out(vectors[crowd.faces], crowd.inside, crowd.centre)
        away = np.append(own, _lengths(vectors[beside] - crowd.centre))
        distances = dict(
            zip([*crowd.faces.tolist(), *beside.tolist()], away.tolist(), strict=True)
        )
        judgement.limits[label] = limit
        judgement.distances.update(distances)
        verdicts = _verdicts(vectors, label, crowds, distances, limit, false_alarm_rate)
        odd = sum(not sure[face] and not apart[face] for face in verdicts)
        if odd > MOST_ODD * len(crowd.faces) and sure[crowd.faces].sum() < VOUCHED:
            judgement.notes.append(
                f"{label!r} seems to show more than one person ({odd} of {len(crowd.faces)} "
                f"faces lie apart from the rest): none was dropped for it; keep {VOUCHED} of the "
                "right ones in review.csv and run again"
            )
        else:
            judgement.verdicts.update(verdicts)
            judgement.sure.update(set(beside.tolist()) - verdicts.keys())
    return judgement


def centre_and_limit(own: Vectors) -> tuple[Vectors, float]:
    """The centre of a label's faces and how far out the person's lie: of few, dlib's own bound."""
    if len(own) < FEWEST:
        return own.mean(axis=0), FURTHEST
    (crowd,) = _crowds(own, np.zeros(len(own), bool), {"": np.arange(len(own))}).values()
    return crowd.centre, crowd.beyond(CROWD)


def _verdicts(
    vectors: Vectors,
    label: str,
    crowds: Mapping[str, _Crowd],
    distances: Mapping[int, float],
    limit: float,
    false_alarm_rate: float,
) -> dict[int, Verdict]:
    crowd = crowds[label]
    verdicts: dict[int, Verdict] = {}
    for face, distance in distances.items():
        if distance <= crowd.beyond(max(false_alarm_rate, DOUBTFUL)):
            continue
        fits = [
            (away, other)
            for other, theirs in crowds.items()
            if other != label
            and (away := float(_lengths(vectors[[face]] - theirs.centre)[0]))
            # Nearer by a deviation: of one person under two labels the centres hardly differ.
            <= min(distance - crowd.spread, theirs.beyond(FITS))
        ]
        if fits:
            away, other = min(fits)
            verdicts[face] = Verdict(SWAPPED, other, round(distance - away, 4))
        elif distance > limit:
            verdicts[face] = Verdict(NOT_THIS_PERSON)
    return verdicts


def _limit(crowd: _Crowd, others: Vectors, false_alarm_rate: float) -> float:
    """From where on a face is odd.

    Where other people's faces begin only beyond what the rate asks for, the limit moves out to
    them: fewer false alarms than asked for, and of such strangers no more than `NEAREST` missed.
    """
    own = crowd.beyond(false_alarm_rate)
    if not len(others):
        return own
    near = float(np.quantile(_lengths(others - crowd.centre), NEAREST))
    return max(own, min(near, FURTHEST))


# --- Crowds --------------------------------------------------------------------------------------


def _crowds(
    vectors: Vectors, sure: NDArray[np.bool_], faces: Mapping[str, NDArray[np.intp]]
) -> dict[str, _Crowd]:
    """Each label's crowd, its spread drawn towards that of the set: of few faces it is a guess."""
    crowds = {
        label: _Crowd(own, inside, centre, *_middle_and_spread(vectors[own], inside, centre))
        for label, own in faces.items()
        for inside, centre in [_half(vectors[own], sure[own])]
    }
    for _ in range(2):
        usual = float(np.median([crowd.spread for crowd in crowds.values()])) if crowds else 0.0
        crowds = {
            label: _grown(vectors[crowd.faces], sure[crowd.faces], crowd, usual)
            for label, crowd in crowds.items()
        }
    return crowds


def _half(own: Vectors, sure: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Vectors]:
    """The half of a label's faces (and one) that lies closest together, and its mean.

    Where a person vouched for enough faces, it is the half that lies closest to those.
    """
    size = max(len(own) // 2 + 1, int(sure.sum()))
    best: tuple[float, NDArray[np.intp]] | None = None
    for start in sorted({round(i) for i in np.linspace(0, len(own) - 1, _STARTS)}):
        centre = own[start]
        chosen = np.empty(0, np.intp)
        for _ in range(_ROUNDS):
            lengths = _lengths(own - centre)
            closest = np.argsort(np.where(sure, -1.0, lengths), kind="stable")[:size]
            if set(closest) == set(chosen):
                break
            chosen = closest
            centre = own[np.sort(chosen)].mean(axis=0)
        judges = sure if sure.sum() >= VOUCHED else np.isin(np.arange(len(own)), chosen)
        score = float(_lengths(own[judges] - centre).sum())
        if best is None or score < best[0] - 1e-9:
            best = (score, chosen)
    assert best is not None
    inside = np.zeros(len(own), bool)
    inside[best[1]] = True
    return inside, own[inside].mean(axis=0)


def _grown(own: Vectors, sure: NDArray[np.bool_], crowd: _Crowd, usual: float) -> _Crowd:
    """The crowd with everything that lies no further out than it lets expect, its centre moved."""
    for _ in range(_ROUNDS):
        middle, spread = _middle_and_spread(own, crowd.inside, crowd.centre)
        number = int(crowd.inside.sum())
        spread = (number * spread + PRIOR * usual) / (number + PRIOR)
        crowd = _Crowd(crowd.faces, crowd.inside, crowd.centre, middle, spread)
        lengths = _left_out(own, crowd.inside, crowd.centre)
        inside = (lengths <= crowd.beyond(CROWD)) | sure
        if inside.sum() < 2 or (inside == crowd.inside).all():
            break
        crowd = _Crowd(crowd.faces, inside, own[inside].mean(axis=0), middle, spread)
    return crowd


def _middle_and_spread(
    own: Vectors, inside: NDArray[np.bool_], centre: Vectors
) -> tuple[float, float]:
    lengths = _left_out(own, inside, centre)[inside]
    middle = float(np.median(lengths))
    return middle, MAD * float(np.median(np.abs(lengths - middle)))


def _left_out(own: Vectors, inside: NDArray[np.bool_], centre: Vectors) -> Vectors:
    """Distances from the centre, of a face inside from the centre of the others inside."""
    number = max(int(inside.sum()), 2)
    return np.where(inside, number / (number - 1), 1.0) * _lengths(own - centre)


def _lengths(rows: Vectors) -> Vectors:
    squares: Vectors = (rows * rows).sum(axis=1)
    return np.sqrt(squares)


def _deviations(rate: float) -> float:
    """How many deviations beyond the middle a share `rate` of the own faces lies."""
    return TAIL_START + TAIL_LENGTH * math.log(TAIL_SHARE / rate)
