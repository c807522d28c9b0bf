"""The worked example of docs/ledger.md, number by number, and that the page says these numbers."""

from __future__ import annotations

import re
from pathlib import Path

from groupbook import payments
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.ids import RefundId
from groupbook.kit.money import Money
from groupbook.payments import Account, JournalKind
from groupbook.payments.domain import DisputeState, RefundState
from groupbook.payments.ports import ProviderEvent
from tests.payments.conftest import House

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ledger.md"
BALANCES = {
    "provider_clearing": 3334,
    "merchant_sales": -10_000,
    "refunds": 1000,
    "paid_elsewhere": -1000,
    "guarantee_receivable": 3333,
    "disputes_lost": 3333,
}


def hear(house: House, event: ProviderEvent) -> None:
    with house.database.begin(house.merchant_id) as session:
        payments.handle_event(session, "twin", event, b"{}")
    house.quiet()


def live_through(house: House) -> None:
    house.open(ada=3334, bo=3333, cy=3333)
    house.authorize("ada", "bo", "cy")
    house.twin.lapse(house.attempt("cy"))
    house.capture_all()
    with house.database.begin(house.merchant_id) as session:
        payments.cover_shortfall(session, house.reference, now=merchant_now(session))
        refund_id: RefundId = payments.refund_portion(
            session, house.portions["ada"], Money(1000, "EUR"), reason="member_canceled"
        )
    house.quiet()
    house.twin.settle_refund(refund_id, RefundState.FAILED)
    hear(house, ProviderEvent("evt_r", "refund.failed", False, "re_1", refund_id=refund_id))
    with house.database.begin(house.merchant_id) as session:
        payments.settle_refund_elsewhere(session, refund_id, "transfer 7")
    bo = house.attempt("bo")
    house.twin.dispute(bo)
    house.twin.decide_dispute(bo, DisputeState.LOST)
    hear(house, ProviderEvent("evt_d", "charge.dispute.closed", False, "du_1", attempt_id=bo))


def test_the_example_is_what_happens(house: House) -> None:
    live_through(house)
    money = house.statement
    assert {name: amount.minor for name, amount in money.balances.items()} == BALANCES
    said = (money.total, money.captured, money.refunded, money.disputed, money.receivable, money.net)
    assert [amount.minor for amount in said] == [10_000, 6667, 1000, 3333, 3333, 2334]
    with house.database.begin(house.merchant_id) as session:
        (part,) = payments.statement_of_reference(session, house.reference).parts
    k = JournalKind
    moved = {kind: [one.amount.minor for one in part.lines if one.kind is kind] for kind in k}
    assert {kind: sorted(amounts, reverse=True) for kind, amounts in moved.items() if amounts} == {
        k.AUTHORIZED: [3334, 3333, 3333],
        k.BILLED: [3334, 3333, 3333],
        k.CAPTURED: [3334, 3333],
        k.AUTHORIZATION_ENDED: [3334, 3333, 3333],
        k.COVERED: [3333],
        k.REFUNDED: [1000],
        k.REFUND_RETURNED: [1000],
        k.REFUNDED_ELSEWHERE: [1000],
        k.DISPUTE_LOST: [3333],
    }


def test_the_page_says_these_numbers() -> None:
    page = PAGE.read_text()
    told = re.findall(r"^\| `(\w+)` \| (-?\d+) \|$", page, re.MULTILINE)
    assert {name: int(minor) for name, minor in told} == BALANCES
    assert "| 10000 | 6667 | 1000 | 3333 | 3333 | 2334 |" in page
    for account in Account:
        assert f"`{account.value}`" in page
    for kind in payments.DifferenceKind:
        assert f"`{kind.value}`" in page
