"""A merchant engine that answers nonsense: of money nothing is guessed, and nobody but the merchant is blamed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from uuid import UUID

import pytest

from groupbook.kit.errors import OutcomeUnknown, Unavailable
from groupbook.kit.money import Money
from groupbook.offers.domain import CancelMember
from groupbook.offers.ports import ConfirmedOrder, MerchantRefused, OrderChange
from integrations.merchants.http import HttpMerchant

Merchant = Callable[[int, object], HttpMerchant]
CANCEL = CancelMember(UUID(int=1))
NONSENSE: list[object] = [
    {"amount": 49.9, "currency": "EUR"},
    {"amount": 49.0, "currency": "EUR"},
    {"amount": "4990", "currency": "EUR"},
    {"amount": True, "currency": "EUR"},
    {"amount": None, "currency": "EUR"},
    {"amount": 4_990, "currency": "eur"},
    {"amount": 4_990, "currency": "euro"},
    {"amount": 10**30, "currency": "EUR"},
    4_990,
]


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    """Answers everything with one status and document."""
    said: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps(said["document"]).encode()
            self.send_response(said["status"])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def says(status: int, document: object) -> HttpMerchant:
        said.update(status=status, document=document)
        return HttpMerchant(f"http://127.0.0.1:{server.server_port}", "a token")

    yield says
    server.shutdown()
    thread.join(5)
    server.server_close()


def amend(adapter: HttpMerchant) -> ConfirmedOrder:
    change = OrderChange("amd_1", CANCEL, Money(5_000, "EUR"))
    return adapter.amend("ord_1", change, key="amend:1", timeout_seconds=5)


def order(total: object) -> dict[str, object]:
    return {"state": "confirmed", "merchant_ref": "T1", "seats": [], "tickets": [], "total": total}


@pytest.mark.parametrize("total", NONSENSE)
def test_a_price_that_is_no_money_is_no_answer(merchant: Merchant, total: object) -> None:
    with pytest.raises(Unavailable):
        merchant(200, {"total": total}).price_change("ord_1", CANCEL, timeout_seconds=5)
    with pytest.raises(OutcomeUnknown):
        amend(merchant(200, order(total)))


def test_a_price_in_minor_units_is_one(merchant: Merchant) -> None:
    good = {"amount": 4_990, "currency": "EUR"}
    assert merchant(200, {"total": good}).price_change("ord_1", CANCEL, timeout_seconds=5).total == Money(4_990, "EUR")
    assert amend(merchant(200, order(good))).total == Money(4_990, "EUR")


@pytest.mark.parametrize("total", NONSENSE)
def test_a_no_is_a_no_whatever_price_stands_beside_it(merchant: Merchant, total: object) -> None:
    with pytest.raises(MerchantRefused) as refused:
        amend(merchant(409, {"code": "price_changed", "new_total": total}))
    assert (refused.value.reason, refused.value.new_total) == ("price_changed", None)
