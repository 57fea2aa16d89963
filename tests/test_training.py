"""Training: what it learns, what it records, and what a kill does to it."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import toys
from tests.tiny_runs import KilledError, learn, lines, tiny
from textvae.config.serve import ServeConfig
from textvae.corpus.spans import Corpus
from textvae.corpus.toy_grammar import parse
from textvae.engine.operations.decode import DecodeRequest
from textvae.engine.operations.encode import EncodeRequest
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.start import load_engine
from textvae.errors import CollapsedError, DataError, InputError
from textvae.model.native import native_to_learn
from textvae.store.versions import Version
from textvae.training.run import run_name, train


def steps_of(run: Path) -> list[tuple[object, object, bool]]:
    """The phase and step of each line, and whether it is of a validation; no marks."""
    return [
        (line["phase"], line["step"], any(name.startswith("valid") for name in line))
        for line in lines(run)
        if "resumed" not in line
    ]


def valid_share(texts: list[str]) -> float:
    """Share of sentences that the grammar's own parser accepts."""
    return float(np.mean([parse(text) is not None for text in texts]))


class Quality(dict[str, float]):
    """Shares of sentences, by the operation."""


def quality(registry: Path) -> Quality:
    """Reconstruction, prior samples and halfway points of the champion, by the grammar's parser."""
    engine = load_engine(registry, toys.MODEL, None, ServeConfig())
    sentences = tuple(row.text for row in toys.corpus().test)
    means = engine.answer(EncodeRequest(sentences)).mean
    halfway = (means[0::2] + means[1::2]) / 2
    rebuilt = [one.text for one in engine.answer(DecodeRequest(means)).sentences]
    middles = [one.text for one in engine.answer(DecodeRequest(halfway)).sentences]
    samples = [one.text for one in engine.answer(SampleRequest(1000, "standard")).sentences]
    engine.close()
    return Quality(
        exact=float(np.mean([one == other for one, other in zip(rebuilt, sentences, strict=True)])),
        ends=valid_share(rebuilt),
        middles=valid_share(middles),
        samples=valid_share(samples),
        distinct=len(set(samples)) / len(samples),
    )


def test_the_toy_grammar_is_learned_and_an_autoencoder_does_not_sample_it(
    registry: Path, tmp_path: Path, runs: Path
) -> None:
    """The article's claim, decided by the grammar's parser."""
    vae = quality(registry)
    control = tmp_path / "control"
    version = toys.published(control, runs / "autoencoder", toys.recipe("autoencoder"))
    toys.promoted(control, version)
    autoencoder = quality(control)
    assert vae["exact"] >= 0.8
    assert vae["samples"] >= 0.9
    assert vae["distinct"] >= 0.9
    assert vae["middles"] >= 0.9 * vae["ends"]
    assert autoencoder["exact"] >= 0.8, "the control must be able to copy"
    assert autoencoder["samples"] <= vae["samples"] - 0.3


