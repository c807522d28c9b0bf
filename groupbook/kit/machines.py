"""One way to move every machine of the house: look the pair up in its table, or refuse before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from groupbook.kit.errors import GroupbookError, InvariantBroken

StateT = TypeVar("StateT", bound=StrEnum)
EventT = TypeVar("EventT", bound=StrEnum)
TargetT = TypeVar("TargetT")


def advance(
    table: Mapping[tuple[StateT, EventT], TargetT],
    state: StateT,
    event: EventT,
    *,
    machine: str,
    refusal: type[GroupbookError] = InvariantBroken,
) -> TargetT:
    """Where `event` leads from `state`.

    Raises:
        refusal: the table does not know the pair; nothing may be written.
    """
    try:
        return table[state, event]
    except KeyError:
        raise refusal(machine=machine, state=state.value, event=event.value) from None
