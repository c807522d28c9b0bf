"""Swapping one function or table of the production code inside the test process, and putting it back.

Patching is a smell everywhere else. Here it is the point: a mutant is the production code with one rule left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from tests.simulation.coverage import MACHINES


@contextmanager
def swapped(owner: Any, name: str, made: Callable[[Any], Any], *, is_everywhere: bool = True) -> Iterator[None]:
    """`owner.name` is `made(what it was)` for a while, and `is_everywhere` for whoever imported it by name, too."""
    was = getattr(owner, name)
    new = made(was)
    holders = [owner]
    if is_everywhere and isinstance(owner, type(sys)):
        holders += [
            module
            for module in list(sys.modules.values())
            if module is not owner
            and getattr(module, "__name__", "").startswith(("groupbook.", "worker"))
            and module.__dict__.get(name) is was
        ]
    for holder in holders:
        setattr(holder, name, new)
    try:
        yield
    finally:
        for holder in holders:
            setattr(holder, name, was)


@contextmanager
def table(machine: str, changes: Mapping[Any, Any]) -> Iterator[None]:
    """A machine's table with some pairs changed; None takes a pair out."""
    module, name = MACHINES[machine]

    def changed(was: Mapping[Any, Any]) -> Any:
        new = {**was, **changes}
        return MappingProxyType({pair: target for pair, target in new.items() if target is not None})

    with swapped(module, name, changed):
        yield


@contextmanager
def every(*changes: Any) -> Iterator[None]:
    """Several changes that make one mutant."""
    if not changes:
        yield
        return
    with changes[0], every(*changes[1:]):
        yield
