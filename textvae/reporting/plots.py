"""Plots of a run and a version, as PNG; each function returns why it could not draw, or nothing."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textvae import files
from textvae.reporting.canvas import drawable, picture
from textvae.training.metrics import RESUMED, read_metrics

# Categorical colours that people with common colour blindness tell apart (Okabe & Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "#E69F00")
LABELS_MAX = len(COLOURS)

# The rings of a standard normal that a map shows, in standard deviations.
RINGS = (1.0, 2.0)
# Room around the outermost point of a map, as a share of its width.
MARGIN = 0.04
# The largest inset and its distance from other lines, as shares of its panel.
INSET, GAP = 0.6, 0.03
# A map that an inset would enlarge by less has none.
ENLARGED_MIN = 1.15
INK, LINES = "#555555", "#bbbbbb"


class Limits(NamedTuple):
    """A square of the latent space."""

    across: tuple[float, float]
    up: tuple[float, float]

    @property
    def side(self) -> float:
        """The length of its side."""
        return self.across[1] - self.across[0]


class Panel(NamedTuple):
    """One of the latent maps in a figure."""

    title: str
    latents: np.ndarray
    """(n, 2)"""
    labels: Sequence[str]
    """Of each latent; at most seven different ones in a figure."""
    figures: Sequence[tuple[str, str]]
    """Names and values under the map, a pair a line."""


@picture
def draw_losses(metrics: Path, target: Path) -> None:
    """Plot loss parts and KL weight over the steps of the VAE, from metrics.jsonl; vertical lines
    are where the run was interrupted and resumed."""
    lines = [line for line in read_metrics(metrics) if line["phase"] == "vae"]
    train = [line for line in lines if "kl_weight" in line]
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
    for number, line in enumerate(line for line in lines if RESUMED in line):
        # One entry in the legend for all of them.
        name = "" if number else RESUMED
        axes.axvline(line["step"], color=INK, linewidth=1, linestyle=":", label=name)
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


@picture
def draw_kl(kl_nats: Sequence[float], target: Path) -> None:
    """Plot the mean KL of each latent dimension, largest first."""
    figure, axes = _axes("latent dimension, sorted", "KL, nats per sentence")
    axes.bar(np.arange(len(kl_nats)), sorted(kl_nats, reverse=True), color=COLOURS[0])
    axes.set_title("KL by latent dimension")
    _save(figure, target)


@picture
def draw_differences(elbo_nats: Sequence[float], other: Sequence[float], target: Path) -> None:
    """Plot the paired differences of the ELBO, with their mean and its 95 % interval."""
    better = np.asarray(elbo_nats) - np.asarray(other)
    mean = float(better.mean())
    half = 1.96 * float(better.std(ddof=1)) / len(better) ** 0.5 if len(better) > 1 else 0.0
    figure, axes = _axes("nats by which the candidate is better", "sentences")
    axes.hist(better, bins=50, color=COLOURS[0])
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvspan(mean - half, mean + half, color=COLOURS[1], alpha=0.5)
    axes.set_title(
        f"Paired differences: {mean:+.3f} nats, 95 % from {mean - half:+.3f} to {mean + half:+.3f}"
    )
    _save(figure, target)


@picture
def draw_map(means: np.ndarray, labels: Sequence[str], target: Path) -> None:
    """Plot (n, latent) posterior means on their two principal axes, coloured by label."""
    flat = _flatten(means)
    kinds = sorted(set(labels), key=lambda label: (-labels.count(label), label))[:LABELS_MAX]
    names = drawable(kind or "no label" for kind in kinds)
    figure, axes = _axes("first principal axis", "second principal axis")
    handles = []
    for kind, colour in zip(kinds, COLOURS, strict=False):
        chosen = np.array([label == kind for label in labels])
        handles.append(axes.scatter(*flat[chosen].T, s=6, alpha=0.6, color=colour))
    axes.set_aspect("equal")
    _write_labels(axes.legend(handles, [f"label {number}" for number in range(len(kinds))]), names)
    axes.set_title("Posterior means")
    _save(figure, target)


def _flatten(means: np.ndarray) -> np.ndarray:
    """(n, latent) -> (n, 2): on the two principal axes; 0 on an axis that there is not."""
    from sklearn.decomposition import PCA

    if len(means) == 1:
        means = means[:, :2]
    elif means.shape[1] > 2:
        means = PCA(2, random_state=0).fit_transform(means)
    return np.pad(means, ((0, 0), (0, 2 - means.shape[1])))


def _write_labels(legend: Any, names: Sequence[str]) -> None:
    """Write the labels of a legend, which leaves out those that begin with an underscore."""
    for text, name in zip(legend.get_texts(), names, strict=False):
        text.set_text(name)


@picture
def draw_maps(panels: Sequence[Panel], note: str, target: Path) -> None:
    """Plot latent maps of 2 dimensions side by side on one scale, with the rings of the prior.

    A label has the same colour everywhere; a map that is small on that scale has an enlarged inset;
    `note` is the caption. Raises OSError.
    """
    from matplotlib.figure import Figure

    kinds = sorted({label for panel in panels for label in panel.labels})
    assert len(kinds) <= LABELS_MAX, f"at most {LABELS_MAX} labels have a colour, got {len(kinds)}"
    colours = dict(zip(kinds, COLOURS, strict=False))
    figure = Figure(figsize=(4.4 * len(panels), 6.9), facecolor="white")
    rows = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(left=0.04, right=0.985, top=0.935, bottom=0.345, wspace=0.07)
    limits = common_limits([panel.latents for panel in panels])
    for axes, panel in zip(rows[0], panels, strict=True):
        _draw_cloud(axes, panel, colours, limits)
        _draw_enlarged(axes, panel, colours, limits)
        axes.set_title(panel.title, fontsize=15, pad=10)
        _write_under(axes, panel.figures)
    _draw_legend(figure, colours)
    figure.text(0.5, 0.02, note, ha="center", fontsize=9, color=INK)
    _save(figure, target)


def common_limits(clouds: Sequence[np.ndarray]) -> Limits:
    """(n, 2) each -> the smallest square around all points and rings, with a margin of 4 %."""
    rings = np.array([[-RINGS[-1]] * 2, [RINGS[-1]] * 2])
    points = np.concatenate([*clouds, rings])
    low, high = points.min(0), points.max(0)
    half = float((high - low).max()) * (0.5 + MARGIN)
    across, up = ((float(middle) - half, float(middle) + half) for middle in (low + high) / 2)
    return Limits(across, up)


def _draw_cloud(axes: Any, panel: Panel, colours: Mapping[str, str], limits: Limits) -> None:
    """Draw rings and points."""
    from matplotlib.patches import Circle
    from matplotlib.ticker import MaxNLocator

    for ring in RINGS:
        axes.add_patch(Circle((0, 0), ring, fill=False, color=INK, linewidth=0.9, zorder=3))
    # All labels at once, in the sentences' own order, so that none lies on top of another.
    axes.scatter(
        *panel.latents.T,
        s=5,
        alpha=0.5,
        linewidths=0,
        color=[colours[label] for label in panel.labels],
        zorder=2,
    )
    axes.set(xlim=limits.across, ylim=limits.up, aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(labelsize=8, color=LINES, labelcolor=INK)
    axes.spines[:].set(color=LINES, linewidth=0.8)


def _draw_enlarged(axes: Any, panel: Panel, colours: Mapping[str, str], limits: Limits) -> None:
    """Draw a small map once more, enlarged, in the corner that is farthest from it."""
    near = common_limits([panel.latents])
    # The free room on both sides of the map, across and up, as shares of the panel.
    axis_limits = list(zip(near, limits, strict=True))
    before = [(small[0] - large[0]) / limits.side for small, large in axis_limits]
    after = [(large[1] - small[1]) / limits.side for small, large in axis_limits]
    free = max(*before, *after) - 2 * GAP
    size = min(INSET, free)
    if size < ENLARGED_MIN * near.side / limits.side:
        return
    left, bottom = (
        GAP if low > high else 1 - GAP - size for low, high in zip(before, after, strict=True)
    )
    inset = axes.inset_axes((left, bottom, size, size))
    _draw_cloud(inset, panel, colours, near)
    inset.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    inset.text(0.03, 0.03, "enlarged", transform=inset.transAxes, fontsize=8.5, color=INK)
    corner = (near.across[0], near.up[0], near.side, near.side)
    axes.indicate_inset(corner, edgecolor=LINES, linewidth=0.8, alpha=1)


def _write_under(axes: Any, figures: Sequence[tuple[str, str]]) -> None:
    """Write names on the left and values on the right, a pair a line."""
    for line, (name, value) in enumerate(figures):
        for text, edge, side, colour in ((name, 0.0, "left", INK), (value, 1.0, "right", "black")):
            axes.annotate(
                text,
                (edge, 0),
                (0, -36 - 17 * line),
                xycoords="axes fraction",
                textcoords="offset points",
                ha=side,
                color=colour,
                fontsize=10.5,
            )


def _draw_legend(figure: Any, colours: Mapping[str, str]) -> None:
    """Draw one legend for all maps."""
    from matplotlib.lines import Line2D

    def entry(label: str, **style: Any) -> Any:
        return Line2D([], [], linestyle="", marker="o", label=label, **style)

    rings = " and ".join(f"{ring:g}" for ring in RINGS)
    legend = figure.legend(
        handles=[
            *(entry(f"label {number}", color=each) for number, each in enumerate(colours.values())),
            entry(
                f"{rings} standard deviations of the prior",
                color=INK,
                markersize=11,
                markerfacecolor="none",
            ),
        ],
        loc="lower center",
        bbox_to_anchor=(0.5, 0.05),
        ncols=len(colours) + 1,
        frameon=False,
        fontsize=10.5,
    )
    _write_labels(legend, drawable(colours))


def _axes(across: str, up: str) -> tuple[Any, Any]:
    """Return an empty figure and its axes, without a display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, target: Path) -> None:
    """Write the figure as PNG, at once or not at all."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    files.write_bytes(target, data.getvalue())
