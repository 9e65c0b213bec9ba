"""The templates made into text: labels and file names come out as they are, whatever they hold."""

from __future__ import annotations

import base64
import functools
import re
from typing import Any

import jinja2
from markupsafe import Markup

from whoswho.reporting.pages import fonts
from whoswho.reporting.pages.table import number

_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")  # what Markdown reads inside a line


def render_page(template: str, **values: Any) -> str:
    """A page of templates/ as one file: it holds its pictures and the letters it is written in."""
    page = _templates().get_template(template)
    text = page.render(**values, letters=[])
    return page.render(**values, letters=fonts.subsets(fonts.uncommon(text)))


def render_markdown(template: str, **values: Any) -> str:
    """A Markdown document of templates/."""
    return _templates().get_template(template).render(**values)


@functools.cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("whoswho.reporting.pages"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters.update(
        name=_name,
        drawable=fonts.drawable,  # a name in an attribute
        data_url=_data_url,
        text=_markdown_text,
        code=_markdown_code,
        number=number,
    )
    return templates


def _name(text: str) -> Markup:
    """A name in an element of its own direction, so that it cannot turn its neighbours."""
    return Markup("<bdi>{}</bdi>").format(fonts.drawable(text))


def _data_url(content: bytes, media_type: str) -> str:
    """An address that asks nobody."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _markdown_text(value: str) -> str:
    """A label or file name that Markdown shows as it is."""
    escaped = _MARKDOWN.sub(r"\\\1", fonts.drawable(value))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markdown_code(value: str) -> str:
    """A value as code, whatever signs it holds."""
    shown = fonts.drawable(value).replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"
