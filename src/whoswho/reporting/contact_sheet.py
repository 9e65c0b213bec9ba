"""reports/clean.html: what cleaning took out and why, as one page of small pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whoswho import paths
from whoswho.artifacts import decisions
from whoswho.artifacts.decisions import Decision
from whoswho.cleaning import thumbnails
from whoswho.reporting import document, facts


@dataclass(frozen=True)
class Shown:
    """A picture on the sheet; `picture` is its address, empty where the file gave none."""

    file: str
    label: str
    picture: str
    measure: str = ""
    twin: Shown | None = None
    twin_stays: bool = False

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.file.rpartition("/")[2]


@dataclass(frozen=True)
class Section:
    """The pictures dropped for one reason: how many, and those shown."""

    reason: str
    says: str
    count: int
    shown: Sequence[Shown]


def write(workspace: Path) -> None:
    """Write reports/clean.html from artifacts/clean."""
    clean = workspace / paths.CLEAN
    table = decisions.read(clean / "decisions.csv")
    paths.write_text(workspace / paths.REPORTS / "clean.html", html(table, clean))


def html(table: Sequence[Decision], clean: Path) -> str:
    """The page of a table of decisions and the thumbnails in the folder `clean`."""
    counts = facts.cleaning(map(vars, table))
    totals: Counter[str] = Counter()
    for _, reason, count in counts:
        totals[reason] += count
    names = set(totals) - {decisions.KEPT, decisions.DROPPED}
    reasons = sorted(names, key=lambda reason: (-totals[reason], reason))
    cells = {(label, reason): count for label, reason, count in counts}
    return document.render(
        _TEMPLATE,
        labels=list(dict.fromkeys(label for label, _, _ in counts)),
        columns=[decisions.KEPT, decisions.DROPPED, *reasons],
        cells=cells,
        totals=totals,
        sections=_sections(table, clean, reasons, totals),
        files=len(table),
        twice=sum(totals[reason] for reason in reasons) > totals[decisions.DROPPED],
    )


def _sections(
    table: Sequence[Decision], clean: Path, reasons: Sequence[str], totals: Counter[str]
) -> list[Section]:
    by_file = {one.file: one for one in table}
    chosen = thumbnails.chosen(table)
    return [
        Section(
            reason,
            decisions.SAYS.get(reason, ""),
            totals[reason],
            [_shown(one, clean, reason, by_file.get(one.twin)) for one in chosen[reason]],
        )
        for reason in reasons
    ]


def _shown(one: Decision, clean: Path, reason: str, twin: Decision | None) -> Shown:
    beside = None
    if twin is not None:
        beside = Shown(twin.file, twin.label, _picture(twin, clean))
    return Shown(
        one.file, one.label, _picture(one, clean), one.measure_of(reason), beside,
        twin_stays=twin is not None and twin.kept,
    )  # fmt: skip


def _picture(one: Decision, clean: Path) -> str:
    content = thumbnails.read(clean, one.sha256)
    return document.data_url(content, "jpeg") if content else ""


_TEMPLATE = """\
{% extends "document" %}
{% block title %}Who's Who: what cleaning took out{% endblock %}
{% block style %}
body { max-width: 76rem; }
h2 .n { color: var(--faint); font-weight: 400; }
thead th { vertical-align: bottom; font-weight: 600; }
thead th.n { white-space: normal; }
thead a { color: #0969da; text-decoration: none; }
thead a:hover, thead a:focus { text-decoration: underline; }
tbody th[scope=row] { min-width: 9.5rem; }
tbody tr.all > * { font-weight: 600; border-bottom: 0; }
.cards { list-style: none; margin: 1rem 0 0; padding: 0; display: grid; gap: 1.4rem 1rem;
 grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
.cards.pairs { grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; }
figure { margin: 0; min-width: 0; }
.frame { height: 10rem; display: flex; align-items: center; justify-content: center;
 background: #f6f8fa; border-radius: 6px; overflow: hidden; }
.frame img { max-width: 100%; max-height: 100%; display: block; }
.frame span { color: var(--faint); font-size: .85rem; padding: .5rem; text-align: center; }
figcaption { font-size: .85rem; line-height: 1.35; margin-top: .35rem; }
figcaption .label { color: var(--ink); font-weight: 600; display: block; }
.measure { font-size: .85rem; line-height: 1.35; margin: .25rem 0 0; }
.stays { color: #1a7f37; }
.goes { color: #b35900; }
{% endblock %}
{% block body %}
{% macro figure(one, note='', tone='') %}
<figure><div class="frame">\
{% if one.picture %}<img src="{{ one.picture }}" loading="lazy" alt="{{ one.file | plain }}">\
{% else %}<span>no picture to show</span>{% endif %}</div>
<figcaption><span class="label">{{ (one.label or '(no label)') | name }}</span>\
{{ one.name | name }}{% if note %}<br><span class="{{ tone }}">{{ note }}</span>{% endif %}\
</figcaption></figure>
{% endmacro %}
<header>
<h1>What cleaning took out</h1>
<p>{{ files }} files: {{ totals.kept }} kept, {{ totals.dropped }} dropped.\
{% if twice %} <span class="faint">A picture dropped for two reasons counts, and is shown, under \
both.</span>{% endif %}</p>
{% if sections %}
<p>A person's word beats every check: <code>whoswho review</code> turns a decision, and \
<code>dvc repro</code> takes it.</p>
{% else %}
<p>Nothing was dropped.</p>
{% endif %}
</header>

<section id="counts">
<div class="scroll" tabindex="0"><table>
<caption>Pictures by label and reason</caption>
<thead><tr><th scope="col">label</th>{% for column in columns %}\
<th scope="col" class="n">{% if loop.index > 2 %}<a href="#{{ column }}">\
{% for part in column.split('_') %}{{ part }}{% if not loop.last %}_<wbr>{% endif %}{% endfor %}\
</a>{% else %}{{ column }}{% endif %}</th>{% endfor %}</tr></thead>
<tbody>
{% for label in labels %}
<tr><th scope="row">{{ label | name if label else '(no label)' }}</th>{% for column in columns %}\
<td class="n">{{ cells.get((label, column), '') }}</td>{% endfor %}</tr>
{% endfor %}
<tr class="all"><th scope="row">all</th>{% for column in columns %}\
<td class="n">{{ totals[column] }}</td>{% endfor %}</tr>
</tbody>
</table></div>
</section>

{% for section in sections %}
<section id="{{ section.reason }}">
<h2>{{ section.reason }} <span class="n">{{ section.count }}</span></h2>
{% if section.says %}
<p>{{ section.says[0] | upper }}{{ section.says[1:] }}.</p>
{% endif %}
{% set pairs = section.shown | selectattr('twin') | list %}
<ul class="cards{{ ' pairs' if pairs }}">
{% for one in section.shown %}
<li>{% if one.twin %}<div class="pair">{{ figure(one, 'dropped', 'goes') }}\
{{ figure(one.twin, 'stays' if one.twin_stays else 'dropped too', \
'stays' if one.twin_stays else 'goes') }}</div>\
{% else %}{{ figure(one) }}{% endif %}
{% if one.measure %}<p class="measure faint">{{ one.measure | name }}</p>{% endif %}</li>
{% endfor %}
</ul>
{% if section.count > section.shown | length %}
<p class="faint">{{ section.count - section.shown | length }} more are not shown; \
<code>artifacts/clean/decisions.csv</code> has them all.</p>
{% endif %}
</section>
{% endfor %}
{% endblock %}
"""
