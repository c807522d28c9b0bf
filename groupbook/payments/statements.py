"""Statements: what moved in a time and what stood before and after, exact to the minor unit. Pure.

One statement holds one part per currency; amounts of two currencies never meet in a sum. The balance that runs beside
the movements is that of `provider_clearing`: what the merchant's account at the provider kept of our payments.

As a table (RFC 4180: comma, CRLF, quotes doubled) every amount stands twice, as whole minor units and as a decimal of
the currency's own exponent, made without floats. A text that a spreadsheet would run as a formula is defused.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from groupbook.kit.errors import Invalid, NotFound
from groupbook.kit.ids import JournalId, PortionId, to_wire
from groupbook.kit.money import Money, exponent
from groupbook.payments.ledger import Account, JournalKind, Statement

period_days_max: Final = 366
years: Final = (2000, 2199)
lines_max: Final = 50_000
COLUMNS: Final = (
    "record",
    "at",
    "booking",
    "portion",
    "movement",
    "kind",
    "debit",
    "credit",
    "note",
    "currency",
    "amount_minor",
    "amount",
    "account",
    "balance_minor",
    "balance",
)
# Authorizations are nobody's money: a booking's statement shows them, a merchant's does not.
MEMO_KINDS: Final = (JournalKind.AUTHORIZED, JournalKind.AUTHORIZATION_ENDED)
# What spreadsheets take for the beginning of a formula, full-width forms included (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class StatementNotFound(NotFound):
    code = "statement_not_found"


class StatementPeriodInvalid(Invalid):
    """The end before the beginning, more than a year, or a time nobody sells in."""

    code = "statement_period_invalid"


class StatementTooLong(Invalid):
    """More movements than one document should hold; ask for a shorter time."""

    code = "statement_too_long"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One entry of the ledger: `amount` went from `credited` to `debited`."""

    id: JournalId
    at: datetime
    reference: UUID
    portion_id: PortionId
    kind: JournalKind
    debited: Account
    credited: Account
    amount: Money
    note: str = ""

    def change_of(self, account: Account) -> int:
        """What it adds to the balance of `account`, in minor units."""
        return self.amount.minor * ((self.debited is account) - (self.credited is account))


@dataclass(frozen=True, slots=True)
class CurrencyPart:
    """One currency's movements between two balances; every balance in minor units, accounts of zero left out."""

    currency: str
    opening: Mapping[Account, int]
    lines: tuple[StatementLine, ...]
    closing: Mapping[Account, int]

    def running(self) -> Iterable[tuple[StatementLine, int]]:
        """Each line with what stood at the provider after it."""
        balance = self.opening.get(Account.PROVIDER_CLEARING, 0)
        for line in self.lines:
            balance += line.change_of(Account.PROVIDER_CLEARING)
            yield line, balance


@dataclass(frozen=True, slots=True)
class PeriodStatement:
    """Movements of a merchant, or of one booking. `until` is excluded; both are absent for a booking's whole life."""

    since: datetime | None
    until: datetime | None
    reference: UUID | None
    parts: tuple[CurrencyPart, ...]
    summary: Statement | None = None


def check_period(first: date, last: date) -> None:
    """Raises StatementPeriodInvalid."""
    in_reach = first.year >= years[0] and last.year <= years[1]
    if not in_reach or last < first or (last - first).days >= period_days_max:
        raise StatementPeriodInvalid(first=first.isoformat(), last=last.isoformat(), days_max=period_days_max)


def currency_parts(
    opening: Mapping[tuple[str, Account], int], lines: Iterable[StatementLine]
) -> tuple[CurrencyPart, ...]:
    """Opening balances and movements as one part per currency, in the order of the currencies' codes."""
    moved: dict[str, list[StatementLine]] = {}
    for line in lines:
        moved.setdefault(line.amount.currency, []).append(line)
    parts = []
    for currency in sorted({code for code, _ in opening} | set(moved)):
        before = {account: minor for (code, account), minor in opening.items() if code == currency}
        after = dict(before)
        for line in moved.get(currency, ()):
            after[line.debited] = after.get(line.debited, 0) + line.amount.minor
            after[line.credited] = after.get(line.credited, 0) - line.amount.minor
        parts.append(CurrencyPart(currency, _told(before), tuple(moved.get(currency, ())), _told(after)))
    return tuple(parts)


def _told(balances: Mapping[Account, int]) -> Mapping[Account, int]:
    return MappingProxyType({account: balances[account] for account in Account if balances.get(account)})


# --- as a table -------------------------------------------------------------------------------------------------------


def decimal_text(minor: int, currency: str) -> str:
    """Minor units as a decimal of the currency's own exponent: -5 EUR is "-0.05", 3334 JPY is "3334"."""
    digits = exponent(currency)
    if digits == 0:
        return str(minor)
    whole, rest = divmod(abs(minor), 10**digits)
    return f"{'-' if minor < 0 else ''}{whole}.{rest:0{digits}d}"


def defused(text: str) -> str:
    """A text that no spreadsheet runs as a formula: an apostrophe before what could begin one."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_text(statement: PeriodStatement) -> str:
    """The statement as RFC 4180."""
    out = io.StringIO(newline="")
    write = csv.writer(out, lineterminator="\r\n").writerow
    write(COLUMNS)
    for part in statement.parts:
        for row in _balance_rows("opening", statement.since, part.currency, part.opening):
            write(row)
        for line, balance in part.running():
            write(_movement_row(line, balance))
        for row in _balance_rows("closing", statement.until, part.currency, part.closing):
            write(row)
    return out.getvalue()


def instant_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _balance_rows(
    record: str, at: datetime | None, currency: str, balances: Mapping[Account, int]
) -> Iterable[tuple[str, ...]]:
    # What stands at the provider is always told, the other accounts where something stands on them.
    for account in sorted({Account.PROVIDER_CLEARING, *balances}, key=list(Account).index):
        minor = balances.get(account, 0)
        row = dict.fromkeys(COLUMNS, "")
        row |= {"record": record, "at": "" if at is None else instant_text(at), "currency": currency}
        row |= {"account": account.value, "balance_minor": str(minor), "balance": decimal_text(minor, currency)}
        yield tuple(row.values())


def _movement_row(line: StatementLine, balance: int) -> tuple[str, ...]:
    currency = line.amount.currency
    return (
        "movement",
        instant_text(line.at),
        to_wire("bkg", line.reference),
        to_wire("por", line.portion_id),
        to_wire("jrn", line.id),
        line.kind.value,
        line.debited.value,
        line.credited.value,
        defused(line.note),
        currency,
        str(line.amount.minor),
        decimal_text(line.amount.minor, currency),
        Account.PROVIDER_CLEARING.value,
        str(balance),
        decimal_text(balance, currency),
    )
