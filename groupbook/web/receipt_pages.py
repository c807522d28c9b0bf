"""A payer's own receipt, as a page and as a PDF. Nobody else reads it, the merchant's own statement apart."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from groupbook import bookings
from groupbook.bookings import Receipt, ReceiptNotFound
from groupbook.kit.callers import Caller
from groupbook.kit.ids import BookingId, from_wire, to_wire
from groupbook.merchants import Merchant, read_merchant
from groupbook.web.asking import Ask, page
from groupbook.web.deps import WebDeps
from groupbook.web.receipt_pdf import receipt_pdf
from groupbook.web.receipt_views import ReceiptView, receipt_view
from groupbook.web.render import Viewer
from groupbook.web.trip_pages import seat_of, trip_id_of


def routes(deps: WebDeps) -> list[Route]:
    return [
        Route("/t/{trip_id}/receipts/{booking_id}.pdf", page(file_receipt, deps), methods=["GET"]),
        Route("/t/{trip_id}/receipts/{booking_id}", page(show_receipt, deps), methods=["GET"]),
    ]


def show_receipt(ask: Ask) -> Response:
    caller, receipt, view, merchant = _read(ask)
    address = f"/t/{to_wire('trip', receipt.trip_id)}"
    context = {
        "receipt": view,
        "url": address,
        "pdf_url": f"{address}/receipts/{to_wire('bkg', receipt.booking_id)}.pdf",
    }
    viewer = Viewer(receipt.payer_name, is_guest=caller.kind == "guest")
    return ask.show("receipt.html", context, merchant=merchant, viewer=viewer)


def file_receipt(ask: Ask) -> Response:
    _, _, view, _ = _read(ask)
    name = "".join(one if one.isascii() and one.isalnum() else "-" for one in view.number)
    headers = {
        "Content-Disposition": f'inline; filename="{name}.pdf"',
        "Cache-Control": "private, no-store",
        "Content-Language": view.locale,
        "X-Content-Type-Options": "nosniff",
    }
    return Response(receipt_pdf(view, ask.say), media_type="application/pdf", headers=headers)


def _read(ask: Ask) -> tuple[Caller, Receipt, ReceiptView, Merchant]:
    """Raises ReceiptNotFound, BookingNotFound, Unauthenticated."""
    trip_id = trip_id_of(ask)
    caller = seat_of(ask, trip_id)
    booking_id = BookingId(from_wire("bkg", ask.request.path_params["booking_id"]))
    receipt = bookings.read_receipt(ask.deps.database, caller, booking_id)
    if receipt.trip_id != trip_id:
        raise ReceiptNotFound()
    with ask.deps.database.begin(caller.merchant_id) as session:
        return caller, receipt, receipt_view(session, receipt, ask.say), read_merchant(session)
