"""The corpora of the quality table: read once, verified at each use, with one tokenizer each."""

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from textvae import files
from textvae.config.data import DataConfig, TokenizerConfig
from textvae.corpus.bible import write_clauses
from textvae.corpus.ingest import ingest
from textvae.corpus.readers import SUFFIXES
from textvae.corpus.spans import load_spans
from textvae.corpus.split import SIDES
from textvae.errors import DataError, InputError, NotFoundError
from textvae.experiments.tasks import PreparedCorpus, select_training_sentences
from textvae.settings import to_mapping
from textvae.text.tokenizer import Tokenizer, draw_sentences, train_tokenizer

log = logging.getLogger(__name__)

DEMO = "demo"


class Source(NamedTuple):
    """A corpus as the command line names it."""

    name: str
    """Lower-case letters, digits and hyphens, as the table shows it."""
    path: Path | None
    """A file or folder; None for the demo's clauses."""


def parse_sources(corpora: Sequence[str]) -> list[Source]:
    """Return the sources of the names: `demo`, files and folders.

    Raises NotFoundError for a path that does not exist, InputError for two corpora of one name.
    """
    sources: list[Source] = []
    for name_or_path in corpora:
        path = None if name_or_path == DEMO else Path(name_or_path)
        if path is not None and not path.exists():
            raise NotFoundError(
                f"{name_or_path}: no such file or folder; --corpora takes the word {DEMO}, a "
                "folder with train, valid and test files, or a file or folder of text to be split"
            )
        stem = DEMO
        if path is not None:
            stem = path.resolve().name if path.is_dir() else path.stem
        name = re.sub("[^a-z0-9]+", "-", stem.lower()).strip("-")[:63]
        if not name or name in {source.name for source in sources}:
            raise InputError(
                "corpora", f"{name_or_path}: the name {name!r} is empty or taken; rename the file"
            )
        sources.append(Source(name, path))
    if not sources:
        raise InputError("corpora", f"must name at least one; {DEMO} is always there")
    return sources


def prepare_corpus(
    source: Source, folder: Path, sentences: int, config: TokenizerConfig
) -> PreparedCorpus:
    """Read the corpus into `folder/<name>`, unless it is there already, and train its tokenizer.

    Text that changed since is read again. Raises what ingestion raises (DataError, ...), and
    DataError for a corpus with an empty side.
    """
    corpus_folder = folder / source.name
    spans = corpus_folder / "spans"
    _read_text(source, corpus_folder, spans)
    complete = load_spans(spans)
    for side in SIDES:
        if not getattr(complete, side):
            raise DataError(f"{source.path}: no sentence is on the {side} side; give more text")
    corpus = select_training_sentences(complete, sentences)
    inputs = [complete.hashes, sentences, to_mapping(config)]
    key = hashlib.sha256(files.canonical_json(inputs)).hexdigest()
    path = corpus_folder / f"tokenizer-{key[:12]}.model"
    if not path.exists():
        # One for all seeds, so that their nats are of the same tokens.
        texts = [row.text for row in draw_sentences(corpus.train, config.sentences_max, seed=0)]
        files.write_bytes(path, train_tokenizer(texts, config))
    facts = {f"{side}_sentences": len(getattr(corpus, side)) for side in SIDES}
    facts["vocab"] = Tokenizer(path.read_bytes()).vocab
    return PreparedCorpus(source.name, spans, path, sentences, key, facts)


def _read_text(source: Source, folder: Path, spans: Path) -> None:
    """Ingest the source's text, unless the spans have it as it is now."""
    config = _data_config(source, folder)
    paths = {side: getattr(config, side) for side in ("inputs", *SIDES)}
    hashes = {side: [_hash_files(path) for path in inputs] for side, inputs in paths.items()}
    record = folder / "source.json"
    if record.exists() and json.loads(record.read_bytes()) == hashes:
        return
    if spans.exists():
        log.info("%s: the text is not what it was, so it is read again", source.name)
        files.remove_folder(spans)
    ingest(config, spans)
    # Last, so that a kill before it only costs another ingestion.
    files.write_json(record, hashes)


def _data_config(source: Source, folder: Path) -> DataConfig:
    """Return the inputs: three files for three sides, or text to be split by hash."""
    if source.path is None:
        return write_clauses(folder)
    found = {
        side: tuple(
            path for suffix in SUFFIXES if (path := source.path / f"{side}{suffix}").is_file()
        )
        for side in SIDES
    }
    sides = [side for side in SIDES if found[side]]
    if not sides:
        return DataConfig(inputs=(source.path,))
    if len(sides) < len(SIDES):
        missing = ", ".join(side for side in SIDES if not found[side])
        raise DataError(
            f"{source.path}: has a file for {', '.join(sides)} and none for {missing}; "
            f"add it, or give a file that is to be split"
        )
    return DataConfig(train=found["train"], valid=found["valid"], test=found["test"])


def _hash_files(path: Path) -> dict[str, str]:
    """Return the SHA-256 of a file, or of each file below a folder, by its relative path."""
    paths = sorted(path.rglob("*")) if path.is_dir() else [path]
    top = path if path.is_dir() else path.parent
    return {str(file.relative_to(top)): files.sha256_file(file) for file in paths if file.is_file()}
