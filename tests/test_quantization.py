"""Weights of 8 bits: their effect is measured, attached, and decides whether they may serve."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import toys
from tests.compiled import load_native
from textvae.config.serve import ServeConfig
from textvae.engine import batch_invariance
from textvae.engine.batch_invariance import check_batch_invariance
from textvae.engine.load import LoadedVersion, load_version
from textvae.engine.operations.decode import DecodeRequest
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.start import INT8_ATTACHMENT, INT8_FILE, start_engine
from textvae.evaluation import quantization as precision
from textvae.evaluation.quantization import Int8Check, check_int8, compare_with_fp32
from textvae.options import Options
from textvae.store.attachments import attach, read_attachment
from textvae.store.promotions import champion
from textvae.store.versions import Version

HELD_OUT = [row.text for row in toys.corpus().test[:150]]
INT8 = ServeConfig(precision="int8", threads=1)


@pytest.fixture(autouse=True)
def wide_enough() -> None:
    """Skips where int8 cannot be computed at all."""
    if load_native().lanes_best() < batch_invariance.LANES_MIN:
        pytest.skip("this processor's vectors are too narrow for int8")


@pytest.fixture
def own(registry: Path, tmp_path: Path) -> tuple[Path, Version]:
    """A copy of the registry with the toy version, not checked yet."""
    shutil.copytree(registry, tmp_path / "registry")
    return tmp_path / "registry", champion(tmp_path / "registry", toys.MODEL)


def attach_check(own: tuple[Path, Version], *, held: bool) -> None:
    """Attach what a check found, whatever 8 bits do to the version."""
    found = Int8Check(100, 1000, 0.995 if held else 0.9, 1e-4, held)
    attach(*own, INT8_ATTACHMENT, {INT8_FILE: json.dumps(found._asdict()).encode()})


def test_a_check_is_measured_once_and_attached(own: tuple[Path, Version]) -> None:
    """On the version's own sentences 8 bits change few tokens."""
    registry, version = own
    found = check_int8(registry, version, HELD_OUT)
    assert found is not None
    assert found.sentences == len(HELD_OUT)
    encoded = load_version(registry, version).tokenizer.encode(HELD_OUT)
    assert found.tokens == sum(len(ids) + 1 for ids in encoded)
    assert 0.98 < found.top_1_agreement <= 1
    assert 0 < abs(found.nats_change) < 0.01
    attached = read_attachment(registry, version, INT8_ATTACHMENT)
    assert attached is not None
    assert Int8Check(**json.loads(attached[INT8_FILE])) == found
    # A check that is attached is read, whatever the sentences.
    assert check_int8(registry, version, HELD_OUT[:3]) == found


def test_figures_are_those_of_sentences_scored_one_by_one(registry: Path) -> None:
    """By the engine's own scores of single rows, which share no code with the check."""
    loaded = load_version(registry, champion(registry, toys.MODEL))
    encoded = loaded.tokenizer.encode(HELD_OUT[:20])
    exact, reduced = (
        check_batch_invariance(loaded).loaded,
        check_batch_invariance(loaded, int8=True).loaded,
    )
    found = compare_with_fp32(exact, reduced, encoded)
    same, change, tokens = 0, 0.0, 0
    for ids in encoded:
        latent = torch.from_numpy(exact.posteriors([ids]).mean)
        both = [each.decoder.start(latent) for each in (exact, reduced)]
        for token, target in zip([1, *ids], [*ids, 2], strict=True):
            rows = []
            for number, each in enumerate((exact, reduced)):
                logits, both[number] = each.decoder.step(torch.tensor([token]), both[number])
                rows.append(logits[0].log_softmax(0))
            same += int(rows[0].argmax() == rows[1].argmax())
            change += float(rows[0][target] - rows[1][target])
            tokens += 1
    assert found.tokens == tokens
    assert found.top_1_agreement == pytest.approx(same / tokens)
    assert found.nats_change == pytest.approx(change / tokens, abs=1e-6)


