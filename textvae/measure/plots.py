"""Pictures of a run and a version, as PNG files."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textvae import files

# Categorical colours that people with common colour blindness tell apart (Okabe & Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "#E69F00")
LABELS_MAX = len(COLOURS)


def draw_losses(metrics: Path, target: Path) -> None:
    """Loss parts and KL weight over the steps of the VAE, from metrics.jsonl."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    train = [line for line in lines if line["phase"] == "vae" and "kl_weight" in line]
    valid = [line for line in lines if "valid_kl_nats" in line]
    figure, axes = _axes("steps", "nats per sentence")
    for key, colour in (("reconstruction_nats", COLOURS[0]), ("kl_nats", COLOURS[1])):
        name = key.removesuffix("_nats").replace("kl", "KL")
        axes.plot(
            [row["step"] for row in train], [row[key] for row in train], color=colour, label=name
        )
        axes.plot(
            [row["step"] for row in valid],
            [row[f"valid_{key}"] for row in valid],
            "o--",
            color=colour,
            label=f"{name}, held out",
        )
    weight = axes.twinx()
    weight.plot(
        [row["step"] for row in train],
        [row["kl_weight"] for row in train],
        color="grey",
        linewidth=1,
        label="KL weight (right)",
    )
    weight.set_ylim(bottom=0)
    handles = axes.get_legend_handles_labels(), weight.get_legend_handles_labels()
    axes.legend(handles[0][0] + handles[1][0], handles[0][1] + handles[1][1])
    axes.set_title("Training")
    _save(figure, target)


def draw_kl(kl_nats: Sequence[float], target: Path) -> None:
    """The mean KL of each latent dimension, largest first."""
    figure, axes = _axes("latent dimension, sorted", "KL, nats per sentence")
    axes.bar(np.arange(len(kl_nats)), sorted(kl_nats, reverse=True), color=COLOURS[0])
    axes.set_title("What each dimension tells")
    _save(figure, target)


def draw_map(means: np.ndarray, labels: Sequence[str], target: Path) -> None:
    """(n, latent) posterior means on their two principal axes, coloured by label."""
    from sklearn.decomposition import PCA

    flat = PCA(2, random_state=0).fit_transform(means) if means.shape[1] > 2 else means
    figure, axes = _axes("first principal axis", "second principal axis")
    kinds = sorted(set(labels), key=lambda label: (-labels.count(label), label))[:LABELS_MAX]
    for kind, colour in zip(kinds, COLOURS, strict=False):
        chosen = np.array([label == kind for label in labels])
        axes.scatter(*flat[chosen].T, s=6, alpha=0.6, color=colour, label=kind or "no label")
    axes.set_aspect("equal")
    axes.legend()
    axes.set_title("Posterior means")
    _save(figure, target)


def _axes(across: str, up: str) -> tuple[Any, Any]:
    """An empty figure and its axes, drawn without a screen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, target: Path) -> None:
    """Write the figure whole."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    files.write_bytes(target, data.getvalue())
