"""The columns of a file: those of the settings, and those that a message may name.

The first line of a file without a header is a sentence like any other, of which no message may
tell; so a column is named where its name is made of words that columns are named by.
"""

import logging
import re
from collections.abc import Collection
from pathlib import Path

from textvae.config.data import DataConfig
from textvae.errors import DataError

WORDS = re.compile(
    r"""(?x)
    answer | article | author | body | category | caption | class | code | column | comment |
    content | context | conversation | country | created | customer | data | date |
    description | dialog | dialogue | document | domain | email | en | end | example |
    feedback | file | gold | group | headline | id | idx | index | input | instruction |
    intent | intention | key | keywords | kind | label | labels | lang | language | line |
    link | locale | message | meta | metadata | mood | msg | n | name | no | note | notes |
    number | original | output | paragraph | phrase | picture | post | prompt | query |
    question | rating | raw | reply | request | response | review | row | sample | score |
    segment | sentence | sentiment | source | speaker | split | stars | start | subject |
    summary | tag | tags | target | text | texts | ticket | time | timestamp | title | topic |
    transcript | translation | turn | tweet | type | unnamed | updated | url | user |
    utterance | utterances | uuid | value | verse | x | y
    """
)
LIKELY_LABELS = re.compile(
    "category|class|classes|intent|intention|kind|labels|mood|sentiment|tag|target|topic"
)
SEPARATORS = ",;\t|"
NAMES_MAX = 10

_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[^\w]|_")

logger = logging.getLogger(__name__)


def check_columns(path: Path, names: Collection[str], config: DataConfig) -> None:
    """Raise DataError where the file lacks a column of the settings."""
    for setting in ("text_column", "label_column", "group_column"):
        wanted = getattr(config, setting)
        if wanted and wanted not in names:
            raise DataError(f"{path}: has no column {wanted!r}; {_advice(setting, names, config)}")
    likely = sorted(name for name in names if LIKELY_LABELS.fullmatch(name.lower()))
    if likely and not config.label_column and "label" not in names:
        logger.warning(
            "%s: no labels are read; set data.label_column to %s if that is one",
            path.name,
            " or ".join(likely),
        )


def check_once(
    path: Path,
    names: Collection[str],
    config: DataConfig,
    where: str = "it",
    *,
    every: bool = False,
) -> None:
    """Raise DataError where the file has two columns of a name that is read; `where` names them.

    `every`: all of its columns are read.
    """
    for name in sorted(set(names) if every else read_columns(config)):
        if sum(each == name for each in names) > 1:
            raise DataError(f"{path}: {where} names the column {name!r} twice; name each once")


def read_columns(config: DataConfig) -> set[str]:
    """Return the columns that are read where a file has them."""
    return {config.text_column, config.label_column or "label", config.group_column or "group"}


def _advice(setting: str, names: Collection[str], config: DataConfig) -> str:
    """Return what to do about a column that is not there."""
    only = next(iter(names)) if len(names) == 1 else ""
    for separator in SEPARATORS:
        if separator in only:
            name = "a tab" if separator == "\t" else f'"{separator}"'
            return f"its first line is one column and holds {name}; set data.delimiter to that"
    own = read_columns(config)
    plain = sorted(name for name in names if name in own or is_plain(name))[:NAMES_MAX]
    others = len(names) - len(plain)
    if not plain:
        return (
            f"it has {len(names)} columns; set data.{setting} to the name of one, or write the "
            "names of the columns in the first line"
        )
    words = f"set data.{setting} to one of {', '.join(plain)}"
    words += f", or to another of its {len(names)} columns" if others else ""
    likely = [name for name in plain if LIKELY_LABELS.fullmatch(name.lower())]
    if setting == "text_column" and likely and not config.label_column:
        words += f"; data.label_column may be {' or '.join(likely)}"
    return words


def is_plain(name: str) -> bool:
    """Return whether a name is made of the words that columns are named by."""
    parts = [part.lower() for part in _PART.findall(name) if part.isalnum()]
    rest = _PART.sub("", name).strip()
    separators = set(re.sub(r"\w", "", name))
    named = [part for part in parts if not part.isdigit()]
    short = all(len(part) < 4 for part in parts if part.isdigit())
    return (
        not rest
        and 0 < len(named) <= 4
        and len(parts) <= 5
        and short
        and separators <= set(" -.:/")
        and all(WORDS.fullmatch(part) for part in named)
    )
