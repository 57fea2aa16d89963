"""Forgotten sentences: gone from every span and every file, for ever, whatever is killed."""

import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.test_ingest import must, texts, toy_lines, write_lines
from textvae.config.data import DataConfig
from textvae.corpus.forget import forget
from textvae.corpus.ingest import ingest
from textvae.corpus.spans import Corpus, list_spans, load_spans
from textvae.corpus.split import SIDES
from textvae.errors import CorruptError, DataError, NotFoundError


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    """Two spans, of 500 sentences and of 100; toy.txt holds them all."""
    toy = tmp_path / "toy.txt"
    for count in (500, 600):
        write_lines(toy, toy_lines(count))
        must(ingest(DataConfig(inputs=(toy,)), tmp_path / "spans"))
    return tmp_path / "spans"


def all_texts(corpus: Corpus) -> list[str]:
    """The texts of every side."""
    return [text for side in SIDES for text in texts(getattr(corpus, side))]


def chosen(spans: Path) -> list[str]:
    """Sentences of each side, in the first span and in the second."""
    first, second = (load_spans(spans, [name]) for name in list_spans(spans))
    return [first.train[3].text, first.valid[0].text, first.test[0].text, second.train[0].text]


def listed(spans: Path, sentences: list[str]) -> Path:
    """A list of sentences to forget."""
    return write_lines(spans.parent / "forget.txt", sentences)


def found_on_disk(spans: Path, text: str) -> list[Path]:
    """Return every file next to the spans, hidden ones too, that contains the text."""
    below = [Path(folder, name) for folder, _, names in os.walk(spans) for name in names]
    return [path for path in below if text.encode() in path.read_bytes()]


def test_a_forgotten_sentence_is_on_no_side_and_in_no_file(spans: Path) -> None:
    """All others stay, on their sides and in their order."""
    gone, before = chosen(spans), load_spans(spans)
    done = forget(listed(spans, ["", f"  {gone[0]} \t", *gone[1:], "Never seen."]), spans)
    after = load_spans(spans)
    for side in SIDES:
        left = [row for row in getattr(before, side) if row.text not in gone]
        assert list(getattr(after, side)) == left
    assert len(all_texts(after)) == 596
    for text in gone:
        assert found_on_disk(spans, text) == []
    assert done.sentences == 5
    assert [span.erased for span in done.spans.values()] == [
        {"train": 1, "valid": 1, "test": 1},
        {"train": 1, "valid": 0, "test": 0},
    ]
    assert [span.name for span in done.spans.values()] == list_spans(spans)
    assert (spans / "forgotten" / done.tombstone).is_file()


def test_the_report_of_a_span_says_how_many_went(spans: Path) -> None:
    """Over all forgets, and its other counts are of what is left."""
    gone = chosen(spans)
    forget(listed(spans, gone[:1]), spans)
    forget(listed(spans, gone[:2]), spans)
    name = list_spans(spans)[0]
    report = (spans / name / "report.json").read_text()
    assert '"forgotten": {\n  "test": 0,\n  "train": 1,\n  "valid": 1\n }' in report
    assert f'"train": {len(load_spans(spans, [name]).train)},' in report


def test_a_forgotten_sentence_never_comes_in_again(spans: Path) -> None:
    """From no file, and under no spelling that ingest takes for the same; it is counted."""
    gone = chosen(spans)
    forget(listed(spans, [*gone, "Never seen."]), spans)
    again = write_lines(spans.parent / "again.txt", [f" {gone[0]}", gone[2], "Never seen.", "New."])
    span = must(ingest(DataConfig(inputs=(again,)), spans))
    assert span.report["dropped"] == {"forgotten": {"count": 3, "first": "again.txt:1"}}
    assert not {*gone, "Never seen."} & set(all_texts(load_spans(spans)))
    assert ingest(DataConfig(inputs=(spans.parent / "toy.txt",)), spans) is None


def test_forgetting_the_same_once_more_changes_nothing(spans: Path) -> None:
    """So whoever does not know whether it was done does it again."""
    path = listed(spans, chosen(spans))
    forget(path, spans)
    before = load_spans(spans)
    again = forget(path, spans)
    assert (again.tombstone, again.spans) == ("", {})
    assert load_spans(spans).hashes == before.hashes


def test_a_span_of_nothing_but_forgotten_sentences_is_empty(spans: Path) -> None:
    """And the corpus goes on without it."""
    name = list_spans(spans)[1]
    gone = all_texts(load_spans(spans, [name]))
    forget(listed(spans, gone), spans)
    assert all_texts(load_spans(spans, [name])) == []
    assert len(all_texts(load_spans(spans))) == 500


def test_the_name_of_a_replaced_span_gives_what_is_left_of_it(spans: Path) -> None:
    """An old version is measured on the text that it learned from, but for what was forgotten."""
    gone, old = chosen(spans), load_spans(spans)
    forget(listed(spans, gone[:1]), spans)
    forget(listed(spans, gone[1:2]), spans)
    now = load_spans(spans, old.names)
    assert now.names == tuple(list_spans(spans))
    assert set(all_texts(old)) - set(all_texts(now)) == set(gone[:2])


def test_a_corpus_that_was_loaded_before_goes_on_being_read(tmp_path: Path, spans: Path) -> None:
    """Training in its tenth hour is not cut off."""
    long = write_lines(tmp_path / "long.txt", [f"{number} " + "x" * 900 for number in range(6000)])
    must(ingest(DataConfig(train=(long,)), spans))
    before = load_spans(spans)
    assert sum(len(text) for text in texts(before.train)) > 5_000_000, "so it is mapped"
    forget(listed(spans, [before.train[700].text]), spans)
    assert len(texts(before.train)) == len(load_spans(spans).train) + 1


