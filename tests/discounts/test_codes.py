"""Discount codes: whose they are, when they count, and that every use is counted once however many ask at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from groupbook import discounts, merchants
from groupbook.discounts import (
    Card,
    CodeDraft,
    CodeExists,
    CodeInvalid,
    CodeLimits,
    CodeNotFound,
    CodeNotUsable,
    CodeState,
    CodeUse,
    DiscountCode,
    PartyPrice,
    PartyTraveler,
    TripFacts,
)
from groupbook.discounts.endpoints import DiscountDeps, routes
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.http import Edge
from groupbook.kit.ids import MerchantId, new_id, to_wire
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer
from groupbook.people.domain import ExternalIdentity
from groupbook.people.service.persons import person_for

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TRAVEL = date(2026, 11, 28)
RULES = {
    rule["id"]: rule
    for rule in json.loads((Path(__file__).parent.parent / "data/discount-catalogue.json").read_text("utf-8"))["rules"]
}
SEALER = Sealer("a key of the tests")
KESTREL, OTHER = MerchantId(new_id()), MerchantId(new_id())
ANA, BEN, CEM = (UUID(int=number) for number in (1, 2, 3))
IN_CATALOGUE = ("uk.child", "uk.16-25", "uk.two-together", "shop.own10", "shop.first5", "shop.pct10", "shop.plus3")


@pytest.fixture
def shop(database: Database) -> Database:
    merchants.create_merchant(database, slug="kestrel", name="Kestrel", livemode=False, merchant_id=KESTREL)
    with database.begin(KESTREL) as session:
        document = {"rules": [RULES[id] for id in IN_CATALOGUE]}
        discounts.put_catalogue(session, document, starts_on=date(2026, 1, 1), now=NOW)
    return database


def make(shop: Database, text: str = "OWN10", rule: str = "shop.own10", **more: Any) -> DiscountCode:
    with shop.begin(KESTREL) as session:
        return discounts.create_code(session, CodeDraft(text, rule, **more), now=NOW)


def hold(shop: Database, code: str, *subjects: UUID, now: datetime | None = None) -> None:
    with shop.begin(KESTREL) as session:
        for subject in subjects:
            discounts.add_code(session, subject, code, now=now or NOW)


def pounds(minor: int) -> Money:
    return Money(minor, "GBP")


def price(shop: Database, **fares: int) -> PartyPrice:
    subjects = {"ana": ANA, "ben": BEN, "cem": CEM}
    party = [PartyTraveler(subjects[name], {"offpeak": fare}) for name, fare in fares.items()]
    with shop.begin(KESTREL) as session:
        return discounts.price_party(session, TripFacts(date=TRAVEL), party, currency="GBP", on=TRAVEL)


def use_of(code: DiscountCode) -> CodeUse:
    return CodeUse(code.id, code.draft.rule, pounds(300))


def reserve(shop: Database, code: DiscountCode, subject: UUID, reference: UUID) -> None:
    with shop.begin(KESTREL) as session:
        discounts.reserve_codes(session, reference, [(subject, use_of(code))], now=NOW)


def counted(shop: Database, code: DiscountCode) -> tuple[int, dict[str, int]]:
    """The code's own count, and its redemptions by state."""
    with shop.begin(KESTREL) as session:
        states = session.execute(
            text("SELECT state, count(*) FROM code_redemption WHERE code_id = :id GROUP BY state"), {"id": code.id}
        )
        return discounts.read_code(session, code.id).uses, {row[0]: row[1] for row in states}


def state_of(shop: Database, subject: UUID) -> list[str]:
    with shop.begin(KESTREL) as session:
        return [code.state.value for code in discounts.entitlements_of(session, [subject])[subject].codes]


# --- what a price makes of them ---------------------------------------------------------------------------------------


