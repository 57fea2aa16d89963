"""What a run begins from: the champion where it fits, else new weights, with the reason."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

from jobs import ingest, promote
from jobs import train as train_job
from textvae.config.data import DataConfig, StoreConfig, TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.spans import Corpus
from textvae.corpus.toy_grammar import sample
from textvae.errors import InputError
from textvae.model.network import SentenceVae
from textvae.store.versions import Version, publish
from textvae.training.recipe import Recipe
from textvae.training.run import Candidate, run_name, train
from textvae.training.start import (
    FRESH,
    Ancestor,
    Start,
    choose_start,
    initial_controller,
    lineage_of,
    load_start_weights,
    recipe_from_start,
)
from textvae.version_files import tokenizer_of

ROWS = sample(700, seed=0)


def corpus(*counts: int) -> Corpus:
    """Spans of so many training sentences each."""
    names = tuple(f"{number:06d}-{number:012x}" for number in range(1, len(counts) + 1))
    hashes = tuple(str(number) * 64 for number in range(1, len(counts) + 1))
    rows = ROWS[100 : 100 + sum(counts)]
    return Corpus(rows, ROWS[:50], ROWS[50:100], names, hashes, counts)


def recipe(**settings: Any) -> Recipe:
    """A recipe of a second."""
    fast = TrainingConfig(
        steps=12,
        language_model_steps=6,
        batch=32,
        kl_steps=6,
        validation_steps=6,
        learning_rate=0.01,
        warmup_steps=0,
        target_kl_nats=4.0,
        collapse_stops=False,
        replay=1.0,
        replay_min=40,
    )
    return Recipe(
        TokenizerConfig(vocab=400, kind="bpe"),
        ModelConfig(embed=12, hidden=16, latent=4),
        dataclasses.replace(fast, **settings),
    )


def learn(
    what: Recipe, text: Corpus, run: Path, start: Start = FRESH, on_progress: Any = lambda *_: None
) -> Candidate:
    """A candidate, as the job makes it."""
    return train(what, text, run, start.ancestor.name if start.ancestor else "", on_progress, start)


def ancestor_of(version: Version) -> Ancestor:
    """The version as training takes it."""
    return Ancestor(version.name, version.folder, version.manifest)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Ancestor:
    """A version that learned from one span of 200 sentences."""
    folder = tmp_path_factory.mktemp("champion")
    candidate = learn(recipe(), corpus(200), folder / "run")
    return ancestor_of(
        publish(folder / "registry", "toy", "20260101", candidate.files, candidate.facts)
    )


def warm(champion: Ancestor, what: Recipe, text: Corpus) -> Start:
    """The start from the champion, which must be one."""
    start = choose_start(what, text, champion)
    assert start.ancestor, start.why
    return start


def test_a_warm_run_begins_from_the_champion_in_its_lineage(
    champion: Ancestor, tmp_path: Path
) -> None:
    """Its tokenizer is the champion's, and the manifest has what is needed to repeat the run."""
    what = recipe(warm_steps=5, shrink=0.9, perturb=0.1)
    start = warm(champion, what, corpus(200, 60))
    candidate = learn(what, corpus(200, 60), tmp_path, start)
    tokenizer = (champion.folder / "tokenizer.model").read_bytes()
    assert candidate.files["tokenizer.model"] == tokenizer
    assert candidate.facts["lineage"] == champion.manifest["lineage"] == lineage_of(tokenizer)
    assert candidate.facts["parent"] == champion.name
    assert candidate.facts["start"] == "champion"
    assert candidate.facts["steps"] == {"vae": 5, "language-model": 5}
    assert candidate.facts["replay"] == {"new": 60, "old": 60, "known": 200}
    assert candidate.facts["train_sentences"] == 120
    assert (candidate.facts["shrink"], candidate.facts["perturb"]) == (0.9, 0.1)
    assert list(candidate.facts["spans"]) == list(corpus(200, 60).names)


