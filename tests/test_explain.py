"""The article's figure: three objectives, distinguished by figures and by their maps."""

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.transforms import Bbox

from jobs import explain as job
from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.toy_grammar import parse
from textvae.errors import InputError
from textvae.experiments.explain import (
    TITLES,
    LatentMap,
    Objective,
    article_corpus,
    chance_purity,
    explain,
    means_rms,
    neighbour_purity,
    panels,
    recipe_of,
    valid_share,
)
from textvae.reporting.plots import LABELS_MAX, RINGS, Panel, common_limits, draw_maps
from textvae.training.recipe import Recipe


def short(**settings: Any) -> Recipe:
    """Return a recipe that takes seconds."""
    defaults = TrainingConfig(
        steps=120,
        batch=32,
        learning_rate=2e-2,
        warmup_steps=20,
        word_dropout=0.5,
        word_noise=0.0,
        kl_steps=60,
        target_kl_nats=2.0,
        precision="fp32",
        validation_steps=0,
        collapse_stops=False,
    )
    return Recipe(
        TokenizerConfig(vocab=600, kind="bpe"),
        ModelConfig(embed=24, hidden=32, latent=2, dropout=0.0),
        dataclasses.replace(defaults, **settings),
    )


class KilledError(Exception):
    """Stands for the end of a process between two steps."""


class StepRecorder:
    """Records the steps of each model, and raises KilledError after the step `stop`."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        self.stop = stop
        self.steps: dict[str, list[int]] = {}

    def __call__(self, what: str, done: int, steps: int, figures: Mapping[str, float]) -> None:
        self.steps.setdefault(what, []).append(done)
        if (what, done) == self.stop:
            raise KilledError


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> dict[Objective, LatentMap]:
    """The three maps of a short run."""
    return explain(short(), tmp_path_factory.mktemp("runs"), lambda *_: None)


def test_a_short_run_distinguishes_the_three(maps: dict[Objective, LatentMap]) -> None:
    """Without the KL the means spread, with it alone they are constant, with both neither."""
    alone, collapsed, both = (maps[objective].figures for objective in TITLES)
    assert alone.means_rms >= 1.5 * both.means_rms
    assert alone.kl_nats > both.kl_nats > 1.0
    # At a sigma of about 1 the KL of two dimensions is the mean square of their means.
    assert alone.kl_nats == pytest.approx(alone.means_rms**2, rel=0.1)
    assert both.means_rms > 0.3
    assert both.sigma_mean < 0.85
    assert both.purity_share > both.chance_share + 0.1
    assert collapsed.kl_nats < 0.05
    assert collapsed.means_rms < 0.1
    assert collapsed.sigma_mean == pytest.approx(1.0, abs=0.05)
    # Four standard errors of 2,000 points.
    assert collapsed.purity_share == pytest.approx(collapsed.chance_share, abs=0.02)
    assert collapsed.valid_share == 0.0


def test_a_map_shows_what_reaches_the_decoder(maps: dict[Objective, LatentMap]) -> None:
    """Draws of the posteriors, which under KL alone are the prior; an autoencoder has no noise."""
    spread = {objective: means_rms(found.latents) for objective, found in maps.items()}
    alone, both = maps["autoencoder"].figures, maps["vae"].figures
    assert spread["autoencoder"] == alone.means_rms
    assert spread["kl-only"] == pytest.approx(1.0, abs=0.05)
    assert spread["vae"] == pytest.approx(np.hypot(both.means_rms, both.sigma_mean), rel=0.05)


def test_the_three_differ_in_their_objective_alone() -> None:
    """And the one that must collapse is let."""
    recipes = [recipe_of(short(collapse_stops=True), objective) for objective in TITLES]
    assert [recipe.training.objective for recipe in recipes] == list(TITLES)
    assert [recipe.training.collapse_stops for recipe in recipes] == [True, False, True]
    same: Any = {"objective": "vae", "collapse_stops": True, "target_kl_nats": 2.0}
    assert {
        recipe._replace(training=dataclasses.replace(recipe.training, **same)) for recipe in recipes
    } == {short(collapse_stops=True)}


def test_the_three_show_the_same_held_out_sentences(maps: dict[Objective, LatentMap]) -> None:
    labels = [row.label for row in article_corpus(0).test]
    assert all(found.labels == labels for found in maps.values())
    assert all(found.latents.shape == (len(labels), 2) for found in maps.values())


def test_the_corpus_is_the_whole_grammar_in_three_parts_that_share_nothing() -> None:
    one, other = article_corpus(0), article_corpus(1)
    parts = [[row.text for row in part] for part in (one.train, one.valid, one.test)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 20_736
    for row in one.test:
        factors = parse(row.text)
        assert factors is not None
        assert factors.polarity == row.label
    assert one.test != other.test
    assert one.hashes != other.hashes


@pytest.fixture
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few draws and few points, where it does not matter what they show."""
    monkeypatch.setattr("textvae.experiments.explain.PRIOR_DRAWS", 8)
    monkeypatch.setattr("textvae.experiments.explain.MAP_SENTENCES", 50)


