"""reports/report.html: one file that shows everything and asks nobody for anything.

Figures and the letters a machine may lack a font for lie inside it; it has no script, and its
policy forbids the browser every request.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from whoswho import paths
from whoswho.reporting import card, document, plots
from whoswho.reporting.facts import DROPPED, KEPT, Answer, Facts

MOST_ROWS = 200  # of a list of single pictures; the tables in reports/ have them all


def write(facts: Facts, folder: Path) -> None:
    """Draw the figures into `folder` and write report.html, which holds them."""
    split, judged = facts.judged, facts.judgement
    plots.confusion_matrix(
        facts.labels, facts.matrix, folder / "confusion_matrix.png", split=split
    )
    plots.mistakes(
        [titled(answer) for answer in facts.mistakes[: plots.MOST_PICTURES]],
        folder / "mistakes.png", wrong=len(facts.mistakes), total=len(judged), split=split,
    )  # fmt: skip
    plots.calibration(
        [answer.probability for answer in judged],
        [answer.right for answer in judged],
        folder / "calibration.png",
        uncalibrated=[answer.uncalibrated for answer in judged],
        split=split,
    )
    seen = [plots.Seen(*titled(answer), heat) for answer, heat in facts.explained]
    plots.attention(seen, folder / "attention.png", split=split)
    figures = {
        name: (folder / f"{name}.png").read_bytes()
        for name in ("confusion_matrix", "mistakes", "calibration", "attention")
    }
    with tempfile.TemporaryDirectory() as aside:  # DVC draws history.csv; this one is the page's
        plots.history(facts.history, Path(aside) / "history.png")
        figures["history"] = (Path(aside) / "history.png").read_bytes()
    paths.write_text(folder / "report.html", html(facts, figures))


def titled(answer: Answer) -> plots.Titled:
    """The picture as the network saw it, with label and answer."""
    with Image.open(answer.picture) as image:
        image.load()
    return plots.Titled(image, answer.actual, answer.predicted, answer.probability)


def html(facts: Facts, figures: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        figures: PNGs by name: confusion_matrix, history, calibration, mistakes, attention.
    """
    return document.render(
        _TEMPLATE,
        facts=facts,
        card=card,
        figures={name: document.data_url(content, "png") for name, content in figures.items()},
        alts=_alternatives(facts),
        splits=list(facts.pictures),
        cleaning=_cleaning(facts),
        kept=facts.total(KEPT),
        dropped=facts.total(DROPPED),
        most=MOST_ROWS,
    )


def _cleaning(facts: Facts) -> list[tuple[str, dict[str, int], list[str]]]:
    """(label, pictures kept and dropped, reasons with their pictures)."""
    rows: dict[str, tuple[dict[str, int], list[str]]] = {}
    for label, reason, count in facts.cleaning:
        decided, why = rows.setdefault(label, ({}, []))
        if reason in (KEPT, DROPPED):
            decided[reason] = count
        else:
            why.append(f"{reason} {count}")
    return [(label, decided, why) for label, (decided, why) in rows.items()]


def _alternatives(facts: Facts) -> dict[str, str]:
    seen, wrong = len(facts.judgement), len(facts.mistakes)
    return {
        "confusion_matrix": f"Confusion matrix of {seen} {facts.judged} pictures and "
        f"{len(facts.labels)} labels: {seen - wrong} lie on the diagonal.",
        "history": f"Loss and accuracy over {len(facts.history)} epochs, for training and "
        "validation.",
        "calibration": f"How often the model is right against how sure it is, on {seen} "
        f"{facts.judged} pictures, with and without temperature.",
        "mistakes": f"The wrong pictures, {wrong} in all, each with its label and the answer; the "
        "table below says the same.",
        "attention": "One picture a label, beside it the same picture with the places that "
        "counted for the answer lit up.",
    }