def test_a_run_that_is_killed_and_goes_on_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Whatever phase it was killed in; metrics.jsonl has no step twice, and marks the resume."""
    uninterrupted = learn(tiny(), tmp_path / "uninterrupted")
    for stop in (("vae", 1), ("vae", 13), ("vae", 24), ("language-model", 5)):
        run = tmp_path / f"{stop[0]}-{stop[1]}"
        with pytest.raises(KilledError):
            learn(tiny(), run, stop)
        assert learn(tiny(), run).files == uninterrupted.files
        steps = steps_of(run)
        assert len(set(steps)) == len(steps)
        assert steps == steps_of(tmp_path / "uninterrupted")
        marks = [(line["phase"], line["step"]) for line in lines(run) if "resumed" in line]
        assert marks == ([(stop[0], stop[1] - 1)] if stop[1] > 1 else [])


def test_a_run_with_a_warm_up_and_a_choice_of_weights_goes_on_to_the_same_bytes(
    tmp_path: Path,
) -> None:
    """The best weights of the run are stored, and computed again whenever it was killed."""
    recipe = tiny(autoencoder_steps=8, select="iw-nll", validation_steps=4, steps=16)
    uninterrupted = learn(recipe, tmp_path / "uninterrupted")
    steps = [
        line["step"] for line in lines(tmp_path / "uninterrupted") if "valid_iw_nll_nats" in line
    ]
    assert steps[:2] == [4, 8], "the warm-up is validated too"
    for stop in (("autoencoder", 5), ("vae", 3), ("vae", 10), ("language-model", 9)):
        run = tmp_path / f"{stop[0]}-{stop[1]}"
        with pytest.raises(KilledError):
            learn(recipe, run, stop)
        assert learn(recipe, run).files == uninterrupted.files


def test_a_decoder_begins_as_the_language_model_and_goes_on_to_the_same_bytes(
    tmp_path: Path,
) -> None:
    """The language model comes first then, and is the one of a run that begins anew."""
    recipe = tiny(decoder_start="language-model")
    uninterrupted = learn(recipe, tmp_path / "uninterrupted")
    assert steps_of(tmp_path / "uninterrupted")[0][0] == "language-model"
    for stop in (("language-model", 9), ("vae", 13)):
        run = tmp_path / f"{stop[0]}-{stop[1]}"
        with pytest.raises(KilledError):
            learn(recipe, run, stop)
        assert learn(recipe, run).files == uninterrupted.files
    anew = learn(tiny(), tmp_path / "anew")
    assert (
        anew.files["language_model.safetensors"]
        == uninterrupted.files["language_model.safetensors"]
    )
    assert anew.files["model.safetensors"] != uninterrupted.files["model.safetensors"]


def test_the_warm_up_is_part_of_what_is_learned(tmp_path: Path) -> None:
    """And the manifest says how long it was."""
    without = learn(tiny(), tmp_path / "without")
    warmed = learn(tiny(autoencoder_steps=8), tmp_path / "warmed")
    assert warmed.files["model.safetensors"] != without.files["model.safetensors"]
    assert warmed.files["language_model.safetensors"] == without.files["language_model.safetensors"]
    assert warmed.facts["steps"]["autoencoder"] == 8


def test_a_damaged_checkpoint_costs_one_checkpoint_and_not_the_run(tmp_path: Path) -> None:
    uninterrupted = learn(tiny(), tmp_path / "uninterrupted")
    for damage in ("truncated", "swapped", "missing"):
        run = tmp_path / damage
        with pytest.raises(KilledError):
            learn(tiny(), run, ("vae", 14))
        newest = max((run / "checkpoints" / "vae").iterdir())
        weights = newest / "model.safetensors"
        match damage:
            case "truncated":
                weights.write_bytes(weights.read_bytes()[:-9])
            case "swapped":
                weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
            case "missing":
                shutil.rmtree(newest)
                newest.mkdir()
        assert learn(tiny(), run).files == uninterrupted.files


def test_the_same_recipe_gives_the_same_version_and_another_seed_another(tmp_path: Path) -> None:
    one = learn(tiny(), tmp_path / "one")
    assert learn(tiny(), tmp_path / "other") == one
    assert learn(tiny(seed=1), tmp_path / "seed").files != one.files


def test_a_run_is_named_by_recipe_text_and_parent() -> None:
    corpus = toys.corpus()
    names = {
        run_name(tiny(), corpus, ""),
        run_name(tiny(seed=1), corpus, ""),
        run_name(tiny(), corpus, "20260101-000000000000"),
        run_name(tiny(), corpus._replace(hashes=("1" * 64,)), ""),
    }
    assert len(names) == 4
    assert run_name(tiny(), corpus, "") in names


def test_a_version_says_what_it_was_made_of(toy_version: tuple[Path, Version]) -> None:
    """And holds no time of day."""
    manifest = toy_version[1].manifest
    assert manifest["spans"] == {"toy": "0" * 64}
    assert manifest["model_config"]["latent"] == 16
    assert manifest["steps"] == {"vae": 1200, "language-model": 400}
    spelled = "by torch" if native_to_learn() is None else "in C"
    assert manifest["arithmetic"] == f"fp32, recurrence {spelled}, softmax {spelled}"
    assert set(manifest["files"]) == {
        "model.safetensors",
        "language_model.safetensors",
        "tokenizer.model",
        "config.toml",
    }


def test_a_collapsed_posterior_ends_the_run_with_the_remedy(tmp_path: Path) -> None:
    """At a KL weight of 1 from the first step the decoder learns to ignore its latent."""
    doomed = tiny(
        kl_start=1.0,
        kl_steps=0,
        collapse_stops=True,
        word_dropout=0.0,
        target_kl_nats=0.0,
        steps=60,
    )
    doomed = doomed._replace(model=dataclasses.replace(doomed.model, batchnorm_scale=0.0))
    with pytest.raises(
        CollapsedError, match=r"step 60: the posterior has collapsed: .* set training\."
    ):
        learn(doomed, tmp_path)
    assert CollapsedError.exit_code == 4


def test_a_run_that_diverges_stops_before_it_spoils_its_checkpoints(tmp_path: Path) -> None:
    """A step size of a million makes numbers that are none; the message says which setting."""
    with pytest.raises(
        InputError, match=r"training\.learning_rate: the loss or its gradient is no"
    ):
        learn(tiny(learning_rate=1e18, warmup_steps=0, clip=1e18), tmp_path)
    for weights in tmp_path.rglob("model.safetensors"):
        assert all(np.isfinite(part).all() for part in load_file(weights).values())


def test_a_healthy_run_is_not_called_collapsed(runs: Path, registry: Path) -> None:
    """The toy run has the watchdog on; its last validation found a used latent."""
    assert registry.exists()
    validations = [line for line in lines(runs / "vae") if "valid_shuffle_nats" in line]
    assert float(validations[-1]["valid_shuffle_nats"]) > 10


def test_the_kl_is_held_at_its_target(runs: Path, registry: Path) -> None:
    assert registry.exists()
    validations = [line for line in lines(runs / "vae") if "valid_kl_nats" in line]
    assert float(validations[-1]["valid_kl_nats"]) == pytest.approx(9.5, rel=0.1)


def test_a_corpus_without_a_validation_side_is_refused(tmp_path: Path) -> None:
    corpus: Corpus = toys.corpus()._replace(valid=[])
    with pytest.raises(
        DataError, match=r"no sentence is on the valid side; raise data\.valid_share"
    ):
        train(tiny(), corpus, tmp_path, "", lambda *_: None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "training.steps: must be 1 or more, got 0"),
        ({"word_dropout": 1.5}, "training.word_dropout: must be 0 to 1, got 1.5"),
        ({"learning_rate": float("nan")}, "training.learning_rate: must be 1e-08 or more, got nan"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as caught:
        tiny(**settings)
    assert str(caught.value) == message
