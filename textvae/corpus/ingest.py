"""Files to one more span: read, counted and split, each sentence once in the whole corpus."""

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
from textvae.corpus.inputs import Input, find_inputs, known_records, named_paths, reading_settings
from textvae.corpus.quarantine import QuarantinedRow, check_limits, quarantine_lines
from textvae.corpus.readers import SUFFIXES, SkippedRow, read_file
from textvae.corpus.spans import ASIDE, Span, list_spans, load_spans, write_span
from textvae.corpus.split import SIDES, Side, side_of
from textvae.corpus.tombstones import read_tombstones
from textvae.errors import DataError, InputError
from textvae.text.sentence import Sentence

# One sentence cannot be split, and nothing can be learned from it.
SENTENCES_MIN = 2

logger = logging.getLogger(__name__)


def ingest(config: DataConfig, spans: Path) -> Span | None:
    """The span of what the inputs hold and no earlier span does; None when that is nothing.

    A sentence stands once in all spans, on one side: the first span that had it keeps it, and
    within an ingest test goes before valid and valid before train. A file that was ingested before
    under the same settings is not read again. Broken rows and files are set aside in the span;
    where they are all that is new, in a record without sentences below `spans/aside`, which is part
    of no corpus.

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
        records = [file.record(settings) for file in new]
        return _added(new, config, spans, {"inputs": records})


def _added(
    new: list[Input], config: DataConfig, spans: Path, facts: Mapping[str, Any]
) -> Span | None:
    """The span that these files make."""
    tally, forgotten = Tally(), read_tombstones(spans).sentences
    read = _read(new, config, Filter(config, forgotten), tally)
    check_limits(tally.aside, tally.read, config, named_paths(config))
    earlier = _sides_by_text(spans)
    kept = _once(read, dict(earlier), tally, near=config.near_duplicates)
    report = report_of(tally, kept)
    # A broken row cannot be searched for what must not be kept.
    quarantine = quarantine_lines(tally.aside, texts=not (forgotten or config.pii))
    if any(kept.values()):
        _check_sides(config, kept, earlier)
        report["drift"] = drift_from_last(kept, spans, config.drift_spans)
        return write_span(spans, kept, report, facts, quarantine)
    if not earlier:
        reasons = [one.description for one in tally.aside]
        reasons += [f"{place}: {reason}" for reason, place in tally.first.items()]
        raise DataError(
            f"{named_paths(config)}: no file gives a sentence: {'; '.join(reasons[:3])}"
        )
    logger.info("nothing new in %d files", len(new))
    # Else a broken file would be read, and told of, every night.
    return write_span(spans / ASIDE, kept, report, facts, quarantine) if tally.aside else None


def _sides_by_text(spans: Path) -> dict[str, Side]:
    """The side of every sentence ingested so far."""
    if not list_spans(spans):
        return {}
    corpus = load_spans(spans)
    return {
        sentence.text: side
        for side, sentences in zip(SIDES, (corpus.train, corpus.valid, corpus.test), strict=True)
        for sentence in sentences
    }


def _read(
    inputs: list[Input], config: DataConfig, unwanted: Filter, tally: Tally
) -> dict[Side, list[Sentence]]:
    """All wanted sentences of the inputs by side, repeats included; broken files give none."""
    read: dict[Side, list[Sentence]] = {side: [] for side in SIDES}
    # A side that has files of its own takes no share of the others.
    valid_share = 0.0 if config.valid else config.valid_share
    test_share = 0.0 if config.test else config.test_share
    for file in inputs:
        for line, found in enumerate(_rows(file, config, tally), start=1):
            tally.read += 1
            reason = "" if isinstance(found, SkippedRow) else unwanted.reason(found.text)
            dropped = SkippedRow(reason, line) if reason else found
            if isinstance(dropped, SkippedRow):
                tally.drop(file.path, dropped)
                continue
            key = dropped.group or dropped.text
            read[file.side or side_of(key, valid_share, test_share)].append(dropped)
    return read


def _rows(file: Input, config: DataConfig, tally: Tally) -> list[Sentence | SkippedRow]:
    """What a file gives; nothing where it is broken anywhere, and the tally says so."""
    problem = file.problem
    if not problem:
        try:
            return list(read_file(file.path, config))
        except DataError as error:
            problem = str(error).removeprefix(f"{file.path}: ")
    logger.warning("%s is set aside: %s", file.path, problem)
    tally.aside.append(QuarantinedRow(file.path.name, 0, problem))
    return []


def _once(
    read: Mapping[Side, list[Sentence]], sides: dict[str, Side], tally: Tally, *, near: bool
) -> dict[Side, list[Sentence]]:
    """The sentences that `sides` does not have yet, each once; `sides` then has them too.

    With `near`, near-duplicates of what it has are left out as well.
    """
    kept: dict[Side, list[Sentence]] = {side: [] for side in SIDES}
    letters = Letters()
    keys = {near_key(text, letters) for text in sides} if near else set()
    for side in ("test", "valid", "train"):
        for sentence in read[side]:
            if sentence.text in sides:
                counts = tally.duplicates if sides[sentence.text] == side else tally.overlap
                counts[side] += 1
                continue
            if near:
                key = near_key(sentence.text, letters)
                if key in keys:
                    tally.near[side] += 1
                    continue
                keys.add(key)
            sides[sentence.text] = side
            kept[side].append(sentence)
    return kept


def _check_sides(
    config: DataConfig, kept: Mapping[Side, list[Sentence]], earlier: Mapping[str, Side]
) -> None:
    """DataError where the whole corpus is too small, or has nothing on a side that was wished."""
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
        wished = getattr(config, side) or (config.inputs and shares[side])
        if wished and not total[side]:
            share = "smaller other shares" if side == "train" else f"a larger data.{side}_share"
            raise DataError(
                f"{named_paths(config)}: "
                f"none of {count} different sentences is on the {side} side; "
                f"give more text, {share}, or files in data.{side}"
            )