def test_the_same_warm_run_twice_gives_the_same_bytes_and_each_setting_another_run(
    champion: Ancestor, tmp_path: Path
) -> None:
    text = corpus(200, 60)
    one = learn(recipe(), text, tmp_path / "one", warm(champion, recipe(), text))
    assert learn(recipe(), text, tmp_path / "two", warm(champion, recipe(), text)) == one
    names = {run_name(recipe(), text, champion.name, warm(champion, recipe(), text))}
    assert run_name(recipe(), text, champion.name, FRESH) not in names
    changes: list[dict[str, Any]] = [
        {"warm_steps": 3},
        {"replay": 2.0},
        {"replay_min": 70},
        {"shrink": 0.5},
        {"perturb": 0.5},
    ]
    for number, change in enumerate(changes):
        what = recipe(**change)
        start = warm(champion, what, text)
        names.add(run_name(what, text, champion.name, start))
        other = learn(what, text, tmp_path / f"other-{number}", start)
        same_text = other.facts["replay"] == one.facts["replay"]
        assert same_text == ("replay" not in str(change))
        assert other.files["model.safetensors"] != one.files["model.safetensors"], change
    assert len(names) == len(changes) + 1


def test_a_champion_goes_on_where_it_stood(champion: Ancestor, tmp_path: Path) -> None:
    """The first step of a warm run is the champion's, not a new model's: its loss says so."""
    losses: dict[str, float] = {}
    what = recipe(replay_min=1000)  # the same batches for both
    for start in (FRESH, warm(champion, what, corpus(200, 60))):

        def on_progress(
            phase: str, done: int, steps: int, figures: Any, key: str = start.kind
        ) -> None:
            if done == 1:
                losses[f"{phase} {key}"] = figures["reconstruction_nats"]

        learn(what, corpus(200, 60), tmp_path / start.kind, start, on_progress)
    for phase in ("vae", "language-model"):
        assert losses[f"{phase} champion"] < losses[f"{phase} fresh"] - 4, losses


def test_weights_are_shrunk_and_perturbed_by_new_ones(champion: Ancestor) -> None:
    """At 1 and 0 they are the champion's, to the bit; otherwise a sum with the first weights."""
    known = load((champion.folder / "model.safetensors").read_bytes())
    vocab = tokenizer_of(champion.folder).vocab
    for shrink, perturb in ((1.0, 0.0), (0.4, 0.1)):
        what = recipe(shrink=shrink, perturb=perturb)
        start = warm(champion, what, corpus(200))
        torch.manual_seed(3)
        model = SentenceVae(what.model, vocab)
        first = {name: value.clone() for name, value in model.state_dict().items()}
        load_start_weights(model, start, "model.safetensors", what)
        for name, value in model.state_dict().items():
            wanted = shrink * known[name] + perturb * first[name]
            if perturb:
                torch.testing.assert_close(value, wanted)
            else:
                assert torch.equal(value, known[name]), name


