"""Files to one more span: read, counted and split, each sentence once in all of the corpus."""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textvae import locks
from textvae.config.data import DataConfig
from textvae.corpus.data_drift import drift_from_last
from textvae.corpus.data_report import Tally, report_of
from textvae.corpus.filters import Filter, Letters, near_key
from textvae.corpus.forget import finish_forgetting
from textvae.corpus.inputs import (
    Input,
    find_inputs,
    known_records,
    named_paths,
    read_with_other_groups,
    reading_settings,
)
from textvae.corpus.quarantine import QuarantinedRow, check_limits, quarantine_lines
from textvae.corpus.readers import SUFFIXES, EmptyFileError, SkippedRow, read_numbered
from textvae.corpus.spans import ASIDE, Span, list_spans, load_spans, write_span
from textvae.corpus.split import SIDES, Side, side_of
from textvae.corpus.tombstones import read_tombstones
from textvae.errors import DataError, InputError
from textvae.text.sentence import Sentence

GROUPS_FEW = 20
"""Groups that a split by hash may well put on one side."""
# One sentence cannot be split.
SENTENCES_MIN = 2

logger = logging.getLogger(__name__)


def ingest(config: DataConfig, spans: Path) -> Span | None:
    """Write and return a span of the inputs' new sentences; None where there is none.

    A sentence is in one span, on one side: the first span that had it keeps it, and within an
    ingest test has priority over valid and valid over train. A file that was ingested before under
    the same settings is not read again. Broken rows and files are quarantined in the span; where
    nothing else is new, in a record without sentences below `spans/aside`, which is part of no
    corpus.

    Raises NotFoundError (a file that the settings name is missing), DataError (no text, or more is
    broken than the settings allow), InputError (the settings), CorruptError (an earlier span),
    BusyError (another ingest).
    """
    if not named_paths(config):
        raise InputError("data.inputs", "names no file; give at least one file or folder of text")
    with locks.hold_lock(spans / ".lock", "ingest"):
        finish_forgetting(spans)
        inputs, known = find_inputs(config), known_records(spans)
        if not inputs and not known:
            raise DataError(
                f"{named_paths(config)}: no file ends in {', '.join(SUFFIXES)}; put text there"
            )
        settings = reading_settings(config)
        new = [file for file in inputs if file.record(settings) not in known]
        if not new:
            return None
        if again := read_with_other_groups(new, known, settings):
            logger.warning(
                "%d of the files were ingested before with other groups, which their sentences "
                "keep; ingest into a new folder store.spans for the groups of these settings",
                len(again),
            )
        records = [file.record(settings) for file in new]
        return _ingest_files(new, config, spans, {"inputs": records})


def _ingest_files(
    new: list[Input], config: DataConfig, spans: Path, facts: Mapping[str, Any]
) -> Span | None:
    """Write and return the span of these files."""
    tally, forgotten = Tally(), read_tombstones(spans).sentences
    sentences = _read(new, config, Filter(config, forgotten), tally)
    check_limits(tally.aside, tally.read, config, named_paths(config))
    earlier, known_groups = _sides_by_text(spans)
    kept = _deduplicate(sentences, dict(earlier), tally, near=config.near_duplicates)
    report = report_of(tally, kept, known_groups)
    # A broken row cannot be searched for text that must not be stored.
    quarantine = quarantine_lines(
        tally.aside, texts=not (forgotten or config.pii or config.blocklist)
    )
    if any(kept.values()):
        _check_sides(config, kept, earlier)
        if config.label_is_group and not report["groups"]["groups"]:
            column = config.label_column or "label"
            logger.warning("data.label_is_group is on, but no new row has a label: %r", column)
        report["drift"] = drift_from_last(kept, spans, config.drift_spans)
        return write_span(spans, kept, report, facts, quarantine)
    if not earlier:
        reasons = [row.description for row in tally.aside]
        reasons += [f"{location}: {reason}" for reason, location in tally.first.items()]
        reasons += tally.empty
        raise DataError(
            f"{named_paths(config)}: no file gives a sentence: {'; '.join(reasons[:3])}"
        )
    logger.info("nothing new in %d files", len(new))
    # Otherwise a broken file would be read and reported by every ingest.
    return write_span(spans / ASIDE, kept, report, facts, quarantine) if tally.aside else None


def _sides_by_text(spans: Path) -> tuple[dict[str, Side], set[str]]:
    """Return the side of every sentence of the corpus, by its text, and the corpus' groups."""
    sides: dict[str, Side] = {}
    groups: set[str] = set()
    if not list_spans(spans):
        return sides, groups
    corpus = load_spans(spans)
    for side, sentences in zip(SIDES, (corpus.train, corpus.valid, corpus.test), strict=True):
        for sentence in sentences:
            sides[sentence.text] = side
            groups.add(sentence.group)
    return sides, groups - {""}


