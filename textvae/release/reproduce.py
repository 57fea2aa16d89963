"""A version made again from its manifest: is it the same, to the byte?"""

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
    """Where a verified version was trained: `cpu` or `cuda`."""
    return _recipe(version).training.device


def rebuild(
    version: Version, spans: Path, runs: Path, on_progress: ProgressCallback, *, anyway: bool
) -> list[str]:
    """What differs between a verified version and the same trained again, in words.

    Nothing where they are equal to the byte, manifest and all. It is trained in a run of its own
    below `runs`, from the first step on, and that run is gone afterwards. InputError where torch,
    textvae or the arithmetic are others than they were, unless it is to be tried `anyway`; where
    other processes made it, or nothing that trains. NotFoundError and CorruptError where a span is
    gone or not what it was, BusyError while another rebuilds it; and what `train` raises.
    """
    recipe, corpus = _recipe(version), _corpus(version, spans)
    other = _other(version, recipe)
    for words in other:
        log.warning("%s", words)
    if other and not anyway:
        raise InputError(
            "rebuild_anyway",
            f"{'; '.join(other)}, so other bytes are likely; set it to train and compare all the "
            "same, or rebuild it with what made it",
        )
    run, ranks = runs / f"rebuild-{version.name}", current_ranks()
    with ExitStack() as held:
        if ranks.first:
            held.enter_context(locks.hold_lock(runs / f".rebuild-{version.name}.lock", "rebuild"))
            _remove(run)
        ranks.wait()
        parent = str(version.manifest["parent"])
        made = train(recipe, corpus, run, parent, on_progress, _start(version, parent))
        ranks.wait()
        if ranks.first:
            _remove(run)
    return list(differences(version, made))


def differences(version: Version, made: Candidate) -> Iterator[str]:
    """What differs between a version and a candidate, in words, file by file and fact by fact."""
    there = {name: (version.folder / name).read_bytes() for name in version.manifest["files"]}
    for name in sorted({*there, *made.files}):
        yield from _difference(name, there.get(name), made.files.get(name))
    manifest = manifest_of(made.files, made.facts)
    if manifest == (version.folder / MANIFEST).read_bytes():
        return
    facts = {
        name: fact for name, fact in version.manifest.items() if name not in ("format", "files")
    }
    yield from _fact_differences(facts, made.facts)
    if facts == made.facts and there == made.files:
        yield f"{MANIFEST}: says the same in other bytes"


def _difference(name: str, there: bytes | None, made: bytes | None) -> Iterator[str]:
    """How the file of the version differs from the one made again."""
    if there is None or made is None:
        yield f"{name}: is {'missing' if made is None else 'new'}"
    elif there != made:
        pairs = zip(there, made, strict=False)
        other = sum(one != two for one, two in pairs) + abs(len(there) - len(made))
        yield f"{name}: {other} of {len(there)} bytes are others, {len(made)} were made"


def _fact_differences(facts: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[str]:
    """The facts of the manifest that differ."""
    for name in sorted({*facts, *made}):
        if facts.get(name) != made.get(name):
            yield f"{MANIFEST}: {name} was {facts.get(name)!r}, is {made.get(name)!r}"


def _recipe(version: Version) -> Recipe:
    """What a version was trained by; InputError where it was not made by training."""
    if CONFIG_FILE not in version.manifest["files"] or not version.manifest.get("spans"):
        raise InputError(
            "rebuild", f"{version.name} names no {CONFIG_FILE} and no spans to train on"
        )
    sections = read_toml(version.folder / CONFIG_FILE)
    return Recipe(sections["tokenizer"], sections["model"], sections["training"])


def _corpus(version: Version, spans: Path) -> Corpus:
    """The spans that a version learned from."""
    promised = version.manifest["spans"]
    corpus = load_spans(spans, sorted(promised))
    for name, sha256 in zip(corpus.names, corpus.hashes, strict=True):
        if sha256 != promised[name]:
            raise CorruptError(f"{spans / name}: is not the span that {version.name} learned from")
    return corpus


def _start(version: Version, parent: str) -> Start:
    """What its training began from; NotFoundError where that is gone."""
    if version.manifest.get("start", "fresh") == "fresh":
        return FRESH
    registry = version.folder.parents[2]
    begun = open_version(registry, version.model, parent)
    return Start(f"champion: as then, {parent}", Ancestor(begun.name, begun.folder, begun.manifest))


def _other(version: Version, recipe: Recipe) -> list[str]:
    """What is not here as it was there, in words."""
    here = {
        "torch": torch.__version__,
        "arithmetic": arithmetic_words(recipe),
        "textvae": metadata.version("textvae"),
    }
    there, world = version.manifest, version.manifest["world_size"]
    if world != current_ranks().world:
        command = f"torchrun --nproc-per-node {world} -m jobs.fsck"
        raise InputError("rebuild", f"{version.name} was made by {world} processes: use {command}")
    return [
        f"{name} was {there.get(name)}, here it is {value}"
        for name, value in here.items()
        if there.get(name) != value
    ]


def _remove(run: Path) -> None:
    """No run is there."""
    if run.exists():
        files.remove_folder(run)
