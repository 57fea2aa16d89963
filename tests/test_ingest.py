"""What an ingest keeps, counts, refuses and never does twice."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from textvae import locks
from textvae.config.data import DataConfig
from textvae.corpus.data_report import report_lines
from textvae.corpus.ingest import ingest
from textvae.corpus.spans import Span, load_spans
from textvae.corpus.toy_grammar import sample
from textvae.errors import BusyError, CorruptError, DataError, InputError, NotFoundError
from textvae.text.sentence import Sentence


def write_lines(path: Path, lines: list[str]) -> Path:
    """The path, now a text file of these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def toy_lines(count: int) -> list[str]:
    """The first sentences of a sample of the grammar; fewer are the beginning of more."""
    return [sentence.text for sentence in sample(count, seed=0)]


def must(span: Span | None) -> Span:
    """The span, where there has to be one."""
    assert span is not None
    return span


def texts(sentences: Sequence[Sentence]) -> list[str]:
    """The sentences' texts."""
    return [sentence.text for sentence in sentences]


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    """Where spans go; it does not exist yet."""
    return tmp_path / "spans"


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A text file of 600 sentences, all different."""
    return write_lines(tmp_path / "toy.txt", toy_lines(600))


def test_all_that_was_ingested_can_be_loaded(spans: Path, toy: Path) -> None:
    """Every sentence is in the corpus once, and the corpus names its spans."""
    span = must(ingest(DataConfig(inputs=(toy,)), spans))
    corpus = load_spans(spans)
    loaded = texts(corpus.train) + texts(corpus.valid) + texts(corpus.test)
    assert sorted(loaded) == sorted(toy_lines(600))
    assert corpus.valid
    assert corpus.test
    assert corpus.names == (span.name,)
    assert corpus.hashes[0].startswith(span.name.removeprefix("000001-"))


def test_labels_groups_and_line_separators_survive_the_span(spans: Path, tmp_path: Path) -> None:
    """A span holds sentences, not lines: nothing in a label can break one."""
    rows = [
        {"text": f'{number} "é👍', "label": "\u0085a\u2028b\\", "group": f"g{number % 9}"}
        for number in range(60)
    ]
    path = write_lines(tmp_path / "rows.jsonl", [json.dumps(row) for row in rows])
    ingest(DataConfig(inputs=(path,), valid_share=0.3, test_share=0.3), spans)
    corpus = load_spans(spans)
    for sentence in (*corpus.train, *corpus.valid, *corpus.test):
        assert sentence.label == "a b\\"
        assert sentence.group == f"g{int(sentence.text.split()[0]) % 9}"


def test_a_group_is_never_on_two_sides(spans: Path, tmp_path: Path) -> None:
    """Sentences of one document stay together, so none leaks into the held-out sides."""
    rows = [{"text": f"line {number}", "group": str(number % 40)} for number in range(800)]
    path = write_lines(tmp_path / "rows.jsonl", [json.dumps(row) for row in rows])
    ingest(DataConfig(inputs=(path,), valid_share=0.2, test_share=0.2), spans)
    corpus = load_spans(spans)
    groups = [{row.group for row in side} for side in (corpus.train, corpus.valid, corpus.test)]
    assert all(groups)
    assert sum(map(len, groups)) == 40


def test_a_sentence_stands_once_and_the_report_counts_the_rest(spans: Path, tmp_path: Path) -> None:
    """Test goes before valid and valid before train; every line read is accounted for."""
    train = write_lines(
        tmp_path / "a.txt", ["one", "two", "two", " two ", "", "three", "four", "e\u0301"]
    )
    valid = write_lines(tmp_path / "b.txt", ["three", "four", "five", "five"])
    test = write_lines(tmp_path / "c.txt", ["four", "six", "\u00e9"])
    span = must(ingest(DataConfig(train=(train,), valid=(valid,), test=(test,)), spans))
    corpus = load_spans(spans)
    assert texts(corpus.train) == ["one", "two"]
    assert texts(corpus.valid) == ["three", "five"]
    assert texts(corpus.test) == ["four", "six", "\u00e9"]
    report = span.report
    assert report["dropped"] == {"empty": {"count": 1, "first": "a.txt:5"}}
    assert report["duplicates"] == {"train": 2, "valid": 1, "test": 0}
    assert report["overlap"] == {"train": 3, "valid": 1, "test": 0}
    assert report["kept"] == {"train": 2, "valid": 2, "test": 3}
    assert report["read"] == 15
    assert report["words"] == {"mean": 1.0, "p50": 1.0, "p95": 1.0, "max": 1.0}
    assert json.loads((span.folder / "report.json").read_bytes()) == report


def test_the_report_reads_as_lines(spans: Path, tmp_path: Path) -> None:
    """People see what was read, kept, dropped and why, lengths and labels."""
    rows = [json.dumps(row._asdict()) for row in sample(400, seed=0)]
    path = write_lines(tmp_path / "rows.jsonl", [*rows, rows[0], "{}"])
    lines = report_lines(must(ingest(DataConfig(inputs=(path,)), spans)).report)
    assert [line.split("  ")[0] for line in lines] == [
        "lines read",
        "sentences kept",
        "duplicates",
        "on two sides",
        "dropped",
        "set aside",
        "words",
        "characters",
        "labels",
    ]
    assert "402" in lines[0]
    assert "no text, first at rows.jsonl:402" in lines[4]
    assert "past" in lines[8]


def test_the_same_files_again_are_nothing_new(spans: Path, toy: Path, tmp_path: Path) -> None:
    """Also under another name: the bytes are known."""
    must(ingest(DataConfig(inputs=(toy,)), spans))
    copy = tmp_path / "copy.txt"
    copy.write_bytes(toy.read_bytes())
    assert ingest(DataConfig(inputs=(toy,)), spans) is None
    assert ingest(DataConfig(inputs=(toy, copy)), spans) is None
    assert len(load_spans(spans).names) == 1


def test_known_sentences_in_a_new_file_are_nothing_new(
    spans: Path, toy: Path, tmp_path: Path
) -> None:
    """What counts is the sentence, not the file."""
    must(ingest(DataConfig(inputs=(toy,)), spans))
    again = write_lines(tmp_path / "again.txt", toy_lines(300))
    assert ingest(DataConfig(inputs=(again,)), spans) is None


def test_only_new_sentences_come_into_the_next_span(spans: Path, toy: Path) -> None:
    """A file that has grown gives its new lines; the old span stays as it was."""
    first = must(ingest(DataConfig(inputs=(toy,)), spans))
    before = load_spans(spans)
    write_lines(toy, toy_lines(700))
    second = must(ingest(DataConfig(inputs=(toy,)), spans))
    assert second.name.startswith("000002-")
    assert sum(second.report["kept"].values()) == 100
    assert texts(load_spans(spans, [first.name]).train) == texts(before.train)
    both = load_spans(spans)
    assert both.names == (first.name, second.name)
    assert len({*texts(both.train), *texts(both.valid), *texts(both.test)}) == 700


def test_a_sentence_keeps_the_side_of_its_first_span(
    spans: Path, toy: Path, tmp_path: Path
) -> None:
    """What a model may have trained on never becomes held-out, nor the other way round."""
    must(ingest(DataConfig(inputs=(toy,)), spans))
    corpus = load_spans(spans)
    moved = write_lines(tmp_path / "test.txt", [corpus.train[0].text, "A new one."])
    leaked = write_lines(tmp_path / "train.txt", [corpus.test[0].text, "Another new one."])
    span = must(ingest(DataConfig(train=(leaked,), test=(moved,)), spans))
    assert span.report["overlap"] == {"train": 1, "valid": 0, "test": 1}
    later = load_spans(spans, [span.name])
    assert (texts(later.train), texts(later.test)) == (["Another new one."], ["A new one."])


def test_the_same_text_gives_the_same_span_anywhere(toy: Path, tmp_path: Path) -> None:
    """Neither time nor folder is part of a span."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "other name.txt").write_bytes(toy.read_bytes())
    first = must(ingest(DataConfig(inputs=(toy,)), tmp_path / "one"))
    second = must(ingest(DataConfig(inputs=(folder,)), tmp_path / "two"))
    assert first.name == second.name


