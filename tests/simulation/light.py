"""What costs less where many histories are played: rows without SQLAlchemy's bookkeeping, frozen values that are made
quickly, questions that go to memory straight away.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import cache
from inspect import signature
from types import FunctionType, ModuleType
from typing import Any, Final

from tests.simulation.memory import MemorySession, light_rows

_OURS: Final = ("groupbook.", "integrations.", "tests.simulation.")


@contextmanager
def light() -> Iterator[None]:
    """All of it, until the end. For whoever has no other database."""
    with light_rows(), light_values(), light_queries():
        yield


@contextmanager
def light_values() -> Iterator[None]:
    """Until the end, a frozen dataclass of ours is made as one that is not frozen: by assignments, where each field of
    a frozen one is a call of `object.__setattr__`. That nobody assigns to one is for mypy and all other tests to see.
    """
    made = _made_quickly()
    before = [(kind, kind.__init__, kind.__setattr__) for kind, _ in made]
    try:
        for kind, make in made:
            kind.__init__ = make
            kind.__setattr__ = object.__setattr__
        yield
    finally:
        for kind, init, setattr_ in before:
            kind.__init__, kind.__setattr__ = init, setattr_


@contextmanager
def light_queries() -> Iterator[None]:
    """Until the end, whoever imported a `@query` asks its answer from memory, and not first which session it has."""
    swapped = [one for one in _asked() if getattr(one[0], one[1]) is one[2]]  # else it is a mutant's
    try:
        for module, name, _, way in swapped:
            setattr(module, name, way)
        yield
    finally:
        for module, name, asked, _ in swapped:
            setattr(module, name, asked)


@cache
def _asked() -> list[tuple[ModuleType, str, Any, Any]]:
    """Each `@query`, by every name that a module of ours knows it by, and its way to answer from memory."""
    named = [
        (module, *one) for module in _modules() for one in vars(module).items() if isinstance(one[1], FunctionType)
    ]
    ways = [(*one, vars(one[2]).get("ways", {}).get(MemorySession)) for one in named]
    return [one for one in ways if one[3] is not None]


def _modules() -> list[ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name.startswith(_OURS)]


@cache
def _made_quickly() -> list[tuple[Any, Callable[..., None]]]:
    """Every frozen dataclass of ours that is loaded, and how to make one."""
    kinds = {kind for module in _modules() for kind in vars(module).values() if isinstance(kind, type)}
    return [(kind, _maker(kind)) for kind in kinds if _is_frozen(kind)]


def _is_frozen(kind: Any) -> bool:
    if not is_dataclass(kind) or "__dataclass_params__" not in vars(kind):
        return False
    begins = getattr(kind, "__post_init__", None)
    return (
        vars(kind)["__dataclass_params__"].frozen
        and vars(kind)["__init__"].__code__.co_filename == "<string>"  # not written by hand
        and all(one.init for one in fields(kind))
        and (begins is None or len(signature(begins).parameters) == 1)
    )


def _maker(kind: Any) -> Callable[..., None]:
    begins = getattr(kind, "__post_init__", None)
    wanted: list[Any] = [
        (
            one.name,
            object,
            field(default=one.default, default_factory=one.default_factory, kw_only=one.kw_only),
        )
        for one in fields(kind)
    ]
    named = {} if begins is None else {"__post_init__": begins}
    open_one: Any = make_dataclass(kind.__name__, wanted, namespace=named, eq=False, repr=False)
    return open_one.__init__  # type: ignore[no-any-return]
