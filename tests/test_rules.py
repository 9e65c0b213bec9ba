"""The rules that decide which pictures stay, on evidence made by hand: no file is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cleaning import DEFAULTS

from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.model.settings import Face
from whoswho.cleaning import people, reasons, rules
from whoswho.cleaning.cases import Related
from whoswho.cleaning.evidence import Evidence, PictureEvidence
from whoswho.cleaning.fingerprints import Fingerprint
from whoswho.cleaning.identity import NOT_THIS_PERSON, SWAPPED
from whoswho.cleaning.people import FaceEvidence
from whoswho.cleaning.quality import Quality
from whoswho.cleaning.relations import DUPLICATE, NEAR_DUPLICATE, Relation
from whoswho.dataset.listing import ListedFile
from whoswho.dataset.review import Review
from whoswho.errors import UserError

GOOD = Quality(200, 150, brightness=120, contrast=50, sharpness=300)
FACE = Face(10, 10, 60, 70, 0.99)
ANY = DEFAULTS.model_copy(update={"faces": "any"})
WITHOUT_IDENTITY = DEFAULTS.model_copy(update={"identity_false_alarm_rate": 0.0})


def picture(file: str, *, pixels: str = "", quality: Quality = GOOD) -> PictureEvidence:
    """A picture of its own unless its `pixels` are another's too."""
    area = quality.width * quality.height
    return PictureEvidence(
        ListedFile(file, Path(file), file.partition("/")[0]),
        sha256=f"hash of {file}",
        format="PNG",
        quality=quality,
        fingerprint=Fingerprint(pixels or file, area, 0, 0, b""),
    )


def decide(
    evidence: Evidence,
    params: object = ANY,
    reviews: Mapping[tuple[str, str], Review] | None = None,
) -> dict[str, Decision]:
    decided = rules.decide(evidence, params, reviews or {})  # type: ignore[arg-type]
    return {decision.file: decision for decision in decided.decisions}


def reasons_of(decisions: Mapping[str, Decision]) -> dict[str, Sequence[str]]:
    return {file: decision.reasons for file, decision in decisions.items()}


@pytest.mark.parametrize(
    "name", [name for name, reason in reasons.REASONS.items() if reason.measure is not None]
)
def test_a_number_beyond_its_param_drops_and_is_written_either_way(name: str) -> None:
    bad = {
        "too_small": Quality(79, 200, 120, 50, 300),
        "extreme_shape": Quality(800, 200, 120, 50, 300),
        "too_dark": Quality(200, 150, 5, 50, 300),
        "too_bright": Quality(200, 150, 250, 50, 300),
        "blank": Quality(200, 150, 120, 1, 300),
        "blurry": Quality(200, 150, 120, 50, 3),
    }
    params = ANY.model_copy(update={"min_sharpness": 20.0})
    evidence = Evidence([picture("a/good.png"), picture("a/bad.png", quality=bad[name])])
    table = decide(evidence, params)
    assert reasons_of(table) == {"a/good.png": (), "a/bad.png": (name,)}
    reason = reasons.REASONS[name]
    assert reason.measure is not None
    for file, quality in (("a/good.png", GOOD), ("a/bad.png", bad[name])):
        assert table[file].scores[name] == pytest.approx(reason.measure(quality), abs=1e-4)
    assert bool(reason.minimum) != bool(reason.maximum)
    assert hasattr(params, reason.minimum or reason.maximum)


def test_of_equal_pixels_the_first_stays() -> None:
    table = decide(Evidence([picture("a/1.png", pixels="x"), picture("a/2.png", pixels="x")]))
    assert reasons_of(table) == {"a/1.png": (), "a/2.png": ("duplicate",)}
    assert table["a/2.png"].duplicate_of == "a/1.png"


