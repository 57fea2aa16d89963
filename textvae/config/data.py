"""Settings of where things lie, of text and of tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from textvae.ranges import check_settings


@dataclass(frozen=True)
class StoreConfig:
    """Where things lie."""

    registry: Path = Path("registry")
    """Folder of published versions, one folder per model."""
    model: str = "sentences"
    """Name of the model in the registry: lower-case letters, digits and hyphens."""
    spans: Path = Path("spans")
    """Folder of ingested text; each ingest adds one immutable span."""
    runs: Path = Path("runs")
    """Folder of unfinished and finished training runs with their checkpoints."""


@dataclass(frozen=True)
class DataConfig:
    """What ingest reads and what it keeps."""

    inputs: tuple[Path, ...] = ()
    """Files or folders of .txt, .jsonl, .csv or .parquet; split by hash."""
    train: tuple[Path, ...] = ()
    """Files that are all training text; overrides the split."""
    valid: tuple[Path, ...] = ()
    """Files that are all validation text; overrides the split."""
    test: tuple[Path, ...] = ()
    """Files that are all test text; overrides the split."""
    text_column: str = "text"
    """Column or key that holds the sentence (.jsonl, .csv, .parquet)."""
    label_column: str = ""
    """Column or key of the label; empty: `label` where a file has it."""
    group_column: str = ""
    """Column or key of the group that must stay on one side; empty: `group` where a file has it."""
    characters_max: int = 1000
    """Longest sentence kept, in characters after normalising."""
    words_max: int = 0
    """Longest sentence kept, in words; 0 for no limit."""
    valid_share: float = 0.02
    """Share of the groups (or sentences) that go to validation, 0 to 0.5."""
    test_share: float = 0.02
    """Share of the groups (or sentences) that go to test, 0 to 0.5."""
    bad_share_max: float = 0.2
    """More broken rows than this share of all rows read stop the ingest, 0 to 1; fewer are set
    aside."""
    bad_files_max: int = 20
    """More broken files than this in one ingest stop it; fewer are set aside."""
    drift_spans: int = 7
    """The report compares new text with that of so many of the newest spans; 0: not at all."""
    blocklist: tuple[Path, ...] = ()
    """Files with a word or phrase a line; a sentence that has one, in any case, is dropped."""
    pii: bool = False
    """Drop sentences with an e-mail address, a telephone, card or bank account number."""
    near_duplicates: bool = False
    """Drop sentences that differ from another in case, punctuation and digits alone."""

    def __post_init__(self) -> None:
        """InputError for a value out of its range."""
        check_settings(self, "data", ("characters_max",), 1)
        check_settings(self, "data", ("words_max", "bad_files_max", "drift_spans"), 0)
        check_settings(self, "data", ("valid_share", "test_share"), 0, 0.5)
        check_settings(self, "data", ("bad_share_max",), 0, 1)


@dataclass(frozen=True)
class TokenizerConfig:
    """SentencePiece: lossless, with byte fallback."""

    vocab: int = 8000
    """Tokens wished for; a small corpus gets fewer, and the report says so."""
    kind: Literal["unigram", "bpe"] = "unigram"
    """Algorithm of SentencePiece."""
    sentences_max: int = 100_000
    """At most this many training sentences, drawn by the seed, teach the vocabulary."""

    def __post_init__(self) -> None:
        """InputError for a value out of its range."""
        check_settings(self, "tokenizer", ("vocab", "sentences_max"), 1)
