"""The input files of an ingest, and which of them were read before."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from textvae import files
from textvae.config.data import DataConfig
from textvae.corpus.folders import Found, files_of
from textvae.corpus.spans import ASIDE, list_spans, span_manifest
from textvae.corpus.split import Side
from textvae.errors import NotFoundError

PATHS = ("inputs", "train", "valid", "test")
# The sentences of a file do not depend on these.
LIMITS = ("bad_share_max", "bad_files_max", "drift_spans")
# Left out of a record while they are off, so that records from before they existed stay equal.
SWITCHES = ("blocklist", "pii", "near_duplicates", "label_is_group")
GROUPS = ("group_column", "label_is_group")


class Input(NamedTuple):
    """One file to read."""

    path: Path
    side: Side | None
    """The side of all its sentences; None: a hash decides for each sentence."""
    sha256: str
    """Empty where it cannot be read."""
    problem: str = ""
    """Why it cannot be read."""

    def record(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest's record of an input; equal records give equal sentences."""
        # Not the path: the same bytes are the same text in any folder.
        record = {
            "sha256": self.sha256,
            "side": self.side or "split",
            "settings": dict(settings),
        }
        return {**record, "unread": f"{self.path.name}: {self.problem}"} if self.problem else record


def find_inputs(config: DataConfig) -> list[Input]:
    """Return every file of the settings and of their folders; none where all folders are empty.

    Raises NotFoundError for a missing file that the settings name themselves, DataError for such a
    folder that cannot be read.
    """
    named: list[tuple[Side | None, tuple[Path, ...]]] = [
        (None, config.inputs),
        ("train", config.train),
        ("valid", config.valid),
        ("test", config.test),
    ]
    return [
        _input(found, side, named=found.path == path)
        for side, paths in named
        for path in paths
        for found in files_of(path)
    ]


def known_records(spans: Path) -> list[dict[str, Any]]:
    """Return the records of all inputs that were read before, also of those that were broken."""
    return [
        record
        for folder in (spans, spans / ASIDE)
        for name in list_spans(folder)
        for record in span_manifest(folder, name)["inputs"]
    ]


def reading_settings(config: DataConfig) -> dict[str, Any]:
    """Return the settings that decide what a file gives, without the switches that are off."""
    values = asdict(config)
    settings = {
        name: value
        for name, value in values.items()
        if name not in (*PATHS, *LIMITS) and (value or name not in SWITCHES)
    }
    if config.blocklist:
        settings["blocklist"] = [_sha256(path) for path in config.blocklist]
    if not config.delimiter:
        # Records from before this setting stay equal.
        del settings["delimiter"]
    return settings


def read_with_other_groups(
    new: Sequence[Input], known: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
) -> list[Input]:
    """Return those of the inputs that were read before, but with other groups."""
    before = {
        record["sha256"]
        for record in known
        if any(record["settings"].get(name) != settings.get(name) for name in GROUPS)
    }
    return [file for file in new if file.sha256 and file.sha256 in before]


def named_paths(config: DataConfig) -> str:
    """Return the paths that the settings name, for a message."""
    return ", ".join(str(path) for name in PATHS for path in getattr(config, name))


def _input(found: Found, side: Side | None, *, named: bool) -> Input:
    """Return a file with its hash, or with the reason why it has none."""
    path = found.path
    if found.problem:
        return Input(path, side, "", found.problem)
    try:
        return Input(path, side, files.sha256_file(path))
    except FileNotFoundError:
        if named:
            raise NotFoundError(f"{path}: no such file") from None
        # It existed when the folder was listed.
        return Input(path, side, "", "was removed while it was read")
    except OSError as error:
        return Input(path, side, "", f"cannot be read: {error.strerror or error}")


def _sha256(path: Path) -> str:
    """Return the hash of a blocklist."""
    try:
        return files.sha256_file(path)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
