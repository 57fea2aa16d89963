"""The plots of a report, as PNG."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from textvae import files
from textvae.reporting.plots import draw_differences, draw_kl, draw_losses


class Pictures(NamedTuple):
    """Plots that were drawn, and the others."""

    images: list[tuple[str, bytes]]
    """Titles and PNG."""
    problems: list[str]
    """A sentence for each that could not be drawn."""


def draw_pictures(
    metrics: Path | None,
    kl_nats: Sequence[float] | None,
    elbo_nats: tuple[Sequence[float], Sequence[float]] | None,
) -> Pictures:
    """Draw losses of metrics.jsonl, KL by dimension, and the ELBO of candidate and champion.

    What is None is left out, and everything where matplotlib is not installed.
    """
    plots: list[tuple[str, Callable[[Path], str]]] = []
    if metrics is not None:
        plots.append(("Loss parts over the training", lambda target: draw_losses(metrics, target)))
    if kl_nats:
        plots.append(("KL of each dimension", lambda target: draw_kl(kl_nats, target)))
    if elbo_nats is not None:
        pair = elbo_nats
        plots.append(("Paired differences", lambda target: draw_differences(*pair, target)))
    pictures = Pictures([], [])
    if importlib.util.find_spec("matplotlib") is None:
        return pictures
    with files.scratch_folder() as folder:
        for number, (title, draw) in enumerate(plots):
            if problem := draw(folder / f"{number}.png"):
                pictures.problems.append(f"{title} {problem}")
            else:
                pictures.images.append((title, (folder / f"{number}.png").read_bytes()))
    return pictures
