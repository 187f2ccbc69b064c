"""From names to functions: what may run, found once.

Nothing is imported before the name was found allowed. A function is the attribute of a module and nothing deeper:
`pkg.mod.os.system` would otherwise be reachable through any allowed module that imports `os`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from worker.context import PermanentError


class PlainFunction(NamedTuple):
    """A function called as stored. `in_loop`: a coroutine function; others get a thread."""

    call: Callable[..., Any]
    in_loop: bool


class JobFunction(NamedTuple):
    """A job type's `run(ctx, parameters)`."""

    call: Callable[[Any, Any], Any]
    parameters: type[BaseModel]
    is_async: bool


# Keyed by what is allowed too, so that an answer for one configuration is none for another. Failures are not kept.
@lru_cache(maxsize=1024)
def plain_function(name: str, allowed: tuple[str, ...], *, of_class: bool = False) -> PlainFunction:
    """`of_class`: it may also be a method of a class (`pkg.mod.Class.method`).

    Raises PermanentError when it may not run, or whatever importing its module raises.
    """
    _check(name, allowed)
    module, _, attribute = name.rpartition(".")
    owner = _class(module) if of_class else None
    return _plain(getattr(owner, attribute) if owner else _attribute(module, attribute))


def method(instance: Any, name: str, allowed: tuple[str, ...]) -> PlainFunction:
    """Of an object that came with a trusted pickle; checked as `pkg.mod.Class.name`."""
    kind = type(instance)
    _check(f"{kind.__module__}.{kind.__qualname__}.{name}", allowed)
    return _plain(getattr(instance, name))


def _check(name: str, allowed: tuple[str, ...]) -> None:
    if not any(fnmatchcase(name, pattern) for pattern in allowed):
        raise PermanentError("FunctionNotAllowed", f"{name} is not in worker.allowed_functions")


def _plain(call: Callable[..., Any]) -> PlainFunction:
    return PlainFunction(call, inspect.iscoroutinefunction(call))


def _class(name: str) -> type | None:
    """The class of this name; None when it is a module's."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute, None) if module else None
    except ModuleNotFoundError:
        return None
    return found if inspect.isclass(found) else None


@lru_cache(maxsize=256)
def job_function(function: str, parameters: str) -> JobFunction:
    """Both by `pkg.mod:name`, as configured."""
    call = _attribute(*function.split(":"))
    return JobFunction(call, _attribute(*parameters.split(":")), inspect.iscoroutinefunction(call))


def _attribute(module: str, name: str) -> Any:
    if not all(part.isidentifier() for part in [*module.split("."), name]):
        raise PermanentError("FunctionNotFound", f"{module}.{name} is not a dotted name")
    found = getattr(importlib.import_module(module), name)
    if not callable(found):
        raise PermanentError("FunctionNotFound", f"{module}.{name} cannot be called")
    return found


def validated(model: type[BaseModel], parameters: Any) -> BaseModel:
    """Raises PermanentError with one sentence per mistake: other attempts would meet the same parameters."""
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        mistakes = [f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg']}" for mistake in error.errors()]
    raise PermanentError("InvalidParameters", "; ".join(mistakes))
