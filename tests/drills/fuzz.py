"""`python -m tests.drills.fuzz`: damaged registries are refused, or are what they were."""

import json
import logging
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load, save

from tests.drills.line import Found, run_drill
from tests.drills.mutations import HARMS, put_back, tree_of
from textvae.corpus.spans import load_spans, write_span
from textvae.corpus.split import SIDES, Side
from textvae.errors import TextVaeError
from textvae.store.attachments import attach, list_attachments, read_attachment
from textvae.store.pins import pin
from textvae.store.promotions import champion, promote, promotion_history, rollback
from textvae.store.versions import list_models, list_versions, open_version, publish
from textvae.text.sentence import Sentence

log = logging.getLogger(__name__)

MODEL = "toy"
BY = {"reason": "a drill", "actor": "drill@here", "at": "2026-11-23T02:15:00Z"}
PER_S_MIN = 500

Values = dict[str, Any]
"""What is read, by what it is; a part that is refused or gone is not there."""


class Read(NamedTuple):
    """What a reader gets of a folder."""

    values: Values
    refused: Counter[str]
    """How often it was refused, by kind."""


def made(root: Path) -> None:
    """Two versions, three attachments, three promotions, a pin, and two spans."""
    registry = root / "registry"
    versions = []
    for number in range(2):
        weights = save({"one": np.full((2, 3), number, np.float32), "two": np.arange(4.0)})
        contents = {"model.safetensors": weights, "tokenizer.model": b"pieces %d" % number}
        facts = {"seed": number, "parent": versions[-1].name if versions else "", "spans": {}}
        versions.append(publish(registry, MODEL, f"2026112{number}", contents, facts))
        for name in ("evaluation", "prior")[: number + 1]:
            figures = json.dumps({"name": name, "nats": number / 3}).encode()
            attach(registry, versions[-1], name, {"figures.json": figures})
    for number, version in enumerate(versions):
        promote(registry, MODEL, version, expected=number, **BY)
    rollback(registry, MODEL, **BY)
    pin(registry, MODEL, versions[0].name, **BY)
    for number in range(2):
        learned = [
            Sentence(f"The cat sat {number}.", "past", "one"),
            Sentence(f"Naïve 👍 {number}"),
        ]
        valid = [Sentence(f"The dog sat {number}.")]
        kept: dict[Side, list[Sentence]] = {"train": learned, "valid": valid, "test": []}
        write_span(root / "spans", kept, {"read": 3}, {"inputs": []})


def read(root: Path, touched: Sequence[Path]) -> Read:
    """All that a reader can get of what was touched; any error but a TextVaeError is a bug of ours.

    Registry and spans know nothing of each other, so one is not read for a harm to the other.
    """
    registry, values, refused = root / "registry", Values(), Counter[str]()
    parts = {path.relative_to(root).parts[0] for path in touched}

    def part(name: str, reader: Callable[[], Any]) -> None:
        try:
            values[name] = reader()
        except TextVaeError as error:
            str(error).encode()  # as an answer or a log must
            refused[type(error).__name__] += 1

    for model in list_models(registry) if "registry" in parts else []:
        for name in list_versions(registry, model):
            part(f"version {name[8:]}", lambda name=name: version_values(registry, name))  # type: ignore[misc]
        part("champion", lambda: champion(registry, MODEL).name)
        part("history", lambda: promotion_history(registry, MODEL))
    if "spans" in parts:
        part("corpus", lambda: corpus_values(root / "spans"))
    return Read(values, refused)


def version_values(registry: Path, name: str) -> Values:
    """A version and what is attached to it: facts, tensors, bytes."""
    version = open_version(registry, MODEL, name)
    tensors = load((version.folder / "model.safetensors").read_bytes())
    names = list_attachments(registry, version)
    attached = {other: read_attachment(registry, version, other) for other in names}
    return {
        "facts": version.manifest,
        "tensors": {key: value.tolist() for key, value in sorted(tensors.items())},
        "tokenizer": (version.folder / "tokenizer.model").read_bytes(),
        **{f"attached {other}": files for other, files in attached.items() if files},
    }


def corpus_values(spans: Path) -> list[tuple[str, Sentence]]:
    """The sentences of all spans with their sides."""
    corpus = load_spans(spans)
    return [(side, sentence) for side in SIDES for sentence in getattr(corpus, side)]


def wrong(found: Values, original: Values) -> str:
    """Return what readers got that was never published; empty for nothing.

    A version, attachment or span that is gone as a whole, or the last promotion, cannot be reported
    from one that never was: then what is left must be as it was.
    """
    for name, value in found.items():
        if name == "champion":
            good = value in {promotion.version for promotion in original["history"]}
        elif name == "history":
            good = value == original["history"][: len(value)]
        elif name == "corpus":
            good = len(set(value)) == len(value) and set(value) <= set(original["corpus"])
        else:
            good = name in original and value.items() <= original[name].items()
        if not good:
            return f"{name} is {value!r}"
    return ""


def memory_folder() -> str | None:
    """A folder in memory, where there is one; None: where temporary files are."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def drill(quick: bool) -> Found:
    """One harm after the other, each undone before the next."""
    return fuzzed(mutations=600 if quick else 100_000, seed=0)


def fuzzed(mutations: int, seed: int) -> Found:
    """Do so many harms, chosen by `seed`."""
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
        root = Path(folder)
        made(root)
        tree = tree_of(root)
        original = read(root, list(tree)).values
        chance, refusals, bad, refused, equal = random.Random(seed), Counter[str](), 0, 0, 0
        start_s, used_s = time.monotonic(), time.process_time()
        for number in range(mutations):
            harm = HARMS[number % len(HARMS)]
            while not (touched := harm(chance, tree)):
                continue  # there was nothing to swap with, or no other name
            try:
                found = read(root, touched)
                problem = wrong(found.values, original)
            except Exception as error:
                log.exception("mutation %d", number)
                found, problem = Read({}, Counter()), f"{type(error).__name__}: {error}"
            if problem:
                bad += 1
                log.error("%s of %s: %s", harm.__name__, [*map(str, touched)], problem[:300])
            refusals += found.refused
            refused += bool(found.refused)
            equal += not found.refused
            put_back(tree, touched)
            if number % 1000 == 999:
                log.info("%d mutations, %d bad", number + 1, bad)
        elapsed_s, used_s = time.monotonic() - start_s, time.process_time() - used_s
        undone = tree_of(root) == tree and read(root, list(tree)).values == original
    log.info("refusals: %s", dict(refusals))
    figures = {
        "mutations": mutations,
        "refused": refused,
        "equal": equal,
        "bad": bad,
        "per_s": round(mutations / elapsed_s, 1),
        "per_processor_s": round(mutations / used_s, 1),
    }
    held = bad == 0 and undone and refused > mutations / 3
    return Found(figures, {"mutations": mutations, "bad": 0, "per_processor_s": PER_S_MIN}, held)


if __name__ == "__main__":
    run_drill("fuzz", drill)
