"""Settings of folders, of text and of tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from textvae.errors import InputError
from textvae.ranges import check_settings

NO_DELIMITERS = '"\r\n\0'
"""Characters that mean something else in a .csv file."""


@dataclass(frozen=True)
class StoreConfig:
    """Folders of the registry, of text and of runs, and the name of the model."""

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
    """Text that ingest reads, and the limits and filters that it applies."""

    inputs: tuple[Path, ...] = ()
    """Files or folders of .txt, .jsonl, .json, .csv, .tsv or .parquet, or of these packed with .gz
    or .zst; their sentences are split by hash."""
    train: tuple[Path, ...] = ()
    """Files whose sentences all go to training; overrides the split."""
    valid: tuple[Path, ...] = ()
    """Files whose sentences all go to validation; overrides the split."""
    test: tuple[Path, ...] = ()
    """Files whose sentences all go to test; overrides the split."""
    delimiter: str = ""
    """Character between the fields of .csv and .tsv, such as ; or tab; empty: comma in .csv, tab in
    .tsv."""
    text_column: str = "text"
    """Column or key that holds the sentence."""
    label_column: str = ""
    """Column or key of the label; empty: `label` where a file has it."""
    group_column: str = ""
    """Column or key of the group that must stay on one side; empty: `group` where a file has it."""
    label_is_group: bool = False
    """A label is the group too, and no other is read; the split is by sentences, not by labels."""
    characters_max: int = 1000
    """Longest sentence that is kept, in characters after normalization."""
    words_max: int = 0
    """Longest sentence that is kept, in words; 0 for no limit."""
    valid_share: float = 0.02
    """Share of the groups (or sentences) that go to validation, 0 to 0.5."""
    test_share: float = 0.02
    """Share of the groups (or sentences) that go to test, 0 to 0.5."""
    bad_share_max: float = 0.2
    """Share of malformed rows, 0 to 1, above which ingest fails; below it they are quarantined."""
    bad_files_max: int = 20
    """Malformed files in one ingest above which it fails; below it they are quarantined."""
    drift_spans: int = 7
    """Newest spans that new text is tested for drift against; 0 for no test."""
    blocklist: tuple[Path, ...] = ()
    """Files with a word or phrase per line; sentences with one, in any case, are dropped: word for
    word, and anywhere in scripts without spaces."""
    pii: bool = False
    """Drop sentences with an e-mail address, a telephone, card or bank account number."""
    near_duplicates: bool = False
    """Drop sentences that differ from another only in case, punctuation and digits."""

    def __post_init__(self) -> None:
        """Raise InputError for a value out of its range."""
        if self.delimiter and (len(self.separator) != 1 or self.separator in NO_DELIMITERS):
            raise InputError(
                "data.delimiter", f"must be one character, or tab, got {self.delimiter!r}"
            )
        check_settings(self, "data", ("characters_max",), 1)
        check_settings(self, "data", ("words_max", "bad_files_max", "drift_spans"), 0)
        check_settings(self, "data", ("valid_share", "test_share"), 0, 0.5)
        check_settings(self, "data", ("bad_share_max",), 0, 1)
        if self.label_is_group and self.group_column:
            raise InputError(
                "data.label_is_group",
                f"must be false where data.group_column is set, got {self.group_column!r}; "
                "leave one of the two out",
            )

    @property
    def separator(self) -> str:
        """The delimiter as a character; empty where the suffix decides."""
        return "\t" if self.delimiter in ("tab", "\\t") else self.delimiter


@dataclass(frozen=True)
class TokenizerConfig:
    """SentencePiece: lossless, with byte fallback."""

    vocab: int = 8000
    """Requested tokens of the vocabulary; a small corpus gives fewer, and the report says so."""
    kind: Literal["unigram", "bpe"] = "unigram"
    """Algorithm of SentencePiece."""
    sentences_max: int = 100_000
    """Most training sentences, chosen by the seed, that the vocabulary is learned from."""

    def __post_init__(self) -> None:
        """Raise InputError for a value out of its range."""
        check_settings(self, "tokenizer", ("vocab", "sentences_max"), 1)