class Killed:
    """An audit hook that kills its process at one of the calls that change the disk."""

    CALLS = ("os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "open")

    def __init__(self, spans: Path, at: int) -> None:
        self.left, self.spans = at, str(spans)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in self.CALLS or not str(arguments[0]).startswith(self.spans):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(spans: Path, path: Path, at: int) -> bool:
    """Forgets in a process of its own that is killed at a call; whether it came so far."""
    child = os.fork()
    if child == 0:
        sys.addaudithook(Killed(spans, at))
        forget(path, spans)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_forget_killed_anywhere_has_happened_or_not_and_is_finished_by_the_next_start(
    tmp_path: Path,
) -> None:
    """At every second call that changes the disk readers see all or nothing, and the next ingest,
    which has nothing new, leaves not a byte of the text once the tombstone is there."""
    whole, toy = tmp_path / "whole", tmp_path / "toy.txt"
    for count in (20, 30):
        write_lines(toy, toy_lines(count))
        shares = DataConfig(inputs=(toy,), valid_share=0.3, test_share=0.3)
        must(ingest(shares, whole))
    known = f'{{"text": "{toy_lines(1)[0]}"}}'
    torn = write_lines(tmp_path / "torn.jsonl", [*[known] * 9, "torn"])
    must(ingest(DataConfig(inputs=(torn,)), whole))
    gone = chosen(whole)
    path = listed(whole, gone)
    before = load_spans(whole)
    states, at = set(), 0
    while True:
        spans = Path(shutil.copytree(whole, tmp_path / f"{at:03d}" / "spans"))
        came_so_far = killed(spans, path, at)
        corpus = load_spans(spans)
        happened = bool(list((spans / "forgotten").glob("0*")))
        assert set(all_texts(before)) - set(all_texts(corpus)) == (set(gone) if happened else set())
        assert (corpus.hashes != before.hashes) == happened
        assert ingest(shares, spans) is None
        assert load_spans(spans).hashes == corpus.hashes
        assert not happened or not any(found_on_disk(spans, text) for text in [*gone, '"torn"'])
        assert len([entry for entry in spans.iterdir() if entry.name[:1] == "0"]) == 2
        forget(path, spans)
        end = (load_spans(spans).hashes, tuple(sorted(os.listdir(spans / "aside"))))
        states.add((end, tuple(sorted(os.listdir(spans / "forgotten")))))
        if not came_so_far:
            break
        at += 2
    assert at > 40, "too few points to be killed at"
    assert len(states) == 1, "each ends in the same corpus"


def test_readers_during_a_forget_see_the_corpus_before_it_or_after(spans: Path) -> None:
    """Never a mixture, and never a span that is just being removed."""
    gone = [text for name in list_spans(spans) for text in texts(load_spans(spans, [name]).train)]
    pairs = [[gone[number], gone[-1 - number]] for number in range(10)]
    old, stop, seen = load_spans(spans).names, threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                names = list_spans(spans)
                seen.extend((len(names), set(all_texts(load_spans(spans, n)))) for n in (None, old))
            except Exception as error:
                seen.append((0, {repr(error)}))

    reader = threading.Thread(target=read)
    reader.start()
    for pair in pairs:
        forget(listed(spans, pair), spans)
    stop.set()
    reader.join()
    for count, found in seen:
        assert count == 2, found
        assert all((one in found) == (other in found) for one, other in pairs)


def test_a_span_put_back_from_an_old_copy_is_not_read(tmp_path: Path, spans: Path) -> None:
    """And the next ingest removes it."""
    gone, old = chosen(spans), list_spans(spans)[0]
    copy = shutil.copytree(spans / old, tmp_path / "copy")
    forget(listed(spans, gone), spans)
    shutil.copytree(copy, spans / old)
    assert old not in list_spans(spans)
    assert gone[0] not in all_texts(load_spans(spans))
    assert ingest(DataConfig(inputs=(tmp_path / "toy.txt",)), spans) is None
    assert not (spans / old).exists()


def test_a_torn_tombstone_is_found(spans: Path) -> None:
    """Before a sentence is given that it may have forbidden."""
    done = forget(listed(spans, chosen(spans)), spans)
    path = spans / "forgotten" / done.tombstone
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorruptError, match=f"{done.tombstone}: holds other bytes"):
        load_spans(spans)


@pytest.mark.parametrize(
    ("content", "kind", "problem"),
    [
        (None, NotFoundError, "no such file"),
        (b"\n \n", DataError, "holds no sentence; give the sentences to forget, one a line"),
        (b"caf\xe9\n", DataError, "is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_list_that_names_nothing_is_refused(
    spans: Path, content: bytes | None, kind: type[Exception], problem: str
) -> None:
    """Nobody must believe that something was forgotten."""
    path = spans.parent / "forget.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind, match=f"forget.txt: {problem}"):
        forget(path, spans)
    assert not (spans / "forgotten").exists()


def test_forgetting_where_there_are_no_spans_is_refused(tmp_path: Path) -> None:
    """Otherwise a mistyped folder would pass for a success."""
    path = write_lines(tmp_path / "forget.txt", ["My secret."])
    with pytest.raises(NotFoundError, match="elsewhere: no such folder, so nothing was forgotten"):
        forget(path, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()
