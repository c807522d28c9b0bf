"""Statements: exact values, exponents of currencies, RFC 4180, and texts that a spreadsheet must not run."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook import payments
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.clock import set_offset
from groupbook.kit.ids import JournalId, PortionId, new_id
from groupbook.kit.money import Money
from groupbook.payments.ledger import Account, JournalKind, postings
from groupbook.payments.statements import (
    COLUMNS,
    PeriodStatement,
    StatementLine,
    StatementNotFound,
    StatementPeriodInvalid,
    check_period,
    csv_text,
    currency_parts,
    decimal_text,
    defused,
)
from tests.payments.conftest import House

AT = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
ADA = UUID(int=1)


def line(kind: JournalKind, minor: int, currency: str = "EUR", *, note: str = "", id: int = 7) -> StatementLine:
    debit, credit = postings(kind, Money(minor, currency))
    return StatementLine(
        JournalId(UUID(int=id)),
        AT,
        ADA,
        PortionId(UUID(int=2)),
        kind,
        debit.account,
        credit.account,
        debit.amount,
        note,
    )


def table(statement: PeriodStatement) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_text(statement), newline="")))


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (3334, "EUR", "33.34"),
        (-5, "EUR", "-0.05"),
        (0, "EUR", "0.00"),
        (3334, "JPY", "3334"),
        (-1, "JPY", "-1"),
        (3334, "TND", "3.334"),
        (-7, "KWD", "-0.007"),
        (12_345, "UYW", "1.2345"),
        (10**15, "EUR", "10000000000000.00"),
    ],
)
def test_decimals_follow_the_currency(minor: int, currency: str, text: str) -> None:
    assert decimal_text(minor, currency) == text


@given(st.integers(-(10**18), 10**18), st.sampled_from(["EUR", "JPY", "TND", "UYW"]))
def test_decimals_lose_nothing(minor: int, currency: str) -> None:
    text = decimal_text(minor, currency)
    assert int(text.replace(".", "")) == minor


def test_a_table_is_rfc_4180_to_the_letter() -> None:
    opening = {("EUR", Account.PROVIDER_CLEARING): 1_000, ("EUR", Account.MERCHANT_SALES): -1_000}
    lines = [line(JournalKind.BILLED, 3334), line(JournalKind.CAPTURED, 3334), line(JournalKind.REFUNDED, 1_005)]
    since, until = AT - timedelta(days=1), AT + timedelta(days=1)
    told = PeriodStatement(since, until, None, currency_parts(opening, lines))
    booking, portion, entry = f"bkg_{1:032x}", f"por_{2:032x}", f"jrn_{7:032x}"
    moved = f"movement,2026-11-03T09:30:00.000Z,{booking},{portion},{entry}"
    assert csv_text(told).split("\r\n") == [
        ",".join(COLUMNS),
        "opening,2026-11-02T09:30:00.000Z,,,,,,,,EUR,,,provider_clearing,1000,10.00",
        "opening,2026-11-02T09:30:00.000Z,,,,,,,,EUR,,,merchant_sales,-1000,-10.00",
        f"{moved},billed,payer_receivable,merchant_sales,,EUR,3334,33.34,provider_clearing,1000,10.00",
        f"{moved},captured,provider_clearing,payer_receivable,,EUR,3334,33.34,provider_clearing,4334,43.34",
        f"{moved},refunded,refunds,provider_clearing,,EUR,1005,10.05,provider_clearing,3329,33.29",
        "closing,2026-11-04T09:30:00.000Z,,,,,,,,EUR,,,provider_clearing,3329,33.29",
        "closing,2026-11-04T09:30:00.000Z,,,,,,,,EUR,,,merchant_sales,-4334,-43.34",
        "closing,2026-11-04T09:30:00.000Z,,,,,,,,EUR,,,refunds,1005,10.05",
        "",
    ]


def test_currencies_never_meet_in_a_sum() -> None:
    lines = [
        line(JournalKind.CAPTURED, 500, "JPY"),
        line(JournalKind.CAPTURED, 1_234, "TND"),
        line(JournalKind.CAPTURED, 99, "EUR"),
    ]
    parts = currency_parts({("CHF", Account.PROVIDER_CLEARING): 1}, lines)
    assert [(part.currency, dict(part.closing)) for part in parts] == [
        ("CHF", {Account.PROVIDER_CLEARING: 1}),
        ("EUR", {Account.PROVIDER_CLEARING: 99, Account.PAYER_RECEIVABLE: -99}),
        ("JPY", {Account.PROVIDER_CLEARING: 500, Account.PAYER_RECEIVABLE: -500}),
        ("TND", {Account.PROVIDER_CLEARING: 1_234, Account.PAYER_RECEIVABLE: -1_234}),
    ]
    amounts = {
        row["currency"]: row["amount"] for row in table(PeriodStatement(None, None, None, parts)) if row["amount"]
    }
    assert amounts == {"EUR": "0.99", "JPY": "500", "TND": "1.234"}


@given(
    st.lists(
        st.tuples(st.sampled_from(JournalKind), st.integers(1, 10**9), st.sampled_from(["EUR", "JPY"])), max_size=30
    )
)
def test_what_stands_after_is_what_stood_before_and_what_moved(moves: list[tuple[JournalKind, int, str]]) -> None:
    opening = {("EUR", Account.PROVIDER_CLEARING): 77, ("EUR", Account.MERCHANT_SALES): -77}
    for part in currency_parts(opening, [line(*move) for move in moves]):
        assert sum(part.opening.values()) == sum(part.closing.values()) == 0
        for account in Account:
            moved = sum(one.change_of(account) for one in part.lines)
            assert part.opening.get(account, 0) + moved == part.closing.get(account, 0)
        balances = [balance for _, balance in part.running()]
        assert balances[-1:] == [part.closing.get(Account.PROVIDER_CLEARING, 0)][: len(balances)]


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+41",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "＝1",
        '=HYPERLINK("http://e.test","x")',
        "=cmd|' /C calc'!A0",
    ],
)
def test_no_text_becomes_a_formula(text: str) -> None:
    told = PeriodStatement(None, None, None, currency_parts({}, [line(JournalKind.REFUNDED, 5, note=text)]))
    (row,) = [row for row in table(told) if row["record"] == "movement"]
    assert row["note"] == f"'{text}"
    assert set(row) == set(COLUMNS)  # and no comma, quote or line end of it makes another column or row
    assert defused('late, "quoted" and\r\nbroken') == 'late, "quoted" and\r\nbroken'


@given(st.text())
def test_any_text_stays_one_cell(note: str) -> None:
    note = note.replace("\x00", "")
    told = PeriodStatement(None, None, None, currency_parts({}, [line(JournalKind.REFUNDED, 5, note=note)]))
    rows = table(told)
    assert [row["record"] for row in rows] == ["opening", "movement", "closing", "closing"]
    assert rows[1]["note"].removeprefix("'") == note.removeprefix("'")


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 11, 2), date(2026, 11, 1)),
        (date(2025, 1, 1), date(2026, 1, 2)),
        (date(1999, 12, 31), date(2000, 1, 1)),
        (date(2199, 12, 31), date(2200, 1, 1)),
        (date.min, date.min),
        (date.max, date.max),
    ],
)
def test_a_period_is_a_year_at_most(first: date, last: date) -> None:
    with pytest.raises(StatementPeriodInvalid):
        check_period(first, last)
    check_period(date(2026, 1, 1), date(2026, 12, 31))


# --- on a real ledger -------------------------------------------------------------------------------------------------


def test_days_are_the_merchants_own_and_join_without_a_gap(house: House) -> None:
    """Paid today, refunded tomorrow: tomorrow opens with what today closed with."""
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    house.capture_all()
    with house.database.begin(house.merchant_id) as session:
        today = payments.statement_days(session, None, None)[1]
        set_offset(session, house.merchant_id, timedelta(days=1))
    with house.database.begin(house.merchant_id) as session:
        payments.refund_portion(session, house.portions["ada"], Money(1000, "EUR"), reason="=member_canceled")
    house.quiet()
    with house.database.begin(house.merchant_id) as session:
        (first,) = payments.statement_of_days(session, today, today).parts
        (second,) = payments.statement_of_days(session, today + timedelta(days=1), today + timedelta(days=1)).parts
        (both,) = payments.statement_of_days(session, today, today + timedelta(days=1)).parts
    assert [one.kind for one in first.lines] == ["billed", "billed", "captured", "captured"]
    assert [(one.kind, one.note) for one in second.lines] == [("refunded", "=member_canceled")]
    assert (first.closing, second.closing) == (second.opening, both.closing)
    assert dict(second.closing) == {
        Account.PROVIDER_CLEARING: 5667,
        Account.MERCHANT_SALES: -6667,
        Account.REFUNDS: 1000,
    }
    assert dict(first.opening) == dict(both.opening) == {}


def test_a_bookings_statement_holds_its_whole_life_and_nobody_elses(house: House) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    with house.database.begin(house.merchant_id) as session:
        told = payments.statement_of_reference(session, house.reference)
        with pytest.raises(StatementNotFound):
            payments.statement_of_reference(session, new_id())
        now = merchant_now(session)
    assert told.summary is not None
    assert (told.summary.authorized, told.summary.total) == (Money(3334, "EUR"), Money(0, "EUR"))
    (part,) = told.parts
    assert [(one.kind, one.amount, one.reference) for one in part.lines] == [
        ("authorized", Money(3334, "EUR"), house.reference)
    ]
    with house.database.begin(house.merchant_id) as session:  # nobody's money is in no merchant's statement
        assert payments.statement_of_days(session, now.date(), now.date() + timedelta(days=1)).parts == ()
