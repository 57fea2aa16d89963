"""The doctor and the watchdog: three forced collapses, a healthy run, and what is said of each."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from jobs import doctor, evaluate
from tests.drills.watchdog import HEALTHY, corpus, cut_off, forced, ran
from tests.job_runs import ran as ran_module
from textvae.config.data import DataConfig, StoreConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.corpus.ingest import ingest
from textvae.corpus.spans import load_spans
from textvae.engine.answers import GeneratedSentence
from textvae.engine.load import load_networks
from textvae.errors import CollapsedError
from textvae.evaluation.cache import cached_evaluation, prepare_inputs
from textvae.evaluation.diagnosis import diagnose
from textvae.evaluation.scorers import sentence_nats
from textvae.evaluation.validity import FluencyReference, fluency, fluency_reference
from textvae.files import write_lines
from textvae.latent.statistics import latent_statistics
from textvae.store.attachments import list_attachments, read_attachment
from textvae.store.versions import publish
from textvae.training.run import train
from textvae.version_files import tokenizer_of

EVALUATION = EvaluationConfig(
    sentences=150,
    importance_samples=2,
    prior_draws=60,
    prior_sentences=1000,
    prior_components=4,
    path_pairs=20,
)
FORCED = ("annealing-only", "kl-only", "batchnorm-cut")
VERDICTS = {
    "healthy": "healthy",
    "annealing-only": "collapsed",
    "kl-only": "collapsed",
    "batchnorm-cut": "decoder-ignores-latent",
}


def quiet(what: str, done: int, parts: int) -> None:
    """Nobody is told."""


class Clinic(NamedTuple):
    """A healthy version and three collapsed ones, each a model of its own in one registry."""

    folder: Path

    def store(self, name: str) -> StoreConfig:
        """Where the version of this name lies."""
        places = (self.folder / part for part in ("registry", "spans", "runs"))
        registry, spans, runs = places
        return StoreConfig(registry, name, spans, runs)

    def doctor(self, name: str, strict: bool = False) -> dict[str, Any]:
        """What the job says of the version."""
        return doctor.main(doctor.Doctor("", strict, self.store(name), EVALUATION))


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    """Trained with the watchdog told to warn only, so that there is something to diagnose."""
    made = Clinic(tmp_path_factory.mktemp("clinic"))
    rows = [row.text for side in corpus()[:3] for row in side]
    write_lines(made.folder / "toy.txt", rows)
    data = DataConfig(inputs=(made.folder / "toy.txt",), valid_share=0.05, test_share=0.05)
    ingest(data, made.folder / "spans")
    learned = load_spans(made.folder / "spans")
    recipes = {"healthy": (HEALTHY, False), **forced()}
    for name, (recipe, cut) in recipes.items():
        healthy = name == "healthy"
        training = dataclasses.replace(
            recipe.training,
            language_model_steps=300 if healthy else 100,
            collapse_stops=healthy,
        )
        with cut_off(cut):
            run = made.folder / "runs" / name
            found = train(recipe._replace(training=training), learned, run, "", lambda *_: None)
        publish(made.folder / "registry", name, "20260101", found.files, found.facts)
    return made


@pytest.mark.parametrize("name", FORCED)
def test_the_watchdog_ends_a_forced_collapse_within_its_annealing_and_says_the_step(
    name: str,
) -> None:
    """`ran` reads the step off the message of the CollapsedError, which is exit code 4."""
    recipe, cut = forced()[name]
    assert 0 < ran(recipe, cut, seed=1).fired <= recipe.training.kl_steps < recipe.training.steps
    assert CollapsedError.exit_code == 4


def test_the_watchdog_lets_a_healthy_run_be_and_so_does_the_doctor(clinic: Clinic) -> None:
    """The fixture trained it with the watchdog on."""
    said = clinic.doctor("healthy")
    assert (said["outcome"], said["verdict"]) == ("healthy", "healthy"), said
    assert "the decoder listens" in said["findings"][0]


@pytest.mark.parametrize("name", FORCED)
def test_the_doctor_knows_every_forced_collapse_and_names_the_settings(
    clinic: Clinic, name: str
) -> None:
    said = clinic.doctor(name)
    assert (said["outcome"], said["verdict"]) == ("unhealthy", VERDICTS[name]), said
    assert "the decoder ignores the latent: shuffling latents" in said["findings"][0]
    remedies = "; ".join(said["remedies"])
    for setting in ("training.target_kl_nats", "training.word_dropout", "model.batchnorm_scale"):
        assert setting in remedies


def test_the_doctor_sees_through_a_kl_that_is_held_up_in_front_of_a_deaf_decoder(
    clinic: Clinic,
) -> None:
    """BatchNorm and free bits make KL, active units and information look as good as any."""
    patient = prepare_inputs(clinic.store("batchnorm-cut"), "", EVALUATION)
    figures = cached_evaluation(
        clinic.folder / "registry", patient.version, patient.sentences, EVALUATION, quiet
    ).figures
    assert figures["kl_nats"] > 4
    assert figures["active_units"] == figures["active_units_02"] == figures["latent"] == 16
    assert figures["mutual_information_nats"] > figures["mutual_information_nats_max"] / 2
    said = diagnose(figures)
    begin = f"KL {figures['kl_nats']:.1f} nats, 16 of 16 active units and "
    assert said.findings[0].startswith(begin)
    assert "look healthy, but the decoder ignores the latent" in said.findings[0]
    assert "every dimension carries" in said.findings[0]


def test_a_strict_doctor_ends_with_4_and_says_verdict_and_remedy(clinic: Clinic) -> None:
    clinic.doctor("annealing-only")
    store = clinic.store("annealing-only")
    flags = [f"--store.{part}={getattr(store, part)}" for part in ("registry", "spans", "runs")]
    names = ("sentences", "importance_samples", "prior_draws", "path_pairs")
    names = (*names, "prior_sentences", "prior_components")
    flags += [f"--evaluation.{name}={getattr(EVALUATION, name)}" for name in names]
    ended = ran_module(
        clinic.folder, "jobs.doctor", "--store.model=annealing-only", "--strict", *flags
    )
    assert (ended.code, ended.line["kind"]) == (4, "CollapsedError"), ended.stderr
    assert ": collapsed: " in ended.line["error"]
    assert "set training.target_kl_nats" in ended.line["error"]
    assert "Verdict: collapsed" in ended.stderr
    assert "importance-weighted likelihood" not in ended.stderr, "it had been evaluated already"


def test_a_strict_doctor_lets_a_healthy_version_pass(clinic: Clinic) -> None:
    assert clinic.doctor("healthy", strict=True)["verdict"] == "healthy"


def test_the_gate_rejects_what_the_doctor_calls_collapsed_whatever_its_floors(
    clinic: Clinic,
) -> None:
    open_gate = GateConfig(
        kl_nats_min=-1e9, informed_share_min=-1e9, shuffle_nats_min=-1e9, distinct_min=-1e9
    )
    for name, verdict in VERDICTS.items():
        said = evaluate.main(evaluate.Evaluate("", clinic.store(name), EVALUATION, open_gate))
        assert said["verdict"] == verdict
        assert said["outcome"] == ("first" if name == "healthy" else "rejected")
        if name != "healthy":
            assert said["kind"] == "fault"
            assert said["reasons"] == clinic.doctor(name)["findings"]


def test_an_evaluation_is_attached_with_the_nats_of_every_sentence(clinic: Clinic) -> None:
    """So that a table can pair versions; read again, it is what was found."""
    store = clinic.store("healthy")
    version, sentences, *_ = prepare_inputs(store, "", EVALUATION)
    shorter = dataclasses.replace(EVALUATION, seed=5)
    both = [cached_evaluation(store.registry, version, sentences, shorter, quiet) for _ in range(2)]
    assert both[0] == both[1]
    found = both[0]
    for name in ("elbo_nats", "iw_nll_nats", "fitted_iw_nll_nats", "language_model_nats"):
        nats = getattr(found, name)
        assert len(nats) == len(sentences)
        assert np.mean(nats) == pytest.approx(found.figures[name])
    names = [
        name
        for name in list_attachments(store.registry, version)
        if name.startswith("evaluation") and read_attachment(store.registry, version, name)
    ]
    assert "language_model_nats.json" in (read_attachment(store.registry, version, names[0]) or {})


@pytest.fixture(scope="module")
def yardstick(clinic: Clinic) -> tuple[FluencyReference, list[str]]:
    """Of the healthy version's language model, and the real sentences it was made of."""
    version, sentences, *_ = prepare_inputs(clinic.store("healthy"), "", EVALUATION)
    model = load_networks(version)[1]
    tokenizer = tokenizer_of(version.folder)
    nats = sentence_nats(model, tokenizer, sentences, 128)
    return fluency_reference(model, tokenizer, 128, sentences, nats), sentences


