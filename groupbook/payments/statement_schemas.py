"""What a statement looks like over the wire. Balances are whole minor units and may exceed what one payment can be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from groupbook.kit.http import Currency, Instant, MoneyWire, Wire
from groupbook.kit.ids import to_wire
from groupbook.payments.ledger import Account, JournalKind, Statement
from groupbook.payments.statements import CurrencyPart, PeriodStatement, StatementLine, decimal_text


def _read_day(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValueError("a day, YYYY-MM-DD")
        return date.fromisoformat(value)
    return value


Day = Annotated[date, BeforeValidator(_read_day)]
Format = Literal["json", "csv"]
JournalRef = Annotated[str, StringConstraints(pattern=r"^jrn_[0-9a-f]{32}$")]
BookingRef = Annotated[str, StringConstraints(pattern=r"^bkg_[0-9a-f]{32}$")]
PortionRef = Annotated[str, StringConstraints(pattern=r"^por_[0-9a-f]{32}$")]
AccountName = Annotated[str, Field(json_schema_extra={"enum": [account.value for account in Account]})]
KindName = Annotated[str, Field(json_schema_extra={"enum": [kind.value for kind in JournalKind]})]


class StatementQuery(Wire):
    """`from` and `to` are days on your own wall, both included: the last thirty when you name none."""

    first: Annotated[Day | None, Field(alias="from")] = None
    last: Annotated[Day | None, Field(alias="to")] = None
    format: Format = "json"


class BookingStatementQuery(Wire):
    """How the statement is written: JSON, or CSV as RFC 4180 has it."""

    format: Format = "json"


class BalanceOut(Wire):
    """What stands on an account: debit positive, in minor units and as a decimal of the currency."""

    account: AccountName
    amount: int
    decimal: str


class MovementOut(Wire):
    """One entry of the ledger: `amount` went from `credit` to `debit`.

    `balance` is what your account at the provider kept of our payments after it, in minor units.
    """

    id: JournalRef
    at: Instant
    booking: BookingRef
    portion: PortionRef
    kind: KindName
    debit: AccountName
    credit: AccountName
    amount: MoneyWire
    decimal: str
    note: str
    balance: int

    @classmethod
    def of(cls, line: StatementLine, balance: int) -> MovementOut:
        return cls(
            id=to_wire("jrn", line.id),
            at=line.at,
            booking=to_wire("bkg", line.reference),
            portion=to_wire("por", line.portion_id),
            kind=line.kind.value,
            debit=line.debited.value,
            credit=line.credited.value,
            amount=MoneyWire.of(line.amount),
            decimal=decimal_text(line.amount.minor, line.amount.currency),
            note=line.note,
            balance=balance,
        )


class CurrencyStatementOut(Wire):
    """One currency: what stood before, what moved, what stands after. Accounts of zero are left out."""

    currency: Currency
    opening: list[BalanceOut]
    movements: list[MovementOut]
    closing: list[BalanceOut]

    @classmethod
    def of(cls, part: CurrencyPart) -> CurrencyStatementOut:
        return cls(
            currency=part.currency,
            opening=_balances(part.currency, part.opening),
            movements=[MovementOut.of(line, balance) for line, balance in part.running()],
            closing=_balances(part.currency, part.closing),
        )


class StatementSummaryOut(Wire):
    """A booking's money in one line: `captured + receivable = total`; `kept` is what stayed with you."""

    total: MoneyWire
    authorized: MoneyWire
    captured: MoneyWire
    refunded: MoneyWire
    disputed: MoneyWire
    receivable: MoneyWire
    kept: MoneyWire

    @classmethod
    def of(cls, money: Statement) -> StatementSummaryOut:
        return cls(
            total=MoneyWire.of(money.total),
            authorized=MoneyWire.of(money.authorized),
            captured=MoneyWire.of(money.captured),
            refunded=MoneyWire.of(money.refunded),
            disputed=MoneyWire.of(money.disputed),
            receivable=MoneyWire.of(money.receivable),
            kept=MoneyWire.of(money.net),
        )


class StatementOut(Wire):
    """A statement, per currency. `until` is excluded; a booking's statement has no bounds, and a summary."""

    since: Instant | None
    until: Instant | None
    booking: BookingRef | None
    summary: StatementSummaryOut | None
    currencies: list[CurrencyStatementOut]
    livemode: bool

    @classmethod
    def of(cls, statement: PeriodStatement, *, livemode: bool) -> StatementOut:
        return cls(
            since=statement.since,
            until=statement.until,
            booking=None if statement.reference is None else to_wire("bkg", statement.reference),
            summary=None if statement.summary is None else StatementSummaryOut.of(statement.summary),
            currencies=[CurrencyStatementOut.of(part) for part in statement.parts],
            livemode=livemode,
        )


def _balances(currency: str, balances: Mapping[Account, int]) -> list[BalanceOut]:
    return [
        BalanceOut(account=account.value, amount=minor, decimal=decimal_text(minor, currency))
        for account, minor in balances.items()
    ]