def test_a_code_lowers_its_owners_own_price_and_says_by_how_much(shop: Database) -> None:
    """Ana's 10 % comes after her railcard: 30.00 -> 19.80 -> 17.82. Ben, beside her, pays the fare."""
    code = make(shop, "Own10")
    hold(shop, " own 10 ", ANA)
    with shop.begin(KESTREL) as session:
        discounts.set_entitlements(session, ANA, cards=[Card("uk.16-25")], age=20, now=NOW)
    priced = price(shop, ana=3000, ben=3000)
    assert {id: one.pay for id, one in priced.people.items()} == {ANA: pounds(1782), BEN: pounds(3000)}
    assert priced.people[ANA].codes == (CodeUse(code.id, "shop.own10", pounds(198)),)
    assert priced.people[BEN].codes == ()


def test_an_order_code_of_one_is_for_the_whole_basket(shop: Database) -> None:
    code = make(shop, "ALL10", "shop.pct10")
    hold(shop, "all10", BEN)
    priced = price(shop, ana=3000, ben=3000)
    assert (priced.total, priced.people[BEN].codes) == (pounds(5400), (CodeUse(code.id, "shop.pct10", pounds(600)),))
    assert priced.people[ANA].codes == ()


def test_two_owners_of_one_stackable_code_use_it_twice(shop: Database) -> None:
    """3.00 off the order, twice: 60.00 -> 54.00; each use took off 3.00."""
    code = make(shop, "PLUS3", "shop.plus3", uses_max=2)
    hold(shop, "plus3", ANA, BEN)
    priced = price(shop, ana=3000, ben=3000)
    uses = (CodeUse(code.id, "shop.plus3", pounds(300)),)
    assert (priced.total, priced.people[ANA].codes, priced.people[BEN].codes) == (pounds(5400), uses, uses)


@pytest.mark.parametrize(
    ("rule", "payers"),
    [
        # The optimum gives the one use to whom it saves most: Ben, 10 % of 50.00.
        ("shop.own10", {ANA: 3000, BEN: 4500}),
        # A code on the order saves the same whoever brings it: it is the earlier member's, who pays no more than alone.
        ("shop.plus3", {ANA: 2700, BEN: 5000}),
    ],
)
def test_one_use_left_is_given_once(shop: Database, rule: str, payers: dict[UUID, int]) -> None:
    make(shop, "LAST", rule, uses_max=1)
    hold(shop, "LAST", ANA, BEN)
    priced = price(shop, ana=3000, ben=5000)
    assert {id: one.pay.minor for id, one in priced.people.items()} == payers
    assert [len(one.codes) for one in priced.people.values()].count(1) == 1


def test_a_code_that_does_not_help_is_refused_to_its_owner_alone(shop: Database) -> None:
    make(shop, "FIRST", "shop.first5")
    hold(shop, "FIRST", ANA)
    priced = price(shop, ana=3000, ben=3000)
    reasons = [(one.rule, one.by) for one in priced.people[ANA].refusals]
    assert reasons == [("shop.first5", "FIRST")]
    assert (priced.people[BEN].refusals, priced.total) == ((), pounds(6000))
    assert not any(one.by == "FIRST" for one in priced.refusals)


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"starts_at": NOW + timedelta(days=400)}, "not_started"),
        ({"ends_at": NOW - timedelta(days=1)}, "expired"),
        ({}, "disabled"),
        ({"uses_max": 1}, "used_up"),
        ({"uses_per_person_max": 1}, "used_up"),
    ],
)
def test_a_code_that_cannot_be_used_is_not_put_before_the_engine(
    shop: Database, more: dict[str, Any], state: str
) -> None:
    code = make(shop, **more)
    with shop.begin(KESTREL) as session:
        session.execute(
            text("INSERT INTO held_code (merchant_id, subject, code_id, added_at) VALUES (:m, :s, :c, now())"),
            {"m": KESTREL, "s": ANA, "c": code.id},
        )
    if state == "disabled":
        with shop.begin(KESTREL) as session:
            discounts.disable_code(session, code.id, now=NOW)
    if state == "used_up":
        reserve(shop, code, ANA, new_id())
    assert state_of(shop, ANA) == [state]
    priced = price(shop, ana=3000)
    assert (priced.total, priced.people[ANA].refusals) == (pounds(3000), ())


