"""The quality table as a page of Markdown, from its JSON alone."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PLUS_MINUS = "\u00b1"
MINUS = "minus language model"
LARGE = 1e5
"""Only perplexities of degenerate text are as large; their digits mean nothing."""


class Column(NamedTuple):
    """A column: a figure and its format."""

    title: str
    figure: str
    digits: int = 2
    percent: bool = False


COLUMNS = (
    Column("IW-NLL", "iw_nll_nats"),
    Column("IW-NLL, fitted prior", "fitted_iw_nll_nats"),
    Column(MINUS, "iw_nll_minus_language_model_nats"),
    Column(f"fitted prior {MINUS}", "fitted_iw_nll_minus_language_model_nats"),
    Column("reconstruction", "reconstruction_nats"),
    Column("KL", "kl_nats"),
    Column("informed share", "informed_share"),
    Column("shuffle", "shuffle_nats"),
    Column("AU", "active_units", 0),
    Column("MI", "mutual_information_nats"),
    Column("BLEU", "reconstruction_bleu", 1),
    Column("exact", "reconstruction_exact", 1, percent=True),
    Column("distinct", "distinct_share_standard", 1, percent=True),
    Column("distinct, fitted prior", "distinct_share_fitted", 1, percent=True),
)
SAMPLE_COLUMNS = (
    Column("forward perplexity ratio", "forward_perplexity_ratio", 3),
    Column("reverse perplexity ratio", "reverse_perplexity_ratio", 3),
    Column("adversarial error", "adversarial_error", 3),
    Column("length distance", "length_distance", 3),
    Column("self-BLEU", "self_bleu", 1),
    Column("verbatim", "verbatim_share", 1, percent=True),
    Column("path end BLEU", "homotopy_end_bleu", 1),
    Column("path distinct middles of 9", "homotopy_distinct_middles", 1),
    Column("path perplexity ratio", "homotopy_perplexity_ratio", 3),
    Column("path monotonic", "homotopy_monotonic_share", 1, percent=True),
    Column("path smoothness", "homotopy_smoothness"),
)
VARIATION_COLUMNS = (
    Column("adequacy", "variation_adequacy"),
    Column("iBLEU", "variation_ibleu", 1),
    Column("BLEU", "variation_bleu", 1),
    Column("BLEU to the source", "variation_self_bleu", 1),
    Column("retrieval@1", "variation_retrieval_at_1"),
    Column("copies", "variation_copies", 1, percent=True),
    Column("drawn: iBLEU", "drawn_ibleu", 1),
    Column("drawn: retrieval@1", "drawn_retrieval_at_1"),
    Column("AUC of adequacy", "adequacy_auc", 3),
    Column("AUC of fluency", "fluency_auc", 3),
)


def format_page(table: Mapping[str, Any]) -> str:
    """Return the page. `table` is that of `textvae.experiments.table.build_table`."""
    parts = ["# Quality table", "", _describe_settings(table["settings"]), ""]
    if table["missing"]:
        parts += [f"Not done yet: {', '.join(table['missing'])}.", ""]
    for name, corpus in table["corpora"].items():
        parts += [f"## {name}", "", _describe_corpus(corpus["facts"]), ""]
        parts += [*_likelihood_table(corpus), ""]
        for title, columns in (
            ("Samples of the fitted prior, and paths:", SAMPLE_COLUMNS),
            (
                "Variations of held-out groups, of versions that learned from siblings:",
                VARIATION_COLUMNS,
            ),
        ):
            if rows := [row for row in corpus["rows"] if _has_any(row, columns)]:
                parts += [title, "", *_figure_table(rows, columns), ""]
    return "\n".join([*parts, *_legend(table["legend"])]) + "\n"


def _likelihood_table(corpus: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table of likelihoods, the language models first."""
    titles = ["row", "seeds", *(column.title for column in COLUMNS), "verdict"]
    lines = _head(titles)
    for row in corpus["language_models"]:
        nats = Column("", "language_model_nats")
        cells = [format_cell(row, nats), *[""] * (len(COLUMNS) - 1)]
        lines.append(_line([row["row"], _seeds(row), *cells, _describe_choice(row)]))
    for row in corpus["rows"]:
        cells = [format_cell(row, column) for column in COLUMNS]
        lines.append(_line([row["row"], _seeds(row), *cells, format_verdict(row)]))
    return lines


def _figure_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> list[str]:
    """Return the lines of a table of these figures."""
    lines = _head(["row", "seeds", *(column.title for column in columns)])
    for row in rows:
        cells = [format_cell(row, column) for column in columns]
        lines.append(_line([row["row"], _seeds(row), *cells]))
    return lines


