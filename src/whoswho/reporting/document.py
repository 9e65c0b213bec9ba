"""A page that is one file: no script, and a policy that forbids the browser every request.

Pictures and the letters a machine may lack a font for lie inside it.
"""

from __future__ import annotations

import base64
from typing import Any

import jinja2
from markupsafe import Markup

from whoswho.reporting import fonts


def render(template: str, **values: Any) -> str:
    """The page of a template that extends "document"; its blocks are title, style and body.

    The filter `name` writes a label or a file name so that it is shown and nothing else.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.DictLoader({"document": _DOCUMENT}),
    )
    # A name is put in an element of its own direction, so that it cannot turn its neighbours.
    environment.filters["name"] = lambda text: Markup("<bdi>{}</bdi>").format(fonts.drawable(text))
    environment.filters["plain"] = fonts.drawable  # for an attribute
    page = environment.from_string(template)
    text = page.render(**values, faces=[], families="")
    faces = [
        (f"letters{i}", base64.b64encode(font).decode())
        for i, font in enumerate(fonts.subsets(rare(text)))
    ]
    families = "".join(f"{family}, " for family, _ in faces)
    return page.render(**values, faces=faces, families=families)


def data_url(content: bytes, kind: str) -> str:
    """A picture as an address that asks nobody; `kind` is png or jpeg."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def rare(text: str) -> str:
    """The letters of `text` that a machine may have no font for."""
    return "".join(
        sorted(
            letter
            for letter in set(text)
            if (letter >= "\u0370" and not "\u2000" <= letter <= "\u20cf")
            or letter in "\u200c\u200d"
        )
    )


_DOCUMENT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{% block title %}{% endblock %}</title>
<style>
{% for family, font in faces %}
@font-face { font-family: {{ family }}; src: url(data:font/woff;base64,{{ font }}); }
{% endfor %}
:root { color-scheme: light; --ink: #1f2328; --faint: #59636e; --line: #d0d7de; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; color: var(--ink);
 background: white; font: 16px/1.5 {{ families }}system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: .8rem;
 border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
.faint, figcaption, caption { color: var(--faint); font-size: .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .93rem; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left;
 vertical-align: top; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.faint { white-space: normal; }
th[scope=row] { font-weight: 400; min-width: 7rem; max-width: 22rem; }
bdi, code { overflow-wrap: anywhere; }
td > bdi { display: inline-block; min-width: min(100%, 8rem); }
code { font: .9em ui-monospace, monospace; }
nav a { margin-right: .8rem; color: #0969da; white-space: nowrap; }
{% block style %}{% endblock %}
</style>
</head>
<body>
{% block body %}{% endblock %}
</body>
</html>
"""