def test_a_code_without_its_rule_on_the_day_of_travel_has_no_effect(shop: Database) -> None:
    make(shop)
    hold(shop, "OWN10", ANA)
    with shop.begin(KESTREL) as session:
        discounts.put_catalogue(session, {"rules": [RULES["uk.child"]]}, starts_on=TRAVEL, now=NOW)
    assert price(shop, ana=3000).total == pounds(3000)


# --- entering one -----------------------------------------------------------------------------------------------------


def test_a_private_code_exists_for_its_owner_only(shop: Database) -> None:
    """Unknown, somebody else's (whatever became of it) and disabled are told apart by nobody."""
    with shop.begin(KESTREL) as session:
        owner = person_for(session, ExternalIdentity("twin", "app", "ana"), now=NOW)[0].id
    make(shop, "HERS", owner=owner)
    make(shop, "HERS-LATER", owner=owner, starts_at=NOW + timedelta(days=1))
    with shop.begin(KESTREL) as session:
        discounts.disable_code(session, make_off(session).id, now=NOW)
    told = []
    for code in ("HERS", "HERS-LATER", "OFF", "NO-SUCH", "\u202e", "HERS\0", ""):
        with pytest.raises(CodeNotFound) as refused:
            hold(shop, code, BEN)
        told.append((refused.value.code, refused.value.pointer, refused.value.params))
    assert told == [("code_not_found", "/code", {})] * 7
    hold(shop, "hers", owner)
    assert (state_of(shop, owner), state_of(shop, BEN)) == (["usable"], [])
    with pytest.raises(CodeNotUsable) as early:
        hold(shop, "HERS-LATER", owner)
    assert early.value.params == {"reason": "not_started"}


def make_off(session: Any) -> DiscountCode:
    return discounts.create_code(session, CodeDraft("OFF", "shop.own10"), now=NOW)


def test_a_code_is_kept_once_and_can_be_taken_out(shop: Database) -> None:
    code = make(shop)
    hold(shop, "own10", ANA)
    hold(shop, "OWN10", ANA)
    assert state_of(shop, ANA) == ["usable"]
    with shop.begin(KESTREL) as session:
        discounts.remove_code(session, ANA, code.id)
    assert (state_of(shop, ANA), price(shop, ana=3000).total) == ([], pounds(3000))
    with pytest.raises(CodeNotFound), shop.begin(KESTREL) as session:
        discounts.remove_code(session, ANA, code.id)


def test_nobody_keeps_more_codes_than_we_keep(shop: Database) -> None:
    for number in range(21):
        make(shop, f"C-{number}")
    for number in range(20):
        hold(shop, f"C-{number}", ANA)
    with pytest.raises(CodeInvalid) as refused:
        hold(shop, "C-20", ANA)
    assert (refused.value.params["reason"], len(state_of(shop, ANA))) == ("too_many", 20)
    hold(shop, "C-3", ANA)  # one of the twenty is no more


@pytest.mark.parametrize(
    ("draft", "pointer", "reason"),
    [
        (CodeDraft("AB", "shop.own10"), "/code", "code_text"),
        (CodeDraft("no spaces", "shop.own10"), "/code", "code_text"),
        (CodeDraft("NEW", "no.such"), "/rule", "unknown_rule"),
        (CodeDraft("NEW", "uk.16-25"), "/rule", "rule_without_code"),
        (CodeDraft("NEW", "shop.own10", owner=new_id()), "/owner", "unknown_owner"),
        (CodeDraft("NEW", "shop.own10", uses_max=0), "/uses_max", "limit_range"),
        (CodeDraft("NEW", "shop.own10", uses_per_person_max=-1), "/uses_per_person_max", "limit_range"),
        (CodeDraft("NEW", "shop.own10", starts_at=NOW, ends_at=NOW), "/ends_at", "ends_before_start"),
    ],
)
def test_a_broken_code_is_refused_and_nothing_is_stored(
    shop: Database, draft: CodeDraft, pointer: str, reason: str
) -> None:
    with pytest.raises(CodeInvalid) as refused, shop.begin(KESTREL) as session:
        discounts.create_code(session, draft, now=NOW)
    assert (refused.value.pointer, refused.value.params["reason"]) == (pointer, reason)
    with shop.begin(KESTREL) as session:
        assert discounts.list_codes(session, None, 10).rows == []


