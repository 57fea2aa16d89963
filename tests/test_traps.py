"""Errors that published text VAEs were measured with: this project must have none of them."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor

from tests import toys
from textvae.config.data import TokenizerConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.evaluation.evaluate import ROWS
from textvae.latent.statistics import latent_statistics
from textvae.model.network import LanguageModel, SentenceVae
from textvae.progress import ProgressCallback
from textvae.text.batches import store_tokens
from textvae.training import phases as training_phases
from textvae.training import validation
from textvae.training.recipe import Recipe
from textvae.training.run import train_vae
from textvae.training.tokenized_corpus import TokenizedCorpus, tokenize_corpus

VOCAB = 40
STEPS, WARMUP = 12, 3


def quiet(*_: object) -> None:
    """Ignore the progress."""


def recipe(dropout: float = 0.1, **training: Any) -> Recipe:
    """A recipe of a second."""
    return Recipe(
        TokenizerConfig(vocab=300, kind="bpe"),
        ModelConfig(embed=8, hidden=12, latent=4, dropout=dropout),
        dataclasses.replace(
            TrainingConfig(
                steps=STEPS,
                batch=32,
                warmup_steps=WARMUP,
                kl_steps=4,
                log_steps=1,
                validation_steps=3,
                target_kl_nats=0.0,
                collapse_stops=False,
                precision="fp32",
            ),
            **training,
        ),
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> TokenizedCorpus:
    """The toy grammar, small, in tokens."""
    toy_corpus = toys.corpus()
    corpus = toy_corpus._replace(train=toy_corpus.train[:600], valid=toy_corpus.valid[:60])
    return tokenize_corpus(recipe(), corpus, tmp_path_factory.mktemp("tokens"))


def learn(
    what: Recipe, data: TokenizedCorpus, run: Path, on_progress: ProgressCallback = quiet
) -> SentenceVae:
    """The VAE of a recipe."""
    return train_vae(what, data, run, on_progress)


def lines(run: Path, name: str) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl that have a figure of this name."""
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if name in line]


def test_mutual_information_is_not_capped_by_a_batch() -> None:
    """Batches of 32 end at ln 32 = 3.47 nats, as in a well-known repository; ours see the set."""
    count = 4 * ROWS
    means = np.random.default_rng(0).normal(0, 30, (count, 8)).astype(np.float32)
    logvar = np.full_like(means, -6.0)
    noise = np.random.default_rng(1).normal(size=means.shape).astype(np.float32)
    samples = means + np.exp(0.5 * logvar) * noise
    found = latent_statistics(means, logvar, samples).mutual_information_nats
    assert found > math.log(ROWS) + 1
    assert found == pytest.approx(math.log(count), rel=1e-3)


def test_what_is_hidden_while_training_is_shown_at_validation(
    prepared: TokenizedCorpus, tmp_path: Path
) -> None:
    """Word dropout that stayed on at validation flattered or spoilt a widely used repository.

    At a step size of next to nothing two runs are the same model, so their validations must agree
    whatever each hides while it learns.
    """
    still = {"learning_rate": 1e-8, "steps": 2, "validation_steps": 1}
    learn(recipe(0.0, word_dropout=0.0, word_noise=0.0, **still), prepared, tmp_path / "shown")
    learn(recipe(0.8, word_dropout=0.9, word_noise=0.9, **still), prepared, tmp_path / "hidden")
    validations = [lines(tmp_path / name, "valid_iw_nll_nats") for name in ("shown", "hidden")]
    assert len(validations[0]) == 2
    for shown, hidden in zip(*validations, strict=True):
        assert shown.pop("phase") == hidden.pop("phase")
        assert hidden == pytest.approx(shown, rel=1e-5)
    steps = [lines(tmp_path / name, "learning_rate") for name in ("shown", "hidden")]
    assert steps[0][0]["reconstruction_nats"] != pytest.approx(
        steps[1][0]["reconstruction_nats"], rel=1e-4
    ), "what is hidden must matter to this model, or the test could not fail"


