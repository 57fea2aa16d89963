"""The service's limits of length decide which sentences are measured, and what the gate sees."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobs import doctor, evaluate, nightly, report
from jobs.command import run_job
from tests import toys
from tests.serving import another_version
from tests.test_candidate import made_of
from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.nightly import NightlyConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.spans import write_span
from textvae.errors import UnavailableError
from textvae.evaluation import quantization
from textvae.evaluation.holdout import digest, first_texts_by_hash
from textvae.evaluation.length_limits import (
    filter_by_length,
    limits_key,
    measuring_config,
    sentences_within_limits,
)
from textvae.release import smoke_test
from textvae.serve.__main__ import _flags
from textvae.settings import to_mapping
from textvae.store.attachments import list_attachments, read_attachment
from textvae.store.promotions import champion
from textvae.store.versions import Version

TEST = [row._replace(label="") for row in toys.corpus().test[:40]]
LONG = TEST[0]._replace(text=" ".join(row.text for row in TEST[:18]))
"""Between 128 and 256 tokens, and under 1000 characters."""
EVALUATION = EvaluationConfig(
    sentences=0,
    sealed_share=0.0,
    importance_samples=2,
    prior_draws=20,
    prior_components=1,
    path_pairs=2,
)
DEFAULT, RAISED = ServeConfig(threads=1), ServeConfig(tokens_max=256, threads=1)


@pytest.fixture
def store(registry: Path, tmp_path: Path) -> StoreConfig:
    """A span whose test side has one long sentence, and a champion made from it."""
    folders = (tmp_path / name for name in ("registry", "spans", "runs"))
    own, spans, runs = folders
    sides = {"train": TEST[:10], "valid": [], "test": [*TEST, LONG]}
    span = write_span(spans, sides, {}, {}).name
    toys.promoted(own, made_of(champion(registry, toys.MODEL), own, [span]))
    return StoreConfig(own, toys.MODEL, spans, runs)


def decision_of(store: StoreConfig, version: Version, serve: ServeConfig) -> dict[str, Any]:
    """The job's decision on the version under these limits."""
    before = set(list_attachments(store.registry, version))
    evaluate.main(
        evaluate.Evaluate(version.name, store, EVALUATION, GateConfig(distinct_min=0.0), serve)
    )
    new = set(list_attachments(store.registry, version)) - before
    (name,) = (name for name in new if name.startswith("gate-"))
    attached = read_attachment(store.registry, version, name) or {}
    decision: dict[str, Any] = json.loads(attached["decision.json"])
    return decision


def test_the_gate_sees_a_sentence_of_more_than_128_tokens_where_it_is_served(
    store: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the default limit it is left out, and attachments have the names of earlier ones."""
    monkeypatch.setattr(quantization, "check_int8", lambda *_: None)
    version = another_version(store.registry)
    default = decision_of(store, version, DEFAULT)
    assert default["sentences"] == default["holdout"]["sentences"] == len(TEST)
    assert default["newest"]["sentences"] == len(TEST)
    names = list_attachments(store.registry, version)
    short = [text for text in first_texts_by_hash([*TEST, LONG], 0) if text != LONG.text]
    key = json.dumps([3, to_mapping(EVALUATION), short])
    assert f"evaluation-{digest(key)[:8]}" in names
    assert f"elbo-{digest(json.dumps([3, 2, 0, 'cpu', short]))[:8]}" in names
    raised = decision_of(store, version, RAISED)
    assert raised["sentences"] == raised["holdout"]["sentences"] == len(TEST) + 1
    assert raised["newest"]["sentences"] == len(TEST) + 1


def test_measurements_under_other_limits_have_other_names() -> None:
    """The same sentences may be decoded to other lengths."""
    assert limits_key(ServeConfig()) == limits_key(ServeConfig(threads=3, count_max=7)) == []
    keys = [limits_key(serve) for serve in (RAISED, ServeConfig(characters_max=9))]
    assert keys == [[{"tokens_max": 256}], [{"characters_max": 9}]]


def test_an_engine_that_measures_has_the_limits_of_length_and_the_threads_of_the_service() -> None:
    """And none of its quotas, which would refuse the calls of an evaluation."""
    serve = ServeConfig(
        characters_max=99, tokens_max=9, threads=3, count_max=1, steps_max=2, precision="int8"
    )
    assert measuring_config(serve) == ServeConfig(characters_max=99, tokens_max=9, threads=3)


def test_a_sentence_at_a_limit_is_measured_and_a_longer_one_is_not(registry: Path) -> None:
    version = champion(registry, toys.MODEL)
    texts = [LONG.text]
    assert filter_by_length(texts, [version.folder], DEFAULT) == []
    longest = len(LONG.text)
    for characters_max, measured in ((longest, texts), (longest - 1, [])):
        serve = ServeConfig(characters_max=characters_max, tokens_max=256)
        assert filter_by_length(texts, [version.folder], serve) == measured
    tokens = next(
        limit
        for limit in range(129, 257)
        if filter_by_length(texts, [version.folder], ServeConfig(tokens_max=limit))
    )
    assert sentences_within_limits(texts, [version.folder], ServeConfig(tokens_max=tokens)) == texts


@pytest.mark.parametrize("kind", [evaluate.Evaluate, doctor.Doctor, report.Report, nightly.Nightly])
def test_the_serve_section_of_a_settings_file_reaches_every_job_that_measures(
    kind: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    settings = tmp_path / "textvae.toml"
    settings.write_text("[serve]\ntokens_max = 256\nthreads = 1\n")
    seen: list[ServeConfig] = []

    def main(settings: Any) -> dict[str, str]:
        seen.append(settings.serve)
        return {"outcome": "seen"}

    with pytest.raises(SystemExit):
        run_job("toy", kind, main, ["--config", str(settings), f"--store.runs={tmp_path}"])
    assert seen == [ServeConfig(tokens_max=256, threads=1)]


def test_the_smoke_test_starts_its_server_with_the_limits_of_the_service(
    toy_version: tuple[Path, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would refuse a sentence that the service takes, and the candidate with it."""
    started: list[str] = []

    @contextmanager
    def no_server(registry: Path, model: str, timeout_s: float, *flags: str) -> Iterator[str]:
        started.extend(flags)
        raise UnavailableError("is not started")
        yield ""

    monkeypatch.setattr(smoke_test, "run_server", no_server)
    serve = ServeConfig(tokens_max=256, characters_max=2000, threads=1)
    found = smoke_test.call_every_method(*toy_version, ["a", "b"], NightlyConfig(), serve)
    assert found.faults == [f"{toy_version[1].name}: is not started"]
    flags = _flags(started)
    assert flags.version == toy_version[1].name
    assert flags.serve == serve
