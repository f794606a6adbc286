"""The report as one HTML page that needs nothing else: counts by stage and reason, distributions, example frames."""

import collections
import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from adiff_jax.prep.outcome import STAGES, Outcome, Report

KEPT_SHOWN, REJECTED_SHOWN = 96, 12  # pictures of kept clips; of each reason
LISTED = 200  # inputs that gave nothing, by name
_BINS, _WIDTH, _HEIGHT = 24, 240, 80

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } h3 { font-size: 1rem; margin: 1.2rem 0 .4rem }
table { border-collapse: collapse } td, th { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.bar { display: inline-block; height: .7em; background: #c0603a; border-radius: 2px }
.bar.good { background: #3a7fc0 }
.tiles { display: flex; flex-wrap: wrap; gap: 8px } figure { margin: 0; max-width: 190px }
figure img { height: 96px; display: block; border-radius: 3px }
figcaption { font-size: 11px; overflow-wrap: anywhere; opacity: .75 }
.plots { display: flex; flex-wrap: wrap; gap: 20px } svg text { font-size: 10px; fill: currentColor }
dl { display: flex; gap: 2.5rem; flex-wrap: wrap }
dt { font-size: .8rem; opacity: .7 } dd { margin: 0; font-size: 1.4rem }
"""


def page(report: Report, job: dict[str, Any]) -> str:
    """The page.

    Args:
        report: what became of every input.
        job: source and options, shown at the end.
    """
    facts = [fact for outcome in report.outcomes for fact in outcome.kept]
    seconds = sum(fact.seconds for fact in facts)
    totals = {
        "inputs": f"{len(report.outcomes):,}",
        "clips kept": f"{report.clips:,}",
        "frames": f"{sum(fact.frames for fact in facts):,}",
        "duration": f"{seconds / 3600:.2f} h" if seconds >= 600 else f"{seconds:.0f} s",
        "identities": f"{len({fact.identity for fact in facts}):,}",
    }
    body = [
        f"<h1>Prepared from {_text(job['source'])}</h1>",
        "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in totals.items()) + "</dl>",
        "<h2>What was left out, by stage</h2>",
        _stages(report),
        "<h2>What was done</h2>",
        _notes(report.outcomes),
        "<h2>Distributions of the clips kept</h2>",
        _plots(report.outcomes),
        "<h2>Clips kept</h2>",
        _tiles((fact.picture, fact.clip) for fact in _spread([f for f in facts if f.picture], KEPT_SHOWN)),
        "<h2>Examples of what was left out</h2>",
        *_examples(report.outcomes),
        "<h2>Inputs that gave no clip</h2>",
        _list(report.outcomes),
        "<h2>Options</h2>",
        f"<pre>{_text(_options(job))}</pre>",
    ]
    head = f"<meta charset='utf-8'><title>Preparation</title><style>{_STYLE}</style>"
    return f"<!doctype html>\n<html lang='en'><head>{head}</head><body>\n" + "\n".join(body) + "\n</body></html>\n"


def _stages(report: Report) -> str:
    """A table of reasons: how many inputs gave nothing, and how many parts of inputs were left out."""
    inputs, parts = report.reasons, report.parts
    most = max([1, *inputs.values(), *parts.values()])
    rows = ["<tr><th>stage</th><th>reason</th><th>inputs</th><th>parts</th><th></th></tr>"]
    for stage, reasons in STAGES.items():
        for reason in reasons:
            whole, part = inputs.get(reason, 0), parts.get(reason, 0)
            if whole or part:
                bar = f"<span class='bar' style='width:{200 * max(whole, part) / most:.0f}px'></span>"
                cells = f"<td class='n'>{whole:,}</td><td class='n'>{part:,}</td><td>{bar}</td>"
                rows.append(f"<tr><td>{stage}</td><td>{reason}</td>{cells}</tr>")
    return "<table>" + "".join(rows) + "</table>" if len(rows) > 1 else "<p>Nothing.</p>"


def _notes(outcomes: Sequence[Outcome]) -> str:
    counts = collections.Counter(note for outcome in outcomes for note in outcome.notes)
    rows = [f"<tr><td class='n'>{count:,}</td><td>{_text(note)}</td></tr>" for note, count in counts.most_common(20)]
    return "<table>" + "".join(rows) + "</table>" if rows else "<p>Nothing beyond cropping.</p>"


def _plots(outcomes: Sequence[Outcome]) -> str:
    values: dict[str, list[float]] = collections.defaultdict(list)
    for outcome in outcomes:
        for fact in outcome.kept:
            values["frames"].append(fact.frames)
            for name, value in sorted(fact.measures.items()):
                values[name].append(value)
    people = collections.Counter(fact.identity for outcome in outcomes for fact in outcome.kept)
    values["clips a person"] = list(people.values())
    return "<div class='plots'>" + "".join(_histogram(name, numbers) for name, numbers in values.items()) + "</div>"


def _histogram(name: str, values: Sequence[float]) -> str:
    """A small SVG histogram with its median."""
    if not values:
        return ""
    counts, edges = np.histogram(values, bins=_BINS)
    step = _WIDTH / _BINS
    bars = "".join(
        f"<rect x='{place * step:.1f}' y='{_HEIGHT - height:.1f}' width='{step - 1:.1f}' height='{height:.1f}'/>"
        for place, height in enumerate(_HEIGHT * counts / counts.max())
    )
    ends = f"<text x='0' y='{_HEIGHT + 12}'>{edges[0]:.3g}</text>"
    ends += f"<text x='{_WIDTH}' y='{_HEIGHT + 12}' text-anchor='end'>{edges[-1]:.3g}</text>"
    title = f"<h3>{_text(name)}, median {np.median(values):.3g}</h3>"
    return f"<div>{title}<svg width='{_WIDTH}' height='{_HEIGHT + 16}'><g fill='#3a7fc0'>{bars}</g>{ends}</svg></div>"


def _examples(outcomes: Sequence[Outcome]) -> Iterable[str]:
    by_reason: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    for outcome in outcomes:
        for part in outcome.rejected:
            if part.picture:
                by_reason[part.reason].append((part.picture, f"{part.clip}: {part.detail}"))
    for stage, reasons in STAGES.items():
        for reason in reasons:
            if reason in by_reason:
                yield f"<h3>{stage}: {reason}</h3>" + _tiles(_spread(by_reason[reason], REJECTED_SHOWN))
    if not by_reason:
        yield "<p>None.</p>"


def _tiles(pictures: Iterable[tuple[str, str]]) -> str:
    figures = (
        f"<figure><img alt='' loading='lazy' src='data:image/jpeg;base64,{picture}'>"
        f"<figcaption>{_text(caption)}</figcaption></figure>"
        for picture, caption in pictures
    )
    return "<div class='tiles'>" + "".join(figures) + "</div>"


def _list(outcomes: Sequence[Outcome]) -> str:
    lost = [outcome for outcome in outcomes if outcome.reason]
    rows = [
        f"<tr><td>{_text(outcome.input)}</td><td>{outcome.reason}</td><td>{_text(outcome.detail)}</td></tr>"
        for outcome in lost[:LISTED]
    ]
    more = f"<p>And {len(lost) - LISTED:,} more: see report.json.</p>" if len(lost) > LISTED else ""
    return ("<table>" + "".join(rows) + "</table>" if rows else "<p>None.</p>") + more


def _spread(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many, at equal distances."""
    places = sorted(set(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int).tolist()))
    return [values[place] for place in places] if values else []


def _options(job: dict[str, Any], prefix: str = "") -> str:
    rows = []
    for name, value in job.items():
        nested = isinstance(value, dict)
        rows.append(_options(value, f"{prefix}{name}.") if nested else f"{prefix}{name} = {value}")
    return "\n".join(rows)


def _text(value: object) -> str:
    return html.escape(str(value))