def test_the_largest_of_one_photograph_stays_unless_a_person_keeps_another() -> None:
    small = Quality(100, 80, 120, 50, 300)
    evidence = Evidence(
        [picture("a/1.png", quality=small), picture("a/2.png")],
        [Relation(0, 1, NEAR_DUPLICATE, 0.99, is_mirrored=True)],
    )
    table = decide(evidence)
    assert reasons_of(table) == {"a/1.png": ("near_duplicate",), "a/2.png": ()}
    assert (table["a/1.png"].mirrored, table["a/1.png"].scores["near_duplicate"]) == (True, 0.99)
    keep = Review("keep", "", "", "", sha256="hash of a/1.png", label="a", line=2)
    table = decide(evidence, reviews={keep.picture: keep})
    assert reasons_of(table) == {"a/1.png": (), "a/2.png": ("near_duplicate",)}


def test_one_photograph_under_two_labels_goes_and_under_three_is_a_placeholder() -> None:
    two = [picture("a/1.png", pixels="x"), picture("b/1.png", pixels="x")]
    table = decide(Evidence(two))
    assert reasons_of(table) == {"a/1.png": ("cross_label",), "b/1.png": ("cross_label",)}
    assert (table["a/1.png"].other_label, table["a/1.png"].scores["cross_label"]) == ("b", 1.0)
    table = decide(Evidence([*two, picture("c/1.png", pixels="x")]))
    assert set(reasons_of(table).values()) == {("placeholder",)}
    assert table["a/1.png"].scores["placeholder"] == 3