def test_a_folder_gives_its_files_and_an_empty_inbox_nothing(spans: Path, toy: Path) -> None:
    """An inbox may stand empty, once there is a corpus; before that it is a mistake."""
    inbox = toy.parent / "inbox"
    write_lines(inbox / "notes.pdf", ["no reader"])
    with pytest.raises(DataError, match=r"inbox: no file ends in \.txt, .*; put text there"):
        ingest(DataConfig(inputs=(inbox,)), spans)
    write_lines(inbox / "deep" / "b.txt", toy_lines(400))
    write_lines(inbox / ".hidden.txt", ["not text"])
    assert sum(must(ingest(DataConfig(inputs=(inbox,)), spans)).report["kept"].values()) == 400
    (inbox / "deep" / "b.txt").unlink()
    assert ingest(DataConfig(inputs=(inbox,)), spans) is None


def test_explicit_held_out_files_take_no_share_of_the_inputs(spans: Path, toy: Path) -> None:
    """Who names the validation and test text wants all other text for training."""
    valid = write_lines(toy.parent / "valid.txt", ["a valid one"])
    test = write_lines(toy.parent / "test.txt", ["a test one"])
    ingest(DataConfig(inputs=(toy,), valid=(valid,), test=(test,)), spans)
    assert len(load_spans(spans).train) == 600


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["Only one."], "1 sentence is no corpus; at least 2 are needed"),
        (["Only one.", "Only one. "], "1 sentence is no corpus; at least 2 are needed"),
        (["One.", "Two."], "give more text, a larger data.valid_share, or files in data.valid"),
    ],
)
def test_a_corpus_too_small_is_refused(
    spans: Path, tmp_path: Path, lines: list[str], problem: str
) -> None:
    """It is refused before training, with the path and a remedy; nothing is left behind."""
    path = write_lines(tmp_path / "small.txt", lines)
    with pytest.raises(DataError) as caught:
        ingest(DataConfig(inputs=(path,)), spans)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)
    with pytest.raises(NotFoundError):
        load_spans(spans)


