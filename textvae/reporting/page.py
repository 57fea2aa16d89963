"""The report of a version: one self-contained page, and a model card.

The card has the front matter and the headings of the Hub's model cards (Mitchell et al. 2019).
"""

import base64
import html
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textvae.release.model_drift import model_drift_lines
from textvae.reporting.decisions import decision_tables
from textvae.reporting.history import HistoryEntry
from textvae.reporting.pictures import Pictures
from textvae.reporting.probes import ProbeOutputs
from textvae.reporting.titles import FIGURES
from textvae.store.versions import Version

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #ccc;"
    "padding:.3rem .8rem;text-align:left;vertical-align:top}td.number{text-align:right}"
    "img{max-width:100%}.changed{background:#fff3d6}"
)
CARD = """---
library_name: textvae
pipeline_tag: text-generation
tags: [text-vae, gru, sentence-embeddings, paraphrase]
model_name: {name}
---
# {name}

## Model Details

A sentence VAE with a GRU encoder and decoder: {sizes}. Trained by textvae {textvae}, torch {torch},
{arithmetic}. Parent: {parent}.

## Uses

Encoding sentences, decoding latents, homotopies and variations of sentences like those that it was
trained on. It knows no other text, and states no facts.

## Training Details

{train_sentences} sentences of {spans} spans; steps {steps}, seed {seed}.

## Evaluation

On {held_out} held-out sentences; losses in nats per sentence.

| figure | value |
|---|---|
{rows}

The doctor's verdict: {verdict}.
"""


class Side(NamedTuple):
    """One of the two versions that a report compares."""

    version: Version
    figures: Mapping[str, Any]
    elbo_nats: Sequence[float]
    """Of the same held-out sentences on both sides."""
    probe_outputs: ProbeOutputs


class Findings(NamedTuple):
    """The contents of a report."""

    candidate: Side
    champion: Side | None
    probes: Sequence[str]
    decisions: Sequence[Mapping[str, Any]]
    """Those of the gate, as it attached them."""
    verdict: str
    """That of the doctor."""
    findings: Sequence[str]
    spans: Mapping[str, Sequence[str]]
    """The lines of each span's data report."""
    metrics: Path | None
    """metrics.jsonl of its training, if it still exists."""
    history: Sequence[HistoryEntry] = ()
    """The promotions of its model and the rejections between them, newest first."""


def report_files(found: Findings, pictures: Pictures) -> dict[str, bytes]:
    """Return index.html and card.md; the same findings and pictures give the same bytes."""
    return {"index.html": _page(found, pictures).encode(), "card.md": card(found).encode()}


def _page(found: Findings, pictures: Pictures) -> str:
    """Return the page as HTML."""
    name = found.candidate.version.name
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title>",
        f"<style>{STYLE}</style><h1>{html.escape(found.candidate.version.model)} {name}</h1>",
        f"<p>Parent: {html.escape(found.candidate.version.manifest.get('parent') or 'none')}.</p>",
        "<h2>The gate</h2>",
        *(_decision(decision) for decision in found.decisions),
        *([] if found.decisions else ["<p>No decision.</p>"]),
        f"<h2>The doctor: {html.escape(found.verdict)}</h2>",
        _list(found.findings),
        "<h2>Figures on held-out sentences</h2>",
        _figures(found),
        "<h2>Probe outputs</h2>",
        _probe_tables(found),
        *_images(pictures),
        *_history(found.history),
        "<h2>The text</h2>",
        *(f"<h3>{span}</h3>{_list(lines)}" for span, lines in found.spans.items()),
        *(_drift(decision) for decision in found.decisions if decision.get("drift")),
    ]
    return "\n".join([*parts, "</html>"]) + "\n"


def _decision(decision: Mapping[str, Any]) -> str:
    """Return one decision of the gate: reasons and tables of every number."""
    outcome = html.escape(str(decision.get("decision", "")))
    parts = [f"<p><b>{outcome}</b></p>{_list(decision.get('reasons') or [])}"]
    for table in decision_tables(decision):
        title = f"<h3>{html.escape(table.title)}</h3>" if table.title else ""
        parts.append(f"{title}{_table(table.head, table.rows)}")
    return "".join(parts)


def _drift(decision: Mapping[str, Any]) -> str:
    """Return how the newest text drifted under the champion of that decision."""
    title = f"The newest text under {decision['against']}, {decision['at']}"
    return f"<h3>{html.escape(title)}</h3>{_list(model_drift_lines(decision['drift']))}"


def _figures(found: Findings) -> str:
    """Return the figures of both versions as a table."""
    sides = [found.candidate, *([found.champion] if found.champion else [])]
    rows = [
        (title, *(_format_figure(side.figures.get(key)) for side in sides))
        for key, title in FIGURES.items()
        if key in found.candidate.figures
    ]
    return _table(("", *(side.version.name for side in sides)), rows)


