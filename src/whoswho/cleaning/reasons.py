"""Every reason against a picture, in the order they are written in, and its words for people."""

from __future__ import annotations

from dataclasses import dataclass

from whoswho.artifacts.decisions import Decision

NO_LABEL = "no_label"
CROSS_LABEL = "cross_label"
PLACEHOLDER = "placeholder"
REVIEW = "review"


@dataclass(frozen=True)
class Reason:
    """What a reason says of a picture.

    Attributes:
        says: completes "the picture is dropped because: …".
        words: the picture's own numbers, a format of its decision `d` and its score `s`; empty
            where there is nothing to add.
        score: what the number in the column `score/<reason>` is; empty where there is none.
    """

    name: str
    says: str
    words: str = ""
    score: str = ""


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
        ),
        Reason(
            "extreme_shape",
            "much longer on one side than on the other",
            "{d.width}x{d.height} pixels, ratio {s:.2f}",
            score="long side over short side",
        ),
        Reason(
            "too_dark",
            "almost black",
            "brightness {s:.1f}",
            score="mean brightness, 0 to 255",
        ),
        Reason(
            "too_bright",
            "almost white",
            "brightness {s:.1f}",
            score="mean brightness, 0 to 255",
        ),
        Reason(
            "blank",
            "shows next to nothing",
            "deviation {s:.2f}",
            score="standard deviation of brightness",
        ),
        Reason(
            "blurry",
            "no sharp edge",
            "sharpness {s:.1f}",
            score="variance of the Laplacian at 256 pixels",
        ),
        Reason("duplicate", "the same pixels as another picture of the label"),
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
            score="height of the second face over that of the main one; 0 without a second",
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


def says(reason: str) -> str:
    """What a reason says of a picture; empty for an unknown one."""
    return REASONS[reason].says if reason in REASONS else ""


def explain(decision: Decision, reason: str) -> str:
    """The numbers behind one of a decision's reasons in words; empty where there are none."""
    score = decision.scores.get(reason)
    known = REASONS.get(reason)
    if known is None or (known.score and score is None):
        return ""
    words = known.words.format(d=decision, s=score)
    pair = reason in ("near_duplicate", CROSS_LABEL)
    return f"{words}, mirrored" if pair and decision.mirrored else words
