"""How to ask a site, and where things stand on its pages: selectors/<site>.yaml, validated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from whoswho.errors import UserError

FOLDER = Path(__file__).with_name("selectors")

Text = Annotated[str, Field(min_length=1)]
SomeTexts = Annotated[list[Text], Field(min_length=1)]
Texts = list[Text]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PictureLink(_Part):
    """A link inside a result whose parameters name the large picture and its page."""

    selectors: SomeTexts
    picture: Text
    page: Text


class Markup(_Part):
    """Address, selectors and words of one site; the meaning of each key stands in the files.

    Every list is in order of preference. `file` is the file they came from, as a message names it.
    """

    file: str
    address: Text
    query: dict[Text, Text]
    only_faces: dict[Text, Text]
    results: SomeTexts
    thumbnail: SomeTexts
    thumbnail_attributes: Texts
    page_attributes: Texts
    picture_link: PictureLink | None = None
    picture: SomeTexts
    panel_page: Texts
    small: Texts
    more: Texts
    consent: Texts
    refuse: Texts
    captcha: SomeTexts
    blocked_words: Texts
    nothing: Texts
    nothing_words: Texts


def load(path: Path) -> Markup:
    """Read a file of selectors.

    Raises:
        UserError: it is not there, not YAML, or a key is missing, unknown or of the wrong type.
    """
    name = _short(path)
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{name}: not there; `git checkout` brings it back") from None
    except (UnicodeDecodeError, YAMLError) as error:
        raise UserError(f"{name}: not YAML ({error}); mend it or `git checkout` it") from None
    if not isinstance(content, dict) or "file" in content:
        raise UserError(f"{name}: must be keys with lists of selectors, as another site's file")
    try:
        return Markup.model_validate(content | {"file": name})
    except ValidationError as error:
        raise UserError(f"{name}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return {
        "missing": f"{where}: is missing; add the key with a list of selectors",
        "extra_forbidden": f"{where}: unknown key; remove it",
        "too_short": f"{where}: is empty; it needs at least one selector",
        "string_too_short": f"{where}: an empty selector; remove it",
    }.get(problem["type"], f"{where}: {problem['msg']}; give a list of selectors")


def _short(path: Path) -> str:
    """The path from the working directory where it lies below it, as a person would type it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