def format_cell(row: Mapping[str, Any], column: Column) -> str:
    """Return a figure over the seeds: mean and spread, or of one seed its 95 % interval if it has
    one; empty where the row has no such figure."""
    found = row["figures"].get(column.figure)
    if found is None or found["mean"] is None:
        return ""
    if found["spread"] is not None:
        return f"{_number(found['mean'], column)} {PLUS_MINUS} {_number(found['spread'], column)}"
    ends = [row["figures"].get(f"{column.figure}_{end}") for end in ("low", "high")]
    if all(end and end["mean"] is not None for end in ends):
        low, high = (_number(end["mean"], column) for end in ends)
        return f"{_number(found['mean'], column)} [{low}, {high}]"
    return _number(found["mean"], column)


def format_verdict(row: Mapping[str, Any]) -> str:
    """Return the verdicts of the seeds, and where a watchdog would have stopped them."""
    parts = [
        verdict if count == len(row["seeds"]) else f"{verdict} ({count} of {len(row['seeds'])})"
        for verdict, count in row["verdicts"].items()
    ]
    steps = [str(step) for step in row["collapsed_at_step"] if step is not None]
    if steps:
        parts.append(f"watchdog at step {', '.join(steps)}")
    return "; ".join(parts)


def _describe_choice(row: Mapping[str, Any]) -> str:
    """Return the part of a language model in the grid."""
    if "dropouts" in row:
        return f"the limit to beat: dropout {', '.join(f'{one:g}' for one in row['dropouts'])}"
    count, seeds = row["best_of_seeds"], len(row["seeds"])
    return f"best at {count} of {seeds} seeds" if count else ""


def _number(value: float, column: Column) -> str:
    """Return a figure in the format of its column."""
    if column.percent:
        return f"{value:.{column.digits}%}"
    if abs(value) >= LARGE:
        return f"{value:.2e}"
    return f"{value:.{column.digits}f}"


def _seeds(row: Mapping[str, Any]) -> str:
    """Return the seeds of a row."""
    return ", ".join(map(str, row["seeds"]))


def _has_any(row: Mapping[str, Any], columns: Sequence[Column]) -> bool:
    """Return whether the row has one of these figures."""
    return any(column.figure in row["figures"] for column in columns)


def _head(titles: Sequence[str]) -> list[str]:
    """Return the first two lines of a table."""
    return [_line(titles), "|" + "---|" * len(titles)]


def _line(cells: Sequence[str]) -> str:
    """Return one line of a table."""
    return "| " + " | ".join(cells) + " |"


def _describe_corpus(facts: Mapping[str, Any]) -> str:
    """Return the corpus in a sentence."""
    return (
        f"{facts['train_sentences']:,} training, {facts['valid_sentences']:,} validation and "
        f"{facts['test_sentences']:,} test sentences; {facts['vocab']:,} tokens."
    )


def _describe_settings(settings: Mapping[str, Any]) -> str:
    """Return the command without paths, and the settings that it does not name."""
    flags = ["vocab", "embed", "hidden", "steps", "language_model_steps", "batch", "sentences"]
    flags.append("learning_rate")
    words = [f"--{flag.replace('_', '-')} {settings[flag]}" for flag in flags]
    for flag in ("corpora", "rows", "seeds", "dropouts"):
        words.append(f"--{flag} {' '.join(map(str, settings[flag]))}")
    for flag in ("latent", "likelihood_samples"):
        if settings[flag]:
            words.append(f"--{flag.replace('_', '-')} {settings[flag]}")
    words += ["--one-language-model"] if settings["one_language_model"] else []
    words.append(f"--device {settings['device']}")
    words += [
        f"--evaluation.{name.replace('_', '-')} {value}"
        for name, value in settings["evaluation"].items()
        if name != "device"
    ]
    return (
        "Made by `textvae job table " + " ".join(words) + "` (corpora by name, not by path).\n"
        f"A VAE learns {settings['steps']} steps, the KL weight rises over "
        f"{settings['kl_steps']} of them, and `lm` is an autoencoder for "
        f"{settings['autoencoder_steps']} steps before. "
        f"A figure is mean {PLUS_MINUS} standard deviation over the seeds; of one seed a "
        "difference has its 95 % interval."
    )


def _legend(legend: Mapping[str, str]) -> list[str]:
    """Return the legend of rows and columns."""
    return [
        "## Rows",
        "",
        "- `language-model`: the same decoder without a latent, at the dropout that is best on the "
        "validation side; its NLL is exact",
        *(f"- `{row}`: {description}" for row, description in legend.items()),
        "",
        "## Columns",
        "",
        "Nats per held-out sentence, at KL weight 1 and without dropout. IW-NLL is the "
        "importance-weighted bound (Burda et al. 2016); differences to the language model are "
        "paired, below 0 is better. Informed share: language-model nats minus reconstruction nats, "
        "over the KL. Shuffle: what a sentence costs more with another's latent. AU: active units, "
        "MI: mutual information over the whole set, distinct: share of different sentences among "
        "draws of the prior. Verdict: the doctor's; watchdog: the step at "
        "which a run of `train` would have been stopped as collapsed.",
    ]
