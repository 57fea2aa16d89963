"""Sentences of large files: read when they are asked for, the same in memory and mapped."""

import gc
import hashlib
import os
from pathlib import Path

import pytest

from textvae.corpus import lines
from textvae.corpus.lines import Sentences, read_lines, sentence_lines
from textvae.text.sentence import Sentence

ROWS = [Sentence(f"Sentence {n} \u2028 naïve", "label" * (n % 2), str(n)) for n in range(50)]


@pytest.fixture(params=["in memory", "mapped"], autouse=True)
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a file's bytes are held, counted in pieces that end inside of lines."""
    monkeypatch.setattr(lines, "MAPPED_FROM_BYTES", 1 if request.param == "mapped" else 1 << 30)
    monkeypatch.setattr(lines, "PIECE_BYTES", 100)


def sentences_of(folder: Path, *parts: list[Sentence]) -> Sentences:
    """The sentences of these parts, each in a file."""
    paths = [folder / f"{number}.jsonl" for number in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        path.write_bytes(sentence_lines(part))
    return Sentences([read_lines(path) for path in paths])


def test_the_sentences_of_all_files_are_one_sequence(tmp_path: Path) -> None:
    """By index, from the end, by slice and in order; a file may be empty."""
    sentences = sentences_of(tmp_path, [], ROWS[:20], [], ROWS[20:])
    assert len(sentences) == 50
    assert list(sentences) == ROWS
    assert [sentences[index] for index in range(-50, 50)] == ROWS + ROWS
    assert sentences[15:25] == ROWS[15:25]
    assert sentences[::-7] == ROWS[::-7]
    for index in (50, -51):
        with pytest.raises(IndexError, match=f"sentence {index} of 50"):
            sentences[index]
    assert list(sentences_of(tmp_path, [])) == []


def test_a_hash_is_that_of_the_bytes_that_are_read(tmp_path: Path) -> None:
    """Whatever becomes of the path afterwards."""
    sentences_of(tmp_path, ROWS)
    path = tmp_path / "0.jsonl"
    found = read_lines(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    path.write_bytes(b"other\n" * 500)
    assert list(Sentences([found])) == ROWS


def test_small_files_hold_no_file_handle(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process has about a thousand; a year of nightly runs has as many spans."""
    handles = Path("/proc/self/fd")
    if not handles.exists():
        pytest.skip("counts file handles as Linux shows them")
    gc.collect()
    before = len(os.listdir(handles))
    held = sentences_of(tmp_path, *[ROWS[:1]] * 20)
    after = len(os.listdir(handles))
    assert len(held) == 20
    assert (after - before) == (20 if lines.MAPPED_FROM_BYTES == 1 else 0)
