"""The story of one history, in plain words and virtual time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.simulation.invariants import Watch
from tests.simulation.outcome import Violation


def tell(world: Any, watch: Watch, violation: Violation | None) -> str:
    """Everything that happened, who did it and when, and how it ended.

    Times are since the start of the history: `0d 00:12:05`.
    """
    lines = [world.plan.describe(), ""]
    began = world.log[0].at if world.log else None
    lines += [f"{_since(began, line.at)}  {line.who:<12} {line.what}" for line in world.log]
    lines.append("")
    if world.faults:
        lines.append("faults: " + ", ".join(f"{fault.name} {fault.what}" for fault in world.faults))
    for id, known in watch.bookings.items():
        lines.append(f"booking {id.hex[-6:]} ends {known.state}, version {known.version}")
        for portion in watch.portions.values():
            if portion.reference == id:
                sums = f"owes {portion.amount}, captured {portion.captured}, refunded {portion.refunded}"
                dropped = ", dropped" if portion.dropped_at is not None else ""
                lines.append(f"  portion {portion.id.hex[-6:]} {portion.state}: {sums}{dropped}")
    lines.append(f"BROKEN  {violation}" if violation is not None else "every promise was kept")
    return "\n".join(lines)


def _since(began: datetime | None, at: datetime) -> str:
    seconds = int((at - began).total_seconds()) if began is not None else 0
    days, rest = divmod(seconds, 86_400)
    return f"{days}d {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
