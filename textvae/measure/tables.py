"""Figures as tables for people, on the console they are given or on stdout."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_figures(figures: Mapping[str, Any], console: Console | None = None) -> None:
    """The evaluation of a version, the language model beside the VAE."""
    table = Table(title=f"Held-out figures, {figures['sentences']} sentences", title_justify="left")
    table.add_column("")
    table.add_column("VAE", justify="right")
    table.add_column("language model", justify="right")
    for name, vae, language_model in _lines(figures):
        table.add_row(name, vae, language_model)
    (console or Console()).print(table)


def _lines(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of (what, VAE, language model)."""
    k = figures["importance_samples"]
    known = f"{figures['language_model_nats']:.2f}"
    lines = [
        ("reconstruction, nats", f"{figures['reconstruction_nats']:.2f}", ""),
        ("KL, nats", f"{figures['kl_nats']:.2f}", ""),
        ("-ELBO, nats (an upper bound of the NLL)", f"{-figures['elbo_nats']:.2f}", known),
        (
            f"IW-NLL, nats (k {k})",
            f"{figures['iw_nll_nats']:.2f}",
            known,
        ),
        (
            "perplexity per word",
            f"{figures['perplexity_per_word']:.1f}",
            f"{figures['language_model_perplexity_per_word']:.1f}",
        ),
        ("language-model nats - reconstruction nats", f"{figures['informed_nats']:.2f}", ""),
        ("  as a share of the KL", f"{figures['informed_share']:.2f}", ""),
        ("shuffling latents costs, nats", f"{figures['shuffle_nats']:.2f}", ""),
        (
            f"mutual information, nats (at most {figures['mutual_information_nats_max']:.2f})",
            f"{figures['mutual_information_nats']:.2f}",
            "",
        ),
        ("active units", f"{figures['active_units']} of {figures['latent']}", ""),
        ("reconstruction BLEU", f"{figures['reconstruction_bleu']:.1f}", ""),
        ("reconstruction exact", f"{figures['reconstruction_exact']:.1%}", ""),
        ("distinct, standard prior", f"{figures['distinct_share_standard']:.1%}", ""),
    ]
    if "distinct_share_fitted" in figures:
        lines.append(("distinct, fitted prior", f"{figures['distinct_share_fitted']:.1%}", ""))
    return lines