def test_a_text_is_one_code_however_it_is_cased(shop: Database) -> None:
    make(shop, "Summer")
    with pytest.raises(CodeExists):
        make(shop, "SUMMER")
    with shop.begin(OTHER) as session, pytest.raises(CodeNotFound):
        discounts.add_code(session, ANA, "SUMMER", now=NOW)


# --- the counts -------------------------------------------------------------------------------------------------------


def test_a_use_is_reserved_redeemed_and_given_back_once_each(shop: Database) -> None:
    code, booking = make(shop, uses_max=1), new_id()
    for _ in range(2):
        reserve(shop, code, ANA, booking)
    assert counted(shop, code) == (1, {"reserved": 1})
    with pytest.raises(CodeNotUsable):
        reserve(shop, code, BEN, new_id())
    for _ in range(2):
        with shop.begin(KESTREL) as session:
            discounts.redeem_codes(session, booking, now=NOW)
    assert counted(shop, code) == (1, {"redeemed": 1})
    for _ in range(2):
        with shop.begin(KESTREL) as session:
            discounts.release_codes(session, booking, now=NOW)
    assert counted(shop, code) == (0, {"released": 1})
    with shop.begin(KESTREL) as session:
        discounts.redeem_codes(session, booking, now=NOW)  # late news of a booking that is over
    reserve(shop, code, BEN, new_id())
    assert counted(shop, code) == (1, {"released": 1, "reserved": 1})


def test_all_codes_of_a_price_are_reserved_or_none(shop: Database) -> None:
    free, scarce = make(shop, "FREE"), make(shop, "SCARCE", uses_max=1)
    reserve(shop, scarce, ANA, new_id())
    with pytest.raises(CodeNotUsable) as refused, shop.begin(KESTREL) as session:
        discounts.reserve_codes(session, new_id(), [(BEN, use_of(free)), (CEM, use_of(scarce))], now=NOW)
    assert refused.value.params == {"reason": "used_up"}
    assert (counted(shop, free), counted(shop, scarce)) == ((0, {}), (1, {"reserved": 1}))


def test_a_person_has_a_limit_of_their_own(shop: Database) -> None:
    code = make(shop, uses_per_person_max=1)
    reserve(shop, code, ANA, new_id())
    with pytest.raises(CodeNotUsable):
        reserve(shop, code, ANA, new_id())
    reserve(shop, code, BEN, new_id())
    assert counted(shop, code) == (2, {"reserved": 2})


def race(count: int, act: Callable[[int], None]) -> list[Exception]:
    """Run `act` in `count` threads at once; what they raised."""
    barrier = threading.Barrier(count)
    raised: list[Exception] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            act(number)
        except (CodeNotUsable, DBAPIError) as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def at_most(limit: str, uses: int) -> dict[str, Any]:
    return {limit: uses}


@pytest.mark.parametrize("limit", ["uses_max", "uses_per_person_max"])
def test_six_bookings_at_once_use_a_code_as_often_as_it_may_be_used(shop: Database, limit: str) -> None:
    code = make(shop, **at_most(limit, 2))
    refused = race(6, lambda _: reserve(shop, code, ANA, new_id()))
    assert counted(shop, code) == (2, {"reserved": 2})
    assert [(type(error).__name__, error.args[1]) for error in refused] == [
        ("CodeNotUsable", {"reason": "used_up"})
    ] * 4