def test_a_small_new_file_is_welcome_next_to_a_corpus(spans: Path, toy: Path) -> None:
    """One new sentence is no corpus, but it is news."""
    must(ingest(DataConfig(inputs=(toy,)), spans))
    news = write_lines(toy.parent / "news.txt", ["Only one."])
    report = must(ingest(DataConfig(inputs=(toy, news)), spans)).report
    assert sum(report["kept"].values()) == 1
    assert report["read"] == 1, "the known file was read again"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "data.inputs: names no file; give at least one file or folder of text"),
        ({"valid_share": 0.6}, "data.valid_share: must be 0 to 0.5, got 0.6"),
        ({"test_share": -0.1}, "data.test_share: must be 0 to 0.5, got -0.1"),
        ({"characters_max": 0}, "data.characters_max: must be 1 or more, got 0"),
        ({"words_max": -1}, "data.words_max: must be 0 or more, got -1"),
    ],
)
def test_a_setting_outside_its_range_is_refused(
    spans: Path, toy: Path, settings: dict[str, Any], message: str
) -> None:
    """The message is the field, the limit and what was given."""
    inputs = (toy,) if settings else ()
    with pytest.raises(InputError) as caught:
        ingest(DataConfig(inputs=inputs, **settings), spans)
    assert str(caught.value) == message


def test_a_missing_input_is_named(spans: Path, tmp_path: Path) -> None:
    """Nothing changes on the disk."""
    with pytest.raises(NotFoundError, match=r"gone\.txt: no such file"):
        ingest(DataConfig(inputs=(tmp_path / "gone.txt",)), spans)


def test_two_ingests_at_once_are_one_and_a_refusal(spans: Path, toy: Path) -> None:
    """The second gets the name of the first, and changes nothing."""
    with locks.hold_lock(spans / ".lock", "another ingest"):
        with pytest.raises(BusyError, match="another ingest"):
            ingest(DataConfig(inputs=(toy,)), spans)


def test_a_span_that_was_changed_stops_the_next_ingest(spans: Path, toy: Path) -> None:
    """Else sentences of the torn span would come in a second time."""
    span = must(ingest(DataConfig(inputs=(toy,)), spans))
    (span.folder / "train.jsonl").write_bytes(b"")
    news = write_lines(toy.parent / "news.txt", ["Only one."])
    with pytest.raises(CorruptError, match=r"train\.jsonl: has 0 bytes"):
        ingest(DataConfig(inputs=(news,)), spans)
