"""Figures of paraphrase variations: whether an output says the same, and says it differently.

A held-out group holds sentences of one meaning: the captions of a picture, the translations of a
verse. One of them is the source that a system rephrases, the others are the references. No figure
means much alone: another group's sentence has a better iBLEU than a copy of the source, which only
retrieval and `copies` tell. So the figures of three controls stand next to a system's own.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfVectorizer

from textvae.errors import DataError, InputError
from textvae.text.sentence import Sentence, letters

MEMBERS_MIN = 5
"""Sentences of a group: a source and four references, as captions have."""
GROUPS_MAX = 500
ALPHA = 0.8
"""Weight of adequacy against novelty in iBLEU (Sun and Zhou 2012)."""
SOURCE = 2
"""Position of the source in its group; of a smaller group the first sentence is the source."""
CANDIDATES = 100
"""Groups among which an output must find its own."""
CHARACTERS = (2, 4)
"""Shortest and longest character n-gram of the vectors that retrieval compares."""

System = Callable[[Sequence[str]], Sequence[str]]
"""Sources -> as many outputs, in the same order."""


class HeldOutGroup(NamedTuple):
    """A sentence to rephrase, and how others put it."""

    source: str
    references: tuple[str, ...]
    """The other members, at least one, in random order."""


class VariationFigures(NamedTuple):
    """Figures of the outputs for the sources of held-out groups."""

    bleu: float
    """Corpus BLEU-4 against the references, 0 to 100; higher is more adequate."""
    self_bleu: float
    """Corpus BLEU-4 against the sources, 0 to 100; lower is more novel."""
    ibleu: float
    """ALPHA bleu - (1 - ALPHA) self_bleu."""
    retrieval_at_1: float
    """Share of outputs whose own group is the nearest of CANDIDATES."""
    copies: float
    """Share of outputs with the letters of their source: only case, punctuation, digits and spaces
    may differ."""
    distinct: float
    """Different outputs over all outputs."""
    mean_words: float
    """Mean length in words split at white space."""


class ControlledFigures(NamedTuple):
    """Figures of a system, and of what it must be told from."""

    system: VariationFigures
    copy: VariationFigures
    """The source itself as output: no meaning lost, and nothing new."""
    random: VariationFigures
    """A reference of another group as output: all of it new, and another meaning."""
    human: VariationFigures | None
    """The first reference as output, scored against the other ones; None where no group has two."""
    system_beside_human: VariationFigures | None
    """The system, scored against the references that `human` is scored against. Only these two
    compare, for each reference more raises BLEU."""


def held_out_groups(
    sentences: Iterable[Sentence],
    groups_max: int = GROUPS_MAX,
    members_min: int = MEMBERS_MIN,
    seed: int = 0,
) -> list[HeldOutGroup]:
    """Draw up to `groups_max` of the groups of at least `members_min` sentences, by `seed`.

    A smaller draw is the beginning of a larger one. Sentences without a group are left out. The
    source is the third sentence of its group, or the first of two. Raises InputError for a limit
    under 2, DataError where there are fewer than two such groups.
    """
    for field, limit in (("groups_max", groups_max), ("members_min", members_min)):
        if limit < 2:
            raise InputError(field, f"must be 2 or more, got {limit}")
    members: dict[str, list[str]] = {}
    for sentence in sentences:
        if sentence.group:
            members.setdefault(sentence.group, []).append(sentence.text)
    large = [texts for texts in members.values() if len(texts) >= members_min]
    if len(large) < 2:
        raise DataError(
            f"held-out text: 2 groups of {members_min} or more sentences are needed, got "
            f"{len(large)}; set data.group_column, or lower members_min"
        )
    generator = np.random.default_rng(seed)
    drawn = generator.permutation(len(large))[:groups_max]
    return [split_group(large[index], generator) for index in drawn]


def split_group(texts: Sequence[str], generator: np.random.Generator) -> HeldOutGroup:
    """Return the members of a group, at least two, as source and references."""
    source = SOURCE if len(texts) > SOURCE else 0
    others = [*texts[:source], *texts[source + 1 :]]
    # A corpus may have an order within its groups: Multi30k has the longest caption first. The
    # first reference, which is the human's output, must not always be of one kind.
    order = generator.permutation(len(others))
    return HeldOutGroup(texts[source], tuple(others[index] for index in order))


def measure_variations(system: System, groups: Sequence[HeldOutGroup]) -> ControlledFigures:
    """Return figures of a system and of the controls on two or more groups."""
    assert len(groups) >= 2, f"a random reference needs 2 groups, got {len(groups)}"
    sources = [group.source for group in groups]
    outputs = system(sources)
    assert len(outputs) == len(groups), f"got {len(outputs)} outputs, {len(groups)} groups"
    others = [groups[index - 1].references[0] for index in range(len(groups))]
    human = beside = None
    if rephrased := [at for at, group in enumerate(groups) if len(group.references) > 1]:
        fewer = without_first_reference(groups[at] for at in rephrased)
        human = variation_figures([groups[at].references[0] for at in rephrased], fewer)
        beside = variation_figures([outputs[at] for at in rephrased], fewer)
    return ControlledFigures(
        variation_figures(outputs, groups),
        variation_figures(sources, groups),
        variation_figures(others, groups),
        human,
        beside,
    )


def without_first_reference(groups: Iterable[HeldOutGroup]) -> list[HeldOutGroup]:
    """Return groups of two or more references each without the first, which `human` writes."""
    return [HeldOutGroup(group.source, group.references[1:]) for group in groups]


def variation_figures(
    outputs: Sequence[str], groups: Sequence[HeldOutGroup], alpha: float = ALPHA
) -> VariationFigures:
    """Return the figures of one output a group; there is at least one."""
    assert len(outputs) == len(groups) > 0, f"got {len(outputs)} outputs, {len(groups)} groups"
    sources = [group.source for group in groups]
    bleu = corpus_bleu(outputs, [group.references for group in groups])
    self_bleu = corpus_bleu(outputs, [(source,) for source in sources])
    same = map(str.__eq__, map(letters, outputs), map(letters, sources))
    return VariationFigures(
        bleu,
        self_bleu,
        ibleu(bleu, self_bleu, alpha),
        retrieval_at_1(outputs, [group.references for group in groups]),
        sum(same) / len(outputs),
        len(set(outputs)) / len(outputs),
        sum(len(output.split()) for output in outputs) / len(outputs),
    )


def ibleu(bleu: float, self_bleu: float, alpha: float = ALPHA) -> float:
    """Return alpha BLEU(output, references) - (1 - alpha) BLEU(output, source) (Sun and Zhou 2012).

    `alpha`: 0 to 1. Figures of other papers compare only at the same alpha, and only where BLEU is
    the same: of cased text in the tokens of mteval-v13a here.
    """
    return alpha * bleu - (1 - alpha) * self_bleu


def corpus_bleu(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return corpus BLEU-4, 0 to 100, of cased outputs, each against its own references.

    They may be more of one output than of another, at least one of each.
    """
    # sacrebleu takes streams, the nth reference of every output, with None where there is no nth.
    streams = list(itertools.zip_longest(*references))
    # Text may be tokenised already, of which sacrebleu warns unless forced.
    return float(BLEU(tokenize="13a", force=True).corpus_score(outputs, streams).score)


