"""The choice among all that was found, in the order of the input: distinct, and as many as wanted.

It reads what the shards hold and nothing else, so it is the same however they were made.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from textvae.bulk.rows import InputRow, Table
from textvae.bulk.tasks import Asked
from textvae.engine.candidates import letters_of
from textvae.errors import InputError

BUFFER = 65_536
_TEXTS = {"paraphrase": "variation", "sample": "text"}
"""The column of each task that is to be distinct."""


class SeenTexts:
    """The texts that there were, each by 8 bytes of its hash.

    Of ten million texts two different ones have one hash with a probability of 3e-6.
    """

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.uint64)
        self._new: set[int] = set()

    def add(self, key: str) -> bool:
        """Add a text; return whether it is new."""
        value = _hash(key)
        if not self._is_new(value):
            return False
        self._new.add(value)
        if len(self._new) >= BUFFER:
            new = np.fromiter(self._new, np.uint64, len(self._new))
            self._sorted = np.sort(np.concatenate([self._sorted, new]))
            self._new.clear()
        return True

    def is_new(self, key: str) -> bool:
        """Return whether a text was not added."""
        return self._is_new(_hash(key))

    def _is_new(self, value: int) -> bool:
        if value in self._new:
            return False
        place = int(np.searchsorted(self._sorted, np.uint64(value)))
        return place == len(self._sorted) or int(self._sorted[place]) != value


class Quota(NamedTuple):
    """How many variations a label, or a group, is to have in the whole output."""

    wanted: int
    rows: int
    """Rows of the input that it has."""


def quotas_of(asked: Asked, table: Table) -> dict[str, Quota]:
    """Return the quota of each label or group; none where each row has its own.

    Raises InputError where the input has no labels or groups.
    """
    for name, wanted, counts in (
        ("label", asked.per_label, table.labels),
        ("group", asked.per_group, table.groups),
    ):
        if not wanted:
            continue
        if not set(counts) - {""}:
            raise InputError(
                f"per_{name}",
                f"the input has no {name}s; name their column with --{name}-column",
            )
        return {value: Quota(wanted, rows) for value, rows in counts.items() if value}
    return {}


def wanted_of(row: InputRow, asked: Asked, quotas: Mapping[str, Quota]) -> int:
    """Return the results that a row needs, those to spare included."""
    if asked.task != "paraphrase":
        return 1
    if not (asked.per_label or asked.per_group):
        return asked.count + asked.spare
    quota = quotas.get(_key(row.label, row.group, asked))
    return -(-quota.wanted // quota.rows) + asked.spare if quota else 0


class Choice:
    """What is taken of each row, in the order of the input."""

    def __init__(self, asked: Asked, quotas: Mapping[str, Quota], sources: Iterable[str]) -> None:
        """`sources`: the texts of the input, which are no variations."""
        self._asked, self._quotas = asked, quotas
        self._left = {name: quota.rows for name, quota in quotas.items()}
        self.taken: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        self.missing_by_name: dict[str, Counter[str]] = {}
        self._seen = SeenTexts()
        self._own = SeenTexts()
        if asked.distinct != "none":
            for text in sources:
                self._own.add(self._text_key(text))

    def take(self, line: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
        """Return the rows that are taken of a line of a draft, and what is missing, in words."""
        if line["error"]:
            return [], str(line["error"])
        name = _key(line["label"], line["group"], self._asked)
        if self._quotas and name not in self._quotas:
            return [], f"has no {'label' if self._asked.per_label else 'group'}"
        wanted = self._wanted(name)
        taken: list[dict[str, Any]] = []
        reasons: Counter[str] = Counter()
        for one in line["found"]:
            if len(taken) == wanted:
                break
            if reason := self._reason(str(one[_TEXTS[self._asked.task]])):
                reasons[reason] += 1
            else:
                taken.append(one)
        short = wanted - len(taken)
        self.taken[name] += len(taken)
        if not short:
            return taken, ""
        why = self._why(short, reasons, line["missing"])
        self.missing.update(why)
        if self._quotas:
            self.missing_by_name.setdefault(name, Counter()).update(why)
            return taken, ""
        words = ", ".join(f"{reason} {count}" for reason, count in sorted(why.items()))
        return taken, f"{short} of {wanted} missing: {words}"

    def unmet(self) -> dict[str, dict[str, Any]]:
        """Return the quotas that were not met: what was wanted, what there is, and why."""
        return {
            name: {
                "wanted": quota.wanted,
                "taken": self.taken[name],
                "refused": dict(sorted(self.missing_by_name.get(name, Counter()).items())),
            }
            for name, quota in sorted(self._quotas.items())
            if self.taken[name] < quota.wanted
        }

    def _wanted(self, name: str) -> int:
        """Return how many are due of this row: what its name still lacks, spread over its rows."""
        if not self._quotas:
            return 1 if self._asked.task == "sample" else self._asked.count
        lacks = self._quotas[name].wanted - self.taken[name]
        rows = self._left[name]
        self._left[name] -= 1
        return -(-lacks // rows)

    def _why(self, short: int, reasons: Counter[str], missing: list[str]) -> Counter[str]:
        """Return the reasons of so many that are missing: the rule's, then those of the request."""
        all_reasons = [*reasons.elements(), *missing]
        all_reasons += ["budget"] * (short - len(all_reasons))
        return Counter(all_reasons[:short])

    def _reason(self, text: str) -> str:
        """Return why a text may not stand in the output; empty where it may."""
        if self._asked.distinct == "none":
            return ""
        key = self._text_key(text)
        if not self._own.is_new(key):
            return "copy"
        return "" if self._seen.add(key) else "repeat"

    def _text_key(self, text: str) -> str:
        """Return what two texts have in common that count as one."""
        return letters_of(text) if self._asked.distinct == "near" else text


def _key(label: str, group: str, asked: Asked) -> str:
    """Return what a row's quota is named by; empty where there is none."""
    if asked.per_label:
        return label
    return group if asked.per_group else ""


def _hash(key: str) -> int:
    """Return 8 bytes of the hash of a text, as a number."""
    digest = hashlib.blake2b(key.encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
