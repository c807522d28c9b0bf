"""What the command line prints about the books: the dashboard's words, in English, and plain documents.

Pure: values in, lines or documents out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from groupbook.kit.i18n import DEFAULT_LOCALE, words
from groupbook.kit.ids import to_wire
from groupbook.kit.money import Money
from groupbook.merchants.domain import Merchant
from groupbook.payments import (
    Account,
    CurrencyPart,
    PeriodStatement,
    Report,
    StatementOut,
    StoredDifference,
    decimal_text,
)
from groupbook.web.money_words import account_words, difference_words, on_its_side
from groupbook.web.operating_words import count

_SAY: Final = words(DEFAULT_LOCALE)


def statement_lines(statement: PeriodStatement) -> Iterator[str]:
    """Per currency: what stood, what moved, what stands."""
    if not statement.parts:
        yield "no money moved"
    for part in statement.parts:
        yield f"{part.currency}  {_SAY.many('%(num)s movement', '%(num)s movements', len(part.lines))}"
        for line, balance in part.running():
            yield (
                f"  {_at(line.at)}  {to_wire('bkg', line.reference)}  {line.kind.value:<22}"
                f"{_decimal(line.amount.minor, part):>14}  {_decimal(balance, part):>14}"
            )
        accounts = [one for one in Account if one in part.opening or one in part.closing]
        for account in accounts:
            stood = (on_its_side(account, side.get(account, 0)) for side in (part.opening, part.closing))
            before, after = (_decimal(minor, part) for minor in stood)
            yield f"  {account_words(account, _SAY):<40}{before:>14} -> {after:>14}"


def statement_document(statement: PeriodStatement, merchant: Merchant) -> dict[str, Any]:
    return StatementOut.of(statement, livemode=merchant.livemode).model_dump(mode="json")


def report_lines(reports: Sequence[Report]) -> Iterator[str]:
    """Day by day: how much was compared, and every difference with both sides."""
    for report in reports:
        yield (
            f"{report.day}: {count(report.payments, 'payment')} and {count(report.refunds, 'refund')} compared, "
            f"{count(len(report.differences), 'difference')}, {report.fresh} new, {report.resolved} resolved"
        )
        for stored in report.differences:
            difference = stored.difference
            booking = f"  {to_wire('bkg', difference.reference)}" if difference.reference else ""
            yield (
                f"  {to_wire('dif', stored.id)}  {difference.kind.value}  {difference.provider_ref}  "
                f"books {_money(difference.expected)}, provider {_money(difference.observed)}{booking}"
            )
            yield f"      {difference_words(difference.kind, _SAY)}"


def report_document(reports: Sequence[Report], merchant: Merchant) -> dict[str, Any]:
    return {
        "merchant": merchant.slug,
        "livemode": merchant.livemode,
        "days": [
            {
                "day": report.day.isoformat(),
                "payments": report.payments,
                "refunds": report.refunds,
                "foreign": report.foreign,
                "new": report.fresh,
                "resolved": report.resolved,
                "differences": [_difference(one) for one in report.differences],
            }
            for report in reports
        ],
    }


def _difference(stored: StoredDifference) -> dict[str, Any]:
    difference = stored.difference
    return {
        "id": to_wire("dif", stored.id),
        "kind": difference.kind.value,
        "provider_ref": difference.provider_ref,
        "booking": None if difference.reference is None else to_wire("bkg", difference.reference),
        "expected": {"amount": difference.expected.minor, "currency": difference.expected.currency},
        "observed": {"amount": difference.observed.minor, "currency": difference.observed.currency},
        "is_money": difference.is_money,
        "first_seen_at": stored.first_seen_at.astimezone(UTC).isoformat(timespec="milliseconds"),
    }


def _decimal(minor: int, part: CurrencyPart) -> str:
    return decimal_text(minor, part.currency)


def _money(money: Money) -> str:
    return f"{decimal_text(money.minor, money.currency)} {money.currency}"


def _at(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
