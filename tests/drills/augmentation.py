"""`python -m tests.drills.augmentation`: what variations are worth to a classifier of intents.

Ten labelled utterances of each of 16 intents are all that a classifier has. A version learns from
the same utterances, their labels as groups (`data.label_is_group`), and from unlabelled ones. Its
ten variations of each labelled utterance are given to the classifier with the utterance's label;
beside that, ten copies of each with words left out at random, and nothing. What as many utterances
more of each intent as there are would give, were they collected, stands next to it.

It must be done for every utterance and seed; whether the gain is clear of 0 is reported.
"""

import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from tests.drills.line import Found, run_drill
from tests.toys import MODEL
from textvae.config.data import DataConfig, TokenizerConfig
from textvae.config.serve import ServeConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.ingest import ingest
from textvae.corpus.spans import load_spans
from textvae.engine.engine import Engine
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.engine.start import start_engine
from textvae.evaluation.intents import LabelJudge
from textvae.options import Options
from textvae.progress import no_progress
from textvae.store.versions import publish
from textvae.text.sentence import Sentence
from textvae.training.recipe import Recipe
from textvae.training.run import train

log = logging.getLogger(__name__)

ACTIONS = {
    "book": ("book", "reserve", "order", "arrange", "get"),
    "cancel": ("cancel", "drop", "undo", "abandon", "delete"),
    "change": ("change", "move", "alter", "shift", "swap"),
    "check": ("check", "confirm", "review", "see", "find"),
}
OBJECTS = {
    "flight": ("flight", "plane", "seat"),
    "room": ("room", "hotel", "bed"),
    "table": ("table", "dinner", "meal"),
    "taxi": ("taxi", "cab", "ride"),
}
PLACES = {
    "flight": ("to paris", "to oslo", "to rome", "from berlin"),
    "room": ("near the beach", "in the centre", "with a view", "in rome"),
    "table": ("at the corner cafe", "by the window", "near the centre", "with a view"),
    "taxi": ("to the airport", "from the station", "to the beach", "to the corner cafe"),
}
FRAMES = (
    *("{}", "please {}", "can you {}", "i want to {}", "i need to {}", "could you {} for me"),
    *("help me {}", "{} now", "i would like to {}", "is it possible to {}"),
)
TIMES = ("", " tomorrow", " on monday", " on friday", " tonight", " for two", " next week")
ARTICLES = ("a", "my", "the", "another")

EACH, VARIATIONS, HELD_OUT, UNLABELLED = 10, 10, 1000, 2000
WORD_DROPOUT = 0.2
SEEDS = 5
T_ONE_SIDED = 2.132
"""Student's t at 95 %, one-sided, of SEEDS - 1 degrees of freedom."""


def utterance(action: str, thing: str, random: np.random.Generator) -> Sentence:
    """An utterance of an intent."""

    def one(options: Sequence[str]) -> str:
        return options[int(random.integers(len(options)))]

    what = f"{one(ACTIONS[action])} {one(ARTICLES)} {one(OBJECTS[thing])}"
    if random.random() < 0.5:
        what += f" {one(PLACES[thing])}"
    return Sentence(one(FRAMES).format(what) + one(TIMES), f"{action} {thing}")


class Text(NamedTuple):
    """The text of a seed; no utterance is there twice."""

    labelled: list[Sentence]
    held_out: list[Sentence]
    unlabelled: list[Sentence]
    more: list[Sentence]
    """As many labelled ones again."""


def draw_text(seed: int, unlabelled: int) -> Text:
    """Utterances of all intents, drawn by the seed."""
    random = np.random.default_rng(seed)
    intents = [(action, thing) for action in ACTIONS for thing in OBJECTS]
    seen: set[str] = set()

    def new(action: str, thing: str) -> Sentence:
        while (found := utterance(action, thing, random)).text in seen:
            pass
        seen.add(found.text)
        return found

    labelled = [new(*intent) for intent in intents for _ in range(EACH)]
    rest = [new(*intents[row % len(intents)]) for row in range(HELD_OUT + unlabelled)]
    more = [new(*intent) for intent in intents for _ in range(EACH)]
    bare = [Sentence(row.text) for row in rest[HELD_OUT:]]
    return Text(labelled, rest[:HELD_OUT], bare, more)


def recipe(quick: bool) -> Recipe:
    """Half a minute a seed on an idle core; a few seconds where quick."""
    return Recipe(
        TokenizerConfig(vocab=400, kind="bpe"),
        ModelConfig(embed=48, hidden=96, latent=24, dropout=0.1),
        TrainingConfig(
            sibling_share=0.8,
            steps=150 if quick else 1000,
            batch=64,
            language_model_steps=50 if quick else 600,
            learning_rate=5e-3,
            word_dropout=0.2,
            kl_steps=200,
            target_kl_nats=14.0,
            precision="fp32",
            validation_steps=0,
            collapse_stops=False,
        ),
    )


def write_rows(path: Path, rows: Sequence[Sentence]) -> Path:
    """The path, now a file of the rows, with their labels."""
    lines = [json.dumps({"text": row.text, "label": row.label}) + "\n" for row in rows]
    path.write_text("".join(lines))
    return path


