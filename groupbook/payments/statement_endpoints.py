"""Statements over HTTP, for the merchant: JSON, or CSV to be kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from groupbook.kit.database import Database
from groupbook.kit.http import Call, Edge, operation
from groupbook.kit.http import routes as http_routes
from groupbook.kit.ids import BookingId, MerchantId, to_wire
from groupbook.payments.service.stating import statement_days, statement_of_days, statement_of_reference
from groupbook.payments.statement_schemas import BookingStatementQuery, StatementOut, StatementQuery
from groupbook.payments.statements import (
    PeriodStatement,
    StatementNotFound,
    StatementPeriodInvalid,
    StatementTooLong,
    csv_text,
)

CSV = "text/csv"


@dataclass(frozen=True)
class StatementDeps:
    database: Database


@operation(
    "GET",
    "/v1/bookings/{booking_id}/statement",
    auth="merchant",
    scope="bookings:read",
    tags=["statements"],
    errors=(StatementNotFound, StatementTooLong),
    also_media_types=(CSV,),
)
async def read_booking_statement(
    call: Call[StatementDeps], booking_id: BookingId, query: BookingStatementQuery
) -> StatementOut:
    """Read the money of a booking: every movement, authorizations included

    With `format=csv` the same as RFC 4180.
    """
    statement = await call.run(booking_statement, call.deps.database, call.caller.merchant_id, booking_id)
    if query.format == "csv":
        return csv_response(statement, f"statement-{to_wire('bkg', booking_id)}")  # type: ignore[return-value]
    return StatementOut.of(statement, livemode=call.caller.livemode)


@operation(
    "GET",
    "/v1/statements",
    auth="merchant",
    scope="bookings:read",
    tags=["statements"],
    errors=(StatementPeriodInvalid, StatementTooLong),
    also_media_types=(CSV,),
)
async def read_statement(call: Call[StatementDeps], query: StatementQuery) -> StatementOut:
    """Read what moved in some days: opening balance, movements, closing balance, per currency

    Days are yours (your time zone), both included, a year at most. With `format=csv` the same as RFC 4180.
    """
    statement = await call.run(days_statement, call.deps.database, call.caller.merchant_id, query.first, query.last)
    if query.format == "csv":
        return csv_response(statement, "statement")  # type: ignore[return-value]
    return StatementOut.of(statement, livemode=call.caller.livemode)


OPERATIONS = (read_booking_statement, read_statement)


def routes(deps: StatementDeps, edge: Edge) -> list[Route]:
    return http_routes(OPERATIONS, deps, edge)


def csv_response(statement: PeriodStatement, name: str) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.csv"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(csv_text(statement), media_type=CSV, headers=headers)


def booking_statement(database: Database, merchant_id: MerchantId, booking_id: UUID) -> PeriodStatement:
    """A use case; raises as `statement_of_reference`."""
    with database.begin(merchant_id) as session:
        return statement_of_reference(session, booking_id)


def days_statement(
    database: Database, merchant_id: MerchantId, first: date | None, last: date | None
) -> PeriodStatement:
    """A use case; raises as `statement_of_days`."""
    with database.begin(merchant_id) as session:
        return statement_of_days(session, *statement_days(session, first, last))
