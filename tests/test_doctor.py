"""The doctor and the watchdog: three forced collapses, a healthy run, and their verdicts."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from jobs import doctor, evaluate
from tests.drills.watchdog import HEALTHY, corpus, cut_off, forced
from tests.job_runs import ran as ran_module
from textvae.config.data import DataConfig, StoreConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.ingest import ingest
from textvae.corpus.spans import load_spans
from textvae.engine.answers import GeneratedSentence
from textvae.engine.load import load_networks
from textvae.evaluation.cache import cached_evaluation, prepare_inputs
from textvae.evaluation.diagnosis import diagnose
from textvae.evaluation.scorers import sentence_nats
from textvae.evaluation.validity import FluencyReference, fluency, fluency_reference
from textvae.files import write_lines
from textvae.latent.statistics import latent_statistics
from textvae.progress import no_progress
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
SERVE = ServeConfig()
FORCED = ("annealing-only", "kl-only", "batchnorm-cut")
VERDICTS = {
    "healthy": "healthy",
    "annealing-only": "collapsed",
    "kl-only": "collapsed",
    "batchnorm-cut": "decoder-ignores-latent",
}


class TrainedVersions(NamedTuple):
    """A healthy version and three collapsed ones, each a model of its own in one registry."""

    folder: Path

    def store(self, name: str) -> StoreConfig:
        """The store of the version of this name."""
        registry, spans, runs = (self.folder / part for part in ("registry", "spans", "runs"))
        return StoreConfig(registry, name, spans, runs)

    def doctor(self, name: str, strict: bool = False) -> dict[str, Any]:
        """The result of the job on the version."""
        return doctor.main(doctor.Doctor("", strict, self.store(name), EVALUATION))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedVersions:
    """Trained with a watchdog that only warns, so that there is something to diagnose."""
    made = TrainedVersions(tmp_path_factory.mktemp("trained"))
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


def test_the_watchdog_and_the_doctor_pass_a_healthy_run(trained: TrainedVersions) -> None:
    """The fixture trained it with the watchdog on."""
    result = trained.doctor("healthy")
    assert (result["outcome"], result["verdict"]) == ("healthy", "healthy"), result
    assert "the decoder listens" in result["findings"][0]


@pytest.mark.parametrize("name", FORCED)
def test_the_doctor_diagnoses_every_forced_collapse_and_names_the_settings(
    trained: TrainedVersions, name: str
) -> None:
    result = trained.doctor(name)
    assert (result["outcome"], result["verdict"]) == ("unhealthy", VERDICTS[name]), result
    assert "the decoder ignores the latent: shuffling latents" in result["findings"][0]
    remedies = "; ".join(result["remedies"])
    for setting in ("training.target_kl_nats", "training.word_dropout", "model.batchnorm_scale"):
        assert setting in remedies


def test_the_doctor_recognises_a_high_kl_of_a_decoder_that_ignores_the_latent(
    trained: TrainedVersions,
) -> None:
    """BatchNorm and free bits make KL, active units and information seem as good as any."""
    inputs = prepare_inputs(trained.store("batchnorm-cut"), "", EVALUATION, SERVE)
    figures = cached_evaluation(
        trained.folder / "registry",
        inputs.version,
        inputs.sentences,
        EVALUATION,
        SERVE,
        no_progress,
    ).figures
    assert figures["kl_nats"] > 4
    assert figures["active_units"] == figures["active_units_02"] == figures["latent"] == 16
    assert figures["mutual_information_nats"] > figures["mutual_information_nats_max"] / 2
    result = diagnose(figures)
    begin = f"KL {figures['kl_nats']:.1f} nats, 16 of 16 active units and "
    assert result.findings[0].startswith(begin)
    assert "seem healthy, but the decoder ignores the latent" in result.findings[0]
    assert "every dimension carries" in result.findings[0]


def test_a_strict_doctor_ends_with_4_and_says_verdict_and_remedy(trained: TrainedVersions) -> None:
    trained.doctor("annealing-only")
    store = trained.store("annealing-only")
    flags = [f"--store.{part}={getattr(store, part)}" for part in ("registry", "spans", "runs")]
    names = ("sentences", "importance_samples", "prior_draws", "path_pairs")
    names = (*names, "prior_sentences", "prior_components")
    flags += [f"--evaluation.{name}={getattr(EVALUATION, name)}" for name in names]
    ended = ran_module(
        trained.folder, "jobs.doctor", "--store.model=annealing-only", "--strict", *flags
    )
    assert (ended.code, ended.line["kind"]) == (4, "CollapsedError"), ended.stderr
    assert ": collapsed: " in ended.line["error"]
    assert "set training.target_kl_nats" in ended.line["error"]
    assert "Verdict: collapsed" in ended.stderr
    assert "importance-weighted likelihood" not in ended.stderr, "it had been evaluated already"


def test_a_strict_doctor_lets_a_healthy_version_pass(trained: TrainedVersions) -> None:
    assert trained.doctor("healthy", strict=True)["verdict"] == "healthy"


def test_the_gate_rejects_what_the_doctor_calls_collapsed_whatever_its_floors(
    trained: TrainedVersions,
) -> None:
    open_gate = GateConfig(
        kl_nats_min=-1e9, informed_share_min=-1e9, shuffle_nats_min=-1e9, distinct_min=-1e9
    )
    for name, verdict in VERDICTS.items():
        result = evaluate.main(evaluate.Evaluate("", trained.store(name), EVALUATION, open_gate))
        assert result["verdict"] == verdict
        assert result["outcome"] == ("first" if name == "healthy" else "rejected")
        if name != "healthy":
            assert result["kind"] == "fault"
            assert result["reasons"] == trained.doctor(name)["findings"]


def test_an_evaluation_is_attached_with_the_nats_of_every_sentence(
    trained: TrainedVersions,
) -> None:
    """So that a table can pair versions; read again, it is what was found."""
    store = trained.store("healthy")
    version, sentences, *_ = prepare_inputs(store, "", EVALUATION, SERVE)
    shorter = dataclasses.replace(EVALUATION, seed=5)
    both = [
        cached_evaluation(store.registry, version, sentences, shorter, SERVE, no_progress)
        for _ in range(2)
    ]
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
def reference(trained: TrainedVersions) -> tuple[FluencyReference, list[str]]:
    """Of the healthy version's language model, and the real sentences it was made of."""
    version, sentences, *_ = prepare_inputs(trained.store("healthy"), "", EVALUATION, SERVE)
    model = load_networks(version)[1]
    tokenizer = tokenizer_of(version.folder)
    nats = sentence_nats(model, tokenizer, sentences, 128)
    return fluency_reference(model, tokenizer, 128, sentences, nats), sentences


def decodes(texts: list[str], ended: bool = True) -> list[GeneratedSentence]:
    """As if a decoder had produced them."""
    return [GeneratedSentence(text, 0.0, len(text.split()), ended) for text in texts]


def test_real_sentences_are_valid_and_as_fluent_as_themselves(
    reference: tuple[FluencyReference, list[str]],
) -> None:
    real, sentences = reference
    found = fluency(decodes(sentences), real)
    assert found.perplexity_ratio == pytest.approx(1)
    assert 0.97 <= found.valid_share < 1


def test_words_in_random_order_are_invalid_and_so_is_a_sentence_without_an_end(
    reference: tuple[FluencyReference, list[str]],
) -> None:
    real, sentences = reference
    random = np.random.default_rng(0)
    salad = [" ".join(random.permutation(text.split())) for text in sentences]
    found = fluency(decodes(salad), real)
    assert found.valid_share < 0.1
    assert found.perplexity_ratio > 3
    assert fluency(decodes(sentences, ended=False), real).valid_share == 0
    assert fluency(decodes([""]), real).valid_share == 0


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
