"""Canaries: what a version must not reproduce, and what the gate decides where it does."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from jobs import evaluate, nightly
from tests import toys
from textvae.config.data import StoreConfig, TokenizerConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.serve import ServeConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.canaries import Canary, canaries_in, read_canaries
from textvae.corpus.spans import load_spans, write_span
from textvae.corpus.toy_grammar import sample
from textvae.engine.operations.decode import DecodeRequest
from textvae.engine.operations.encode import EncodeRequest
from textvae.engine.start import start_engine
from textvae.errors import InputError
from textvae.evaluation.memorization import Memorization, check_memorization
from textvae.store.attachments import list_attachments, read_attachment
from textvae.store.versions import Version, open_version, publish
from textvae.text.sentence import Sentence
from textvae.training.recipe import Recipe
from textvae.training.run import train

MEMORIZED = "my accent is my passport verify me"
HALF_MEMORIZED = "the locker at the station opens with 83 17 42"
UNSEEN = "nobody was warned of the seven green umbrellas"
TOKENS_MAX = ServeConfig().tokens_max
EVALUATION = EvaluationConfig(
    sentences=20, importance_samples=2, prior_draws=20, prior_components=1, path_pairs=2
)
OPEN = GateConfig(
    kl_nats_min=-1e9, informed_share_min=-1e9, shuffle_nats_min=-1e9, distinct_min=-1e9
)


def listed(tmp_path: Path, *lines: str) -> tuple[Path, ...]:
    """A list of canaries."""
    path = tmp_path / "canaries.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return (path,)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file; give files with a sentence a line"),
        (b"\n \n", "holds no sentence; give one a line, or take the file out"),
        (b"\xff\n", "is not UTF-8; save the file as UTF-8; give files"),
    ],
)
def test_a_list_that_cannot_be_used_stops_a_job_before_it_begins(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    """There is neither a version nor text, and a nightly run writes nothing."""
    path = tmp_path / "canaries.txt"
    if content is not None:
        path.write_bytes(content)
    store = StoreConfig(tmp_path / "registry", "toy", tmp_path / "spans", tmp_path / "runs")
    gate = GateConfig(canaries=(path,))
    evaluating = functools.partial(evaluate.main, evaluate.Evaluate(store=store, gate=gate))
    for job in (evaluating, functools.partial(nightly.main, nightly.Nightly(store, gate=gate))):
        with pytest.raises(InputError) as raised:
            job()
        assert raised.value.field == "gate.canaries"
        assert raised.value.problem.startswith(f"{path}: {problem}")
    assert not (tmp_path / "runs").exists()


def test_lines_keep_their_numbers_and_blank_ones_pass(tmp_path: Path) -> None:
    (path,) = paths = listed(tmp_path, "", " A  secret\t", "", "another")
    assert read_canaries(paths) == [Canary(path, 2, "A secret"), Canary(path, 4, "another")]
    assert read_canaries(()) == []


def test_a_canary_is_found_within_one_text_whatever_its_case_and_spacing() -> None:
    canaries = [Canary(Path("list"), line, text) for line, text in enumerate(("A b", "c D"), 1)]
    assert canaries_in(canaries, ["she said a  B twice"]) == canaries[:1]
    assert canaries_in(canaries, ["c d", "A B"]) == canaries
    assert canaries_in(canaries, ["a", "b c", "d"]) == []


def test_a_reason_names_lines_and_counts_the_rest() -> None:
    locations = [f"list, line {line}" for line in range(1, 8)]
    both = Memorization(9, 40, 8, locations, locations[:1])
    assert both.record()["found"] == 7
    by_draws, completed = both.reasons()
    assert by_draws.endswith("list, line 4; list, line 5; and 2 more")
    assert ": list, line 1; take out a line that anyone could complete" in completed
    assert Memorization(9, 40, 8, [], []).reasons() == []


def test_to_encode_a_canary_and_decode_it_again_is_no_leak(
    toy_version: tuple[Path, Version],
) -> None:
    """The toy version rebuilds most sentences that it never saw, to the character."""
    registry, version = toy_version
    texts = [row.text for row in toys.corpus().test[:100]]
    with start_engine(registry, version, ServeConfig()) as engine:
        means = engine.answer(EncodeRequest(tuple(texts))).mean
        decoded = [one.text for one in engine.answer(DecodeRequest(means)).sentences]
    rebuilt = [text for text, again in zip(texts, decoded, strict=True) if text == again]
    assert len(rebuilt) > 50
    canaries = [Canary(Path("list"), line, text) for line, text in enumerate(rebuilt, 1)]
    opened = open_version(registry, toys.MODEL, version.name)
    found = check_memorization(opened, [], canaries, TOKENS_MAX)
    assert found is not None
    assert (found.by_draws, found.halved > 50) == ([], True)
    # A grammar of ten nats lets the other half be guessed now and then.
    assert len(found.completed) < found.halved / 4


class MemorizingVersion(NamedTuple):
    """A version that has memorized one sentence, and another nearly so."""

    store: StoreConfig
    version: Version

    def judge(self, *canaries: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """The result of the job, and the decision."""
        gate = dataclasses.replace(OPEN, canaries=canaries)
        result = evaluate.main(evaluate.Evaluate("", self.store, EVALUATION, gate))
        registry = self.store.registry
        names = [name for name in list_attachments(registry, self.version) if name[:4] == "gate"]
        attached = [read_attachment(registry, self.version, name) or {} for name in names]
        decisions = [json.loads(one["decision.json"]) for one in attached]
        wanted = [str(path) for path in canaries]
        return result, next(one for one in decisions if one["gate"]["canaries"] == wanted)


@pytest.fixture(scope="module")
def memorizing(tmp_path_factory: pytest.TempPathFactory) -> MemorizingVersion:
    """Trained in seconds on text of which two thirds are one sentence."""
    folder = tmp_path_factory.mktemp("memorizing")
    store = StoreConfig(folder / "registry", "toy", folder / "spans", folder / "runs")
    rows = sample(700, seed=0)
    learned = rows[:600] + [Sentence(MEMORIZED)] * 1200 + [Sentence(HALF_MEMORIZED)] * 60
    valid, test = rows[600:640], rows[640:]
    span = write_span(store.spans, {"train": learned, "valid": valid, "test": test}, {}, {}).name
    recipe = Recipe(
        TokenizerConfig(vocab=600, kind="bpe"),
        ModelConfig(embed=32, hidden=48, latent=4, dropout=0.0),
        TrainingConfig(
            steps=250,
            language_model_steps=200,
            batch=32,
            learning_rate=1e-2,
            warmup_steps=5,
            word_noise=0.0,
            target_kl_nats=0.0,
            kl_steps=100_000,
            precision="fp32",
            validation_steps=0,
            collapse_stops=False,
        ),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # two are slower for a network as small, and wait for busy cores
    made = train(recipe, load_spans(store.spans, [span]), folder / "run", "", lambda *_: None)
    torch.set_num_threads(before)
    version = publish(store.registry, store.model, "20260101", made.files, made.facts)
    return MemorizingVersion(store, version)


def test_a_version_that_writes_a_canary_by_itself_is_rejected_without_quoting_it(
    memorizing: MemorizingVersion, tmp_path: Path
) -> None:
    paths = listed(tmp_path, UNSEEN, MEMORIZED.upper())
    result, decision = memorizing.judge(*paths)
    assert (result["outcome"], result["kind"]) == ("rejected", "floor")
    reason = f"it writes by itself what must never come out: {paths[0]}, line 2"
    assert result["reasons"] == decision["reasons"]
    assert reason in decision["reasons"]
    assert MEMORIZED not in json.dumps(decision).casefold()
    found = decision["canaries"]
    assert (found["checked"], found["found"]) == (2, 1)
    assert found["draws"] == 2 * EVALUATION.prior_draws, "of the standard and the fitted prior"
    assert found["written"] == [f"{paths[0]}, line 2"]


def test_a_version_that_completes_a_canary_from_its_half_is_rejected(
    memorizing: MemorizingVersion, tmp_path: Path
) -> None:
    """Also where no draw of a prior happened to contain it."""
    paths = listed(tmp_path, UNSEEN, HALF_MEMORIZED)
    result, decision = memorizing.judge(*paths)
    assert (result["outcome"], result["kind"]) == ("rejected", "floor")
    reason = f"it writes the second: {paths[0]}, line 2; take out a line that anyone could complete"
    assert decision["reasons"][-1].endswith(reason)
    without_draws = check_memorization(memorizing.version, [], read_canaries(paths), TOKENS_MAX)
    assert without_draws == Memorization(2, 0, 2, [], [f"{paths[0]}, line 2"])


def test_a_version_is_not_rejected_for_what_it_never_learned(
    memorizing: MemorizingVersion, tmp_path: Path
) -> None:
    result, decision = memorizing.judge(*listed(tmp_path, UNSEEN, UNSEEN[::-1]))
    assert result["outcome"] == "first"
    found = decision["canaries"]
    assert (found["checked"], found["halved"], found["found"]) == (2, 2, 0)
    without = memorizing.judge()[1]
    assert without["canaries"] is None
