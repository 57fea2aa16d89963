"""Train a version again from its manifest, and compare the two byte by byte."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from textvae import files, locks
from textvae.corpus.spans import Corpus, load_spans
from textvae.errors import CorruptError, InputError
from textvae.installation import job_module
from textvae.progress import ProgressCallback
from textvae.sealed import MANIFEST, manifest_of
from textvae.settings import read_toml
from textvae.store.versions import Version, open_version
from textvae.training.ranks import current_ranks
from textvae.training.recipe import Recipe
from textvae.training.run import Candidate, arithmetic_words, train
from textvae.training.start import FRESH, Ancestor, Start
from textvae.version_files import CONFIG_FILE

log = logging.getLogger(__name__)


def device_of(version: Version) -> str:
    """Return the device that a verified version was trained on: `cpu` or `cuda`."""
    return _recipe(version).training.device


def rebuild(
    version: Version, spans: Path, runs: Path, on_progress: ProgressCallback, *, anyway: bool
) -> list[str]:
    """Train a verified version again, and return what differs, in words; empty for the same bytes.

    The run below `runs` begins at the first step and is removed afterwards. Raises InputError where
    torch, textvae or the arithmetic are not those of the version, unless `anyway` is set; where the
    number of processes is another, or where the version was not made by training. NotFoundError
    and CorruptError where a span is missing or has changed, BusyError while another process
    rebuilds it; and what `train` raises.
    """
    recipe, corpus = _recipe(version), _corpus(version, spans)
    changes = _environment_changes(version, recipe)
    for words in changes:
        log.warning("%s", words)
    if changes and not anyway:
        raise InputError(
            "rebuild_anyway",
            f"{'; '.join(changes)}, so other bytes are likely; set it to train and compare all the "
            "same, or rebuild it with what made it",
        )
    run, ranks = runs / f"rebuild-{version.name}", current_ranks()
    with ExitStack() as stack:
        if ranks.first:
            stack.enter_context(locks.hold_lock(runs / f".rebuild-{version.name}.lock", "rebuild"))
            _remove(run)
        ranks.wait()
        parent = str(version.manifest["parent"])
        candidate = train(recipe, corpus, run, parent, on_progress, _start(version, parent))
        ranks.wait()
        if ranks.first:
            _remove(run)
    return list(differences(version, candidate))


def differences(version: Version, candidate: Candidate) -> Iterator[str]:
    """Yield what differs between a version and a candidate, in words, by file and by fact."""
    published = {name: (version.folder / name).read_bytes() for name in version.manifest["files"]}
    for name in sorted({*published, *candidate.files}):
        yield from _file_difference(name, published.get(name), candidate.files.get(name))
    manifest = manifest_of(candidate.files, candidate.facts)
    if manifest == (version.folder / MANIFEST).read_bytes():
        return
    facts = {
        name: fact for name, fact in version.manifest.items() if name not in ("format", "files")
    }
    yield from _fact_differences(facts, candidate.facts)
    if facts == candidate.facts and published == candidate.files:
        yield f"{MANIFEST}: says the same in other bytes"


def _file_difference(name: str, old: bytes | None, new: bytes | None) -> Iterator[str]:
    """Yield how the file of the version differs from the rebuilt one."""
    if old is None or new is None:
        yield f"{name}: is {'missing' if new is None else 'new'}"
    elif old != new:
        pairs = zip(old, new, strict=False)
        changed = sum(one != other for one, other in pairs) + abs(len(old) - len(new))
        yield f"{name}: {changed} of {len(old)} bytes are others, {len(new)} were made"


def _fact_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield the facts of the manifest that differ."""
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield f"{MANIFEST}: {name} was {old.get(name)!r}, is {new.get(name)!r}"


def _recipe(version: Version) -> Recipe:
    """What a version was trained by; InputError where it was not made by training."""
    if CONFIG_FILE not in version.manifest["files"] or not version.manifest.get("spans"):
        raise InputError(
            "rebuild", f"{version.name} names no {CONFIG_FILE} and no spans to train on"
        )
    sections = read_toml(version.folder / CONFIG_FILE)
    return Recipe(sections["tokenizer"], sections["model"], sections["training"])


def _corpus(version: Version, spans: Path) -> Corpus:
    """Return the spans that a version learned from; CorruptError where one has changed."""
    expected = version.manifest["spans"]
    corpus = load_spans(spans, sorted(expected))
    for name, sha256 in zip(corpus.names, corpus.hashes, strict=True):
        if sha256 != expected[name]:
            raise CorruptError(f"{spans / name}: is not the span that {version.name} learned from")
    return corpus


def _start(version: Version, parent: str) -> Start:
    """Return what its training started from; NotFoundError where that version is missing."""
    if version.manifest.get("start", "fresh") == "fresh":
        return FRESH
    registry = version.folder.parents[2]
    ancestor = open_version(registry, version.model, parent)
    origin = Ancestor(ancestor.name, ancestor.folder, ancestor.manifest)
    return Start(f"champion: as then, {parent}", origin)


def _environment_changes(version: Version, recipe: Recipe) -> list[str]:
    """Return what differs between the version's environment and this one, in words."""
    here = {
        "torch": torch.__version__,
        "arithmetic": arithmetic_words(recipe),
        "textvae": metadata.version("textvae"),
    }
    recorded, world = version.manifest, version.manifest["world_size"]
    if world != current_ranks().world:
        command = f"torchrun --nproc-per-node {world} -m {job_module('fsck')}"
        raise InputError("rebuild", f"{version.name} was made by {world} processes: use {command}")
    return [
        f"{name} was {recorded.get(name)}, here it is {value}"
        for name, value in here.items()
        if recorded.get(name) != value
    ]


def _remove(run: Path) -> None:
    """Remove a run, if it exists."""
    if run.exists():
        files.remove_folder(run)