@pytest.mark.usefixtures("few_points")
def test_a_job_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """With the model it was at, at the step it was at, to the same points and figures."""
    recipe = short(steps=4, kl_steps=0, checkpoint_s=0.0)
    uninterrupted = explain(recipe, tmp_path / "uninterrupted", lambda *_: None)
    with pytest.raises(KilledError):
        explain(recipe, tmp_path / "killed", StepRecorder(("vae", 3)))
    again = StepRecorder()
    found = explain(recipe, tmp_path / "killed", again)
    # The last step was reported before it could be saved.
    assert again.steps == {"vae": [3, 4]}
    for objective in TITLES:
        assert np.array_equal(found[objective].latents, uninterrupted[objective].latents)
        assert found[objective].figures == uninterrupted[objective].figures


@pytest.mark.usefixtures("few_points")
def test_the_job_leaves_a_picture_and_its_figures(tmp_path: Path) -> None:
    recipe = short(steps=2, kl_steps=0)
    result = job.main(job.Explain(tmp_path, *recipe))
    assert result["outcome"] == "explained"
    assert list(result["figures"]) == list(TITLES)
    assert json.loads((tmp_path / "figures.json").read_bytes()) == result["figures"]
    assert imread(result["picture"]).shape[1] > 1000


def test_a_latent_wider_than_a_map_is_refused(tmp_path: Path) -> None:
    recipe = short()
    wide = recipe._replace(model=dataclasses.replace(recipe.model, latent=3))
    with pytest.raises(InputError, match=r"^model\.latent: must be 2 for a map, got 3$"):
        explain(wide, tmp_path, lambda *_: None)


def test_purity_is_the_share_of_the_nearest_others_with_the_same_label() -> None:
    """Two pairs and a single point between them; a point is not its own neighbour."""
    means = np.array([[0.0, 0], [1, 0], [10, 0], [11, 0], [5.2, 0]])
    assert neighbour_purity(means, ["a", "a", "b", "b", "c"], 1) == pytest.approx(4 / 5)
    assert neighbour_purity(means, ["a", "b", "a", "b", "c"], 1) == 0.0
    # The second nearest of the first four is the last, whose own two are at 1 and at 10.
    assert neighbour_purity(means, ["a", "a", "b", "b", "a"], 2) == pytest.approx(
        np.mean([1, 1, 0.5, 0.5, 0.5])
    )


def test_equal_points_are_no_neighbours_of_themselves() -> None:
    """A collapsed posterior puts every sentence on one point."""
    labels = ["a", "b"] * 50
    assert neighbour_purity(np.zeros((100, 2)), labels, 10) < 0.75


def test_purity_without_order_is_chance() -> None:
    generator = np.random.default_rng(0)
    labels = generator.choice(["a", "b", "c"], 3000, p=[0.6, 0.3, 0.1]).tolist()
    found = neighbour_purity(generator.standard_normal((3000, 2)), labels, 10)
    assert found == pytest.approx(chance_purity(labels), abs=0.02)


def test_chance_is_the_sum_of_the_squared_shares_of_the_labels() -> None:
    assert chance_purity(["a", "b", "c", "d"]) == 0.25
    assert chance_purity(["a", "a", "a", "b"]) == pytest.approx(0.5625 + 0.0625)