def test_the_kl_goes_on_at_the_weight_that_it_had(champion: Ancestor, tmp_path: Path) -> None:
    """Annealed from 0 again, a latent that is used would lose its meaning and learn another."""
    what = recipe(autoencoder_steps=4, kl_schedule="cyclical", kl_cycle_steps=50)
    start = warm(champion, what, corpus(200, 60))
    weight = champion.manifest["kl_weight"]
    assert weight != 1, "the champion had a target KL, so its weight must have moved"
    assert initial_controller(what, start).factor == weight
    seen = []

    def on_progress(phase: str, done: int, steps: int, figures: Any) -> None:
        seen.append((phase, figures.get("kl_weight")))

    learn(what, corpus(200, 60), tmp_path, start, on_progress)
    assert seen[0] == ("vae", pytest.approx(weight)), "no warm-up comes first, nor weight 0"
    assert recipe_from_start(what, FRESH) == what
    assert initial_controller(recipe(target_kl_nats=0.0), start).factor == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"training": {"start": "fresh"}}, 'training.start is "fresh"'),
        ({"model": {"hidden": 24}}, "model.hidden is 24 now and 16 there"),
        ({"model": {"batchnorm_scale": 0.5}}, "no BatchNorm, which model.batchnorm_scale asks"),
        ({"tokenizer": {"vocab": 500}}, "tokenizer.vocab is 500 now and 400 there"),
    ],
)
def test_what_the_champion_cannot_be_is_begun_anew_with_the_reason(
    champion: Ancestor, change: dict[str, dict[str, Any]], why: str
) -> None:
    """Whoever set another size wants it; the gate decides about the version."""
    what = recipe()
    for section, values in change.items():
        changed = dataclasses.replace(getattr(what, section), **values)
        what = what._replace(**{section: changed})
    start = choose_start(what, corpus(200, 60), champion)
    assert start.kind == "fresh"
    assert why in start.why


def test_weights_of_text_that_was_removed_are_not_begun_from(champion: Ancestor) -> None:
    text = corpus(200, 60)
    removed = text._replace(names=text.names[1:], hashes=text.hashes[1:], counts=(60,))
    changed = text._replace(hashes=("9" * 64, text.hashes[1]))
    for rest in (removed, changed):
        start = choose_start(recipe(), rest, champion)
        assert start.kind == "fresh"
        assert f"it learned from {text.names[0]}" in start.why
    start = choose_start(recipe(), text, champion, obstacle="3 sentences were forgotten")
    assert start.why == "fresh: 3 sentences were forgotten"


def test_weights_of_another_network_or_of_no_numbers_are_not_begun_from(
    champion: Ancestor, tmp_path: Path
) -> None:
    """As after an upgrade that changed the network: no nightly run ends with a traceback for it."""
    from safetensors.torch import save

    complete = load((champion.folder / "model.safetensors").read_bytes())
    fewer = {name: value for name, value in complete.items() if name != "decoder.bias"}
    broken = {**complete, "decoder.bias": torch.full_like(complete["decoder.bias"], np.nan)}
    for number, (tensors, why) in enumerate(
        ((fewer, "is of another network"), (broken, "has values that are not finite"))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for path in champion.folder.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "model.safetensors").write_bytes(save(tensors))
        start = choose_start(recipe(), corpus(200), champion._replace(folder=folder))
        assert start.kind == "fresh"
        assert why in start.why


def test_shares_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"training\.shrink: must be 0 to 1, got 1\.5"):
        TrainingConfig(shrink=1.5)
    with pytest.raises(InputError, match=r"training\.replay: must be 0 or more, got -1"):
        TrainingConfig(replay=-1.0)


def test_the_job_says_what_it_begins_from(tmp_path: Path) -> None:
    """Fresh at first, from the champion then, and fresh again where it cannot be read."""
    text = tmp_path / "inbox" / "toy.txt"
    text.parent.mkdir()
    text.write_text("\n".join(row.text for row in ROWS[:300]))
    store = StoreConfig(tmp_path / "registry", "toy", tmp_path / "spans", tmp_path / "runs")
    data = DataConfig(inputs=(text,), valid_share=0.2, test_share=0.2)
    ingest.main(ingest.Ingest(store, data))
    what = train_job.Train(store, *recipe())
    first = train_job.main(what)
    assert (first["start"], first["why"]) == ("fresh", "fresh: no version serves yet")
    promote.main(promote.Promote(first["version"], store=store))
    second = train_job.main(what)
    assert second["start"] == "champion"
    assert first["version"] in second["why"]
    assert second["lineage"] == first["lineage"]
    assert second["version"] != first["version"]
    weights = tmp_path / "registry" / "toy" / "versions" / first["version"] / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"torn")
    third = train_job.main(what)
    assert third["start"] == "fresh"
    assert "the champion cannot be read" in third["why"]