@pytest.mark.parametrize("labels", [1, 2, 4])
def test_thousands_of_equal_pictures_are_looked_at_a_few_times_each(
    labels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site's picture for a missing one: four times as many take four times as long."""
    looked = []
    same_photograph = Related.same_photograph

    def counting(
        related: Related, *arguments: Any, **among: Any
    ) -> Iterator[tuple[int, Relation]]:
        for relation in same_photograph(related, *arguments, **among):
            looked.append(relation)
            yield relation

    monkeypatch.setattr(Related, "same_photograph", counting)
    counts = []
    params = ANY.model_copy(update={"cross_label_max_fraction": 1.0})
    for count in (100, 400):
        looked.clear()
        equal = [
            picture(f"{number % labels}/{number:03}.png", pixels="x") for number in range(count)
        ]
        relations = [Relation(0, other, DUPLICATE) for other in range(1, count)]
        table = decide(Evidence(equal, relations), params)
        assert sum(decision.kept for decision in table.values()) == (labels == 1)
        counts.append(len(looked))
    assert counts[1] < 5 * counts[0]


def test_what_is_related_through_a_picture_that_a_person_dropped_alone_is_no_placeholder() -> None:
    chain = [picture(f"{label}/1.png") for label in "dabc"]
    relations = [Relation(0, other, NEAR_DUPLICATE) for other in (1, 2, 3)]
    drop = Review("drop", sha256="hash of d/1.png", label="d", line=2)
    table = decide(Evidence(chain, relations), reviews={drop.picture: drop})
    assert reasons_of(table) == {
        "d/1.png": ("review",), "a/1.png": (), "b/1.png": (), "c/1.png": (),
    }  # fmt: skip


def test_too_much_of_a_label_under_another_stops() -> None:
    pairs = [picture(f"{label}/{n}.png", pixels=str(n)) for n in range(3) for label in "ab"]
    with pytest.raises(UserError, match="3 of 3 pictures of 'a' lie under 'b' too"):
        decide(Evidence(pairs))


def two_people(*shared: tuple[str, int, float], whole: int = 0) -> Evidence:
    """Eight faces each of a and b, and pictures of one photograph: file, whose face, how odd.

    The first `whole` of them show both people; the others are crops of them.
    """
    dice = np.random.default_rng(3)
    centres = np.eye(128)[:3] * 0.5
    rows = [(f"{label}/{n}.png", who, 0.3) for who, label in enumerate("ab") for n in range(8)]
    rows += shared
    pictures, faces = [], {}
    for index, (file, who, spread) in enumerate(rows):
        away = dice.normal(size=128)
        vector = centres[who] + spread * away / np.linalg.norm(away)
        is_group = 16 <= index < 16 + whole
        large = replace(GOOD, width=400, height=300)
        pictures.append(picture(file, quality=large if is_group else GOOD))
        faces[index] = FaceEvidence(
            [FACE, FACE] if is_group else [FACE], None if is_group else vector.astype(np.float32)
        )
    numbers = range(16, len(rows))
    relations = [
        Relation(a, b, NEAR_DUPLICATE, 0.99, overlap=1.0 if b < 16 + whole or not whole else 0.5)
        for a in numbers
        for b in numbers
        if a < b and (a < 16 + whole or not whole)
    ]
    return Evidence(pictures, relations, faces, can_embed=True)


def test_of_one_photograph_under_two_labels_the_copy_whose_face_fits_stays() -> None:
    evidence = two_people(("a/x.png", 0, 0.3), ("b/y.png", 0, 0.3))
    decided = rules.decide(evidence, DEFAULTS, {})
    table = {decision.file: decision for decision in decided.decisions}
    assert reasons_of(table) == dict.fromkeys(table, ()) | {"b/y.png": (SWAPPED,)}
    gone = table["b/y.png"]
    assert (gone.other_label, gone.duplicate_of) == ("a", "a/x.png")
    assert gone.scores[SWAPPED] == pytest.approx(
        gone.scores[NOT_THIS_PERSON] - table["a/x.png"].scores[NOT_THIS_PERSON], abs=1e-3
    )
    assert decided.notes == ["1 picture of two labels stays under the one the face fits"]
    looked = {index: face for index, face in evidence.faces.items() if index < 16}
    assert rules.needs_faces(replace(evidence, faces=looked), DEFAULTS, {}) == [16, 17]


def test_where_the_faces_cannot_tell_both_go_and_a_person_is_asked() -> None:
    """A third person's face, a label too small to have a crowd, and no embedding."""
    third = two_people(("a/x.png", 2, 0.3), ("b/y.png", 2, 0.3))
    table = decide(third, DEFAULTS)
    for file in ("a/x.png", "b/y.png"):
        assert table[file].reasons == ("cross_label", NOT_THIS_PERSON)
    unknown = two_people(("a/x.png", 0, 0.3), ("c/y.png", 0, 0.3))
    for evidence in (unknown, replace(unknown, can_embed=False)):
        decided = rules.decide(evidence, DEFAULTS, {})
        gone = {d.file: d.reasons for d in decided.decisions if not d.kept}
        assert gone == {"a/x.png": ("cross_label",), "c/y.png": ("cross_label",)}
        (message,) = [note for note in decided.notes if "whoswho review" in note]
        assert message.startswith("2 files of pictures under two labels dropped from both")


def test_without_dlib_strangers_stay_and_it_is_said() -> None:
    odd = two_people(("a/x.png", 2, 0.3))
    assert [d.reasons for d in rules.decide(odd, DEFAULTS, {}).decisions][-1] == (NOT_THIS_PERSON,)
    decided = rules.decide(replace(odd, can_embed=False), DEFAULTS, {})
    assert all(decision.kept for decision in decided.decisions)
    assert decided.identity_model == rules.OFF == "off"
    (note,) = decided.identity.notes
    assert "OFF" in note
    assert "dlib-bin face-recognition-models" in note


def test_at_rate_nought_strangers_stay_without_a_word() -> None:
    decided = rules.decide(two_people(("a/x.png", 2, 0.3)), WITHOUT_IDENTITY, {})
    assert not people.judges_identity(WITHOUT_IDENTITY)
    assert all(decision.kept for decision in decided.decisions)
    assert (decided.identity.notes, decided.identity_model) == ([], "off")


def test_each_keeps_the_crop_of_a_photograph_of_both() -> None:
    evidence = two_people(
        ("a/whole.png", 0, 0.3), ("b/whole.png", 0, 0.3), ("a/crop.png", 0, 0.3),
        ("b/crop.png", 1, 0.3), ("b/wrong.png", 0, 0.3), whole=2,
    )  # fmt: skip
    table = decide(evidence, DEFAULTS)
    assert table["a/crop.png"].kept
    assert table["b/crop.png"].kept
    assert table["b/wrong.png"].reasons == (SWAPPED,)
    assert "several_faces" in table["a/whole.png"].reasons


def test_brightness_is_the_faces_where_one_is_found() -> None:
    """Field report G6; a picture that is dark as a whole is looked at for it."""
    dark, light, fair = (Quality(200, 150, mean, 30, 300) for mean in (6.0, 254.0, 120.0))
    pictures = [picture(f"a/{n}.png", quality=q) for n, q in enumerate((dark, light, fair, dark))]
    assert rules.needs_faces(Evidence(pictures), WITHOUT_IDENTITY, {}) == [0, 1, 2, 3]
    faces = [FaceEvidence([FACE], brightness=mean) for mean in (120.0, 120.0, 5.0)]
    evidence = Evidence(pictures, (), dict(enumerate([*faces, FaceEvidence([])])))
    assert rules.needs_faces(evidence, WITHOUT_IDENTITY, {}) == []
    table = decide(evidence, WITHOUT_IDENTITY)
    assert reasons_of(table) == {
        "a/0.png": (), "a/1.png": (), "a/2.png": ("too_dark",), "a/3.png": ("too_dark",),
    }  # fmt: skip
    assert (table["a/0.png"].scores["too_dark"], table["a/3.png"].scores["too_dark"]) == (120, 6)
    tiny = picture("a/0.png", quality=Quality(20, 15, 6, 30, 300))
    assert rules.needs_faces(Evidence([tiny]), WITHOUT_IDENTITY, {}) == []


def test_a_crop_stays_where_the_whole_picture_goes_for_its_faces() -> None:
    small = Quality(100, 80, 120, 50, 300)
    evidence = Evidence(
        [picture("a/crop.png", quality=small), picture("a/whole.png")],
        [Relation(0, 1, NEAR_DUPLICATE, 0.99, overlap=0.6)],
    )
    assert rules.needs_faces(evidence, WITHOUT_IDENTITY, {}) == [1]
    group = Evidence(evidence.pictures, evidence.relations, {1: FaceEvidence([FACE, FACE])})
    assert rules.needs_faces(group, WITHOUT_IDENTITY, {}) == [0]
    faces = {0: FaceEvidence([FACE]), 1: FaceEvidence([FACE, FACE])}
    both = Evidence(evidence.pictures, evidence.relations, faces)
    assert rules.needs_faces(both, WITHOUT_IDENTITY, {}) == []
    table = decide(both, WITHOUT_IDENTITY)
    assert reasons_of(table) == {"a/crop.png": (), "a/whole.png": ("several_faces",)}
    assert (table["a/crop.png"].faces, table["a/crop.png"].main_face) == (1, FACE)
    assert table["a/whole.png"].scores["several_faces"] == 1.0
    assert list(table["a/whole.png"].other_faces) == [FACE]


def test_what_a_person_kept_says_what_was_overruled() -> None:
    keep = Review("keep", "", "it is her", "", sha256="hash of a/1.png", label="a", line=2)
    evidence = Evidence([picture("a/1.png")], (), {0: FaceEvidence([], best_probability=0.3)})
    table = decide(evidence, WITHOUT_IDENTITY, {keep.picture: keep})
    decision = table["a/1.png"]
    assert (decision.kept, decision.reasons, decision.overruled) == (True, (), ("no_face",))
    assert (decision.scores["no_face"], decision.review_why) == (0.3, "it is her")
    assert reasons.explain(decision, "no_face") == "the likeliest has probability 0.30"
