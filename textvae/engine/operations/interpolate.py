"""Interpolate: sentences or latents to the sentences of a path through them (a homotopy)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textvae.engine.answers import GeneratedSentence
from textvae.engine.limits import Limits, check_address, check_finite, check_sentence, check_width
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Address, Outcome, Planning, decoder_rows, generated_sentences
from textvae.engine.prices import Work
from textvae.latent.paths import path
from textvae.options import GREEDY, PATH_DEFAULT, Options, PathShape
from textvae.ranges import check_within


class InterpolateResult(NamedTuple):
    """A path: positions 0 to 1, each with its sentence and its latent, (steps, latent)."""

    positions: list[float]
    sentences: list[GeneratedSentence]
    latents: np.ndarray


@dataclass(frozen=True)
class InterpolateRequest:
    """A request for `steps` sentences on the path through sentences or latents, (latent,)."""

    points: tuple[str | np.ndarray, ...]
    steps: int
    path: PathShape = PATH_DEFAULT
    options: Options = GREEDY
    seed: int = 0
    first_index: int = 0

    @property
    def rows(self) -> int:
        """Rows that it needs in the decoder."""
        return self.steps * self.options.slots

    @property
    def work(self) -> Work:
        """What it asks for."""
        return Work(
            "interpolate",
            sum(len(one) for one in self.points if isinstance(one, str)),
            self.rows,
            self.rows,
        )

    def check(self, limits: Limits) -> None:
        """Raise InputError unless within the limits; `plan` checks the width of latents."""
        check_within("points", len(self.points), 2, limits.steps_max, "points")
        check_within("steps", self.steps, len(self.points), limits.steps_max)
        for number, point in enumerate(self.points):
            if isinstance(point, str):
                check_sentence(f"points[{number}].sentence", point, limits)
            else:
                check_finite(f"points[{number}].latents", point)
        self.options.check(limits.tokens_max)
        check_address(self.seed, self.first_index)

    def plan(
        self, loaded: LoadedVersion, limits: Limits, owner: object
    ) -> Planning[InterpolateResult]:
        """Decode one row per step; raise InputError for latents of another width."""
        address = Address(self.seed, self.first_index)
        points = np.empty((len(self.points), loaded.latent), np.float32)
        of_sentences = [index for index, point in enumerate(self.points) if isinstance(point, str)]
        fields = {f"points[{index}].sentence": str(self.points[index]) for index in of_sentences}
        ids = yield from loaded.tokens(fields, limits.tokens_max)
        points[of_sentences] = (yield from loaded.encoding(ids)).mean
        for index, point in enumerate(self.points):
            if not isinstance(point, str):
                field = f"points[{index}].latents"
                points[index] = check_width(field, point[None], loaded.latent)[0]
        walk = path(points, self.steps, self.path)
        finished = yield decoder_rows(owner, walk.latents, address, self.options, limits)
        sentences = generated_sentences(loaded.tokenizer, finished, self.options)
        result = InterpolateResult(walk.positions.tolist(), sentences, walk.latents)
        return Outcome(result, sum(map(len, ids)))
