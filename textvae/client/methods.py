"""Methods of the clients from call protocols, with the signatures that their callers see."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, get_args

from textvae.client.messages import CallProtocol

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def blocking(
    protocol: Callable[Arguments, CallProtocol[Result]],
) -> Callable[Concatenate[Any, Arguments], Result]:
    """Make a method of a call protocol; it returns the result."""

    @functools.wraps(protocol)
    def method(client: Any, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        result: Result = client._drive(protocol(*args, **kwargs))
        return result

    _describe(method, protocol)
    return method


def asynchronous(
    protocol: Callable[Arguments, CallProtocol[Result]],
) -> Callable[Concatenate[Any, Arguments], Awaitable[Result]]:
    """Make a coroutine of a call protocol; it returns the result."""

    @functools.wraps(protocol)
    async def method(client: Any, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        result: Result = await client._drive(protocol(*args, **kwargs))
        return result

    _describe(method, protocol)
    return method


def _describe(method: Any, protocol: Callable[..., Any]) -> None:
    """Give a method the signature of its protocol: after self, and with the result it returns."""
    signature = inspect.signature(protocol)
    # The third type of a generator is what it returns.
    result = get_args(signature.return_annotation)[2]
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [self, *signature.parameters.values()]
    method.__signature__ = signature.replace(parameters=parameters, return_annotation=result)
    method.__annotations__ = {**protocol.__annotations__, "return": result}
    del method.__wrapped__
