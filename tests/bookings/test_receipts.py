"""Receipts: the ledger's sums to the cent over random lives of a booking, and nobody reads another's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from groupbook import bookings, merchants, payments
from groupbook.bookings import BookingNotFound, MovementKind, Receipt, ReceiptNotFound
from groupbook.kit import intents
from groupbook.kit.ids import to_wire
from groupbook.kit.money import Money, total
from groupbook.merchants import Details, DetailsInvalid
from groupbook.payments import moving
from groupbook.payments.domain import DisputeState
from groupbook.web.app import build_app
from integrations.payments.twin import Fault
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]
ORIGIN = "http://testserver"


@pytest.fixture
def make(database_url: str) -> Iterator[MakeSaga]:
    made: list[Saga] = []

    def build(*names: str, **settings: Any) -> Saga:
        made.append(Saga(database_url, *names, public_url=ORIGIN, **settings))
        return made[-1]

    yield build
    for one in made:
        one.close()


def booked(make: MakeSaga, *names: str, **settings: Any) -> Saga:
    saga = make(*names, **settings)
    saga.open()
    saga.run_until_quiet()
    for name in names:
        saga.pay(name)
    saga.run_until_quiet()
    return saga


def receipt(saga: Saga, name: str) -> Receipt:
    return bookings.read_receipt(saga.database, saga.friends[name], saga.id)


def refund(saga: Saga, name: str, minor: int) -> None:
    """The merchant gives back a part of what was taken for this traveler."""
    portion_id = saga.portion(name).portion_id
    assert portion_id is not None
    with saga.database.begin(saga.merchant_id) as session:
        payments.refund_portion(session, portion_id, Money(minor, "EUR"), reason="goodwill")
    saga.run_until_quiet()


def test_a_receipt_says_what_was_paid_for_whom(make: MakeSaga) -> None:
    saga = make("ada", "bo", "cy", fare=3_334)
    saga.open()
    saga.run_until_quiet()
    with pytest.raises(ReceiptNotFound):
        receipt(saga, "ada")  # nothing was taken yet
    asked = saga.portion("bo").portion_id
    assert asked is not None
    bookings.ask_to_pay(saga.database, saga.friends["bo"], asked, saga.members["ada"])
    bookings.take_over(saga.database, saga.friends["ada"], asked)
    for name, payer in (("ada", "ada"), ("bo", "ada"), ("cy", "cy")):
        saga.pay(name, payer)
    saga.run_until_quiet()
    ada = receipt(saga, "ada")
    assert [(item.name, item.amount.minor, item.is_own, item.price is not None) for item in ada.items] == [
        ("ada", 3_334, True, True),
        ("bo", 3_334, False, False),  # how a friend's price is made is the friend's own (P6)
    ]
    assert (ada.paid, ada.refunded, ada.kept) == (Money(6_668, "EUR"), Money.zero("EUR"), Money(6_668, "EUR"))
    assert ada.items[0].price is not None
    assert total((line.delta for line in ada.items[0].price.lines), "EUR") == ada.items[0].amount
    assert {ada.number, receipt(saga, "cy").number} == {f"{ada.order_ref}-1", f"{ada.order_ref}-2"}
    with pytest.raises(ReceiptNotFound):
        receipt(saga, "bo")  # ada paid, so the receipt is hers


def test_there_is_none_for_money_that_nobody_asked_for_and_a_bank_took_back(make: MakeSaga) -> None:
    """Somebody took Ada's money in the provider's dashboard, while the group still collects; she told her bank."""
    saga = make("ada", "bo")
    saga.open()
    saga.run_until_quiet()
    saga.pay("ada")
    attempt = saga._attempt("ada")
    faults: list[Fault] = ["unavailable"] * 40
    saga.provider.plan("refund", *faults)
    saga.provider.capture_outside(attempt)
    saga.refresh("ada")
    saga.provider.dispute(attempt)
    saga.provider.decide_dispute(attempt, DisputeState.LOST)
    with saga.database.begin(saga.merchant_id) as session:
        intents.owe(session, moving.OBSERVE, attempt)
    saga.run_until_quiet()
    assert saga.count("SELECT count(*) FROM journal WHERE kind = 'refunded_unasked'") == 1
    assert saga.count("SELECT count(*) FROM journal WHERE kind = 'dispute_lost'") == 0
    with pytest.raises(ReceiptNotFound):
        receipt(saga, "ada")


def test_a_number_stays_when_somebody_else_pays_what_fell_short(make: MakeSaga) -> None:
    """Bo and Cy have their receipts; then Cy pays Ada's portion, too. Nobody's number moves, and no two are one."""
    saga = make("ada", "bo", "cy")
    saga.open()
    saga.run_until_quiet()
    saga.merchant_twin.provoke("confirm", "unavailable", 6)
    for name in ("ada", "bo", "cy"):
        saga.pay(name)
    saga.provider.lapse(saga._attempt("ada"))
    booking_id, short = saga.booking().id, saga.portion("ada").portion_id
    assert short is not None
    with saga.database.begin(saga.merchant_id) as session:
        payments.observe_all(session, booking_id)
    saga.merchant_twin._troubles.clear()
    saga.run_until_quiet()
    before = {name: receipt(saga, name).number for name in ("bo", "cy")}
    order = receipt(saga, "bo").order_ref
    assert set(before.values()) == {f"{order}-1", f"{order}-2"}
    bookings.ask_to_pay(saga.database, saga.friends["ada"], short, saga.members["cy"])
    bookings.take_over(saga.database, saga.friends["cy"], short)
    saga.pay("ada", payer="cy")
    assert {name: receipt(saga, name).number for name in ("bo", "cy")} == before
    assert receipt(saga, "cy").paid.minor > receipt(saga, "bo").paid.minor


def test_what_comes_back_stands_in_the_same_receipt(make: MakeSaga) -> None:
    saga = booked(make, "ada", "bo")
    refund(saga, "ada", 1_234)
    ada = receipt(saga, "ada")
    assert [(one.kind, one.amount.minor) for one in ada.movements] == [
        (MovementKind.PAID, 5_000),
        (MovementKind.REFUNDED, 1_234),
    ]
    assert (ada.paid.minor, ada.refunded.minor, ada.kept.minor) == (5_000, 1_234, 3_766)
    assert receipt(saga, "bo").kept.minor == 5_000
    bookings.cancel_booking(saga.database, saga.friends["ada"], saga.id)
    for _ in range(3):
        saga.run_until_quiet()
        saga.travel(minutes=6)
    assert (receipt(saga, "ada").kept, receipt(saga, "bo").kept) == (Money.zero("EUR"), Money.zero("EUR"))


@pytest.mark.parametrize("seed", range(6))
def test_all_receipts_together_are_the_ledger(make: MakeSaga, seed: int) -> None:
    """Random refunds, in parts and too many of them, of random people: the sums agree after every step."""
    dice = random.Random(seed)
    names = ["ada", "bo", "cy", "dee"][: dice.randint(2, 4)]
    saga = booked(make, *names, fare=dice.choice([3_333, 4_999, 10_001]))
    for _ in range(4):
        name = dice.choice(names)
        left = receipt(saga, name).kept.minor
        wanted = dice.choice([1, left // 3, left, left + 1])
        try:
            refund(saga, name, wanted)
        except payments.RefundTooLarge:
            assert wanted > left or left == 0
        receipts = [receipt(saga, one) for one in names]
        with saga.database.begin(saga.merchant_id) as session:
            books = payments.statement(session, receipts[0].booking_id)
        assert total((one.paid for one in receipts), "EUR") == books.captured
        assert total((one.refunded for one in receipts), "EUR") == books.refunded
        assert total((one.disputed for one in receipts), "EUR") == books.disputed
        assert total((one.kept for one in receipts), "EUR") == books.net
        for one in receipts:
            assert total((item.amount for item in one.items), "EUR") == one.paid


def test_strangers_other_members_and_the_merchant_read_no_receipt(make: MakeSaga) -> None:
    saga = booked(make, "ada", "bo")
    stranger = saga.person("stranger@example.org")
    for caller in (stranger, saga.desk):
        with pytest.raises(BookingNotFound):
            bookings.read_receipt(saga.database, caller, saga.id)
    path = f"/t/{to_wire('trip', saga.trip_id)}/receipts/{to_wire('bkg', saga.id)}"
    elsewhere = f"/t/{to_wire('trip', saga.offer_id)}/receipts/{to_wire('bkg', saga.id)}"
    with TestClient(build_app(saga.house), base_url=ORIGIN) as client:
        for address in (path, f"{path}.pdf"):
            assert client.get(address).status_code == 401
            for name in ("ada", "bo"):
                head = {"Authorization": f"Bearer {saga.tokens[name]}"}
                assert client.get(address, headers=head).status_code == 200
        head = {"Authorization": f"Bearer {saga.tokens['bo']}"}
        assert client.get(elsewhere, headers=head).status_code == 404
        assert client.get(f"{path}0", headers=head).status_code == 404
        shown = client.get(path, headers=head).text
        assert "bo" in shown
        assert "ada" not in shown  # another's name, amount and card are not in mine


def test_the_page_and_the_file_say_the_same_in_the_payers_language(make: MakeSaga) -> None:
    saga = booked(make, "Zoë", "日本 李 Ελένη")
    with saga.database.begin(saga.merchant_id) as session:
        merchants.change_details(
            session, Details(legal_name="Kestrel Rail S.A.", address="1 rue de la Gare\n69002 Lyon", tax_id="FR123")
        )
    refund(saga, "Zoë", 1_000)
    path = f"/t/{to_wire('trip', saga.trip_id)}/receipts/{to_wire('bkg', saga.id)}"
    head = {"Authorization": f"Bearer {saga.tokens['Zoë']}", "Accept-Language": "fr"}
    with TestClient(build_app(saga.house), base_url=ORIGIN, headers=head) as client:
        page = client.get(path)
        for text in ("Reçu et avoir", "Kestrel Rail S.A.", "69002 Lyon", "FR123", "50,00", "10,00", "40,00"):
            assert text in page.text
        first, second = client.get(f"{path}.pdf"), client.get(f"{path}.pdf")
        assert first.headers["content-type"] == "application/pdf"
        assert first.headers["cache-control"] == "private, no-store"
        assert first.content == second.content  # nothing of the clock or of chance
        assert first.content.startswith(b"%PDF-")
        assert first.content != client.get(f"{path}.pdf", headers={"Accept-Language": "en"}).content
        other = {"Authorization": f"Bearer {saga.tokens['日本 李 Ελένη']}"}
        assert client.get(f"{path}.pdf", headers=other).content.startswith(b"%PDF-")
        trip = client.get(f"/t/{to_wire('trip', saga.trip_id)}").text
        assert path in trip


def test_details_are_checked_and_belong_to_their_merchant(make: MakeSaga) -> None:
    saga = make("ada")
    with saga.database.begin(saga.merchant_id) as session:
        for wrong in (Details(legal_name="a\nb"), Details(tax_id="x" * 401), Details(address="\n".join("abcdefg"))):
            with pytest.raises(DetailsInvalid):
                merchants.change_details(session, wrong)
        assert merchants.read_details(session) == Details()
        key = merchants.create_api_key(session, saga.house.sealer, name="test").secret
    head = {"Authorization": f"Bearer {key}"}
    with TestClient(build_app(saga.house), base_url=ORIGIN, headers=head) as client:
        told = client.put("/v1/merchant/details", json={"legal_name": "  Kestrel   Rail S.A. "})
        assert (told.status_code, told.json()["legal_name"]) == (200, "Kestrel Rail S.A.")
        assert client.get("/v1/merchant/details").json() == told.json()
