"""The dashboard's pages about money: statements to read and keep, and where the provider disagrees with our books."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from groupbook import bookings, payments
from groupbook.house import House
from groupbook.kit.errors import GroupbookError
from groupbook.kit.i18n import Words, format_money
from groupbook.kit.ids import BookingId, DifferenceId, from_wire, to_wire
from groupbook.kit.money import Money
from groupbook.payments import (
    Account,
    CurrencyPart,
    DifferenceKind,
    PeriodStatement,
    StatementOut,
    StatementPeriodInvalid,
    StatementTooLong,
    StoredDifference,
    csv_text,
)
from groupbook.web.desk import Desk, DeskPages, read_form
from groupbook.web.money_words import account_words, difference_words, movement_words, on_its_side, run_words
from groupbook.web.render import words_of

MONEY: Final = "/dashboard/money"
DIFFERENCES: Final = "/dashboard/money/differences"
shown_max: Final = 200


class MoneyPages(DeskPages):
    """The pages, on one house."""

    def routes(self) -> list[Route]:
        return [
            Route(MONEY, self._page(self.show_money)),
            Route(f"{MONEY}/statement.{{form}}", self._page(self.download)),
            Route(f"{MONEY}/bookings/{{booking_id}}.{{form}}", self._page(self.download_booking)),
            Route(DIFFERENCES, self._page(self.show_differences), methods=["GET", "POST"]),
        ]

    async def show_money(self, request: Request, desk: Desk) -> Response:
        """Balances and movements of some days, with links that download exactly these days."""
        say = words_of(request)

        def read(session: Session) -> dict[str, Any]:
            error = ""
            try:
                first, last = _asked_days(session, request)
                statement = payments.statement_of_days(session, first, last)
            except StatementPeriodInvalid:
                error = say("Name two days, the earlier one first, at most a year apart.")
            except StatementTooLong:
                error = say("There are too many movements for one page. Choose fewer days.")
            if error:
                first, last = payments.statement_days(session, None, None)
                statement = payments.statement_of_days(session, first, last)
            references = {BookingId(line.reference) for part in statement.parts for line in part.lines[-shown_max:]}
            titles = bookings.titles(session, references)
            return {
                "first": first.isoformat(),
                "last": last.isoformat(),
                "error": error,
                "parts": [_part(part, titles, say) for part in statement.parts],
                "open_differences": len(payments.differences(session)),
            }

        context = await self._step(desk, read)
        return self._render(request, desk, "money", context, status=422 if context["error"] else 200)

    async def download(self, request: Request, desk: Desk) -> Response:
        def read(session: Session) -> PeriodStatement:
            return payments.statement_of_days(session, *_asked_days(session, request))

        return _document(request, await self._step(desk, read), desk, f"statement-{desk.merchant.slug}")

    async def download_booking(self, request: Request, desk: Desk) -> Response:
        booking_id = BookingId(from_wire("bkg", request.path_params["booking_id"]))
        statement = await self._step(desk, lambda session: payments.statement_of_reference(session, booking_id))
        return _document(request, statement, desk, f"statement-{to_wire('bkg', booking_id)}")

    async def show_differences(self, request: Request, desk: Desk) -> Response:
        """What is open, what resolved, which days were compared; a refund made outside can be taken into the books."""
        say = words_of(request)
        error = ""
        if request.method == "POST":
            id = DifferenceId(from_wire("dif", (await read_form(request))["difference"]))
            try:
                await self._step(desk, lambda session: payments.book_refund_outside(session, id))
                return RedirectResponse(DIFFERENCES, 303)
            except payments.DifferenceNotBookable:
                error = say("This refund is in the books already, or is more than was paid.")

        def read(session: Session) -> dict[str, Any]:
            return {
                "here": "money",
                "error": error,
                "open": [_difference(one, say) for one in payments.differences(session)],
                "resolved": [_difference(one, say) for one in payments.differences(session, is_open=False, limit=50)],
                "runs": [
                    {"run": run, "day": run.day.isoformat(), "text": run_words(run, say)}
                    for run in payments.comparisons(session)
                ],
            }

        return self._render(request, desk, "differences", await self._step(desk, read), status=422 if error else 200)


def _asked_days(session: Session, request: Request) -> tuple[date, date]:
    first, last = (_day(request.query_params.get(name)) for name in ("from", "to"))
    return payments.statement_days(session, first, last)


def _day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise StatementPeriodInvalid() from None


def _document(request: Request, statement: PeriodStatement, desk: Desk, name: str) -> Response:
    form = "json" if request.path_params["form"] == "json" else "csv"
    if form == "json":
        text = StatementOut.of(statement, livemode=desk.merchant.livemode).model_dump_json()
        media_type = "application/json"
    else:
        text, media_type = csv_text(statement), "text/csv"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{form}"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(text, media_type=media_type, headers=headers)


def _part(part: CurrencyPart, titles: Mapping[BookingId, str], say: Words) -> dict[str, Any]:
    def stands(balances: Mapping[Account, int], account: Account) -> str:
        return _amount(on_its_side(account, balances.get(account, 0)), part.currency, say)

    accounts = [one for one in Account if one in part.opening or one in part.closing]
    shown = list(part.running())[-shown_max:]
    return {
        "currency": part.currency,
        "accounts": [
            {
                "name": account_words(account, say),
                "opening": stands(part.opening, account),
                "closing": stands(part.closing, account),
            }
            for account in accounts
        ],
        "count": len(part.lines),
        "lines": [
            {
                "at": line.at,
                "booking": to_wire("bkg", line.reference),
                "title": titles.get(BookingId(line.reference), ""),
                "text": movement_words(line.kind, say),
                "amount": line.amount,
                "balance": _amount(balance, part.currency, say),
            }
            for line, balance in reversed(shown)
        ],
    }


def _amount(minor: int, currency: str, say: Words) -> str:
    """A balance in the reader's digits; one that is larger than money can be here, as plain decimals."""
    try:
        return format_money(Money(minor, currency), say.locale)
    except GroupbookError:
        return f"{payments.decimal_text(minor, currency)} {currency}"


def _difference(stored: StoredDifference, say: Words) -> dict[str, Any]:
    difference = stored.difference
    is_bookable = difference.kind is DifferenceKind.REFUND_OUTSIDE and stored.resolved_at is None
    return {
        "id": to_wire("dif", stored.id),
        "text": difference_words(difference.kind, say),
        "is_money": difference.is_money,
        "provider_ref": difference.provider_ref,
        "booking": None if difference.reference is None else to_wire("bkg", difference.reference),
        "expected": difference.expected,
        "observed": difference.observed,
        "first_seen_at": stored.first_seen_at,
        "resolved_at": stored.resolved_at,
        "is_bookable": is_bookable and difference.portion_id is not None,
    }


def routes(house: House) -> list[Route]:
    return MoneyPages(house).routes()