def vary(text: Text, folder: Path, quick: bool) -> list[list[str]]:
    """Variations of each labelled utterance, by a version that learned from them."""
    data = DataConfig(
        train=(write_rows(folder / "labelled.jsonl", text.labelled),),
        inputs=(write_rows(folder / "unlabelled.jsonl", text.unlabelled),),
        label_is_group=True,
    )
    ingest(data, folder / "spans")
    made = train(recipe(quick), load_spans(folder / "spans"), folder / "run", "", no_progress)
    assert made.facts["siblings"] == len(text.labelled)
    version = publish(folder / "registry", MODEL, "20260101", made.files, made.facts)
    with start_engine(folder / "registry", version, ServeConfig(threads=1)) as engine:
        return ask(engine, [row.text for row in text.labelled])


def ask(engine: Engine, texts: Sequence[str]) -> list[list[str]]:
    """Variations of each text."""
    outputs = []
    for first in range(0, len(texts), 8):
        request = ParaphraseRequest(
            tuple(texts[first : first + 8]),
            VARIATIONS,
            radius=0.7,
            options=Options(temperature=0.7),
            method="rephrase",
            candidates=4,
            closeness=0.7,
            first_index=first,
        )
        for each in engine.answer(request).results:
            outputs.append([one.sentence.text for one in each.variations])
    return outputs


def drop_words(text: str, random: np.random.Generator) -> str:
    """The text without some of its words; one is left at least."""
    words = text.split()
    kept = [word for word in words if random.random() >= WORD_DROPOUT]
    return " ".join(kept or words[:1])


class Scores(NamedTuple):
    """Accuracies of a seed by what the classifier learned from."""

    alone: float
    dropout: float
    varied: float
    collected: float


def score(
    fit: Callable[[list[str], list[str]], Callable[[list[str], list[str]], float]],
    text: Text,
    varied: list[list[str]],
    seed: int,
) -> Scores:
    """Accuracies on the held-out utterances."""
    random = np.random.default_rng([seed, 1])
    dropped = [[drop_words(row.text, random) for _ in range(VARIATIONS)] for row in text.labelled]
    held_out = [row.text for row in text.held_out], [row.label for row in text.held_out]
    found = []
    collected = [[row.text] for row in text.more]
    for added in ([[] for _ in text.labelled], dropped, varied, collected):
        texts = [row.text for row in text.labelled]
        labels = [row.label for row in text.labelled]
        for row, more in zip(text.labelled, added, strict=True):
            texts += more
            labels += [row.label] * len(more)
        found.append(fit(texts, labels)(*held_out))
    return Scores(*found)


def fit_bayes(texts: list[str], labels: list[str]) -> Callable[[list[str], list[str]], float]:
    """The accuracy of multinomial naive Bayes on counts of words."""
    counter = CountVectorizer()
    bayes = MultinomialNB().fit(counter.fit_transform(texts), labels)
    return lambda held_out, true: float(bayes.score(counter.transform(held_out), true))


def fit_logistic(texts: list[str], labels: list[str]) -> Callable[[list[str], list[str]], float]:
    """The accuracy of a logistic regression on TF-IDF of words."""
    judge = LabelJudge(list(map(Sentence, texts, labels)))
    return lambda held_out, true: float(judge.kept(held_out, true).mean())


def drill(quick: bool) -> Found:
    """Every seed's versions and classifiers."""
    count = 2 if quick else SEEDS
    scores: dict[str, list[Scores]] = {"bayes": [], "logistic": []}
    given, right = [], []
    for seed in range(count):
        text = draw_text(seed, 600 if quick else UNLABELLED)
        with tempfile.TemporaryDirectory() as folder:
            varied = vary(text, Path(folder), quick)
        oracle = LabelJudge(text.held_out)
        texts = [one for each in varied for one in each]
        labels = [row.label for row, each in zip(text.labelled, varied, strict=True) for _ in each]
        given.append(len(texts) / (VARIATIONS * len(text.labelled)))
        right.append(float(oracle.kept(texts, labels).mean()))
        for name, fit in (("bayes", fit_bayes), ("logistic", fit_logistic)):
            scores[name].append(score(fit, text, varied, seed))
            log.info("seed %d, %s: %s", seed, name, scores[name][-1])
        log.info("seed %d: variations given %.3f, right %.3f", seed, given[-1], right[-1])
    figures = {
        "seeds": float(count),
        "given_share": min(given),
        "right_share": float(np.mean(right)),
    }
    for name, rows in scores.items():
        figures |= {
            f"{name}_{arm}": float(np.mean([getattr(row, arm) for row in rows]))
            for arm in Scores._fields
        }
        for other in ("alone", "dropout"):
            gains = np.array([row.varied - getattr(row, other) for row in rows])
            figures[f"{name}_gain_on_{other}"] = float(gains.mean())
            spread = float(gains.std(ddof=1)) / len(gains) ** 0.5
            figures[f"{name}_gain_on_{other}_low"] = float(gains.mean()) - T_ONE_SIDED * spread
    targets = {"seeds": float(count), "given_share": 0.5 if quick else 0.95}
    held = all(figures[name] >= target for name, target in targets.items())
    return Found(figures, targets, held)


if __name__ == "__main__":
    run_drill("augmentation", drill)
