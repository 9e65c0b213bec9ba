"""Figures draw every label on a bare machine, whole, without overlap, the same bytes each time."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.reported import HOSTILE, LONG

from whoswho.reporting.pages import fonts
from whoswho.reporting.plots import canvas, confusion, curves, fitting, sheets

SCRIPTS = ("Ελλάδα", "हिन्दी", "ไทย", "עברית", "العربية", "Việt Nam", "ქართული", "汉字漢字", "한글")


@pytest.fixture(autouse=True)
def strict(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No warning of any library, on whatever way it takes."""
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        yield
    assert not caplog.records


def picture(number: int = 0, size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, (number * 13 % 256, 120, 200 - number % 200))


def matrix(n: int) -> np.ndarray:
    return np.random.default_rng(0).poisson(0.3, (n, n)) + np.diag(range(n))


def draw_all(folder: Path, labels: tuple[str, ...]) -> dict[str, bytes]:
    """Every figure there is, with these labels."""
    n = len(labels)
    turned = labels[1:] + labels[:1]
    judged = [
        sheets.judged(picture(i), a, b, 0.5)
        for i, (a, b) in enumerate(zip(labels, turned, strict=True))
    ]
    heat = np.linspace(0, 1, 49).reshape(7, 7)
    confusion.confusion_matrix(labels, matrix(n), folder / "matrix.png")
    sheets.mistakes(judged, folder / "mistakes.png", wrong=n, total=99)
    seen = [(picture(i), label, i % 3) for i, label in enumerate(labels)]
    sheets.training_batch(seen, folder / "training_batch.png", total=400)
    sheets.attention([(item, heat) for item in judged], folder / "attention.png")
    sheets.strip(
        [(picture(i), label, 0.5) for i, label in enumerate(labels)], folder / "strip.png"
    )
    rows = [{"epoch": "1", "train/loss": "2.5", "train/accuracy": 0.5, "validation/loss": ""}]
    curves.history(rows, folder / "history.png")
    right = [False, True, True]
    curves.calibration([0.3, 0.9, 1.0], [0.4, 0.99, 1.0], right, folder / "calibration.png")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_figure_draws_every_label_and_twice_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = draw_all(tmp_path / "a", HOSTILE + SCRIPTS)
    again = draw_all(tmp_path / "b", HOSTILE + SCRIPTS)
    assert first == again
    assert len(first) == 7
    for name, content in first.items():
        with Image.open(tmp_path / "a" / name) as image:
            assert image.width > 200, name
            assert image.info.keys() <= {"dpi"}, name
        assert len(content) > 5000, name


@pytest.mark.parametrize("label", HOSTILE + SCRIPTS)
def test_every_letter_drawn_lies_in_a_packaged_font(label: str) -> None:
    drawn = fonts.drawable(label)
    assert all(fonts.has(letter) for letter in drawn)
    assert drawn.replace("U+E000", "\ue000") == label  # nothing but the private letter was changed


