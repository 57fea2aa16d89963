"""Whether variations of labelled sentences keep the label: utterances and their intents.

A classifier that learned from the training side judges variations of held-out sentences. It errs
itself, so that its accuracy on the sources, which no variation is made for, stands beside.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from textvae.engine.axes import new_shares
from textvae.engine.engine import Engine
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.errors import DataError
from textvae.options import Options
from textvae.progress import ProgressCallback
from textvae.text.sentence import Sentence, letters

SENTENCES = 5
"""Of one request."""
KEPT = re.compile(r"\d+(?:[.,:]\d+)*|\{[^{}]*\}")
"""What stands for itself in any wording: numbers and slots."""
INVERSE_PENALTY = 10.0


class LabelDraws(NamedTuple):
    """How variations are made."""

    variations: int
    """Of each source."""
    candidates: int
    """For each variation."""
    radius: float
    """In posterior deviations."""
    temperature: float
    closeness: float
    seed: int


class LabelFigures(NamedTuple):
    """Figures of one way to vary; shares are of the sentences that it gave."""

    given_share: float
    """Given of those asked for."""
    label_share: float
    """With the label of the source, by the classifier."""
    numbers_share: float
    """With all numbers and slots of the source, of those whose source has one; 1 for none."""
    learned_share: float
    """With the letters of a training sentence: nothing new to whoever has that one."""
    copies: float
    """With the letters of the source."""
    distinct_share: float
    """Different ones."""
    new_words: float
    """Mean share of words that the source does not have."""


class LabelJudge:
    """A classifier of sentences: logistic regression on TF-IDF of words."""

    def __init__(self, sentences: Sequence[Sentence]) -> None:
        """Fit the classifier to labelled sentences. DataError where there is no second label."""
        labelled = [(row.text, row.label) for row in sentences if row.label]
        found = {label for _, label in labelled}
        if len(found) < 2:
            raise DataError(
                f"training side: at least 2 different labels are needed, got {len(found)}; "
                "set data.label_column"
            )
        texts, labels = zip(*labelled, strict=True)
        self._vectorizer = TfidfVectorizer(sublinear_tf=True)
        weights = self._vectorizer.fit_transform(texts)
        self._model = LogisticRegression(C=INVERSE_PENALTY, max_iter=300).fit(weights, labels)

    def kept(self, texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
        """Return for each text whether its likeliest label is the given one: (texts,) bool."""
        found = self._model.predict(self._vectorizer.transform(texts))
        return np.asarray(found == np.asarray(labels))


class LabelReport(NamedTuple):
    """Figures of the ways to vary and of the controls, and of the classifier."""

    judge_accuracy: float
    """On all held-out sentences."""
    sources: int
    systems: dict[str, LabelFigures]
    """Of `drawn` (draws at radius 1), `first` (not judged), `chosen` (by the axes), and the
    controls `copy` and `random` (another source)."""


def keeps_numbers(source: str, text: str) -> bool:
    """Return whether a text holds every number and every slot of its source, as often."""
    left = KEPT.findall(text)
    for one in KEPT.findall(source):
        if one not in left:
            return False
        left.remove(one)
    return True


def draw_sources(test: Sequence[Sentence], count: int, seed: int) -> list[Sentence]:
    """Draw up to `count` labelled sentences of the test side by the seed."""
    labelled = [row for row in test if row.label]
    if len(labelled) < 2:
        raise DataError(
            f"test side: 2 sentences with a label are needed, got {len(labelled)}; "
            "set data.label_column, or a larger data.test_share"
        )
    order = np.random.default_rng(seed).permutation(len(labelled))[:count]
    return [labelled[index] for index in order]


def measure_labels(
    engine: Engine,
    train: Sequence[Sentence],
    test: Sequence[Sentence],
    sources: Sequence[Sentence],
    draws: LabelDraws,
    on_progress: ProgressCallback,
) -> LabelReport:
    """Measure every way to vary the sources, drawn of `test`, by what is learned of `train`."""
    judge = LabelJudge(train)
    labelled = [row for row in test if row.label]
    kept = judge.kept([row.text for row in labelled], [row.label for row in labelled])
    learned = {letters(row.text) for row in train}
    texts = [row.text for row in sources]
    ways: dict[str, Callable[[], list[list[str]]]] = {
        "drawn": lambda: _vary(engine, texts, draws._replace(radius=1.0, temperature=0.0), "draw"),
        "first": lambda: _vary(engine, texts, draws, "auto"),
        "chosen": lambda: _vary(engine, texts, draws, "auto", draws.candidates),
        "copy": lambda: [[text] for text in texts],
        "random": lambda: [[texts[number - 1]] for number in range(len(texts))],
    }
    systems = {}
    for done, (name, make) in enumerate(ways.items(), start=1):
        asked = 1 if name in ("copy", "random") else draws.variations
        systems[name] = label_figures(make(), sources, judge, learned, asked)
        on_progress("variations", done, len(ways))
    return LabelReport(float(kept.mean()), len(sources), systems)


def label_figures(
    outputs: Sequence[Sequence[str]],
    sources: Sequence[Sentence],
    judge: LabelJudge,
    learned: set[str],
    asked: int,
) -> LabelFigures:
    """Return the figures of the outputs for each source, of which `asked` were wanted."""
    assert len(outputs) == len(sources) > 0, f"got {len(outputs)} outputs, {len(sources)} sources"
    pairs = [(row, text) for row, texts in zip(sources, outputs, strict=True) for text in texts]
    if not pairs:
        return LabelFigures(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    texts = [text for _, text in pairs]
    kept = judge.kept(texts, [row.label for row, _ in pairs])
    numbers = [keeps_numbers(row.text, text) for row, text in pairs if KEPT.search(row.text)]
    return LabelFigures(
        len(pairs) / (asked * len(sources)),
        float(kept.mean()),
        sum(numbers) / len(numbers) if numbers else 1.0,
        sum(letters(text) in learned for text in texts) / len(texts),
        sum(letters(text) == letters(row.text) for row, text in pairs) / len(texts),
        len(set(texts)) / len(texts),
        sum(new_shares(text, row.text)[0] for row, text in pairs) / len(texts),
    )


def _vary(
    engine: Engine, texts: Sequence[str], draws: LabelDraws, method: str, candidates: int = 1
) -> list[list[str]]:
    """Return the variations of each text."""
    outputs = []
    for first in range(0, len(texts), SENTENCES):
        request = ParaphraseRequest(
            tuple(texts[first : first + SENTENCES]),
            draws.variations,
            radius=draws.radius,
            options=Options(temperature=draws.temperature),
            method=method,  # type: ignore[arg-type]
            candidates=candidates,
            closeness=draws.closeness,
            seed=draws.seed,
            first_index=first,
        )
        for each in engine.answer(request).results:
            outputs.append([one.sentence.text for one in each.variations])
    return outputs