def _read(
    inputs: list[Input], config: DataConfig, sentence_filter: Filter, tally: Tally
) -> dict[Side, list[Sentence]]:
    """Return the filtered sentences of the inputs by side, with repeats; none of broken files."""
    sentences: dict[Side, list[Sentence]] = {side: [] for side in SIDES}
    # A side that has files of its own gets no share of the others.
    valid_share = 0.0 if config.valid else config.valid_share
    test_share = 0.0 if config.test else config.test_share
    for file in inputs:
        for line, row in _rows(file, config, tally):
            tally.read += 1
            reason = "" if isinstance(row, SkippedRow) else sentence_filter.reason(row.text)
            result = SkippedRow(reason, line) if reason else row
            if isinstance(result, SkippedRow):
                tally.drop(file.path, result)
                continue
            # Labels that are groups have sentences on all sides.
            key = result.text if config.label_is_group else result.group or result.text
            sentences[file.side or side_of(key, valid_share, test_share)].append(result)
    return sentences


def _rows(file: Input, config: DataConfig, tally: Tally) -> list[tuple[int, Sentence | SkippedRow]]:
    """Return the numbered rows of a file; none where it is broken anywhere, which the tally has."""
    problem = file.problem
    rows: list[tuple[int, Sentence | SkippedRow]] = []
    if not problem:
        try:
            rows.extend(read_numbered(file.path, config))
            return rows
        except EmptyFileError as error:
            # Sound, as of an hour in which nothing was said.
            problem = str(error).removeprefix(f"{file.path}: ")
            tally.empty.append(f"{file.path.name}: {problem}")
            return rows
        except DataError as error:
            problem = str(error).removeprefix(f"{file.path}: ")
    logger.warning("%s is set aside: %s", file.path, problem)
    tally.aside.append(QuarantinedRow(file.path.name, 0, problem))
    return []


def _deduplicate(
    sentences: Mapping[Side, list[Sentence]], sides: dict[str, Side], tally: Tally, *, near: bool
) -> dict[Side, list[Sentence]]:
    """Return the sentences that are not in `sides` yet, each once, and add them to `sides`.

    With `near`, near-duplicates are left out as well.
    """
    kept: dict[Side, list[Sentence]] = {side: [] for side in SIDES}
    letters = Letters()
    keys = {near_key(text, letters) for text in sides} if near else set()
    for side in ("test", "valid", "train"):
        for sentence in sentences[side]:
            if sentence.text in sides:
                counts = tally.duplicates if sides[sentence.text] == side else tally.overlap
                counts[side] += 1
                tally.repeated.add(sentence.group)
                continue
            if near:
                key = near_key(sentence.text, letters)
                if key in keys:
                    tally.near[side] += 1
                    tally.repeated.add(sentence.group)
                    continue
                keys.add(key)
            sides[sentence.text] = side
            kept[side].append(sentence)
    return kept


def _check_sides(
    config: DataConfig, kept: Mapping[Side, list[Sentence]], earlier: Mapping[str, Side]
) -> None:
    """Raise DataError where the corpus is too small, or a side that should have text is empty."""
    total = Counter(earlier.values())
    total.update({side: len(kept[side]) for side in SIDES})
    count = total.total()
    if count < SENTENCES_MIN:
        raise DataError(
            f"{named_paths(config)}: {count} sentence is no corpus; "
            f"at least {SENTENCES_MIN} are needed"
        )
    shares = {"train": 1.0, "valid": config.valid_share, "test": config.test_share}
    for side in SIDES:
        is_wanted = getattr(config, side) or (config.inputs and shares[side])
        if is_wanted and not total[side]:
            share = "smaller other shares" if side == "train" else f"a larger data.{side}_share"
            raise DataError(
                f"{named_paths(config)}: "
                f"none of {count} different sentences is on the {side} side; "
                + (_few_groups(kept, config) or f"give more text, {share}, or files in data.{side}")
            )


def _few_groups(kept: Mapping[Side, list[Sentence]], config: DataConfig) -> str:
    """Return what to do about a column of few groups, which leaves sides empty; or nothing."""
    rows = [row for side in SIDES for row in kept[side]]
    groups = len({row.group for row in rows if row.group})
    keys = {row.group or row.text for row in rows}
    if config.label_is_group or not groups or len(keys) > GROUPS_FEW:
        return ""
    words = f"{groups} groups" if groups > 1 else "one group"
    return (
        f"the {len(rows)} sentences are of {words}, and a group stays on one side; "
        "give a column of more groups as data.group_column, or none"
    )
