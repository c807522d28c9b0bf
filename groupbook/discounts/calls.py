"""What the endpoints of this room share: what they depend on, and the one transaction of a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy.orm import Session

from groupbook.discounts.engine.errors import Problem
from groupbook.discounts.engine.lint import Finding
from groupbook.kit import clock
from groupbook.kit.database import Database
from groupbook.kit.http import Call
from groupbook.kit.sealing import Sealer

R = TypeVar("R")


def _in_code(found: Problem | Finding) -> str:
    return found.code.replace("_", " ")


@dataclass(frozen=True)
class DiscountDeps:
    """`sentence` says what is wrong with, or strange in, a place of a document: rooms have no words of their own."""

    database: Database
    sealer: Sealer
    sentence: Callable[[Problem | Finding], str] = _in_code


async def in_session(call: Call[DiscountDeps], step: Callable[[Session, datetime], R]) -> R:
    """Run a step of this room in the caller's one transaction."""

    def use_case() -> R:
        with call.deps.database.begin(call.caller.merchant_id) as session:
            return step(session, clock.now(session))

    return await call.run(use_case)
