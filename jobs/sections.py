"""Which sections of a settings file a job takes, and what is said of those that it does not.

The jobs of a nightly run share one file, so that sections of the others are no mistake there: one
line of the log names them. A job that stands alone (demo, explain, table) has no such excuse, nor
has a file without any section that the job takes: these are refused, and so is every flag.
"""

import dataclasses
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from textvae.errors import InputError
from textvae.presets import Preset
from textvae.settings import Sections

log = logging.getLogger(__name__)

SECTIONS = tuple(Sections.__annotations__)
TAKERS: Mapping[str, str] = {
    "store": "all jobs but demo, explain, table and init",
    "data": "ingest, nightly and demo",
    "tokenizer": "train, nightly, demo and explain",
    "model": "train, nightly, demo and explain",
    "training": "train, nightly, demo and explain",
    "evaluation": "evaluate, doctor, report, nightly, demo and table",
    "gate": "evaluate and nightly",
    "night": "nightly",
    "prune": "prune and nightly",
    "serve": "evaluate, doctor, report, variations, intents, nightly, encode and generate, and of "
    "textvae serve",
    "bulk": "encode and generate",
}
"""The jobs that take each section, in words."""
_SETTING = re.compile(r"\b([a-z]+)\.([a-z_]+)\b")


def sections_taken(kind: type[Any]) -> tuple[str, ...]:
    """Return the names of the sections that a job's settings have."""
    names = {field.name for field in dataclasses.fields(kind)}
    return tuple(name for name in SECTIONS if name in names)


def check_flags(job: str, kind: type[Any], arguments: Sequence[str]) -> None:
    """Raise InputError for a flag of a section that the job does not take."""
    taken = sections_taken(kind)
    for argument in arguments:
        name = argument.removeprefix("--").partition("=")[0].replace("-", "_")
        section = name.partition(".")[0]
        if argument.startswith("--") and "." in name and section in set(SECTIONS) - set(taken):
            raise InputError(
                name,
                f"is no flag of {job}, which takes {_words(taken)}; [{section}] is of "
                f"{TAKERS[section]}",
            )


def check_sections(
    job: str, kind: type[Any], path: Path, named: Sequence[str], preset: str
) -> None:
    """Raise InputError where the file has sections that the job would ignore for a mistake; else
    name those that it ignores in the log. `preset` is one that the file names, or empty."""
    taken = sections_taken(kind)
    ignored = [name for name in named if name not in taken]
    shares_file = "store" in taken
    if ignored and (not shares_file or len(ignored) == len(named)):
        raise InputError(ignored[0], _refusal(job, taken, ignored, path))
    if preset and not shares_file:
        check_preset(job, kind, preset)
    if ignored:
        log.info("%s: not for %s, which takes %s: %s", path, job, _words(taken), _words(ignored))


def check_preset(job: str, kind: type[Any], preset: str) -> None:
    """Raise InputError where a job has no use for a preset that it was given."""
    taken = sections_taken(kind)
    if preset and not set(Preset._fields) & set(taken):
        raise InputError(
            "preset",
            f"{preset} is a recipe of {_words(Preset._fields)}, which {job} does not take: it "
            f"takes {_words(taken)}; leave it out, presets are for {TAKERS['training']}",
        )


def strange_settings(kind: type[Any], message: str) -> str:
    """Return whose settings those are that a message names and the job does not have; empty for
    none."""
    hints, taken = get_type_hints(Sections), sections_taken(kind)
    strange: dict[str, list[str]] = {}
    for section, key in _SETTING.findall(message):
        name = f"{section}.{key}"
        if section in set(SECTIONS) - set(taken) and key in get_type_hints(hints[section]):
            strange.setdefault(TAKERS[section], [])
            strange[TAKERS[section]] += [] if name in strange[TAKERS[section]] else [name]
    return "; ".join(
        f"{' and '.join(names)} {'is a setting' if len(names) == 1 else 'are settings'} of {takers}"
        for takers, names in strange.items()
    )


def _refusal(job: str, taken: Sequence[str], ignored: Sequence[str], path: Path) -> str:
    """Return why sections are refused, and what takes them."""
    whose = "; ".join(f"[{name}] is of {TAKERS[name]}" for name in ignored)
    return (
        f"{path} has {_words(ignored)}, which {job} would ignore: {job} takes {_words(taken)} "
        f"({whose}); take {'it' if len(ignored) == 1 else 'them'} out"
    )


def _words(names: Sequence[str]) -> str:
    """Return sections as a list in words."""
    return ", ".join(f"[{name}]" for name in names) or "no section"
