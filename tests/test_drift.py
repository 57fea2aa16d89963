"""Drift of new text from the last spans: reported where there is some, and where there is none."""

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_ingest import must, toy_lines, write_lines
from textvae.config.data import DataConfig
from textvae.corpus.data_drift import compare_samples, draw_texts, drift, drift_lines
from textvae.corpus.data_report import report_lines
from textvae.corpus.ingest import ingest
from textvae.corpus.toy_grammar import sample
from textvae.text.sentence import Sentence

WORDS = "the a cat dog house river sees finds red old small where and so"


def generate(count: int, words: int, seed: int, more: str = "") -> list[str]:
    """Return sentences of about so many words, chosen from a few words and those of `more`."""
    draw = random.Random(seed)
    lengths = (max(1, round(draw.gauss(words, 3))) for _ in range(count))
    return [" ".join(draw.choices(f"{WORDS} {more}".split(), k=length)) for length in lengths]


def test_text_of_the_same_kind_has_not_drifted() -> None:
    """Of 30 pairs of samples none is called drifted, large or small."""
    for seed in range(30):
        found = drift(generate(1000, 9, seed), generate(7 + 40 * seed, 9, 100 + seed))
        assert [name for name, test in found.items() if test["drifted"]] == []
    assert drift_lines({"spans": 3, **found}) == ["drift          none against the newest 3 spans"]


def test_longer_sentences_are_reported_in_plain_words() -> None:
    """Both medians, and how far the distributions are apart."""
    found = drift(generate(2000, 9, 0), generate(900, 14, 1))
    assert (found["words"]["before"]["median"], found["words"]["now"]["median"]) == (9, 14)
    lines = drift_lines({"spans": 1, **found})
    assert lines[0].startswith(
        "drift          sentences are longer than before: median 14 against 9 words, KS 0.6"
    )
    assert lines[0].endswith(", p < 0.001")
    assert lines[1].startswith("drift          sentences are longer than before: median ")
    assert len(lines) == 2
    shorter = drift_lines({"spans": 1, **drift(generate(900, 14, 1), generate(2000, 9, 0))})
    assert "sentences are shorter than before: median 9 against 14 words" in shorter[0]


def test_new_words_and_new_characters_are_compared_with_what_was_new_before() -> None:
    """A number is no new word; a word of another script has new characters too."""
    before = generate(1000, 9, 0)
    found = drift(before, generate(1000, 9, 1, more="boat ship sea 17 1066"))
    assert found["new_words"]["before"]["mean"] == 0
    assert 0.1 < found["new_words"]["now"]["mean"] < 0.2
    lines = drift_lines({"spans": 2, **found})
    assert "more words than before are new: mean 1" in "".join(lines)
    assert found["new_characters"]["drifted"], "17 and 1066 are digits, of which there were none"
    greek = drift(before, generate(1000, 9, 1, more="\u03bd\u03b1\u03c5\u03c2"))
    assert greek["new_characters"]["drifted"]
    assert not drift([*before, "7"] * 2, generate(1000, 9, 1, more="7"))["new_words"]["drifted"]


def test_names_that_are_always_new_are_no_drift() -> None:
    """Text in which each sentence brings a word of its own is measured against just that."""
    rare = [f"{line} {chr(0x4E00 + index)}" for index, line in enumerate(generate(1600, 9, 0))]
    found = drift(rare[:800], rare[800:])
    assert found["new_words"]["before"]["mean"] > 0.05
    assert [name for name, test in found.items() if test["drifted"]] == []


def test_the_test_is_the_distance_of_the_two_distributions() -> None:
    """Worked out by hand: at 2, four of five are at or under it, against one of four."""
    found = compare_samples(np.array([1.0, 2, 2, 2, 9]), np.array([2.0, 3, 3, 4]))
    assert found["ks"] == pytest.approx(0.8 - 0.25)
    assert found["before"] == {"mean": 3.2, "median": 2.0}
    assert not found["drifted"], "nine numbers show nothing"


def test_a_draw_is_the_same_every_time_and_spread_over_all_sentences() -> None:
    """Random in its order too, since its halves have different roles."""
    sides = [
        [Sentence(str(n)) for n in range(700)],
        [],
        [Sentence(str(n)) for n in range(700, 1000)],
    ]
    chosen = draw_texts(sides, 200)
    assert chosen == draw_texts(sides, 200)
    assert len(set(chosen)) == 200
    assert abs(np.mean([int(text) for text in chosen[:100]]) - 499.5) < 4 * 289 / 100**0.5
    assert chosen != sorted(chosen, key=int)
    assert sorted(map(int, draw_texts(sides, 9999))) == list(range(1000))


def test_the_report_compares_with_the_last_spans(tmp_path: Path) -> None:
    """Not with all of them, and not at all where there is none or it is off."""
    path, spans = tmp_path / "in.txt", tmp_path / "spans"

    def added(lines: list[str], **settings: Any) -> dict[str, Any]:
        config = DataConfig(inputs=(write_lines(path, lines),), **settings)
        return must(ingest(config, spans)).report

    assert added(toy_lines(500))["drift"] is None
    found = added([row.text for row in sample(3000, seed=1)])
    assert found["drift"]["spans"] == 1
    assert report_lines(found)[-1] == "drift          none against the newest span"
    longer = [
        f"{one} {other}" for one, other in zip(toy_lines(400), toy_lines(401)[1:], strict=True)
    ]
    found = added(longer[:300], drift_spans=1)
    assert "sentences are longer than before" in report_lines(found)[-2]
    assert added(longer[300:], drift_spans=1)["drift"]["words"]["drifted"] is False
    assert added([f"{line} oh" for line in toy_lines(50)], drift_spans=0)["drift"] is None


def test_a_million_sentences_are_compared_in_seconds() -> None:
    """A text that is not chosen is not read."""

    class Counted(list[Sentence]):
        """A million sentences that are made when they are read."""

        read = 0

        def __len__(self) -> int:
            return 1_000_000

        def __getitem__(self, index: Any) -> Any:
            type(self).read += 1
            return Sentence(f"sentence number {index} of many")

    began = time.monotonic()
    texts = draw_texts([Counted()], 20_000)
    drift(texts, texts)
    assert Counted.read == 20_000
    assert time.monotonic() - began < 30
