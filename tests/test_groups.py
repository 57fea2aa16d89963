"""Groups of a corpus: labels that are groups, and what the data report says of useless groups."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobs import ingest as ingest_job
from jobs import train as train_job
from tests.test_ingest import must, texts, write_lines
from tests.tiny_runs import tiny
from textvae.config.data import DataConfig, StoreConfig
from textvae.corpus.data_report import report_lines
from textvae.corpus.forget import forget
from textvae.corpus.group_report import group_warnings
from textvae.corpus.ingest import ingest
from textvae.corpus.inputs import reading_settings
from textvae.corpus.spans import load_spans
from textvae.corpus.toy_grammar import sample
from textvae.errors import InputError
from textvae.evaluation.holdout import frozen_sets

TENSES = {"past", "present", "future"}


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    return tmp_path / "spans"


def labelled(folder: Path, count: int = 600, name: str = "rows") -> Path:
    """Sentences of the toy grammar, whose label is the tense."""
    rows = [json.dumps({"text": row.text, "label": row.label}) for row in sample(count, seed=0)]
    return write_lines(folder / f"{name}.jsonl", rows)


def grouped(folder: Path, groups: Sequence[str], texts: Sequence[str] = ()) -> DataConfig:
    """The settings of a file whose rows have these groups."""
    given = texts or [f"sentence {row}" for row in range(len(groups))]
    rows = [
        json.dumps({"text": text, "group": group})
        for text, group in zip(given, groups, strict=True)
    ]
    return DataConfig(
        inputs=(write_lines(folder / "groups.jsonl", rows),), valid_share=0.2, test_share=0.2
    )


def test_labels_that_are_groups_are_on_all_sides(spans: Path, tmp_path: Path) -> None:
    """The split is that of the sentences alone: where one stands does not ask for its label."""
    path = labelled(tmp_path)
    ingest(DataConfig(inputs=(path,), label_is_group=True), spans)
    ingest(DataConfig(inputs=(path,)), tmp_path / "plain")
    corpus, plain = load_spans(spans), load_spans(tmp_path / "plain")
    for side in ("train", "valid", "test"):
        rows = getattr(corpus, side)
        assert {row.group for row in rows} == TENSES
        assert all(row.group == row.label for row in rows)
        assert texts(rows) == texts(getattr(plain, side))
    assert not {row.group for row in plain.train} - {""}


def test_rows_without_a_label_have_no_group_and_no_other_column_gives_one(
    spans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [json.dumps({"text": row.text, "group": "document"}) for row in sample(300, seed=0)]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    with caplog.at_level(logging.WARNING):
        span = must(ingest(DataConfig(inputs=(path,), label_is_group=True), spans))
    assert {row.group for row in load_spans(spans).train} == {""}
    assert span.report["groups"]["groups"] == 0
    assert "data.label_is_group is on, but no new row has a label: 'label'" in caplog.text


def test_labels_as_groups_and_a_column_of_groups_are_one_too_many() -> None:
    with pytest.raises(InputError) as caught:
        DataConfig(label_is_group=True, group_column="picture")
    assert str(caught.value) == (
        "data.label_is_group: must be false where data.group_column is set, got 'picture'; leave "
        "one of the two out"
    )


def test_files_are_read_again_once_labels_are_groups_and_what_stays_is_said(
    spans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A sentence keeps its first span, and so its group: a new folder is the remedy."""
    path = labelled(tmp_path)
    plain = DataConfig(inputs=(path,))
    ingest(plain, spans)
    assert "label_is_group" not in reading_settings(plain), "records of before are others now"
    with caplog.at_level(logging.WARNING):
        assert ingest(plain, spans) is None
        assert not caplog.text
        labelled(tmp_path, 60, "more")
        more = DataConfig(inputs=(path,), label_is_group=True)
        assert ingest(more, spans) is None
    assert "1 of the files were ingested before with other groups" in caplog.text
    assert "a new folder store.spans" in caplog.text


def test_the_sealed_set_has_every_label_that_the_holdout_has(spans: Path, tmp_path: Path) -> None:
    """A label is no document: sealing whole ones would leave none of them to decide by."""
    ingest(DataConfig(inputs=(labelled(tmp_path, 3000),), label_is_group=True), spans)
    sets = frozen_sets(spans, 0.4, 0)
    assert {row.group for row in sets.holdout} == {row.group for row in sets.sealed} == TENSES


