"""A picture in, a name out: the forms a picture comes in, and what cannot be read."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image
from support.lifecycle_models import NAMES, PICTURE, make_model
from support.lifecycle_store import environment
from support.pictures import png

from whoswho.errors import UserError
from whoswho.inference import payload
from whoswho.inference.predictor import Predictor


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), NAMES)


@pytest.fixture(scope="session")
def model(folder: Path) -> Predictor:
    return Predictor(folder)


def test_paths_and_bytes_get_the_same_answer(model: Predictor, tmp_path: Path) -> None:
    file = tmp_path / "한글 사진.png"
    file.write_bytes(png())
    answers = model.predict([file, str(file), png()])
    assert [a.name for a in answers] == [str(file), str(file), "picture 3"]
    assert len({(a.label, a.probability) for a in answers}) == 1
    first = answers[0]
    assert list(first.probabilities) == list(NAMES)
    assert sum(first.probabilities.values()) == pytest.approx(1)
    assert first.label == max(first.probabilities, key=first.probabilities.__getitem__)
    assert first.probability == max(first.probabilities.values())
    assert first.title == first.label
    assert first.image is None


def test_what_cannot_be_read_says_why_and_the_rest_go_on(model: Predictor, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    good.write_bytes(png())
    (tmp_path / "page.jpg").write_text("<html></html>", encoding="utf-8")
    (tmp_path / "cut.png").write_bytes(png()[:400])
    sources = [tmp_path / n for n in ("page.jpg", "good.png", "absent.jpg", "cut.png", ".")]
    answers = model.predict([*sources, good])
    assert [a.problem is None for a in answers] == [False, True, False, False, False, True]
    assert answers[1].label == answers[5].label
    assert "not_a_picture" in (answers[0].problem or "")
    assert all("\n" not in (a.problem or "") for a in answers)
    assert [a.label for a in answers if a.problem] == [None] * 4
    assert model.predict([]) == []


def test_many_pictures_keep_their_order_and_answer_as_alone(model: Predictor) -> None:
    pictures = [png(seed) for seed in range(70)]
    pictures[33] = b"nothing"
    together = model.predict(pictures)
    assert [a.problem is not None for a in together] == [n == 33 for n in range(70)]
    for number in (0, 31, 32, 34, 69):
        (alone,) = model.predict([pictures[number]])
        assert alone.probabilities == pytest.approx(together[number].probabilities, abs=1e-5)


def test_it_answers_what_evaluate_wrote(model: Predictor, tmp_path: Path) -> None:
    """The stored, prepared picture through evaluate; the original through predict."""
    from whoswho.artifacts.model.settings import PictureSettings
    from whoswho.pictures.prepare import Preparer

    preparer = Preparer(PictureSettings(**PICTURE))
    for seed in range(5):
        stored = tmp_path / f"{seed}.png"
        preparer.from_source(png(seed)).image.save(stored)
        (row,) = model.model.answer([Image.open(stored)]).probabilities
        (answer,) = model.predict([png(seed)])
        assert list(answer.probabilities.values()) == pytest.approx(list(row), abs=1e-6)


def test_what_is_like_none_of_the_labels_is_nobody(tmp_path: Path) -> None:
    strict = Predictor(make_model(tmp_path, NAMES, min_similarity=0.999))
    (answer,) = strict.predict([png()])
    assert answer.unknown
    assert answer.similarity is not None
    assert answer.similarity < 0.999
    assert answer.title == "unknown"
    assert answer.label in NAMES


def test_pictures_for_a_figure_are_upright_and_small(model: Predictor) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (3000, 1000), "red").save(buffer, "JPEG", exif=exif)
    (answer,) = model.predict([buffer.getvalue()], keep_images=True)
    assert answer.image is not None
    assert answer.image.size == (171, 512)


def test_a_folder_that_is_no_model_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="no model folder"):
        Predictor(Path("nowhere/model"))
    with pytest.raises(UserError, match=r"model\.json: not there"):
        Predictor(tmp_path)
    other = tmp_path / "later"
    other.mkdir()
    (other / "weights.safetensors").write_bytes((folder / "weights.safetensors").read_bytes())
    text = (folder / "model.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "format": ')
    changed = re.sub('"format": [0-9]+', '"format": 99', text)
    (other / "model.json").write_text(changed, encoding="utf-8")
    with pytest.raises(UserError, match="format is 99"):
        Predictor(other)


def test_predicting_from_a_folder_needs_no_mlflow(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png())
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from whoswho.inference.predictor import Predictor\n"
        f"Predictor(Path({str(folder)!r})).predict(['p.png'])\nprint('mlflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("False\n", "")


# The forms in which a client sends a picture

RAW = bytes(range(256)) + b"\xfb\xff\xfe"
PLAIN = base64.b64encode(RAW).decode()
FORMS: dict[str, Callable[[], object]] = {
    "bytes": lambda: RAW,
    "bytearray": lambda: bytearray(RAW),
    "base64": lambda: PLAIN,
    "base64 without padding": lambda: PLAIN.rstrip("="),
    "base64 in lines": lambda: base64.encodebytes(RAW).decode(),
    "base64 in lines of Windows": lambda: base64.encodebytes(RAW).decode().replace("\n", "\r\n"),
    "base64 with URL-safe letters": lambda: base64.urlsafe_b64encode(RAW).decode(),
    "data URL": lambda: f"data:image/png;base64,{PLAIN}",
    "data URL without a type": lambda: f"data:;base64,{PLAIN}",
    "data URL in capitals": lambda: f"DATA:image/png;BASE64,{PLAIN}",
    "data URL with a parameter": lambda: f"data:image/png;name=a.png;base64,{PLAIN}",
    "data URL, base64 percent-encoded": lambda: f"data:image/png;base64,{quote(PLAIN, safe='')}",
    "data URL, percent-encoded": lambda: f"data:image/png,{quote(RAW)}",
    "spaces around": lambda: f"  {PLAIN}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_becomes_the_same_bytes(form: str) -> None:
    assert payload.to_bytes(FORMS[form]()) == RAW


@pytest.mark.parametrize(
    "value",
    ["../secret.png", "file:///etc/passwd", "http://10.0.0.1/a.png", "a" * 5, "", "data:image/png",
     None, 3.5, ["x"], "한글", "C:\\a.png"],
)  # fmt: skip
def test_anything_else_is_refused_without_repeating_it(value: object) -> None:
    with pytest.raises(ValueError, match="send the picture's bytes as base64") as error:
        payload.to_bytes(value)
    assert "\n" not in str(error.value)
    if isinstance(value, str) and len(value) > 5 and value != "data:image/png":
        assert value not in str(error.value)


def test_a_path_is_never_opened(model: Predictor, tmp_path: Path) -> None:
    """`/etc/passwd` happens to be base64: it is decoded, and no picture comes out."""
    (answer,) = model.predict([payload.to_bytes("/etc/passwd")])
    assert answer.problem
