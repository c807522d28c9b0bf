"""What the endpoints of this room share: what they depend on, and the one transaction of a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy.orm import Session

from groupbook.kit import clock
from groupbook.kit.database import Database
from groupbook.kit.http import Call
from groupbook.kit.sealing import Sealer

R = TypeVar("R")


@dataclass(frozen=True)
class DiscountDeps:
    database: Database
    sealer: Sealer


async def in_session(call: Call[DiscountDeps], step: Callable[[Session, datetime], R]) -> R:
    """Run a step of this room in the caller's one transaction."""

    def use_case() -> R:
        with call.deps.database.begin(call.caller.merchant_id) as session:
            return step(session, clock.now(session))

    return await call.run(use_case)