def test_the_report_counts_groups_and_siblings(spans: Path, tmp_path: Path) -> None:
    config = DataConfig(
        inputs=(labelled(tmp_path),), valid_share=0.2, test_share=0.2, label_is_group=True
    )
    report = must(ingest(config, spans)).report
    figures = report["groups"]
    assert figures["groups"] == 3
    assert figures["grouped"] == sum(figures["siblings"].values()) == 600
    assert figures["siblings"] == report["kept"]
    assert (figures["of_one"], figures["labels"]) == (0, True)
    assert figures["largest"]["sentences"] == max(report["labels"].values())
    assert not group_warnings(report)
    lines = report_lines(report)
    assert lines[-2].startswith("groups                 3   0 of one sentence, largest 2")
    assert lines[-2].endswith(", which are labels")
    assert lines[-1].startswith("with a sibling       600   train ")


def test_groups_of_one_are_said_to_be_useless(spans: Path, tmp_path: Path) -> None:
    report = must(ingest(grouped(tmp_path, [str(row) for row in range(60)]), spans)).report
    assert (report["groups"]["groups"], report["groups"]["of_one"]) == (60, 60)
    [warning] = group_warnings(report)
    assert "training.sibling_share has nothing to learn from" in warning
    assert f"groups           warning   {warning}" in report_lines(report)


def test_a_group_that_is_one_sentence_many_times_is_said_to_be_one_of_one(
    spans: Path, tmp_path: Path
) -> None:
    groups = [str(row // 3) for row in range(180)]
    one_text = [f"sentence {group}" if int(group) < 20 else "" for group in groups]
    given = [text or f"other {row}" for row, text in enumerate(one_text)]
    report = must(ingest(grouped(tmp_path, groups, given), spans)).report
    assert report["groups"]["of_one"] == report["groups_of_repeats"] == 20
    assert sum(report["groups"]["siblings"].values()) == 120
    [warning] = group_warnings(report)
    assert warning.startswith("20 of the groups of one had more sentences, all of them repeats")


def test_a_group_as_large_as_the_corpus_is_said_to_be_harmful(spans: Path, tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "rows.jsonl",
        [json.dumps({"text": row.text, "label": "any"}) for row in sample(200, seed=0)],
    )
    report = must(ingest(DataConfig(inputs=(path,), label_is_group=True), spans)).report
    assert report["groups"]["largest"] == {"group": "any", "sentences": 200, "share": 1.0}
    [warning] = group_warnings(report)
    assert warning.startswith("the largest group holds 100% of the sentences")


def test_a_new_member_of_a_known_group_is_no_group_of_one_to_warn_of(
    spans: Path, tmp_path: Path
) -> None:
    """A night brings few sentences; their siblings are in earlier spans."""
    ingest(DataConfig(inputs=(labelled(tmp_path),), label_is_group=True), spans)
    rows = [{"text": "It rains.", "label": "present"}, {"text": "It rained.", "label": "past"}]
    news = write_lines(tmp_path / "news.jsonl", [json.dumps(row) for row in (*rows, rows[0])])
    report = must(ingest(DataConfig(inputs=(news,), label_is_group=True), spans)).report
    assert report["groups"]["of_one"] == report["groups_known"] == 2
    assert report["groups_of_repeats"] == 0
    assert not group_warnings(report)


def test_a_forgotten_sibling_is_no_longer_counted(spans: Path, tmp_path: Path) -> None:
    config = DataConfig(inputs=(labelled(tmp_path),), label_is_group=True)
    before = must(ingest(config, spans)).report["groups"]
    gone = [row.text for row in load_spans(spans).train if row.label == "past"]
    done = forget(write_lines(tmp_path / "list.txt", gone), spans)
    [successor] = done.spans.values()
    after = json.loads((spans / successor.name / "report.json").read_bytes())["groups"]
    assert before["grouped"] - after["grouped"] == len(gone)
    assert before["siblings"]["train"] - after["siblings"]["train"] == len(gone)
    assert {row.group for row in load_spans(spans).train} == TENSES - {"past"}


def test_jobs_say_in_their_results_that_there_is_nothing_to_rephrase(tmp_path: Path) -> None:
    store = StoreConfig(tmp_path / "registry", "toy", tmp_path / "spans", tmp_path / "runs")
    data = grouped(tmp_path, [str(row) for row in range(300)])
    said = ingest_job.main(ingest_job.Ingest(store, data))
    assert len(said["warnings"]) == 1
    what = tiny(sibling_share=0.5, steps=2, language_model_steps=1)
    trained = train_job.main(train_job.Train(store, *what))
    assert trained["siblings"] == 0
    assert trained["warnings"][0].startswith("training.sibling_share is 0.5, but no sentence has a")
    other = StoreConfig(tmp_path / "registry", "other", tmp_path / "new", tmp_path / "runs")
    labels = DataConfig(inputs=(labelled(tmp_path),), label_is_group=True)
    assert "warnings" not in ingest_job.main(ingest_job.Ingest(other, labels))
    trained = train_job.main(train_job.Train(other, *what))
    assert trained["siblings"] == len(load_spans(other.spans).train)
    assert "warnings" not in trained
