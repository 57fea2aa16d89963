"""How a version paraphrases held-out groups: next to controls, and what its axes are worth."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from textvae.config.evaluation import CANDIDATES, CANDIDATES_RADIUS, CANDIDATES_TEMPERATURE
from textvae.engine.answers import Axes
from textvae.engine.engine import Engine
from textvae.engine.operations.judge import JudgeRequest
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.evaluation.variations import (
    HeldOutGroup,
    VariationFigures,
    auc,
    measure_variations,
    variation_figures,
)
from textvae.options import CLOSENESS_DEFAULT, Options
from textvae.progress import ProgressCallback

SENTENCES = 20
"""Of one request."""

SEARCH_RADIUS, SEARCH_OPTIONS = 2.0, Options(temperature=0.3)
"""How the starts of a search are drawn: best on the captions' validation side."""

Make = Callable[[int, tuple[str, ...]], ParaphraseRequest]
"""The number of the first source and the sources -> the request of a system."""


class CandidateDraws(NamedTuple):
    """How the candidates of the judged system are drawn."""

    candidates: int = CANDIDATES
    """Of each source, of which one is chosen."""
    radius: float = CANDIDATES_RADIUS
    """In posterior deviations."""
    temperature: float = CANDIDATES_TEMPERATURE
    closeness: float = CLOSENESS_DEFAULT
    seed: int = 0
    search_steps: int = 0
    """Of a search from as many candidates; 0: none is measured."""


class AxesWorth(NamedTuple):
    """How well the axes tell sentences apart; 0.5 is chance (Mann and Whitney 1947)."""

    adequacy_auc: float
    """True siblings against sentences of other groups."""
    fluency_auc: float
    """Real sentences against the same with their words shuffled."""


class ParaphraseFigures(NamedTuple):
    """Figures of the ways to vary, and of the controls, by their names."""

    systems: dict[str, VariationFigures]
    """Of `drawn` (draws at radius 1), `first` (the first candidate), `chosen` (by the axes),
    `greedy` (of the posterior mean), `search` where one was asked for, and the controls copy,
    random and human; names that end in `_beside_human` are scored against the references that the
    human is scored against."""
    axes: AxesWorth
    adequacy: float
    """Mean of the chosen variations, in nats a token; 0 where a source has none."""


def measure_paraphrases(
    engine: Engine,
    groups: Sequence[HeldOutGroup],
    draws: CandidateDraws,
    on_progress: ProgressCallback,
) -> ParaphraseFigures:
    """Measure every way to vary the sources of the groups, and the axes on their references."""
    options = Options(temperature=draws.temperature)
    seed, radius = draws.seed, draws.radius

    def request(method: str, count: int, spread: float, how: Options, steps: int = 0) -> Make:
        return lambda first, sources: ParaphraseRequest(
            sources,
            1,
            radius=spread,
            options=how,
            method=method,  # type: ignore[arg-type]
            candidates=count,
            closeness=draws.closeness,
            search_steps=steps,
            seed=seed,
            first_index=first,
        )

    ways = {
        "drawn": request("draw", 1, 1.0, Options()),
        "greedy": request("auto", 1, 0.0, Options()),
        "first": request("auto", 1, radius, options),
        "chosen": request("auto", draws.candidates, radius, options),
    }
    if draws.search_steps:
        how = SEARCH_RADIUS, SEARCH_OPTIONS, draws.search_steps
        ways["search"] = request("search", draws.candidates, *how)
    systems: dict[str, VariationFigures] = {}
    adequacy = 0.0
    for done, (name, make) in enumerate(ways.items()):
        written = _outputs(engine, [group.source for group in groups], make)
        outputs = [text for text, _ in written]
        if name == "chosen":
            found = measure_variations(functools.partial(_given, outputs), groups)
            adequacy = sum(one.adequacy for _, one in written if one) / len(written)
            systems |= {"chosen": found.system, "copy": found.copy, "random": found.random}
            if found.human and found.system_beside_human:
                systems |= {"human": found.human, "chosen_beside_human": found.system_beside_human}
        else:
            systems[name] = variation_figures(outputs, groups)
        on_progress("variations", done + 1, len(ways) + 1)
    axes = _axes_worth(engine, groups, seed)
    on_progress("variations", len(ways) + 1, len(ways) + 1)
    return ParaphraseFigures(systems, axes, adequacy)


def _outputs(engine: Engine, sources: Sequence[str], make: Make) -> list[tuple[str, Axes | None]]:
    """Return one variation of each source, and its axes where it was judged; the empty text where
    there is none."""
    written: list[tuple[str, Axes | None]] = []
    for first in range(0, len(sources), SENTENCES):
        result = engine.answer(make(first, tuple(sources[first : first + SENTENCES])))
        for each in result.results:
            best = each.variations[0] if each.variations else None
            written.append((best.sentence.text, best.axes) if best else ("", None))
    return written


def _given(outputs: list[str], _: Sequence[str]) -> list[str]:
    """Return the outputs that were made of the sources already."""
    return outputs


def _axes_worth(engine: Engine, groups: Sequence[HeldOutGroup], seed: int) -> AxesWorth:
    """Judge every reference as a variation of its own source, of the next one's, and shuffled."""
    random = np.random.default_rng(seed)
    own, other = [], []
    for number, group in enumerate(groups):
        for reference in group.references:
            own.append((group.source, reference))
            other.append((groups[number - 1].source, reference))
    words = [random.permutation(reference.split()).tolist() for _, reference in own]
    shuffled = [(source, " ".join(each)) for (source, _), each in zip(own, words, strict=True)]
    true = _axes(engine, own)
    real = [axes.fluency for axes in true]
    salad = [axes.fluency for axes in _axes(engine, shuffled)]
    false = _axes(engine, other)
    adequate = auc([axes.adequacy for axes in true], [axes.adequacy for axes in false])
    return AxesWorth(adequate, auc(salad, real))


def _axes(engine: Engine, pairs: Sequence[tuple[str, str]]) -> list[Axes]:
    """Return the axes of the second sentence of each pair as a variation of the first."""
    found: list[Axes] = []
    for first in range(0, len(pairs), SENTENCES):
        sentences, candidates = zip(*pairs[first : first + SENTENCES], strict=True)
        axes: list[Axes] = engine.answer(JudgeRequest(sentences, candidates))
        found += axes
    return found