def test_the_weights_published_are_those_of_the_best_iw_nll_and_not_of_the_best_elbo(
    prepared: TokenizedCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four validations with given figures: IW-NLL is best at the second, the ELBO at the third."""
    given = [(30.0, 5.0, 34.0), (31.0, 4.0, 31.0), (27.0, 3.0, 33.0), (28.0, 4.0, 32.0)]
    seen: list[dict[str, Tensor]] = []

    def validate(model: SentenceVae, *_: object) -> Mapping[str, float]:
        reconstruction, kl, iw_nll = given[len(seen)]
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return {
            "valid_reconstruction_nats": reconstruction,
            "valid_kl_nats": kl,
            "valid_iw_nll_nats": iw_nll,
            "valid_shuffle_nats": 9.0,
        }

    monkeypatch.setattr(training_phases, "validate_vae", validate)
    # The watchdog's own steps would add to the four validations.
    monkeypatch.setattr(training_phases, "watched_steps", lambda _: frozenset[int]())
    for select, best in (("iw-nll", 1), ("last", 3)):
        seen.clear()
        vae = learn(recipe(select=select), prepared, tmp_path / select)
        same = [
            all(torch.equal(value, weights[name]) for name, value in vae.state_dict().items())
            for weights in seen
        ]
        assert same == [index == best for index in range(len(given))]


class KilledError(Exception):
    """Stands for the end of a process between two steps."""


def test_the_optimizer_is_one_adam_from_the_first_step_to_the_last(
    prepared: TokenizedCorpus, tmp_path: Path
) -> None:
    """A reference repository turned Adam into SGD at the first decay of the learning rate.

    Here every parameter's state counts all steps, across a kill as well, and the step size falls
    along the cosine of README and docstring.
    """

    def stop(what: str, done: int, *_: object) -> None:
        if done == 7:
            raise KilledError

    what = recipe(checkpoint_s=0.0)
    uninterrupted = learn(what, prepared, tmp_path / "uninterrupted")
    with pytest.raises(KilledError):
        learn(what, prepared, tmp_path / "killed", stop)
    resumed = learn(what, prepared, tmp_path / "killed")
    for name, value in uninterrupted.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    for run in ("uninterrupted", "killed"):
        newest = max((tmp_path / run / "checkpoints" / "vae").glob("[0-9]*"))
        state = load_file(newest / "optimizer.safetensors")
        assert set(state) == {
            f"{name}|{key}"
            for name, _ in uninterrupted.named_parameters()
            for key in ("exp_avg", "exp_avg_sq", "step")
        }
        assert {float(value) for key, value in state.items() if key.endswith("|step")} == {STEPS}
        rates = [line["learning_rate"] for line in lines(tmp_path / run, "learning_rate")]
        assert rates == pytest.approx([documented_rate(step) for step in range(STEPS)], rel=1e-5)


def documented_rate(step: int) -> float:
    """A linear rise, then half a cosine from the peak to a tenth of it."""
    fallen = (1 + math.cos(math.pi * step / STEPS)) / 2
    return 1e-3 * min(1.0, (step + 1) / WARMUP) * (0.1 + 0.9 * fallen)


@pytest.mark.parametrize("latent", [0, 4])
def test_a_later_token_changes_no_earlier_tokens_nats(latent: int) -> None:
    """A decoder that reads both ways makes any likelihood meaningless, as one option of a widely
    used repository does."""
    torch.manual_seed(0)
    config = ModelConfig(embed=8, hidden=12, latent=4)
    model = SentenceVae(config, VOCAB) if latent else LanguageModel(config, VOCAB)
    model.eval()
    latents = torch.randn(1, latent) if latent else None
    tokens = torch.randint(4, VOCAB, (1, 10))
    for position in range(2, 10):
        other = tokens.clone()
        other[0, position] = 4 + (other[0, position] - 3) % (VOCAB - 4)
        assert other[0, position] != tokens[0, position]
        # Lengths that end before the position give the nats of the tokens before it alone.
        before, after = torch.tensor([position]), torch.tensor([10])
        with torch.no_grad():
            assert torch.equal(
                model.nats(tokens, before, latents), model.nats(other, before, latents)
            )
            assert not torch.equal(
                model.nats(tokens, after, latents), model.nats(other, after, latents)
            )


def test_a_validation_sees_all_of_the_held_out_side_and_not_its_first_sentences() -> None:
    """Files have neighbours that are alike: the first sentences once had 6 % less KL than all."""
    count = 4 * validation.SENTENCES
    store = store_tokens([[4 + n // 200] for n in range(count)], 9).store
    batches = validation._batches(store, "cpu")
    seen = torch.cat([tokens[:, 1] for tokens, _ in batches])
    assert len(seen) == validation.SENTENCES
    assert set(seen.tolist()) == {4 + n // 200 for n in range(count)}
    few = store_tokens([[5], [6], [7]], 9).store
    assert torch.cat([tokens[:, 1] for tokens, _ in validation._batches(few, "cpu")]).tolist() == [
        5,
        6,
        7,
    ]
