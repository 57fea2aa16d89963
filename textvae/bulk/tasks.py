"""What a bulk job can do with a row: a table of tasks, each with its columns and its requests.

The engine is imported where one is asked, for a process whose workers compute needs none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from textvae.bulk.rows import InputRow
from textvae.options import (
    CLOSENESS_DEFAULT,
    GREEDY,
    METHOD_DEFAULT,
    NO_CONSTRAINTS,
    PATH_DEFAULT,
    PRIOR_DEFAULT,
    RADIUS_DEFAULT,
    SCALE_DEFAULT,
    Constraints,
    Method,
    Options,
    PathShape,
    Prior,
)

if TYPE_CHECKING:
    from textvae.engine.engine import Engine

NO_TARGET = "has no text in the column of targets"
TaskName = Literal["encode", "paraphrase", "sample", "interpolate", "reconstruct"]


@dataclass(frozen=True)
class Asked:
    """What a job is asked for: all that decides what stands in its rows, but version and input."""

    task: TaskName
    seed: int = 0
    options: Options = GREEDY
    deviations: bool = False
    """Of `encode`: log-variances too."""
    count: int = 0
    """Variations of each row; 0 where a quota says how many."""
    per_label: int = 0
    per_group: int = 0
    spare: int = 0
    """Variations of a row beyond those it needs, for the rule of the whole output."""
    distinct: Literal["none", "exact", "near"] = "none"
    method: Method = METHOD_DEFAULT
    candidates: int = 4
    radius: float = RADIUS_DEFAULT
    closeness: float = CLOSENESS_DEFAULT
    search_steps: int = 0
    adequacy_min: float = 0.0
    fluency_max: float = np.inf
    novelty_min: float = 0.0
    constraints: Constraints = NO_CONSTRAINTS
    steps: int = 5
    path: PathShape = PATH_DEFAULT
    target_column: str = ""
    prior: Prior = PRIOR_DEFAULT
    scale: float = SCALE_DEFAULT


class Found(NamedTuple):
    """What a task found for one row of the input."""

    rows: list[dict[str, Any]]
    """Values by the task's columns."""
    missing: list[str]
    """Why there are fewer than were asked for, one for each."""
    error: str = ""
    """Why there is nothing."""


class Piece(NamedTuple):
    """Rows of one request: their numbers follow each other, and each needs as many results."""

    rows: tuple[InputRow, ...]
    wanted: int


Answer = Callable[["Engine", Piece, Asked], list[Found]]


class Task(NamedTuple):
    """A row of the table."""

    columns: Mapping[str, str]
    """The kind of each column of the output: str, int, float or vector."""
    answer: Answer
    slots: Callable[[Asked, int], int]
    """Rows of the decoder that a row of the input takes, which needs so many results."""
    alone: bool = False
    """Whether a request has one row of the input."""
    chooses: bool = False
    """Whether the rows of the whole output depend on each other."""
    reads: bool = True
    """Whether it has an input."""


def _encode(engine: "Engine", piece: Piece, asked: Asked) -> list[Found]:
    """Return the posterior of each sentence."""
    from textvae.engine.operations.encode import EncodeRequest

    texts, first = _texts(piece), piece.rows[0].number
    found = engine.answer(EncodeRequest(texts, 0, asked.seed, first))
    name = engine.version.name
    return [
        Found([{"text": text, "vector": mean, "logvar": logvar, "version": name}], [])
        for text, mean, logvar in zip(texts, found.mean, found.logvar, strict=True)
    ]


def _reconstruct(engine: "Engine", piece: Piece, asked: Asked) -> list[Found]:
    """Return what the decoder writes of each sentence's posterior mean."""
    from textvae.engine.operations.decode import DecodeRequest
    from textvae.engine.operations.encode import EncodeRequest

    texts, first = _texts(piece), piece.rows[0].number
    means = engine.answer(EncodeRequest(texts, 0, asked.seed, first)).mean
    found = engine.answer(DecodeRequest(means, asked.options, asked.seed, first))
    return [
        Found(
            [
                {
                    "source": text,
                    "reconstruction": one.text,
                    "log_prob": one.log_prob,
                    "seed": asked.seed,
                }
            ],
            [],
        )
        for text, one in zip(texts, found.sentences, strict=True)
    ]


