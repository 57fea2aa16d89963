"""Filters: personal data, blocked words, near-duplicates; off by default."""

from pathlib import Path

import pytest

from tests.test_ingest import must, texts, toy_lines, write_lines
from textvae.config.data import DataConfig
from textvae.corpus.data_report import report_lines
from textvae.corpus.filters import Letters, near_key, personal_data_kind
from textvae.corpus.ingest import ingest
from textvae.corpus.spans import load_spans
from textvae.errors import InputError, NotFoundError


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    """Where spans go; it does not exist yet."""
    return tmp_path / "spans"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder with 400 good sentences in a file."""
    write_lines(tmp_path / "inbox" / "good.txt", toy_lines(400))
    return tmp_path / "inbox"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Write to ann.lee+x@mail.example.org today.", "an e-mail address"),
        ("Call +49 (0)30 1234-5678!", "a telephone number"),
        ("Call 030/123 45 67.", "a telephone number"),
        ("Call (555) 123-4567.", "a telephone number"),
        ("It is 4111 1111 1111 1111.", "a card number"),
        ("It is DE89 3704 0044 0532 0130 00, you know.", "a bank account number"),
        ("It is GB82WEST12345698765432.", "a bank account number"),
        ("It was 4111 1111 1111 1112.", ""),
        ("It was GB83WEST12345698765432.", ""),
        ("From 1990-2000 he had 1,000,000 @ home, at 12:30 on 2024-01-02.", ""),
        ("Version 10.0.12.255 of 1234567 things costs 0.5.", ""),
        ("Room 007 @ the x@y inn.", ""),
        ("\u6211\u7684\u7535\u8bdd\u662f030 1234567\u3002", "a telephone number"),
        ("\u0e42\u0e17\u0e23+66 2 123 4567\u0e04\u0e23\u0e31\u0e1a", "a telephone number"),
        ("\u5361\u53f74111 1111 1111 1111\u5417", "a card number"),
        ("\u8d26\u53f7DE89370400440532013000\u7684", "a bank account number"),
        ("\u90ae\u7bb1ann@example.org\u8c22\u8c22", "an e-mail address"),
    ],
)
def test_personal_data_is_recognised_by_its_form_and_its_check_digits(text: str, kind: str) -> None:
    assert personal_data_kind(text) == kind


def test_personal_data_is_dropped_and_counted_by_kind_where_it_is_asked_for(
    spans: Path, inbox: Path
) -> None:
    """And then a broken row keeps no text, which may hold some."""
    write_lines(
        inbox / "mail.txt", ["Write to ann@example.org.", "Call (555) 123-4567.", "Or not."]
    )
    write_lines(inbox / "torn.jsonl", ['{"text": "ok"}', '{"text": "bob@example.org"'])
    span = must(ingest(DataConfig(inputs=(inbox,), pii=True, bad_share_max=1), spans))
    assert span.report["dropped"]["an e-mail address"] == {"count": 1, "first": "mail.txt:1"}
    assert span.report["dropped"]["a telephone number"] == {"count": 1, "first": "mail.txt:2"}
    held = b"".join(path.read_bytes() for path in span.folder.iterdir())
    assert b"example.org" not in held
    assert b"Or not." in held
    off = must(ingest(DataConfig(inputs=(inbox,), pii=False), spans))
    assert sum(off.report["kept"].values()) == 2


def test_a_blocklist_drops_sentences_word_for_word_in_any_case(spans: Path, inbox: Path) -> None:
    """A changed list is a changed setting: what it let go comes in when it is read again."""
    blocked = write_lines(inbox.parent / "blocked.txt", ["Darn", "", "so be it", "stra\u00dfe"])
    path = write_lines(
        inbox.parent / "in.txt",
        ["Oh DARN, no.", "A darned sock.", "So, be it!", "So it be.", "Die STRASSE.", "Fine."],
    )
    config = DataConfig(train=(path,), inputs=(inbox,), blocklist=(blocked,))
    span = must(ingest(config, spans))
    assert span.report["dropped"] == {"a word of the blocklist": {"count": 3, "first": "in.txt:1"}}
    assert {"A darned sock.", "So it be.", "Fine."} < set(texts(load_spans(spans).train))
    assert ingest(config, spans) is None
    write_lines(blocked, ["darn"])
    assert must(ingest(config, spans)).report["kept"]["train"] == 2


def test_near_duplicates_are_dropped_against_all_spans_where_it_is_asked_for(
    spans: Path, inbox: Path
) -> None:
    """Case, punctuation and digits make no new sentence; the held-out sides keep theirs."""
    test = write_lines(inbox.parent / "test.txt", ["Page 3 of 9: the END."])
    train = write_lines(inbox.parent / "train.txt", ["page 4 of 9 - the end", "A new one."])
    config = DataConfig(inputs=(inbox,), train=(train,), test=(test,), near_duplicates=True)
    span = must(ingest(config, spans))
    assert span.report["near_duplicates"] == {"train": 1, "valid": 0, "test": 0}
    assert "near-duplicates        1   train 1, valid 0, test 0" in report_lines(span.report)
    write_lines(train, ["A NEW one!", "123", "124", "Another."])
    later = must(ingest(config, spans))
    assert texts(load_spans(spans, [later.name]).train) == ["123", "124", "Another."]


def test_the_near_key_keeps_letters_of_every_script_with_their_marks() -> None:
    letters = Letters()
    assert near_key("\u0928\u092e\u0938\u094d\u0924\u0947, 12!", letters) == (
        "\u0928\u092e\u0938\u094d\u0924\u0947"
    )
    assert near_key("Na\u00efve  \u2018X\u2019_y", letters) == "na\u00efve x y"


def test_a_blocklist_without_a_word_or_without_a_file_is_a_mistake(
    spans: Path, inbox: Path
) -> None:
    """Who names one believes that it holds something back."""
    empty = write_lines(inbox.parent / "blocked.txt", ["", " \u200b "])
    with pytest.raises(InputError, match=r"data\.blocklist: .*blocked\.txt: holds no word"):
        ingest(DataConfig(inputs=(inbox,), blocklist=(empty,)), spans)
    with pytest.raises(NotFoundError, match=r"gone\.txt: no such file"):
        ingest(DataConfig(inputs=(inbox,), blocklist=(inbox / "gone.txt",)), spans)
