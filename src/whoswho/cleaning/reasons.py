"""Every reason against a picture: one row each, in the order they are written in.

A check of a picture's own numbers is its row and nothing else; the rules about several pictures
are in `rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from whoswho.artifacts.decisions import Decision
from whoswho.cleaning.quality import Quality
from whoswho.params import Clean

NO_LABEL = "no_label"
BLANK = "blank"
CROSS_LABEL = "cross_label"
PLACEHOLDER = "placeholder"
REVIEW = "review"
BRIGHTNESS = {"too_dark", "too_bright"}
# What the decision of a copy says that has the other file's bytes.
IDENTICAL = "identical file"


@dataclass(frozen=True)
class Reason:
    """What a reason says of a picture.

    Attributes:
        says: completes "the picture is dropped because: …".
        words: the picture's own numbers, a format of its decision `d` and its score `s`; empty
            where there is nothing to add.
        score: what the number in the column `score/<reason>` is; empty where there is none.
        measure: of a check of the picture's own numbers, the function that gives the score.
        minimum, maximum: the param of section clean below or above which the score speaks
            against the picture.
    """

    name: str
    says: str
    words: str = ""
    score: str = ""
    measure: Callable[[Quality], float] | None = None
    minimum: str = ""
    maximum: str = ""


REASONS = {
    reason.name: reason
    for reason in (
        Reason(NO_LABEL, "lies in no label's folder"),
        Reason("unreadable", "the file cannot be opened", "{d.detail}"),
        Reason("truncated", "the file ends too early", "{d.detail}"),
        Reason("not_a_picture", "the file holds something else", "{d.detail}"),
        Reason("animated", "a film, not a picture", "{d.detail}"),
        Reason(
            "too_small",
            "fewer pixels than the shortest side asked for",
            "{d.width}x{d.height} pixels",
            score="pixels of the short side",
            measure=lambda q: min(q.width, q.height),
            minimum="min_side",
        ),
        Reason(
            "extreme_shape",
            "much longer on one side than on the other",
            "{d.width}x{d.height} pixels, ratio {s:.2f}",
            score="long side over short side",
            measure=lambda q: max(q.width, q.height) / min(q.width, q.height),
            maximum="max_aspect_ratio",
        ),
        Reason(
            "too_dark",
            "almost black",
            "brightness {s:.1f}",
            score="mean brightness of the main face, else of what is opaque, 0 to 255",
            measure=lambda q: q.brightness,
            minimum="min_brightness",
        ),
        Reason(
            "too_bright",
            "almost white",
            "brightness {s:.1f}",
            score="mean brightness of the main face, else of what is opaque, 0 to 255",
            measure=lambda q: q.brightness,
            maximum="max_brightness",
        ),
        Reason(
            BLANK,
            "shows next to nothing",
            "deviation {s:.2f}",
            score="standard deviation of brightness",
            measure=lambda q: q.contrast,
            minimum="min_contrast",
        ),
        Reason(
            "blurry",
            "no sharp edge",
            "sharpness {s:.1f}",
            score="variance of the Laplacian at 256 pixels",
            measure=lambda q: q.sharpness,
            minimum="min_sharpness",
        ),
        Reason("duplicate", "the same pixels as another picture of the label", "{d.detail}"),
        Reason(
            "near_duplicate",
            "the same photograph as another picture of the label",
            "correlation {s:.3f}",
            score="correlation with the picture it duplicates",
        ),
        Reason(
            CROSS_LABEL,
            "the same photograph under two labels",
            "also under {d.other_label!r}, correlation {s:.3f}",
            score="correlation with the picture of the other label; 1 for the same pixels",
        ),
        Reason(
            PLACEHOLDER,
            "one picture served under many labels",
            "under {s:.0f} labels",
            score="how many labels it lies under",
        ),
        Reason(
            "no_face",
            "no face was found",
            "the likeliest has probability {s:.2f}",
            score="the highest probability of a face, 0 to 1",
        ),
        Reason(
            "several_faces",
            "more than one face counts",
            "{d.faces} faces, the second {s:.2f} of the main one's height",
            score="height of the second sharp face over that of the main one; 0 without a second",
        ),
        Reason(
            "not_this_person",
            "the face is unlike the label's other faces",
            "{s:.2f} from the label's other faces",
            score="distance from the centre of the label's faces",
        ),
        Reason(
            "swapped",
            "the face fits another label better",
            "{s:.2f} nearer to the faces of {d.other_label!r}",
            score="by how much it is nearer to the centre of the other label's faces",
        ),
        Reason(REVIEW, "dropped by hand, in review.csv", "{d.review_why}"),
    )
}


def measured(quality: Quality) -> dict[str, float]:
    """The score of every check of a picture's own numbers."""
    return {
        name: round(reason.measure(quality), 4)
        for name, reason in REASONS.items()
        if reason.measure is not None
    }


def failed(quality: Quality, params: Clean) -> list[str]:
    """The reasons that a picture's own numbers speak against it."""
    return [
        name
        for name, reason in REASONS.items()
        if reason.measure is not None
        and (
            (reason.minimum and reason.measure(quality) < getattr(params, reason.minimum))
            or (reason.maximum and reason.measure(quality) > getattr(params, reason.maximum))
        )
    ]


def says(reason: str) -> str:
    """What a reason says of a picture; empty for an unknown one."""
    return REASONS[reason].says if reason in REASONS else ""


def explain(decision: Decision, reason: str) -> str:
    """The numbers behind one of a decision's reasons in words; empty where there are none."""
    score = decision.scores.get(reason)
    known = REASONS.get(reason)
    if known is None or (known.score and score is None):
        return ""
    if reason == CROSS_LABEL and decision.detail:
        return f"{decision.detail} under {decision.other_label!r}"
    words = known.words.format(d=decision, s=score)
    if limit := known.minimum or known.maximum:
        return f"{words}, {'below' if known.minimum else 'above'} clean.{limit}"
    pair = reason in ("near_duplicate", CROSS_LABEL)
    return f"{words}, mirrored" if pair and decision.mirrored else words