def retrieval_at_1(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the share of outputs that are nearer to their own references than to any others' among
    CANDIDATES groups; a tie is a miss.

    Nearness is the cosine of tf-idf vectors of character 2- to 4-grams within words, weighted as in
    all the references; case is ignored. A group's vector is that of its references in one text. The
    groups are cut into blocks of CANDIDATES, in their order, and an output is compared within its
    block. A last block of fewer is left out unless it is the only one: among fewer it is easier.
    """
    texts = [" ".join(group) for group in references]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=CHARACTERS)
    vectorizer.fit([reference for group in references for reference in group])
    documents, queries = vectorizer.transform(texts), vectorizer.transform(outputs)
    counted = len(texts) // CANDIDATES * CANDIDATES or len(texts)
    found = 0
    for first in range(0, counted, CANDIDATES):
        block = slice(first, first + CANDIDATES)
        cosines = (queries[block] @ documents[block].T).toarray()
        own = cosines.diagonal().copy()
        np.fill_diagonal(cosines, -np.inf)
        found += int((own > cosines.max(axis=1)).sum())
    return found / counted


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Return the probability that a positive scores higher than a negative, a tie counted half: 0.5
    for chance (Mann and Whitney 1947). There is at least one of each."""
    assert len(positive) > 0 < len(negative), f"got {len(positive)} and {len(negative)} scores"
    ranks = rankdata([*positive, *negative])[: len(positive)]
    wins = ranks.sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))