@pytest.mark.parametrize("limit", ["uses_max", "uses_per_person_max"])
def test_without_the_lock_the_same_race_passes_the_limit(shop: Database, limit: str) -> None:
    """The twin with the lock taken out, and the count written as it was read: what the row lock is for."""
    code = make(shop, **at_most(limit, 1))
    overlap = threading.Barrier(4)

    def act(_number: int) -> None:
        with shop.begin(KESTREL) as session:
            read = discounts.read_code(session, code.id)
            mine = session.execute(text("SELECT count(*) FROM code_redemption WHERE subject = :s"), {"s": ANA})
            overlap.wait()
            if read.state(NOW, uses_by_subject=mine.scalar_one()) is not CodeState.USABLE:
                raise CodeNotUsable()
            session.execute(
                text(
                    "INSERT INTO code_redemption "
                    "(merchant_id, id, code_id, reference, subject, state, saved, currency, reserved_at) "
                    "VALUES (:m, :id, :code, :id, :subject, 'reserved', 0, 'GBP', now())"
                ),
                {"m": KESTREL, "id": new_id(), "code": code.id, "subject": ANA},
            )
            session.execute(
                text("UPDATE discount_code SET uses = :uses WHERE id = :id"), {"uses": read.uses + 1, "id": code.id}
            )

    assert race(4, act) == []
    assert counted(shop, code) == (1, {"reserved": 4})  # four uses of one, and three that nobody counted


def test_limits_that_change_while_it_is_used_hold_whatever_comes_first(shop: Database) -> None:
    """Room for three becomes room for one, and three use it at once: either the change is refused, or they are."""
    code = make(shop, uses_max=3)

    def act(number: int) -> None:
        if number:
            reserve(shop, code, ANA, new_id())
            return
        with shop.begin(KESTREL) as session, suppress(CodeInvalid):
            discounts.change_code_limits(session, code.id, CodeLimits(uses_max=1))

    refused = race(4, act)
    with shop.begin(KESTREL) as session:
        now = discounts.read_code(session, code.id)
    assert (now.draft.uses_max, now.uses, len(refused)) in ((1, 1, 2), (3, 3, 0))
    assert {type(error) for error in refused} <= {CodeNotUsable}


def test_without_the_lock_the_change_is_made_on_a_count_that_is_over(shop: Database) -> None:
    """The twin: only the row's own check is left, and it has no words."""
    code = make(shop, uses_max=3)
    is_read, is_used = threading.Event(), threading.Event()

    def act(number: int) -> None:
        if number:
            is_read.wait()
            for _ in range(2):
                reserve(shop, code, ANA, new_id())
            is_used.set()
            return
        with shop.begin(KESTREL) as session:
            assert discounts.read_code(session, code.id).uses == 0
            is_read.set()
            is_used.wait()
            session.execute(text("UPDATE discount_code SET uses_max = 1"))

    (refused,) = race(2, act)
    assert (type(refused).__name__, "discount_code_uses" in str(refused)) == ("IntegrityError", True)
    assert counted(shop, code) == (2, {"reserved": 2})


def test_the_row_itself_refuses_to_count_past_its_limit(shop: Database) -> None:
    """Whatever the code above it does."""
    make(shop, uses_max=1)
    for uses in (2, -1):
        with (
            pytest.raises(DBAPIError, match="discount_code_uses"),
            shop.begin(KESTREL) as session,
        ):
            session.execute(text("UPDATE discount_code SET uses = :uses"), {"uses": uses})


def test_giving_back_and_taking_at_once_leaves_an_exact_count(shop: Database) -> None:
    code = make(shop, uses_max=3)
    held = [new_id() for _ in range(3)]
    for booking in held:
        reserve(shop, code, ANA, booking)

    def act(number: int) -> None:
        if number < 4:
            with shop.begin(KESTREL) as session:
                discounts.release_codes(session, held[number % 2], now=NOW)  # each of two, twice
        else:
            reserve(shop, code, BEN, new_id())

    race(8, act)
    uses, states = counted(shop, code)
    assert (uses, states["released"]) == (states["reserved"], 2)
    assert 1 <= uses <= 3


# --- whose they stay --------------------------------------------------------------------------------------------------


