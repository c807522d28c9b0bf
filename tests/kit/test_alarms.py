"""Alarms: overdue rows and bad news are said once at level error, not at every sweep."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from structlog.testing import capture_logs

from groupbook.kit import alarms, facts, history, intents
from groupbook.kit.alarms import Overdue
from groupbook.kit.database import Database
from groupbook.kit.facts import Deliverer
from groupbook.kit.ids import IntentId, MerchantId, new_id

MERCHANT = MerchantId(UUID(int=7))


def owe(database: Database, *, later: bool = False) -> IntentId:
    with database.begin(MERCHANT) as session:
        id = intents.owe(session, "test.call", new_id())
        if later:
            session.execute(text("UPDATE intent SET due_at = clock_timestamp() + interval '9 hours'"))
        return id


def age(database: Database, table: str, column: str, hours: int = 2) -> None:
    with database.begin(MERCHANT) as session:
        session.execute(text(f"UPDATE {table} SET {column} = clock_timestamp() - make_interval(hours => {hours})"))


def overdue(database: Database, at: list[float]) -> Overdue:
    return Overdue(database, call_seconds=3600, fact_seconds=300, quiet_seconds=600, elapsed=lambda: at[0])


def test_what_is_owed_for_longer_than_its_budget_is_an_alarm(database: Database) -> None:
    owe(database)
    looking = overdue(database, [0.0])
    assert looking.look(MERCHANT) == []
    age(database, "intent", "owed_at")
    age(database, "intent", "due_at")
    with capture_logs() as lines:
        assert looking.look(MERCHANT) == ["calls_overdue"]
    (line,) = lines
    assert (line["log_level"], line["alarm"], line["count"], line["budget_seconds"]) == (
        "error",
        "calls_overdue",
        1,
        3600,
    )
    assert 7_200 <= line["oldest_seconds"] < 7_260


def test_a_call_for_a_later_hour_and_one_that_was_answered_are_none(database: Database) -> None:
    owe(database, later=True)
    with database.begin(MERCHANT) as session:
        session.execute(text("UPDATE intent SET owed_at = clock_timestamp() - interval '8 hours'"))
    assert overdue(database, [0.0]).look(MERCHANT) == []
    with database.begin(MERCHANT) as session:
        session.execute(text("UPDATE intent SET due_at = owed_at, state = 'done'"))
    assert overdue(database, [0.0]).look(MERCHANT) == []


def test_a_fact_that_nobody_hears_is_an_alarm_and_one_that_was_heard_is_none(database: Database) -> None:
    with database.begin(MERCHANT) as session:
        fact_id = facts.record(session, "test.happened", subject=new_id())
    age(database, "fact", "recorded_at", hours=1)
    assert overdue(database, [0.0]).look(MERCHANT) == ["facts_overdue"]
    Deliverer(database, {}).deliver(MERCHANT, fact_id)
    assert overdue(database, [0.0]).look(MERCHANT) == []


def test_it_is_said_again_only_after_a_while_or_when_it_comes_back(database: Database) -> None:
    owe(database)
    age(database, "intent", "owed_at")
    age(database, "intent", "due_at")
    at = [0.0]
    looking = overdue(database, at)
    told = []
    for at[0] in (0.0, 15.0, 599.0, 600.0):
        told.append(len(looking.look(MERCHANT)))
    assert told == [1, 0, 0, 1]
    with database.begin(MERCHANT) as session:
        session.execute(text("UPDATE intent SET state = 'done'"))
    assert looking.look(MERCHANT) == []
    with database.begin(MERCHANT) as session:
        session.execute(text("UPDATE intent SET state = 'unknown'"))
    assert looking.look(MERCHANT) == ["calls_overdue"]


def test_one_merchants_debts_are_no_alarm_of_anothers(database: Database) -> None:
    owe(database)
    age(database, "intent", "owed_at")
    age(database, "intent", "due_at")
    assert overdue(database, [0.0]).look(new_id()) == []


def test_bad_news_is_said_with_codes_and_without_names_or_amounts(database: Database) -> None:
    payload = {"reason": "account_closed", "name": "Ada", "amount": 500, "reference": "aa"}
    with database.begin(MERCHANT) as session:
        fact_id = facts.record(session, "portion.refund_failed", subject=new_id(), payload=payload)
    with capture_logs() as lines:
        Deliverer(database, {"portion.refund_failed": [("alarms", alarms.note)]}).deliver(MERCHANT, fact_id)
    (line,) = [line for line in lines if line["event"] == "alarm"]
    assert (line["log_level"], line["alarm"], line["reason"]) == ("error", "portion.refund_failed", "account_closed")
    assert "Ada" not in str(line)
    assert "amount" not in line


def test_a_revived_call_is_read_before_it_is_asked_again_and_twice_is_once(database: Database) -> None:
    intent_id = owe(database)
    with database.begin(MERCHANT) as session:
        session.execute(text("UPDATE intent SET state = 'parked', attempts = 200"))
    with database.begin(MERCHANT) as session:
        (call,) = history.parked_calls(session, limit=10)
        assert history.revive(session, [call.subject]) == [intent_id]
    with database.begin(MERCHANT) as session:
        assert history.revive(session, [call.subject]) == []
        (again,) = history.calls_about(session, [call.subject])
    assert (again.state, again.attempts) == ("unknown", 1)