def test_a_version_that_8_bits_change_too_much_is_not_held(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many other tokens, or too many nats, each by itself; equals hold."""
    loaded = check_batch_invariance(load_version(registry, champion(registry, toys.MODEL))).loaded
    encoded = loaded.tokenizer.encode(HELD_OUT[:20])
    assert compare_with_fp32(loaded, loaded, encoded)[2:] == (1.0, 0.0, True)
    step = loaded.decoder.step

    def changed(how: Any) -> LoadedVersion:
        def other(tokens: Any, carried: Any) -> Any:
            logits, carried = step(tokens, carried)
            return how(logits), carried

        decoder = check_batch_invariance(
            load_version(registry, champion(registry, toys.MODEL))
        ).loaded.decoder
        decoder.step = other  # type: ignore[method-assign]
        return loaded._replace(decoder=decoder)

    turned = compare_with_fp32(loaded, changed(lambda logits: logits.roll(1, 1)), encoded)
    assert turned.top_1_agreement < precision.AGREEMENT_MIN
    assert not turned.held
    with monkeypatch.context() as patched:
        patched.setattr(precision, "NATS_MAX", 1e3)
        assert not compare_with_fp32(
            loaded, changed(lambda logits: logits.roll(1, 1)), encoded
        ).held
    flatter = compare_with_fp32(loaded, changed(lambda logits: logits * 0.7), encoded)
    assert flatter.top_1_agreement == 1
    assert flatter.nats_change > precision.NATS_MAX
    assert not flatter.held


def served(registry: Path, version: Version, config: ServeConfig) -> tuple[str, list[str]]:
    """The arithmetic of an engine in words, and what it decodes of some latents."""
    with start_engine(registry, version, config) as engine:
        latents = np.random.default_rng(0).normal(size=(40, engine.latent)).astype(np.float32)
        decoded = engine.answer(DecodeRequest(latents, Options()))
        return engine.arithmetic, [one.text for one in decoded.sentences]


def test_int8_serves_a_version_whose_check_held_and_no_other(
    own: tuple[Path, Version], caplog: pytest.LogCaptureFixture
) -> None:
    """The others are served in fp32, and the log and GetServerInfo say why."""
    registry, version = own
    exact = served(registry, version, ServeConfig(threads=1))
    with caplog.at_level(logging.WARNING):
        words, texts = served(registry, version, INT8)
    assert words == f"{exact[0]}; not int8: it was not checked; python -m jobs.evaluate does that"
    assert texts == exact[1]
    assert f"{version.name} is served in fp32, not in int8: it was not checked" in caplog.text

    attach_check(own, held=True)
    words, texts = served(registry, version, INT8)
    assert words == "int8, rows exact in any number; products in C, gates in C, tokens picked in C"
    same = sum(one == other for one, other in zip(texts, exact[1], strict=True))
    assert same > 20, "most sentences are those of fp32"


@pytest.mark.parametrize(
    ("held", "able", "why"),
    [
        (False, True, "precision-int8 was not held"),
        (True, False, "this machine cannot compute it"),
    ],
)
def test_int8_is_refused_with_its_reason(
    own: tuple[Path, Version], held: bool, able: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that was not held, and a machine without what it takes."""
    attach_check(own, held=held)
    if not able:
        monkeypatch.setattr(batch_invariance, "native", lambda: None)
    words, _ = served(*own, INT8)
    assert words.startswith("fp32, ")
    assert words.endswith(f"; not int8: {why}")


def test_where_int8_cannot_be_computed_nothing_is_attached(
    own: tuple[Path, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, version = own
    monkeypatch.setattr(batch_invariance, "native", lambda: None)
    assert check_int8(registry, version, HELD_OUT) is None
    assert read_attachment(registry, version, INT8_ATTACHMENT) is None


def test_int8_answers_the_same_bytes_alone_and_among_others(own: tuple[Path, Version]) -> None:
    """Batch invariance holds at 8 bits as in fp32."""
    registry, version = own
    attach_check(own, held=True)
    request = SampleRequest(3, options=Options(temperature=1.0), seed=7)
    with start_engine(registry, version, INT8) as engine:
        assert engine.arithmetic.startswith("int8, rows exact")
        alone = engine.answer(request)
        others = [engine.submit(SampleRequest(1, seed=seed)) for seed in range(40)]
        among = engine.submit(request).result()
        for other in others:
            other.result()
        assert among.batch_rows > 3, "no other request shared a step with it"
        assert among.result.sentences == alone.sentences