@pytest.mark.parametrize(
    ("label", "drawn"),
    [
        ("\U0001f9d1", "\U0001f9d1"),
        ("\ue000", "U+E000"),
        ("a\ue000b", "aU+E000b"),
        ("a\u202ecba", "acba"),  # a turn of direction
        ("\u202e", "U+202E"),  # but never nothing at all
        ("a\nb\tc", "a b c"),
        ("a\x07b\u200bc\ufeff", "abc"),
        ("\udc80.jpg", "U+DC80.jpg"),  # a file name that is not UTF-8
        ("\U000e0fff", "U+E0FFF"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
    ],
)
def test_what_no_font_has_is_written_as_its_code(label: str, drawn: str) -> None:
    assert fonts.drawable(label) == drawn


def test_fonts_come_from_packages_and_no_font_of_the_machine_is_asked() -> None:
    from matplotlib import font_manager

    for family, path in zip(fonts.families(), fonts.files(), strict=True):
        assert Path(sys.prefix) in path.parents or "site-packages" in path.parts
        assert font_manager.findfont(family, fallback_to_default=False) == str(path)
    with canvas.style():
        import matplotlib

        assert matplotlib.rcParams["font.family"] == list(fonts.families())


def test_a_style_of_the_users_changes_nothing_and_is_left_as_it_was(tmp_path: Path) -> None:
    import matplotlib

    sheets.strip([(picture(), "a", 0.5)], tmp_path / "a.png")
    mine = {"font.size": 30.0, "text.color": "red", "savefig.dpi": 30, "figure.dpi": 31}
    with matplotlib.rc_context(mine):
        sheets.strip([(picture(), "a", 0.5)], tmp_path / "b.png")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_hangul_name_leaves_ink_that_no_box_would(tmp_path: Path) -> None:
    """Different letters give different pictures: a box would be the same for all."""
    seen = set()
    for letter in "장원영가か漢汉\U0001f680ไा":
        sheets.strip([(picture(), letter, 0.5)], tmp_path / "a.png")
        title = np.asarray(Image.open(tmp_path / "a.png").convert("L"))[190:212]
        assert (title < 128).sum() > 5
        seen.add(title.tobytes())
    assert len(seen) == 10


@pytest.mark.parametrize("width", [60, 120, 300])
@pytest.mark.parametrize("lines", [1, 2])
def test_a_long_label_fits_and_keeps_both_its_ends(width: float, lines: int) -> None:
    for label in (
        LONG[:-1] + "나",
        "W" * 90,
        "A name of many words that goes on and on " * 3 + "z",
    ):
        laid = fitting.fit(label, width, 9, lines).split("\n")
        assert len(laid) <= lines
        assert all(fitting.text_width(line, 9) <= width for line in laid)
        if width > 60:
            assert laid[0][0] == label[0]
            assert laid[-1][-1] == label[-1]
            assert "…" in "".join(laid)


def test_a_short_label_is_left_alone() -> None:
    assert fitting.fit("장원영", 100, 9) == "장원영"


def test_joined_emoji_marks_and_flags_are_not_cut_apart() -> None:
    woman, flag, mark = "\U0001f469\U0001f3fd\u200d\U0001f680", "\U0001f1f0\U0001f1f7", "e\u0301"
    assert fonts.clusters(woman + flag + flag + mark) == [woman, flag, flag, mark]


def test_labels_that_look_alike_once_shortened_are_numbered() -> None:
    middle = ["가" * 40 + letter + "가" * 40 for letter in "나다"]
    shown = fitting.fit_distinct([*middle, "라"], 120, 9)
    assert shown[0].startswith("1 ")
    assert shown[1].startswith("2 ")
    assert shown[2] == "라"


@pytest.mark.parametrize("n", [2, 7, 8, 40])
def test_names_of_the_matrix_do_not_overlap(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of 80 letters, measured where they were drawn."""
    boxes: list[list[tuple[float, float, float, float]]] = []
    save = canvas.save

    def measure(figure, path):  # type: ignore[no-untyped-def]
        save(figure, path)
        (axes,) = figure.axes
        page = figure.bbox
        for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
            extents = [label.get_window_extent() for label in ticks]
            assert all(page.x0 <= e.x0 and e.x1 <= page.x1 for e in extents)
            assert all(page.y0 <= e.y0 and e.y1 <= page.y1 for e in extents)
            boxes.append([e.extents for e in extents])

    monkeypatch.setattr(canvas, "save", measure)
    labels = [LONG[:-2] + f"{i:02}" for i in range(n)]
    confusion.confusion_matrix(labels, np.full((n, n), 1000), tmp_path / "m.png")
    across, up = boxes
    assert all(a[2] <= b[0] for a, b in pairwise(across))
    assert all(a[1] >= b[3] for a, b in pairwise(up))


def test_the_matrix_shows_each_count_in_the_labels_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    save = canvas.save

    def look(figure, path):  # type: ignore[no-untyped-def]
        save(figure, path)
        (axes,) = figure.axes
        seen["cells"] = {
            (int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts
        }
        seen["rows"] = [t.get_text() for t in axes.get_yticklabels()]

    monkeypatch.setattr(canvas, "save", look)
    counts = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 12]])
    confusion.confusion_matrix(["z", "없는", "a"], counts, tmp_path / "m.png", split="validation")
    assert seen["rows"] == ["z (4)", "없는 (0)", "a (14)"]
    assert {k: v for k, v in seen["cells"].items() if v != "·"} == {
        (0, 0): "3", (0, 1): "1", (2, 0): "2", (2, 2): "12"
    }  # fmt: skip
    assert not any(row == 1 for row, _ in seen["cells"])  # a label without pictures has no counts


def test_history_has_a_point_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = []
    save = canvas.save

    def look(figure, path):  # type: ignore[no-untyped-def]
        save(figure, path)
        points.extend(
            (line.get_label(), list(line.get_ydata())) for a in figure.axes for line in a.lines
        )

    monkeypatch.setattr(canvas, "save", look)
    rows = [
        {"epoch": str(e), "train/loss": f"{9 - e}", "validation/loss": f"{8 - e}",
         "train/accuracy": "0.5", "validation/accuracy": ""}
        for e in (1, 2, 3)
    ]  # fmt: skip
    curves.history(rows, tmp_path / "h.png")
    assert points == [
        ("train", [8.0, 7.0, 6.0]), ("validation", [7.0, 6.0, 5.0]), ("train", [0.5, 0.5, 0.5])
    ]  # fmt: skip


def test_calibration_bins() -> None:
    right = [False, True, False, True]
    probabilities, fractions = curves.calibration_curve([0.05, 0.95, 0.99, 1.0], right)
    assert probabilities == pytest.approx([0.05, 0.98])
    assert fractions == pytest.approx([0.0, 2 / 3])


def test_a_sheet_without_mistakes_and_one_with_too_many(tmp_path: Path) -> None:
    sheets.mistakes([], tmp_path / "none.png", wrong=0, total=5)
    many = sheets.MOST_PICTURES + 5
    items = [sheets.judged(picture(i), "a", "b", 0.5) for i in range(many)]
    sheets.mistakes(items, tmp_path / "many.png", wrong=many, total=100)
    with Image.open(tmp_path / "none.png") as none, Image.open(tmp_path / "many.png") as full:
        assert none.height < 200
        assert full.height > 10 * none.height


def test_pictures_of_any_shape_keep_it(tmp_path: Path) -> None:
    sizes = [(640, 80), (80, 640), (1, 1), (64, 64)]
    sheets.strip([(picture(9, size), "x", 0.5) for size in sizes], tmp_path / "s.png")
    resized = sheets._resized(picture(9, (80, 640)), 1.55)
    assert resized.height / resized.width == pytest.approx(8, rel=0.05)
