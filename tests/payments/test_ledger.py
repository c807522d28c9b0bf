"""The ledger: what each movement means (pure), and what the database itself refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from groupbook.kit.database import Database
from groupbook.kit.ids import new_id
from groupbook.kit.money import Money
from groupbook.payments import repository
from groupbook.payments.ledger import (
    MEMO,
    Account,
    JournalKind,
    LedgerUnbalanced,
    Statement,
    balances,
    postings,
    statement,
)
from tests.payments.conftest import House, build_house

K = JournalKind


def told(*moves: tuple[JournalKind, int]) -> Statement:
    entries = [side for kind, minor in moves for side in postings(kind, Money(minor, "EUR"))]
    return statement(new_id(), "EUR", balances(entries, "EUR"))


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


# --- what movements mean ----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(JournalKind), st.integers(1, 10**9)), max_size=40))
def test_every_movement_sums_to_zero(moves: list[tuple[JournalKind, int]]) -> None:
    entries = [side for kind, minor in moves for side in postings(kind, eur(minor))]
    assert sum(entry.amount.minor for entry in entries) == 0
    assert sum(entry.amount.minor for entry in entries if entry.account in MEMO) == 0
    assert statement(new_id(), "EUR", balances(entries, "EUR")) is not None


@given(st.lists(st.integers(50, 10**6), min_size=1, max_size=12), st.data())
def test_a_billed_reference_is_conserved(amounts: list[int], data: st.DataObject) -> None:
    """P2: captured + receivable = total, and refunded + kept = captured, whatever happened to each portion."""
    moves: list[tuple[JournalKind, int]] = []
    for minor in amounts:
        moves.append((K.BILLED, minor))
        match data.draw(st.sampled_from(["open", "captured", "covered", "unwound", "unasked"])):
            case "captured":
                moves.append((K.CAPTURED, minor))
                if refunded := data.draw(st.integers(0, minor)):
                    moves.append((data.draw(st.sampled_from([K.REFUNDED, K.REFUNDED_ELSEWHERE])), refunded))
                elif data.draw(st.booleans()):
                    moves.append((K.DISPUTE_LOST, minor))
            case "covered":
                moves.append((K.COVERED, minor))
            case "unwound":
                moves += [(K.COVERED, minor), (K.COVER_RETURNED, minor), (K.UNBILLED, minor)]
            case "unasked":
                moves += [(K.CAPTURED_UNASKED, minor), (K.REFUNDED_UNASKED, minor), (K.UNASKED_RETURNED, minor)]
    money = told(*moves)
    assert money.total == eur(sum(amounts) - sum(minor for kind, minor in moves if kind is K.UNBILLED))
    assert money.is_conserved
    assert money.net + money.refunded + money.disputed == money.captured
    assert money.captured == eur(sum(minor for kind, minor in moves if kind is K.CAPTURED))


def test_each_kind_of_money_is_told_apart() -> None:
    money = told(
        *[(K.BILLED, minor) for minor in (3334, 3333, 3333)],
        (K.CAPTURED, 3334),
        (K.CAPTURED, 3333),
        (K.COVERED, 3333),
        (K.REFUNDED, 1000),
        (K.REFUND_RETURNED, 1000),
        (K.REFUNDED_ELSEWHERE, 1000),
        (K.DISPUTE_LOST, 3333),
        (K.CAPTURED_UNASKED, 500),
    )
    assert (money.total, money.captured, money.receivable) == (eur(10_000), eur(6667), eur(3333))
    assert (money.refunded, money.disputed, money.net) == (eur(1000), eur(3333), eur(2334))
    assert money.balances == {
        "provider_clearing": eur(6667 - 3333 + 500),
        "merchant_sales": eur(-10_000),
        "refunds": eur(1000),
        "paid_elsewhere": eur(-1000),
        "guarantee_receivable": eur(3333),
        "disputes_lost": eur(3333),
        "unexpected": eur(-500),
    }


def test_nothing_is_not_a_movement() -> None:
    for minor in (0, -1):
        with pytest.raises(LedgerUnbalanced):
            postings(K.CAPTURED, eur(minor))
    lopsided = balances([postings(K.CAPTURED, eur(5))[0]], "EUR")
    assert lopsided[Account.PROVIDER_CLEARING] == eur(5)
    with pytest.raises(LedgerUnbalanced):
        statement(new_id(), "EUR", lopsided)


# --- what the database refuses ----------------------------------------------------------------------------------------

_ENTRY = (
    "INSERT INTO journal (merchant_id, id, reference, portion_id, kind, cause, recorded_at) "
    "VALUES (:merchant, :entry, :reference, :portion, 'captured', :cause, clock_timestamp())"
)
_SIDE = (
    "INSERT INTO posting (merchant_id, id, journal_id, account, currency, amount) "
    "VALUES (:merchant, gen_random_uuid(), :entry, :account, :currency, :amount)"
)


def write(house: House, *sides: tuple[str, str, int]) -> None:
    """One hand-made entry, in one transaction as the application."""
    entry = new_id()
    with house.database.begin(house.merchant_id) as session:
        for currency in ("EUR", "CHF"):
            repository.ensure_accounts(session, currency)
        values = {"merchant": house.merchant_id, "entry": entry, "reference": house.reference}
        session.execute(text(_ENTRY), values | {"portion": new_id(), "cause": new_id()})
        for account, currency, amount in sides:
            session.execute(text(_SIDE), values | {"account": account, "currency": currency, "amount": amount})


@pytest.mark.parametrize(
    "sides",
    [
        [("provider_clearing", "EUR", 5), ("payer_receivable", "EUR", -4)],
        [("provider_clearing", "EUR", 5)],
        [],
        [("provider_clearing", "EUR", 5), ("payer_receivable", "CHF", -5)],  # zero in all, not per currency
        [("provider_clearing", "EUR", 5), ("payer_receivable", "EUR", -5), ("refunds", "CHF", 1)],
    ],
    ids=["differs", "one side", "no side", "two currencies", "a third side alone"],
)
def test_what_does_not_balance_is_refused_at_commit(house: House, sides: list[tuple[str, str, int]]) -> None:
    with pytest.raises(DBAPIError, match="does not balance"):
        write(house, *sides)
    assert house.counts("journal", "posting") == [0, 0]


def test_what_balances_in_each_currency_is_kept(house: House) -> None:
    write(
        house,
        ("provider_clearing", "EUR", 5),
        ("payer_receivable", "EUR", -5),
        ("provider_clearing", "CHF", 7),
        ("payer_receivable", "CHF", -7),
    )
    assert house.counts("journal", "posting") == [1, 4]


def test_a_side_added_later_must_balance_too(house: House) -> None:
    write(house, ("provider_clearing", "EUR", 5), ("payer_receivable", "EUR", -5))
    with pytest.raises(DBAPIError, match="does not balance"):
        house.execute(
            "INSERT INTO posting (merchant_id, id, journal_id, account, currency, amount) "
            "SELECT merchant_id, gen_random_uuid(), id, 'refunds', 'EUR', 1 FROM journal"
        )
    assert house.counts("posting") == [2]


@pytest.mark.parametrize("amount", [0])
def test_a_side_of_nothing_is_refused(house: House, amount: int) -> None:
    with pytest.raises(DBAPIError, match="ck_posting_amount"):
        write(house, ("provider_clearing", "EUR", amount), ("payer_receivable", "EUR", -amount))


def test_an_unknown_account_is_refused(house: House) -> None:
    with pytest.raises(DBAPIError, match="fk_posting_account_ledger_account"):
        write(house, ("mattress", "EUR", 5), ("payer_receivable", "EUR", -5))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE journal SET kind = 'refunded'",
        "DELETE FROM journal",
        "UPDATE posting SET amount = amount * 2",
        "DELETE FROM posting",
        "DELETE FROM ledger_account",
        "TRUNCATE posting",
    ],
)
def test_nothing_is_changed_or_deleted(house: House, change: str) -> None:
    write(house, ("provider_clearing", "EUR", 5), ("payer_receivable", "EUR", -5))
    with pytest.raises(DBAPIError, match=r"append-only|permission denied"):
        house.execute(change)
    assert house.counts("journal", "posting") == [1, 2]


def test_the_owner_of_the_tables_cannot_change_an_entry_either(database: Database, database_url: str) -> None:
    """Rights bind the application; the trigger binds whoever forgot which role he is."""
    house = build_house(database, "owner-tries")
    write(house, ("provider_clearing", "EUR", 5), ("payer_receivable", "EUR", -5))
    owner = Database(database_url)
    try:
        for change in ("UPDATE posting SET amount = amount * 2", "DELETE FROM journal"):
            with owner.begin(house.merchant_id) as session:
                session.execute(text("RESET ROLE"))
                with pytest.raises(DBAPIError, match="append-only"), session.begin_nested():
                    session.execute(text(change))
    finally:
        owner.close()