def written(texts: list[str], ended: bool = True) -> list[GeneratedSentence]:
    """As if a decoder had written them."""
    return [GeneratedSentence(text, 0.0, len(text.split()), ended) for text in texts]


def test_real_sentences_are_valid_and_as_fluent_as_themselves(
    yardstick: tuple[FluencyReference, list[str]],
) -> None:
    stick, sentences = yardstick
    found = fluency(written(sentences), stick)
    assert found.perplexity_ratio == pytest.approx(1)
    assert 0.97 <= found.valid_share < 1


def test_words_in_no_order_are_a_hole_and_so_is_a_sentence_without_an_end(
    yardstick: tuple[FluencyReference, list[str]],
) -> None:
    stick, sentences = yardstick
    random = np.random.default_rng(0)
    salad = [" ".join(random.permutation(text.split())) for text in sentences]
    found = fluency(written(salad), stick)
    assert found.valid_share < 0.1
    assert found.perplexity_ratio > 3
    assert fluency(written(sentences, ended=False), stick).valid_share == 0
    assert fluency(written([""]), stick).valid_share == 0


def test_marginals_are_0_for_a_posterior_that_fills_the_prior_and_grow_with_the_distance() -> None:
    """Means of variance 0.64 and posteriors of 0.36 make a standard normal together."""
    random = np.random.default_rng(0)
    mean = 0.8 * random.standard_normal((2000, 3))
    mean[:, 1] += 1
    mean[:, 2] *= 0.2
    logvar = np.full_like(mean, np.log(0.36))
    draws = mean + 0.6 * random.standard_normal(mean.shape)
    found = latent_statistics(mean, logvar, draws)
    # KL(N(m, v) || N(0, 1)) = (m^2 + v - 1 - log v) / 2, at (0, 1), (1, 1) and (0, 0.3856).
    expected = [0, 0.5, (0.3856 - 1 - math.log(0.3856)) / 2]
    assert found.marginal_kl_nats == pytest.approx(expected, abs=0.08)
    assert (found.active_units, found.active_units_02) == (3, 2)
    # Dimensions are independent here, so the whole is the sum of them.
    assert found.aggregate_kl_nats == pytest.approx(sum(expected), abs=0.15)
