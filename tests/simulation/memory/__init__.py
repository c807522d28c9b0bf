"""The database of the simulator: `kit.database.Database` in memory, with a way to answer each `@query`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from groupbook.kit.database import Nudger
from tests.simulation.memory import below, bookings, kit, offers, payments, store
from tests.simulation.memory.store import MemoryDatabase, MemorySession, Table

__all__ = ["MemoryDatabase", "MemorySession", "light_rows", "memory_database"]


def all_tables() -> list[Table]:
    return [table for room in (kit, payments, offers, bookings, below) for table in room.tables()]


def memory_database(*, now: Callable[[], datetime], nudger: Nudger | None = None) -> MemoryDatabase:
    """An empty one."""
    return MemoryDatabase(all_tables(), now=now, nudger=nudger)


def light_rows() -> AbstractContextManager[None]:
    """See `store.light_rows`, for every table."""
    return store.light_rows(table.kind for table in all_tables())
