"""Files to one more span: read, counted and split, each sentence once in the whole corpus."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.config import DataConfig
from textvae.errors import DataError, InputError, NotFoundError
from textvae.text.corpus import SUFFIXES, Dropped, Sentence, read_file
from textvae.text.report import Tally, report_of
from textvae.text.spans import Span, list_spans, load_spans, read_manifest, write_span
from textvae.text.split import SIDES, Side, side_of

# One sentence cannot be split, and nothing can be learned from it.
SENTENCES_MIN = 2

logger = logging.getLogger(__name__)


class Input(NamedTuple):
    """One file to read."""

    path: Path
    side: Side | None
    """The side that all of it goes to; None: a hash decides for each sentence."""
    sha256: str


def ingest(config: DataConfig, spans: Path) -> Span | None:
    """The span of what the inputs hold and no earlier span does; None when that is nothing.

    A sentence stands once in all spans, on one side: the first span that had it keeps it, and
    within an ingest test goes before valid and valid before train. A file that was ingested before
    under the same settings is not read again. Raises NotFoundError (missing file), DataError (the
    text), InputError (the settings), CorruptError (an earlier span), BusyError (another ingest).
    """
    if not _told(config):
        raise InputError("data.inputs", "names no file; give at least one file or folder of text")
    with files.hold_lock(spans / ".lock", "ingest"):
        inputs, known = _find_inputs(config), _known(spans)
        if not inputs and not known:
            raise DataError(
                f"{_told(config)}: no file ends in {', '.join(SUFFIXES)}; put text there"
            )
        settings = _settings(config)
        new = [file for file in inputs if _record(file, settings) not in known]
        if not new:
            return None
        tally = Tally()
        read = _read(new, config, tally)
        earlier = _sides_by_text(spans)
        kept = _once(read, dict(earlier), tally)
        if not any(kept.values()):
            logger.info("nothing new in %d files", len(new))
            return None
        _check_sides(config, kept, earlier)
        records = [_record(file, settings) for file in new]
        return write_span(spans, kept, report_of(tally, kept), {"inputs": records})


def _find_inputs(config: DataConfig) -> list[Input]:
    """Every file that the settings name, folders opened; none where all folders are empty."""
    named: list[tuple[Side | None, tuple[Path, ...]]] = [
        (None, config.inputs),
        ("train", config.train),
        ("valid", config.valid),
        ("test", config.test),
    ]
    return [
        Input(file, side, _sha256(file))
        for side, paths in named
        for path in paths
        for file in _open_folder(path)
    ]


def _open_folder(path: Path) -> list[Path]:
    """The file itself, or the files below a folder that have a reader; hidden ones are left out."""
    if not path.is_dir():
        return [path]
    below = sorted(
        file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")
    )
    readable = [file for file in below if file.suffix.lower() in SUFFIXES]
    if len(readable) < len(below):
        logger.warning(
            "%s: %d files have no reader and are left out", path, len(below) - len(readable)
        )
    return readable


def _sha256(path: Path) -> str:
    """The hash of an input file."""
    try:
        return files.sha256_file(path)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _record(file: Input, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest keeps of an input; equal records give equal sentences."""
    # Not the path: the same bytes are the same text, wherever they lie.
    return {"sha256": file.sha256, "side": file.side or "split", "settings": dict(settings)}


def _settings(config: DataConfig) -> dict[str, Any]:
    """The settings that decide what a file gives."""
    paths = ("inputs", "train", "valid", "test")
    return {name: value for name, value in asdict(config).items() if name not in paths}


def _known(spans: Path) -> list[dict[str, Any]]:
    """The records of all inputs of all earlier spans."""
    return [record for name in list_spans(spans) for record in read_manifest(spans, name)["inputs"]]


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


def _read(inputs: list[Input], config: DataConfig, tally: Tally) -> dict[Side, list[Sentence]]:
    """All sentences of the inputs by side, repeats included."""
    read: dict[Side, list[Sentence]] = {side: [] for side in SIDES}
    # A side that has files of its own takes no share of the others.
    valid_share = 0.0 if config.valid else config.valid_share
    test_share = 0.0 if config.test else config.test_share
    for path, side, _ in inputs:
        for found in read_file(path, config):
            tally.read += 1
            if isinstance(found, Dropped):
                tally.drop(path, found)
                continue
            key = found.group or found.text
            read[side or side_of(key, valid_share, test_share)].append(found)
    return read


def _once(
    read: Mapping[Side, list[Sentence]], sides: dict[str, Side], tally: Tally
) -> dict[Side, list[Sentence]]:
    """The sentences that `sides` does not have yet, each once; `sides` then has them too."""
    kept: dict[Side, list[Sentence]] = {side: [] for side in SIDES}
    for side in ("test", "valid", "train"):
        for sentence in read[side]:
            if sentence.text not in sides:
                sides[sentence.text] = side
                kept[side].append(sentence)
            elif sides[sentence.text] == side:
                tally.duplicates[side] += 1
            else:
                tally.overlap[side] += 1
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
            f"{_told(config)}: {count} sentence is no corpus; at least {SENTENCES_MIN} are needed"
        )
    shares = {"train": 1.0, "valid": config.valid_share, "test": config.test_share}
    for side in SIDES:
        wished = getattr(config, side) or (config.inputs and shares[side])
        if wished and not total[side]:
            share = "smaller other shares" if side == "train" else f"a larger data.{side}_share"
            raise DataError(
                f"{_told(config)}: none of {count} different sentences is on the {side} side; "
                f"give more text, {share}, or files in data.{side}"
            )


def _told(config: DataConfig) -> str:
    """The paths that the settings name, for a message."""
    paths = (*config.inputs, *config.train, *config.valid, *config.test)
    return ", ".join(map(str, paths))