_TEMPLATE = """\
{% extends "document" %}
{% block title %}Who's Who: report{% endblock %}
{% block style %}
.warning { border-left: 4px solid #d9730d; background: #fff8f0; padding: .6rem 1rem; }
.big { font-size: 2.4rem; font-weight: 600; line-height: 1.1; margin-top: 1.2rem; }
figure { margin: .8rem 0; }
img { max-width: 100%; height: auto; display: block; }
.sheet { max-height: 46rem; overflow: auto; }
/* On a phone the figures keep a readable size and scroll in their frames, the page does not. */
@media (max-width: 40rem) { img { max-width: 44rem; } }
{% endblock %}
{% block body %}
{% macro figure(name, caption) %}
<figure>
<div class="{{ 'sheet' if name in ('mistakes', 'attention') else 'scroll' }}" tabindex="0">\
<img src="{{ figures[name] }}" alt="{{ alts[name] }}"></div>
<figcaption>{{ caption }}</figcaption>
</figure>
{% endmacro %}
<header>
<h1>Who's Who</h1>
<p>{{ card.purpose(facts) }}</p>
{% if facts.random %}
<p class="warning"><strong>A stand-in, not a model to use.</strong> Its backbone has random weights: \
it has learnt nothing from any picture, and only the head was trained. The numbers show that the \
pipeline runs. Where the network is reachable, \
<code>dvc repro -f -s backbone &amp;&amp; dvc repro</code> fetches trained weights.</p>
{% endif %}
{% if facts.judged != 'test' %}
<p class="warning"><strong>There is no test split.</strong> All numbers are of the validation \
pictures, on which the temperature and the threshold were chosen: they flatter.</p>
{% endif %}
{% for split, label in facts.missing %}
<p class="warning">No picture of {{ label | name }} in {{ split }}: its measures there are not \
defined.</p>
{% endfor %}
<p class="big">{{ card.number(facts.metric('accuracy')) }}</p>
<p>accuracy on {{ facts.judgement | length }} {{ facts.judged }} pictures, 95% interval \
{{ card.number(facts.metric('accuracy_low')) }} to \
{{ card.number(facts.metric('accuracy_high')) }}; \
chance is {{ card.number(facts.metric('chance')) }}.</p>
<nav aria-label="Sections"><a href="#set">The set</a> <a href="#labels">Label by label</a> \
<a href="#mistakes">Mistakes</a> <a href="#sure">How sure</a> <a href="#looked">Where it \
looked</a> <a href="#made">How it was made</a> <a href="#not-for">Not for</a></nav>
</header>

<section id="set">
<h2>The set</h2>
<p>{{ kept }} pictures kept, {{ dropped }} dropped\
{% for reason, count in facts.reasons %}{{ ': ' if loop.first else ', ' }}{{ reason }} \
{{ count }}{% endfor %}.{% if facts.reasons %} <span class="faint">A picture dropped for two \
reasons counts under both.</span>{% endif %}</p>
<div class="scroll"><table>
<caption>Pictures by label and split</caption>
<tr><th scope="col">label</th>{% for split in splits %}<th scope="col" class="n">{{ split }}</th>\
{% endfor %}</tr>
{% for label in facts.labels %}
<tr><th scope="row">{{ label | name }}</th>{% for split in splits %}\
<td class="n">{{ facts.pictures[split].get(label, 0) }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<div class="scroll"><table>
<caption>What cleaning decided</caption>
<tr><th scope="col">label</th><th scope="col" class="n">kept</th>\
<th scope="col" class="n">dropped</th><th scope="col">why</th></tr>
{% for label, decided, why in cleaning %}
<tr><th scope="row">{{ label | name if label else '(no label)' }}</th>\
<td class="n">{{ decided.kept }}</td><td class="n">{{ decided.dropped }}</td>\
<td>{{ why | join(', ') }}</td></tr>
{% endfor %}
</table></div>
{% if facts.crop == 'face' %}
<p>The network sees the main face with a margin; {{ facts.whole }} pictures without a found face \
were used whole.</p>
{% else %}
<p>The network sees the whole picture, squashed to a square.</p>
{% endif %}
{% if facts.ready_split %}
<p>The set came split in folders; that split was kept.
{% if facts.overlaps %}
{{ card.overlaps(facts) }} on two sides of it, so the numbers here \
flatter.</p>
<div class="scroll"><table>
<caption>Look-alikes over the borders of the splits</caption>
<tr><th scope="col">picture</th><th scope="col">split</th><th scope="col">looks like</th>\
<th scope="col">split</th></tr>
{% for row in facts.overlaps[:most] %}
<tr><td>{{ row.file_a | name }}</td><td>{{ row.split_a }}</td><td>{{ row.file_b | name }}</td>\
<td>{{ row.split_b }}</td></tr>
{% endfor %}
</table></div>
{% else %}
No look-alikes were found over its borders.</p>
{% endif %}
{% endif %}
</section>

<section id="labels">
<h2>Label by label</h2>
{{ figure('confusion_matrix', 'Rows: what the picture shows. Columns: what the model answers.') }}
{% for split, rows in facts.scores | groupby('split') %}
<div class="scroll"><table>
<caption>{{ split }}</caption>
<tr><th scope="col">label</th><th scope="col" class="n">precision</th>\
<th scope="col" class="n">recall</th><th scope="col" class="n">F1</th>\
<th scope="col" class="n">pictures</th></tr>
{% for row in rows %}
<tr><th scope="row">{{ row.label | name }}</th>\
{% for value in (row.precision, row.recall, row.f1) %}\
<td class="n{% if value is none %} faint{% endif %}">{{ card.number(value) }}</td>{% endfor %}\
<td class="n">{{ row.support }}</td></tr>
{% endfor %}
</table></div>
{% endfor %}
<div class="scroll"><table>
<caption>All labels together, {{ facts.judged }}</caption>
{% for name, value in card.measures(facts) %}
<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}
</table></div>
</section>

<section id="mistakes">
<h2>Mistakes</h2>
{% if facts.mistakes %}
{{ figure('mistakes', 'Label, the answer given, its probability; the surest first.') }}
<div class="scroll"><table>
<caption>The same as a table\
{% if facts.mistakes | length > most %}, the first {{ most }}{% endif %}</caption>
<tr><th scope="col">picture</th><th scope="col">label</th><th scope="col">answer</th>\
<th scope="col" class="n">probability</th></tr>
{% for answer in facts.mistakes[:most] %}
<tr><td>{{ answer.file | name }}</td><td>{{ answer.actual | name }}</td>\
<td>{{ answer.predicted | name }}{% if answer.unknown %} <span class="faint">(below the \
threshold: unknown)</span>{% endif %}</td>\
<td class="n">{{ card.number(answer.probability) }}</td></tr>
{% endfor %}
</table></div>
{% else %}
<p>None: all {{ facts.judgement | length }} {{ facts.judged }} pictures were named rightly.</p>
{% endif %}
</section>

<section id="sure">
<h2>How sure, how right</h2>
{{ figure('calibration', 'On the dashed line the model is right as often as it says.') }}
</section>

<section id="looked">
<h2>Where it looked</h2>
<p>Grad-CAM: the places whose features counted for the answer given, at the coarseness of the \
backbone's last maps. Of each of at most 24 labels it is the {{ facts.judged }} picture first by \
file name, right or wrong.{% if facts.random %} With a random backbone these places mean nothing.\
{% endif %}</p>
{{ figure('attention', 'Label, the answer given, its probability.') }}
</section>

<section id="made">
<h2>How it was made</h2>
<p>Backbone: {{ facts.model.arch }}, weights <code>{{ facts.source.entry }}</code>\
{% if facts.source.get('from') %} from <code>{{ facts.source['from'] }}</code>{% endif %}, sha256 \
<code>{{ facts.source.sha256 }}</code>.</p>
{% for entry in facts.source.get('passed_over', ()) %}
<p>Passed over: <code>{{ entry.entry }}</code>, because {{ entry.why }}.</p>
{% endfor %}
{{ figure('history', 'Loss and accuracy, an epoch a point.') }}
<div class="scroll"><table>
<caption>Params, and what training fitted</caption>
{% for name, value in facts.model.params.items() %}
<tr><th scope="row"><code>{{ name }}</code></th><td><code>{{ value }}</code></td></tr>
{% endfor %}
<tr><th scope="row">temperature</th><td>{{ '%.4f' | format(facts.model.temperature) }}</td></tr>
<tr><th scope="row">threshold</th><td>{{ '%.4f' | format(facts.model.threshold) }}</td></tr>
</table></div>
</section>

<section id="not-for">
<h2>Not for</h2>
<ul>
{% for line in card.not_for(facts) %}
<li>{{ line }}</li>
{% endfor %}
</ul>
</section>
{% endblock %}
"""