def _sample(engine: "Engine", piece: Piece, asked: Asked) -> list[Found]:
    """Return a draw of the prior for each row."""
    from textvae.engine.operations.sample import SampleRequest

    first = piece.rows[0].number
    request = SampleRequest(
        len(piece.rows), asked.prior, asked.scale, asked.options, asked.seed, first
    )
    return [
        Found([{"text": one.text, "log_prob": one.log_prob, "seed": asked.seed}], [])
        for one in engine.answer(request).sentences
    ]


def _interpolate(engine: "Engine", piece: Piece, asked: Asked) -> list[Found]:
    """Return the path of one row; its steps are items of their own, row * steps + step."""
    from textvae.engine.operations.interpolate import InterpolateRequest

    (row,) = piece.rows
    target = row.values.get(asked.target_column)
    if not isinstance(target, str) or not target.strip():
        return [Found([], [], NO_TARGET)]
    request = InterpolateRequest(
        (row.text, target),
        asked.steps,
        asked.path,
        asked.options,
        asked.seed,
        row.number * asked.steps,
    )
    found = engine.answer(request)
    return [
        Found(
            [
                {
                    "source": row.text,
                    "target": target,
                    "position": position,
                    "text": one.text,
                    "log_prob": one.log_prob,
                    "seed": asked.seed,
                }
                for position, one in zip(found.positions, found.sentences, strict=True)
            ],
            [],
        )
    ]


def _paraphrase(engine: "Engine", piece: Piece, asked: Asked) -> list[Found]:
    """Return the variations of each sentence, the best first."""
    from textvae.engine.operations.paraphrase import ParaphraseRequest

    request = ParaphraseRequest(
        _texts(piece),
        piece.wanted,
        asked.radius,
        asked.distinct != "none",
        asked.options,
        asked.method,
        asked.candidates,
        asked.closeness,
        asked.adequacy_min,
        asked.fluency_max,
        asked.novelty_min,
        asked.constraints,
        asked.search_steps,
        asked.seed,
        piece.rows[0].number,
    )
    found = []
    for row, each in zip(piece.rows, engine.answer(request).results, strict=True):
        variations = [
            {
                "source": row.text,
                "variation": one.sentence.text,
                "label": row.label,
                "adequacy": one.axes and one.axes.adequacy,
                "fluency": one.axes and one.axes.fluency,
                "novelty": one.axes and one.axes.novelty,
                "distance": one.distance,
                "seed": asked.seed,
            }
            for one in each.variations
        ]
        found.append(Found(variations, list(each.missing)))
    return found


VECTOR, TEXT, NUMBER, WHOLE = "vector", "str", "float", "int"
TASKS: Mapping[str, Task] = {
    "encode": Task(
        {"text": TEXT, "vector": VECTOR, "logvar": VECTOR, "version": TEXT},
        _encode,
        lambda asked, wanted: 0,
    ),
    "paraphrase": Task(
        {
            "source": TEXT,
            "variation": TEXT,
            "label": TEXT,
            "adequacy": NUMBER,
            "fluency": NUMBER,
            "novelty": NUMBER,
            "distance": NUMBER,
            "seed": WHOLE,
        },
        _paraphrase,
        lambda asked, wanted: wanted * max(asked.candidates, 1) * asked.options.slots,
        chooses=True,
    ),
    "sample": Task(
        {"text": TEXT, "log_prob": NUMBER, "seed": WHOLE},
        _sample,
        lambda asked, wanted: asked.options.slots,
        chooses=True,
        reads=False,
    ),
    "interpolate": Task(
        {
            "source": TEXT,
            "target": TEXT,
            "position": NUMBER,
            "text": TEXT,
            "log_prob": NUMBER,
            "seed": WHOLE,
        },
        _interpolate,
        lambda asked, wanted: asked.steps * asked.options.slots,
        alone=True,
    ),
    "reconstruct": Task(
        {"source": TEXT, "reconstruction": TEXT, "log_prob": NUMBER, "seed": WHOLE},
        _reconstruct,
        lambda asked, wanted: asked.options.slots,
    ),
}


def _texts(piece: Piece) -> tuple[str, ...]:
    return tuple(row.text for row in piece.rows)