def _probe_tables(found: Findings) -> str:
    """Return the outputs of both versions for the same probes; rows that differ are marked."""
    new = found.candidate.probe_outputs
    old = found.champion.probe_outputs if found.champion else None
    tables = []
    for title, first, of_new, of_old in (
        ("Reconstructions", found.probes, new.reconstructions, old and old.reconstructions),
        ("Samples of the prior", range(1, len(new.samples) + 1), new.samples, old and old.samples),
        (
            "Homotopy from the first probe to the second",
            range(len(new.homotopy)),
            new.homotopy,
            old and old.homotopy,
        ),
    ):
        head = ["", "candidate", *(["champion"] if of_old else [])]
        rows = [
            (str(label), text, *([of_old[row]] if of_old else []))
            for row, (label, text) in enumerate(zip(first, of_new, strict=True))
        ]
        tables.append(f"<h3>{title}</h3>{_table(head, rows, marked=True)}")
    return "".join([*tables, _variation_table(found)])


def _variation_table(found: Findings) -> str:
    """Return the variations of the probes, and how each version makes them."""
    sides = [found.candidate, *([found.champion] if found.champion else [])]
    titles = [f"candidate: {sides[0].probe_outputs.method}"]
    titles += [f"champion: {side.probe_outputs.method}" for side in sides[1:]]
    rows = []
    for number, probe in enumerate(found.probes):
        varied = [side.probe_outputs.variations[number] for side in sides]
        for row, texts in enumerate(itertools.zip_longest(*varied, fillvalue="-")):
            rows.append(("" if row else probe, *texts))
    return f"<h3>Variations</h3>{_table(['', *titles], rows, marked=True)}"


def _history(history: Sequence[HistoryEntry]) -> list[str]:
    """Return the promotions and rejections as a table; nothing before the first promotion."""
    if not history:
        return []
    rows = [
        (
            f"rejected against {one.number}" if one.rejected else str(one.number),
            *(one.version, one.at, one.actor, one.reason),
        )
        for one in history
    ]
    head = ("promotion", "version", "time, UTC", "actor", "reason")
    return ["<h2>Promotions, newest first</h2>", _table(head, rows)]


def _images(pictures: Pictures) -> list[str]:
    """Return the plots as inline images, and which of them could not be drawn."""
    parts = [
        f'<h2>{title}</h2><img alt="{title}" src="data:image/png;base64,'
        f'{base64.b64encode(data).decode()}">'
        for title, data in pictures.images
    ]
    return [*parts, *([_list(pictures.problems)] if pictures.problems else [])]


def card(found: Findings) -> str:
    """Return the model card in Markdown."""
    version, figures = found.candidate.version, found.candidate.figures
    manifest = version.manifest
    rows = [
        f"| {title} | {_format_figure(figures.get(key))} |"
        for key, title in FIGURES.items()
        if key in figures
    ]
    facts = ("textvae", "torch", "arithmetic", "train_sentences", "seed")
    steps = [f"{count} ({phase})" for phase, count in manifest.get("steps", {}).items()]
    return CARD.format(
        name=f"{version.model} {version.name}",
        sizes=_sizes(manifest),
        steps=", ".join(steps),
        parent=manifest.get("parent") or "none",
        spans=len(manifest.get("spans", {})),
        held_out=figures.get("sentences"),
        rows="\n".join(rows),
        verdict=found.verdict,
        **{fact: manifest.get(fact) for fact in facts},
    )


def _sizes(manifest: Mapping[str, Any]) -> str:
    """Return the sizes as `embed 256, hidden 512, latent 64`."""
    config = manifest.get("model_config", {})
    return ", ".join(
        f"{key} {config[key]}" for key in ("embed", "hidden", "latent") if key in config
    )


def _format_figure(value: Any) -> str:
    """Return a figure with four digits, or a dash for what is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    return f"{value:.4g}"


def _list(lines: Sequence[str]) -> str:
    """Return sentences as an HTML list."""
    return f"<ul>{''.join(f'<li>{html.escape(str(line))}</li>' for line in lines)}</ul>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], marked: bool = False) -> str:
    """Return an HTML table; with `marked`, rows whose last two cells differ are highlighted."""
    lines = ["<table><tr>", *(f"<th>{html.escape(cell)}</th>" for cell in head), "</tr>"]
    for row in rows:
        kind = " class=changed" if marked and len(row) > 2 and row[-1] != row[-2] else ""
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        lines.append(f"<tr{kind}>{cells}</tr>")
    return "".join([*lines, "</table>"])
