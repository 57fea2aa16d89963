"""What the engine needs of a request."""

from typing import Protocol, TypeVar

from textvae.engine.limits import Limits
from textvae.engine.load import LoadedVersion
from textvae.engine.plan import Planning
from textvae.engine.prices import Work

Answer = TypeVar("Answer")


class Request(Protocol[Answer]):
    """What the engine needs of a request; each file of `engine/operations/` has one such class."""

    @property
    def seed(self) -> int:
        """Seed of all random numbers."""

    @property
    def first_index(self) -> int:
        """Number of the first item among all items of the caller."""

    @property
    def work(self) -> Work:
        """What it asks for; its rows are those of its largest stage, as far as they are known
        before its planning, or latents that Encode returns."""

    def check(self, limits: Limits) -> None:
        """Raise InputError unless within the limits; `plan` checks the width of latents."""

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[Answer]:
        """Do the work of a checked request, step by step; `owner` marks its rows."""