def test_the_rms_of_means_is_over_sentences_and_dimensions() -> None:
    """So that it is 1 for draws of the prior, whatever the width."""
    assert means_rms(np.array([[3.0, 4.0], [0.0, 5.0]])) == pytest.approx(np.sqrt(50 / 4))
    assert means_rms(np.random.default_rng(0).standard_normal((9999, 2))) == pytest.approx(
        1.0, abs=0.02
    )


def test_a_sentence_is_valid_when_the_grammar_parses_it() -> None:
    texts = ["The teacher wrote the letter at home.", "The teacher write the letter at home.", ""]
    assert valid_share(texts) == pytest.approx(1 / 3)


def test_the_common_scale_holds_every_point_and_the_rings() -> None:
    """A square, so that a ring is round and no panel is stretched."""
    far, near = np.array([[-10.0, 1.0], [2.0, 3.0]]), np.zeros((4, 2))
    across, up = common_limits([far, near])
    assert across[1] - across[0] == pytest.approx(up[1] - up[0]) == pytest.approx(12 * 1.08)
    assert across[0] < -10 < RINGS[-1] < across[1]
    assert up[0] < -RINGS[-1] < 3 < up[1]
    assert common_limits([far[:, ::-1], near]) == (up, across)
    assert common_limits([near]).across == pytest.approx((-2.16, 2.16))


def saved_figure(panels: list[Panel], monkeypatch: pytest.MonkeyPatch) -> Figure:
    """Draw the panels and return the figure that is saved."""
    saved: list[Figure] = []
    monkeypatch.setattr("textvae.reporting.plots._save", lambda figure, _: saved.append(figure))
    draw_maps(panels, "note", Path("unused.png"))
    saved[0].savefig(io.BytesIO(), format="png")
    return saved[0]


def test_all_panels_have_one_scale_and_one_colour_for_a_label(
    maps: dict[Objective, LatentMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = saved_figure(panels(maps), monkeypatch)
    axes = figure.axes
    assert [one.get_title() for one in axes] == ["Reconstruction only", "KL only", "Both"]
    expected = common_limits([found.latents for found in maps.values()])
    coloured = set()
    for one, found in zip(axes, maps.values(), strict=True):
        assert (one.get_xlim(), one.get_ylim()) == expected
        radii = [patch.get_radius() for patch in one.patches if hasattr(patch, "get_radius")]
        assert radii == list(RINGS)
        points = one.collections[0]
        assert np.array_equal(points.get_offsets(), found.latents)
        colours = [tuple(colour) for colour in np.asarray(points.get_facecolor()).tolist()]
        coloured |= set(zip(found.labels, colours, strict=True))
    assert sorted(label for label, _ in coloured) == ["negative", "positive"]
    assert len({colour for _, colour in coloured}) == 2


def test_figures_stand_under_their_own_panel(
    maps: dict[Objective, LatentMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = saved_figure(panels(maps), monkeypatch)
    for axes, found in zip(figure.axes, maps.values(), strict=True):
        words = [text.get_text() for text in axes.texts]
        assert f"{found.figures.means_rms:.2f}" in words
        assert f"{found.figures.kl_nats:.2f} nats" in words
        assert f"{found.figures.valid_share:.0%}" in words


def test_a_map_that_is_small_on_the_common_scale_has_an_enlarged_inset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a corner of its own, and with all its points."""
    generator = np.random.default_rng(0)
    small, large = generator.standard_normal((2, 50, 2))
    clouds = (small, 3 * small, 5 * large + 10)
    axes = saved_figure([Panel("", cloud, ["a"] * 50, ()) for cloud in clouds], monkeypatch).axes
    insets = [one.child_axes for one in axes[:3]]
    assert [len(found) for found in insets] == [1, 0, 0]
    inset = insets[0][0]
    assert (inset.get_xlim(), inset.get_ylim()) == common_limits([small])
    assert np.array_equal(inset.collections[0].get_offsets(), small)
    corners = axes[0].transData.transform(np.transpose(common_limits([small])))
    assert not inset.get_window_extent().overlaps(Bbox(corners))
    assert inset.get_window_extent().width > Bbox(corners).width


def test_more_labels_than_colours_are_not_drawn() -> None:
    labels = [str(number) for number in range(LABELS_MAX + 1)]
    problem = draw_maps([Panel("", np.zeros((len(labels), 2)), labels, ())], "", Path("unused.png"))
    assert problem == "could not be drawn: at most 7 labels have a colour, got 8"
