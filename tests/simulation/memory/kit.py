"""The kit's queries, answered from memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from groupbook.kit import clock, facts, history, inbox, intents, pace
from groupbook.kit.database import ask_together
from groupbook.kit.history import Call, Overdue
from groupbook.kit.ids import IntentId, new_id
from groupbook.kit.inbox import Message
from groupbook.kit.intents import Owed
from groupbook.kit.models import FactDeliveryRow, FactRow, InboxRow, IntentRow, PaceRow
from tests.simulation.memory.store import MemorySession, Table, Values

_OPEN: Final = ("due", "calling", "unknown")
_STATES: Final = frozenset({*_OPEN, "done", "refused", "parked"})


def tables() -> list[Table]:
    return [
        Table(
            IntentRow,
            by=["subject", "reference"],
            unique={"once": lambda values: (values["kind"], values["once"])},
            checks={"state": lambda values: values["state"] in _STATES},
        ),
        Table(FactRow, by=["batch"]),
        Table(FactDeliveryRow, key=lambda values: (values["fact_id"], values["listener"])),
        Table(PaceRow, key=lambda values: values["endpoint"]),
        Table(InboxRow, unique={"external_id": lambda values: (values["source"], values["external_id"])}),
    ]


@ask_together.register(MemorySession)
def _ask_together(session: MemorySession, questions: Sequence[Callable[[], None]]) -> None:
    for question in questions:
        question()


# --- the clock --------------------------------------------------------------------------------------------------------


@clock.system_now.register(MemorySession)
def _system_now(session: MemorySession) -> datetime:
    return session.database.now()


@clock.now.register(MemorySession)
def _now(session: MemorySession) -> datetime:
    offset = session.database.offset_seconds
    return session.database.now() + timedelta(seconds=offset) if offset else session.database.now()


@clock.set_offset.register(MemorySession)
def _set_offset(session: MemorySession, merchant_id: UUID, offset: timedelta) -> None:
    session.database.offset_seconds = int(offset.total_seconds())


# --- intents ----------------------------------------------------------------------------------------------------------


@intents.write_all.register(MemorySession)
def _write_all(session: MemorySession, calls: Sequence[Owed], *, at: datetime) -> list[tuple[IntentId, bool]]:
    return [_write(session, call, at) for call in calls]


def _write(session: MemorySession, call: Owed, at: datetime) -> tuple[IntentId, bool]:
    id = new_id()
    if call.once is not None:
        first = session.holder(IntentRow, "once", (call.kind, call.once))
        if first is not None:
            return IntentId(first["id"]), False
    session.put(
        IntentRow,
        merchant_id=session.info["merchant_id"],
        id=id,
        kind=call.kind,
        subject=call.subject,
        reference=call.reference,
        rank=call.rank,
        once=call.once or id.hex,
        payload=call.payload,
        state="due",
        attempts=0,
        fence=0,
        owed_at=at,
        due_at=call.due_at or at,
    )
    return IntentId(id), True


@intents.is_open.register(MemorySession)
def _is_open(session: MemorySession, subject: UUID, *kinds: str) -> bool:
    return any(
        values["state"] in _OPEN and values["kind"] in kinds for values in session.views(IntentRow, "subject", subject)
    )


def is_runnable(values: Values, at: datetime) -> bool:
    """Its time has come, or its claimant is gone."""
    state = values["state"]
    if state in ("due", "unknown"):
        return bool(values["due_at"] <= at)
    return bool(state == "calling" and values["lease_until"] <= at)


@intents.runnable.register(MemorySession)
def _runnable(session: MemorySession, *, limit: int) -> list[UUID]:
    at = session.database.now()
    found = [values for values in session.every(IntentRow) if values["state"] in _OPEN and is_runnable(values, at)]
    found.sort(key=lambda values: (values["due_at"], values["id"]))
    return [values["id"] for values in found[:limit]]


@intents.waiting.register(MemorySession)
def _waiting(session: MemorySession, subjects: Collection[UUID], kind: str) -> set[UUID]:
    at = session.database.now()
    return {
        values["subject"]
        for subject in subjects
        for values in session.views(IntentRow, "subject", subject)
        if values["kind"] == kind and values["state"] == "due" and values["due_at"] <= at and values["rank"] == 0
    }


@intents.due_soon.register(MemorySession)
def _due_soon(session: MemorySession, *, within_seconds: float, limit: int) -> list[tuple[UUID, float]]:
    at = session.database.now()
    last = at + timedelta(seconds=within_seconds)
    waiting = [one for one in session.every(IntentRow) if one["state"] in ("due", "unknown")]
    soon = sorted((one["due_at"], one["id"]) for one in waiting if at < one["due_at"] <= last)
    return [(id, (due_at - at).total_seconds()) for due_at, id in soon[:limit]]


@intents.is_unanswered.register(MemorySession)
def _is_unanswered(session: MemorySession, intent_id: UUID) -> bool:
    row = session.find(IntentRow, intent_id)
    return row is not None and row.state in _OPEN


@intents.waits_for_later.register(MemorySession)
def _waits_for_later(session: MemorySession, intent_id: UUID) -> bool:
    row = session.find(IntentRow, intent_id)
    return row is not None and row.state in ("due", "unknown") and row.due_at > session.database.now()


@intents.lock_runnable.register(MemorySession)
def _lock_runnable(session: MemorySession, intent_ids: Sequence[UUID], *, beside: bool) -> list[IntentRow]:
    at = session.database.now()
    asked = [row for id in intent_ids if (row := session.find(IntentRow, id)) is not None]
    rows = [row for row in asked if is_runnable(row.__dict__, at)]
    if beside:
        known = {row.id for row in rows}
        for kind, reference in {(row.kind, row.reference) for row in asked if row.reference is not None}:
            for one in session.views(IntentRow, "reference", reference):
                if one["kind"] == kind and is_runnable(one, at) and one["id"] not in known:
                    rows.append(session.row(IntentRow, one))
    return sorted(rows, key=lambda row: (row.owed_at, row.id))[: intents.claimed_max]


@intents.lock_first_in_line.register(MemorySession)
def _lock_first_in_line(session: MemorySession, kind: str) -> tuple[list[IntentRow], bool]:
    at = session.database.now()
    line = [one for one in session.every(IntentRow) if one["kind"] == kind and is_runnable(one, at)]
    line.sort(key=lambda one: (one["rank"], one["owed_at"], one["id"]))
    return intents.first_of([session.row(IntentRow, one) for one in line[: intents.claimed_max + 1]])


@intents.somebody_waits_before.register(MemorySession)
def _somebody_waits_before(session: MemorySession, row: IntentRow) -> bool:
    at = session.database.now()
    return any(
        one["kind"] == row.kind
        and is_runnable(one, at)
        and (one["rank"], one["owed_at"]) < (row.rank, row.owed_at)
        and (one["reference"] is None or one["reference"] != row.reference)
        for one in session.every(IntentRow)
    )


@intents.first_in_lines.register(MemorySession)
def _first_in_lines(session: MemorySession, kinds: Collection[str], at: datetime) -> dict[str, UUID]:
    line = [one for one in session.every(IntentRow) if one["kind"] in kinds and is_runnable(one, at)]
    line.sort(key=lambda one: (one["rank"], one["owed_at"], one["id"]), reverse=True)
    return {one["kind"]: one["id"] for one in line}


@intents.lock_fenced.register(MemorySession)
def _lock_fenced(session: MemorySession, fences: Mapping[IntentId, int]) -> dict[UUID, IntentRow]:
    rows = {id: row for id in sorted(fences) if (row := session.find(IntentRow, id)) is not None}
    return {row.id: row for id, row in rows.items() if row.fence == fences[id] and row.state == "calling"}


@pace.lock_lines.register(MemorySession)
def _lock_lines(session: MemorySession, endpoints: Sequence[str], at: datetime) -> dict[str, PaceRow]:
    lines = {}
    for name in sorted({*endpoints, pace.ACCOUNT}):
        if session.find(PaceRow, name) is None:
            session.put(PaceRow, merchant_id=session.info["merchant_id"], endpoint=name, next_at=at, taken=[])
        row = session.find(PaceRow, name)
        if row is not None:
            lines[name] = row
    return lines


# --- looking back -----------------------------------------------------------------------------------------------------


@history.calls_about.register(MemorySession)
def _calls_about(session: MemorySession, subjects: Collection[UUID]) -> list[Call]:
    views = [one for subject in set(subjects) for one in session.views(IntentRow, "subject", subject)]
    return _calls(session, views)[: history.rows_max]


@history.parked_calls.register(MemorySession)
def _parked_calls(session: MemorySession, *, limit: int) -> list[Call]:
    return _calls(session, [one for one in session.every(IntentRow) if one["state"] == "parked"])[:limit]


def _calls(session: MemorySession, views: list[Values]) -> list[Call]:
    views.sort(key=lambda one: (one["owed_at"], one["id"]))
    return [history.call_of(session.row(IntentRow, one)) for one in views]


@history.facts_about.register(MemorySession)
def _facts_about(session: MemorySession, subjects: Collection[UUID]) -> list[facts.Fact]:
    views = [one for one in session.every(FactRow) if one["subject"] in subjects]
    views.sort(key=lambda one: (one["recorded_at"], one["id"]))
    return [facts.fact_of(session.row(FactRow, one)) for one in views[: history.rows_max]]


@history.revive.register(MemorySession)
def _revive(session: MemorySession, subjects: Collection[UUID]) -> list[UUID]:
    revived = []
    for subject in set(subjects):
        for one in session.views(IntentRow, "subject", subject):
            if one["state"] == "parked":
                row = session.row(IntentRow, one)
                row.state, row.attempts, row.due_at, row.lease_until = "unknown", 1, session.database.now(), None
                revived.append(row.id)
    for id in sorted(revived):
        session.info.setdefault("nudges", []).append(("run_intent", session.info["merchant_id"], id))
    return sorted(revived)


@history.overdue_calls.register(MemorySession)
def _overdue_calls(session: MemorySession, *, older_than_seconds: float) -> Overdue:
    at = session.database.now()
    before = at - timedelta(seconds=older_than_seconds)
    late = [
        one["owed_at"]
        for one in session.every(IntentRow)
        if one["state"] in _OPEN and one["owed_at"] < before and (one["attempts"] > 0 or one["due_at"] < before)
    ]
    return Overdue(len(late), (at - min(late)).total_seconds() if late else 0.0)


@history.overdue_facts.register(MemorySession)
def _overdue_facts(session: MemorySession, *, older_than_seconds: float) -> Overdue:
    at = session.database.now()
    before = at - timedelta(seconds=older_than_seconds)
    late = [
        one["recorded_at"]
        for one in session.every(FactRow)
        if one["delivered_at"] is None and one["recorded_at"] < before
    ]
    return Overdue(len(late), (at - min(late)).total_seconds() if late else 0.0)


# --- facts ------------------------------------------------------------------------------------------------------------


@facts.find_unheard.register(MemorySession)
def _find_unheard(session: MemorySession, fact_id: UUID) -> list[FactRow]:
    asked = session.find(FactRow, fact_id)
    if asked is None:
        return []
    at = session.database.now()
    rows = [
        session.row(FactRow, one)
        for one in session.views(FactRow, "batch", asked.batch)
        if one["delivered_at"] is None and (one["due_at"] <= at or one["id"] == fact_id)
    ]
    return sorted(rows, key=lambda row: (row.recorded_at, row.id))


@facts.unheard.register(MemorySession)
def _unheard(session: MemorySession, *, limit: int) -> list[UUID]:
    at = session.database.now()
    found = [values for values in session.every(FactRow) if values["delivered_at"] is None and values["due_at"] <= at]
    found.sort(key=lambda values: (values["due_at"], values["id"]))
    return [values["id"] for values in found[:limit]]


@facts.first_hearings.register(MemorySession)
def _first_hearings(session: MemorySession, hearings: Sequence[tuple[UUID, str]]) -> set[tuple[UUID, str]]:
    first = {one for one in hearings if session.find(FactDeliveryRow, one) is None}
    for fact_id, listener in sorted(first):
        session.put(
            FactDeliveryRow,
            merchant_id=session.info["merchant_id"],
            fact_id=fact_id,
            listener=listener,
            delivered_at=session.database.now(),
        )
    return first


@facts.note_heard.register(MemorySession)
def _note_heard(session: MemorySession, fact_id: UUID, delivered_at: datetime | None, *, due_at: datetime) -> None:
    row = session.find(FactRow, fact_id)
    if row is not None:
        row.delivered_at, row.due_at, row.attempts = delivered_at, due_at, row.attempts + 1


# --- the inbox --------------------------------------------------------------------------------------------------------


@inbox.receive_all.register(MemorySession)
def _receive_all(session: MemorySession, source: str, messages: Sequence[Message]) -> set[str]:
    new = set()
    at = session.database.now()
    for _, message in sorted({message.external_id: message for message in messages}.items()):
        id = new_id()
        if session.holder(InboxRow, "external_id", (source, message.external_id)) is not None:
            continue
        session.put(
            InboxRow,
            merchant_id=session.info["merchant_id"],
            id=id,
            source=source,
            external_id=message.external_id,
            type=message.type,
            object_ref=message.object_ref,
            body=message.body,
            received_at=at,
            processed_at=at,
        )
        new.add(message.external_id)
    return new
