"""Answers of an engine as something that compares to the bit, alone and beside others."""

from typing import Any

import numpy as np

from textvae.engine.answers import Reply
from textvae.engine.engine import Engine
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.request import Request
from textvae.options import Options

CROWD = SampleRequest(64, options=Options(temperature=1.2), seed=99)


def answer_fields(engine: Engine, request: Request[Any]) -> dict[str, Any]:
    """The answer to a request, as `fields_of`."""
    return fields_of(engine.submit(request).result(60))


def fields_of(done: Reply) -> dict[str, Any]:
    """An answer as something that compares to the bit; times are left out."""
    fields = {name: _comparable(value) for name, value in done.result._asdict().items()}
    return {"seed": done.seed, "tokens": done.tokens, **fields}


def beside_others(engine: Engine, request: Request[Any]) -> Reply:
    """The answer to a request that joins and leaves among the rows of a crowd."""
    before = [engine.submit(CROWD) for _ in range(2)]
    shared = engine.submit(request)
    after = [engine.submit(CROWD) for _ in range(2)]
    for future in [*before, *after]:
        future.result(60)
    return shared.result(60)


def _comparable(value: Any) -> Any:
    """The bytes of arrays, however deep they lie."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, (list, tuple)):
        return [_comparable(one) for one in value]
    return value
