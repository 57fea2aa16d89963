"""Tables of figures, verdicts and decisions for people, on a console or stdout."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from textvae.evaluation.diagnosis import Diagnosis
from textvae.release.gate import Decision


def print_figures(figures: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the evaluation of a version: the VAE and its language model."""
    table = Table(title=f"Held-out figures, {figures['sentences']} sentences", title_justify="left")
    table.add_column("")
    table.add_column("VAE", justify="right")
    table.add_column("language model", justify="right")
    lines = [
        *_likelihood_lines(figures),
        *_latent_lines(figures),
        *_generation_lines(figures),
        *_variation_lines(figures),
        *_vector_lines(figures),
    ]
    for name, vae, language_model in lines:
        table.add_row(name, vae, language_model)
    (console or Console()).print(table)


def print_diagnosis(diagnosis: Diagnosis, console: Console | None = None) -> None:
    """Print the verdict, a line for each finding, and a line for each remedy."""
    console = console or Console()
    console.print(f"Verdict: {diagnosis.verdict}", style="green" if diagnosis.healthy else "red")
    _print_list(console, diagnosis.findings)
    _print_list(console, diagnosis.remedies, "remedy:")


def print_decision(
    decision: Decision,
    variations: str,
    drift: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print the decision, a line for each reason, one on variations, and one for each drift."""
    console = console or Console()
    style = "red" if decision.decision == "rejected" else "green"
    console.print(f"Gate: {decision.decision} ({decision.kind})", style=style)
    _print_list(console, decision.reasons)
    _print_list(console, [f"variations: {variations}"])
    if drift:
        console.print("Drift under the champion:")
        _print_list(console, drift)


def _print_list(console: Console, lines: Sequence[str], mark: str = "-") -> None:
    """Print a line for each sentence."""
    for line in lines:
        console.print(f"  {mark} {escape(line)}", highlight=False, soft_wrap=True)


SYSTEMS = ("chosen", "drawn", "copy", "random", "human", "chosen_beside_human")
"""Ways to vary, and controls, that a person is shown."""
Line = tuple[str, str, str]
"""Title, figure of the VAE, figure of the language model."""


def _likelihood_lines(figures: Mapping[str, Any]) -> list[Line]:
    """Return the lines of likelihoods and of what the latent tells."""
    k = figures["importance_samples"]
    language_model = _format_figure(figures, "language_model_nats")
    return [
        ("reconstruction, nats", _format_figure(figures, "reconstruction_nats"), ""),
        ("KL, nats", _format_figure(figures, "kl_nats"), ""),
        (
            "-ELBO, nats (an upper bound of the NLL)",
            _format_figure(figures, "elbo_nats", sign=-1),
            language_model,
        ),
        (f"IW-NLL, nats (k {k})", _format_figure(figures, "iw_nll_nats"), language_model),
        ("  under the fitted prior", _format_figure(figures, "fitted_iw_nll_nats"), ""),
        (
            "perplexity per word",
            _format_figure(figures, "perplexity_per_word", ".1f"),
            _format_figure(figures, "language_model_perplexity_per_word", ".1f"),
        ),
        ("language-model nats - reconstruction nats", _format_figure(figures, "informed_nats"), ""),
        ("  as a share of the KL", _format_figure(figures, "informed_share"), ""),
        ("shuffling latents costs, nats", _format_figure(figures, "shuffle_nats"), ""),
    ]


def _latent_lines(figures: Mapping[str, Any]) -> list[Line]:
    """Return the lines of the latent space."""
    most = _format_figure(figures, "mutual_information_nats_max")
    latent = figures["latent"]
    return [
        (
            f"mutual information, nats (at most {most})",
            _format_figure(figures, "mutual_information_nats"),
            "",
        ),
        ("aggregate posterior to N(0, I), nats", _format_figure(figures, "aggregate_kl_nats"), ""),
        ("active units (variance over 0.01)", f"{figures['active_units']} of {latent}", ""),
        ("  over 0.2", f"{figures['active_units_02']} of {latent}", ""),
    ]


def _generation_lines(figures: Mapping[str, Any]) -> list[Line]:
    """Return the lines of decodes of posterior means, of points between them and of priors."""
    lines = [
        ("reconstruction BLEU", _format_figure(figures, "reconstruction_bleu", ".1f"), ""),
        ("reconstruction exact", _format_figure(figures, "reconstruction_exact", ".1%"), ""),
    ]
    kinds = [("reconstruction", "reconstructions", ""), ("segment", "between sentences", "")]
    for prior in ("standard", "fitted"):
        if f"distinct_share_{prior}" in figures:
            kinds.append(("draws", f"{prior} prior", f"_{prior}"))
            distinct = _format_figure(figures, f"distinct_share_{prior}", ".1%")
            lines.append((f"distinct, {prior} prior", distinct, ""))
    for kind, name, end in kinds:
        lines.append(
            (f"valid, {name}", _format_figure(figures, f"{kind}_valid_share{end}", ".1%"), "")
        )
        ratio = _format_figure(figures, f"{kind}_perplexity_ratio{end}", ".3g")
        lines.append(("  perplexity over real text's", ratio, ""))
    return lines


def _variation_lines(figures: Mapping[str, Any]) -> list[Line]:
    """Return the lines of variations beside their controls; none where they were not measured."""
    if "variation_systems" not in figures:
        return []
    lines: list[Line] = [
        (f"variations of {figures['variation_groups']} held-out groups:", "", ""),
        ("  adequacy, nats a token", _format_figure(figures, "variation_adequacy"), ""),
        ("  AUC of adequacy", _format_figure(figures, "adequacy_auc", ".3f"), ""),
    ]
    for name in SYSTEMS:
        if one := figures["variation_systems"].get(name):
            ibleu = _format_figure(one, "ibleu", ".1f")
            found = f"{ibleu}, {_format_figure(one, 'retrieval_at_1')}"
            lines.append((f"  iBLEU, retrieval@1: {name.replace('_', ' ')}", found, ""))
    return lines


def _vector_lines(figures: Mapping[str, Any]) -> list[Line]:
    """Return the lines of labels by vectors; none where they were not measured."""
    if "vector_sentences" not in figures:
        return []
    ways = {
        "neighbour": "nearest vector",
        "probe": "linear classifier of vectors",
        "words": "linear classifier of words",
        "majority": "commonest label",
        "chance": "chance",
    }
    count, labels = figures["vector_sentences"], figures["vector_labels"]
    return [
        (f"accuracy on {labels} labels of {count} held-out sentences:", "", ""),
        *(
            (f"  {title}", _format_figure(figures, f"vector_{way}_accuracy", ".1%"), "")
            for way, title in ways.items()
        ),
    ]


def _format_figure(figures: Mapping[str, Any], name: str, form: str = ".2f", sign: int = 1) -> str:
    """Return the figure in few digits, or a dash where JSON has null for it or nothing."""
    value = figures.get(name)
    return "-" if value is None else f"{sign * value:{form}}"