def test_a_guest_who_logs_in_keeps_codes_and_counts(shop: Database) -> None:
    code, guest, booking = make(shop, uses_per_person_max=1), new_id(), new_id()
    hold(shop, "OWN10", guest, ANA)
    reserve(shop, code, guest, booking)
    for _ in range(2):
        with shop.begin(KESTREL) as session:
            discounts.move_entitlements(session, guest, ANA, NOW)
    assert (state_of(shop, guest), state_of(shop, ANA)) == ([], ["used_up"])
    assert counted(shop, code) == (1, {"reserved": 1})


def test_forgetting_somebody_leaves_a_count_and_no_name(shop: Database) -> None:
    with shop.begin(KESTREL) as session:
        ana = person_for(session, ExternalIdentity("twin", "app", "ana"), now=NOW)[0].id
    code = make(shop, owner=ana)
    hold(shop, "OWN10", ana)
    reserve(shop, code, ana, new_id())
    with shop.begin(KESTREL) as session:
        discounts.forget(session, ana)
    with shop.begin(KESTREL) as session:
        for table, column in (("held_code", "subject"), ("code_redemption", "subject"), ("discount_code", "owner")):
            left = session.execute(text(f"SELECT count(*) FROM {table} WHERE {column} = :id"), {"id": ana})
            assert left.scalar_one() == 0, table
    assert counted(shop, code) == (1, {"reserved": 1})
    with pytest.raises(CodeNotFound):  # a private code did not become everybody's
        hold(shop, "OWN10", BEN)


# --- sealed card numbers ----------------------------------------------------------------------------------------------


def numbers_at_rest(shop: Database) -> list[tuple[Any, ...]]:
    with shop.begin(KESTREL) as session:
        rows = session.execute(text("SELECT sealed_number, number_mark FROM entitlement ORDER BY id"))
        return [tuple(row) for row in rows]


def state_card(shop: Database, subject: UUID, number: str, **more: Any) -> None:
    card = Card("uk.two-together", number=number)
    with shop.begin(KESTREL) as session:
        discounts.set_entitlements(session, subject, cards=[card], age=30, now=NOW, **more)


def test_a_card_number_is_sealed_and_opened_for_its_owner(shop: Database) -> None:
    state_card(shop, ANA, "TT 17", sealer=SEALER)
    state_card(shop, BEN, "TT 17", sealer=SEALER)
    (sealed_ana, mark_ana), (sealed_ben, mark_ben) = numbers_at_rest(shop)
    assert b"TT 17" not in sealed_ana + sealed_ben + mark_ana
    assert (sealed_ana != sealed_ben, mark_ana == mark_ben) == (True, True)
    with shop.begin(KESTREL) as session:
        (mine,) = discounts.entitlements_of(session, [ANA], sealer=SEALER)[ANA].cards
        (unopened,) = discounts.entitlements_of(session, [ANA])[ANA].cards
    assert (mine.number, unopened.number) == ("TT 17", None)
    assert price(shop, ana=4000, ben=4000).total == pounds(5280)  # one card that names both
    state_card(shop, BEN, "TT 18", sealer=SEALER)
    assert price(shop, ana=4000, ben=4000).total == pounds(8000)


# --- over HTTP --------------------------------------------------------------------------------------------------------

CALLERS = {
    "ana": Caller("person", KESTREL, subject=ANA),
    "ben": Caller("guest", KESTREL, subject=BEN),
    "key": Caller("merchant", KESTREL, subject=UUID(int=1), scopes=frozenset({"*"}), livemode=False),
    "reader": Caller("merchant", KESTREL, subject=UUID(int=1), scopes=frozenset({"offers:read"})),
}


@pytest.fixture
def http(shop: Database) -> Iterator[Callable[..., Any]]:
    def who(request: Request) -> Caller | None:
        return CALLERS.get(request.headers.get("x-as", ""))

    edge = Edge(database=shop, authenticate=who, public_url="http://localhost:8000")
    deps = DiscountDeps(database=shop, sealer=SEALER)
    with TestClient(Starlette(routes=list(routes(deps, edge)))) as client:

        def ask(caller: str, method: str, path: str, body: Any = None) -> Any:
            return client.request(method, path, json=body, headers={"x-as": caller})

        yield ask


def test_a_merchant_makes_lists_and_ends_codes(http: Callable[..., Any]) -> None:
    body = {"code": "Spring-26", "rule": "shop.own10", "uses_max": 5, "ends_at": "2027-06-01T00:00:00Z"}
    made = http("key", "POST", "/v1/codes", body)
    assert made.status_code == 201
    code = made.json()
    assert (code["code"], code["uses"], code["uses_max"], code["owner"]) == ("Spring-26", 0, 5, None)
    assert (code["livemode"], code["ends_at"]) == (False, "2027-06-01T00:00:00.000Z")
    again = http("key", "POST", "/v1/codes", {**body, "code": "SPRING-26"})
    assert (again.status_code, again.json()["code"]) == (409, "code_exists")
    broken = http("key", "POST", "/v1/codes", {**body, "code": "X-26", "rule": "uk.16-25"})
    assert (broken.status_code, broken.json()["code"], broken.json()["params"]["reason"]) == (
        422,
        "code_invalid",
        "rule_without_code",
    )
    assert [one["id"] for one in http("reader", "GET", "/v1/codes").json()["data"]] == [code["id"]]
    assert http("reader", "POST", "/v1/codes", body).status_code == 403
    assert http("ana", "GET", "/v1/codes").status_code == 403
    path = f"/v1/codes/{code['id']}"
    assert http("key", "GET", path).json() == code
    limits = {"uses_max": None, "uses_per_person_max": 1, "starts_at": None, "ends_at": "2028-01-01T00:00:00.000Z"}
    assert http("reader", "PUT", f"{path}/limits", limits).status_code == 403
    changed = http("key", "PUT", f"{path}/limits", limits)
    assert (changed.status_code, changed.json()) == (200, code | limits)
    for wrong in ({"uses_max": 0}, {**limits, "starts_at": limits["ends_at"]}, {"rule": "shop.pct10"}):
        assert http("key", "PUT", f"{path}/limits", wrong).status_code == 422
    assert http("key", "GET", path).json() == code | limits
    assert http("key", "PUT", f"/v1/codes/{to_wire('cod', new_id())}/limits", {}).status_code == 404
    ended = http("key", "POST", f"{path}/disable").json()
    assert ended["disabled_at"] is not None
    assert http("key", "POST", f"{path}/disable").json() == ended
    assert http("key", "GET", f"{path}/redemptions").json() == {"data": [], "next_cursor": None}
    assert http("key", "GET", f"/v1/codes/{to_wire('cod', new_id())}").status_code == 404


def test_a_traveler_enters_a_code_that_nobody_else_sees(shop: Database, http: Callable[..., Any]) -> None:
    code, booking = make(shop), new_id()
    told = http("ana", "POST", "/v1/entitlements/codes", {"code": "own10"})
    held = [{"id": to_wire("cod", code.id), "code": "OWN10", "state": "usable", "ends_at": None}]
    assert (told.status_code, told.json()["codes"]) == (200, held)
    http("ana", "PUT", "/v1/entitlements", {"age": 20})  # cards and age; codes stay
    assert http("ana", "GET", "/v1/entitlements").json()["codes"] == held
    assert http("ben", "GET", "/v1/entitlements").json()["codes"] == []
    unknown = http("ben", "POST", "/v1/entitlements/codes", {"code": "nothing"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "code_not_found")
    assert http("key", "POST", "/v1/entitlements/codes", {"code": "own10"}).status_code == 403
    reserve(shop, code, ANA, booking)
    (redemption,) = http("key", "GET", f"/v1/codes/{held[0]['id']}/redemptions").json()["data"]
    assert (redemption["booking"], redemption["state"], redemption["saved"]) == (
        to_wire("bkg", booking),
        "reserved",
        {"amount": 300, "currency": "GBP"},
    )
    assert http("ben", "DELETE", f"/v1/entitlements/codes/{held[0]['id']}").status_code == 404
    assert http("ana", "DELETE", f"/v1/entitlements/codes/{held[0]['id']}").status_code == 204
    assert http("ana", "GET", "/v1/entitlements").json()["codes"] == []
