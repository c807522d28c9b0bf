"""The operator's commands: what waits, the whole story, resume and cancel; each in words and in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from groupbook import bookings, payments
from groupbook.bookings.domain import BookingState
from groupbook.cli import app
from groupbook.kit import intents
from groupbook.kit.ids import BookingId, to_wire
from groupbook.payments.domain import RefundState
from integrations.payments.twin import Fault
from tests.support.operators import OPS
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]
UNAVAILABLE: list[Fault] = ["unavailable"] * 400
UNKNOWN = f"bkg_{'0' * 32}"
WHY = ("--by", "mara", "--why", "the merchant asked")


@pytest.fixture
def saga(database_url: str) -> Iterator[MakeSaga]:
    made: list[Saga] = []

    def make(*names: str, **keywords: Any) -> Saga:
        made.append(Saga(database_url, *names, **keywords))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def run(database_url: str) -> Callable[..., Result]:
    """`groupbook bookings …` against this test's database."""
    environment = {
        "GROUPBOOK_DATABASE_URL": database_url,
        "GROUPBOOK_SECRET_KEY": "a secret of the tests, long enough",
    }
    return lambda *words: CliRunner().invoke(app, ["bookings", *words], env=environment)


def stuck(house: Saga) -> BookingId:
    """Ada's authorization cannot be let go: the bank is away for longer than the budget."""
    booking_id = house.open()
    house.run_until_quiet()
    house.pay("ada")
    house.provider.plan("void", *UNAVAILABLE)
    bookings.cancel_booking(house.database, house.friends["ada"], booking_id)
    house.run_until_quiet()
    house.travel(hours=7)
    house.run_until_quiet()
    assert house.booking().state is BookingState.PARKED
    return booking_id


def test_nothing_waits(saga: MakeSaga, run: Callable[..., Result]) -> None:
    saga("ada")
    told = run("parked")
    assert (told.exit_code, told.output) == (0, "kestrel (test): nothing waits for a person\n")
    document = json.loads(run("parked", "kestrel", "--json").output)
    assert document == {"merchants": [{"merchant": "kestrel", "livemode": False, "bookings": [], "calls": []}]}


def test_parked_says_why_since_when_and_what_is_safe(saga: MakeSaga, run: Callable[..., Result]) -> None:
    house = saga("ada", "bo")
    id = to_wire("bkg", stuck(house))
    told = run("parked")
    assert told.exit_code == 0
    for words in (
        f"{id}  budget_out while voiding, since ",
        "An authorization or the places could not be released in time.",
        f"groupbook bookings resume {id}",
        f"groupbook bookings cancel {id}",
    ):
        assert words in told.output
    (merchant,) = json.loads(run("parked", "--json").output)["merchants"]
    (one,) = merchant["bookings"]
    assert (one["booking"], one["parked"]["cause"], one["parked"]["was"]) == (id, "budget_out", "voiding")
    assert one["parked"]["acts"] == ["resume", "cancel"]


def test_show_tells_every_step_and_call_without_a_card_number(saga: MakeSaga, run: Callable[..., Result]) -> None:
    house = saga("ada", "bo")
    booking_id = house.open()
    house.run_until_quiet()
    house.decline("ada")
    for name in ("ada", "bo"):
        house.pay(name)
    id = to_wire("bkg", booking_id)
    told = run("show", id)
    assert told.exit_code == 0
    for words in ("booked (Booked)", "all_captured", "offers.confirm_order", "payment.capture", "taken €50.00", "4242"):
        assert words in told.output, words
    assert "4242424242424242" not in told.output
    document = json.loads(run("show", id, "--json").output)
    assert (document["merchant"], document["state"], document["parked"]) == ("kestrel", "booked", None)
    calls = {call["kind"]: call for call in document["calls"]}
    assert calls["offers.confirm_order"]["state"] == "done"
    assert calls["offers.confirm_order"]["attempts"] == 1
    instants = [entry["recorded_at"] for entry in document["data"]]
    assert instants == sorted(instants)
    assert [entry["to_state"] for entry in document["data"] if entry["kind"] == "step"] == [
        "placing",
        "open",
        "freezing",
        "confirming",
        "capturing",
        "booked",
    ]
    assert document["ledger"]["captured"] == {"amount": 10_000, "currency": "EUR"}
    assert [len(one["attempts"]) for one in document["portions"]] == [1, 1]


def test_a_booking_with_broken_rows_can_still_be_shown(saga: MakeSaga, run: Callable[..., Result]) -> None:
    house = saga("ada", "bo")
    id = to_wire("bkg", house.open())
    house.execute("UPDATE booking SET quote_id = gen_random_uuid()")
    house.run_until_quiet()
    told = run("show", id)
    assert told.exit_code == 0
    assert "parked: quote_not_found while placing" in told.output


def test_resume_goes_on_once_and_twice_is_once(saga: MakeSaga, run: Callable[..., Result]) -> None:
    house = saga("ada", "bo")
    id = to_wire("bkg", stuck(house))
    house.provider._plans.clear()
    silent = run("resume", id)
    assert (silent.exit_code, "say why" in silent.output) == (2, True)
    assert house.booking().state is BookingState.PARKED
    first = run("resume", id, *WHY)
    assert (first.exit_code, "goes on: voiding" in first.output) == (0, True)
    steps = house.count("SELECT count(*) FROM booking_step")
    again = run("resume", id, *WHY)
    assert (again.exit_code, "does not wait for a person" in again.output) == (0, True)
    assert house.count("SELECT count(*) FROM booking_step") == steps
    house.run_until_quiet()
    assert house.booking().state is BookingState.ABORTED
    assert len(house.provider.voids) == 1
    assert json.loads(run("resume", id, "--json", *WHY).output) == {
        "booking": id,
        "state": "aborted",
        "was_parked": False,
        "calls_tried_again": 0,
        "parked": None,
    }


def test_resume_tries_given_up_calls_again(saga: MakeSaga, run: Callable[..., Result]) -> None:
    """The call had its attempts and was parked; resuming reads the truth first and then asks again."""
    house = saga("ada", "bo")
    id = to_wire("bkg", stuck(house))
    house.execute("UPDATE intent SET state = 'parked', attempts = 200 WHERE kind = 'payment.close' AND state <> 'done'")
    assert "payment.close" in run("parked").output
    assert "Given up, tried 200" in run("show", id).output
    house.provider._plans.clear()
    assert "1 call is tried again" in run("resume", id, *WHY).output
    house.run_until_quiet()
    assert house.booking().state is BookingState.ABORTED
    assert house.states() == {"ada": "voided", "bo": "voided"}


def test_a_call_that_is_tried_again_is_in_the_story_with_who_and_why(
    saga: MakeSaga, run: Callable[..., Result]
) -> None:
    """The booking moves by itself; only a call about it was given up."""
    house = saga("ada", "bo")
    id = to_wire("bkg", house.open())
    house.run_until_quiet()
    house.execute("UPDATE intent SET state = 'parked' WHERE kind = 'offers.place_hold'")
    given_up = house.count("SELECT count(*) FROM intent WHERE state = 'parked'")
    for _ in range(2):
        assert run("resume", id, *WHY).exit_code == 0
    assert (given_up, house.count("SELECT count(*) FROM intent WHERE state = 'parked'")) == (1, 0)
    said = [(step.event, step.to_state.value, step.by, step.why) for step in house.steps() if step.by]
    assert said == [("calls_revived", "open", "mara", "the merchant asked")]


def test_resume_that_parks_again_says_so_and_fails(saga: MakeSaga, run: Callable[..., Result]) -> None:
    house = saga("ada", "bo")
    id = to_wire("bkg", house.open())
    house.execute("UPDATE booking SET quote_id = gen_random_uuid()")
    house.run_until_quiet()
    told = run("resume", id, *WHY)
    assert told.exit_code == 1
    assert "quote_not_found" in told.output
    assert house.count("SELECT count(*) FROM booking WHERE state = 'parked'") == 1


def test_cancel_says_what_it_would_do_and_does_it_with_yes(saga: MakeSaga, run: Callable[..., Result]) -> None:
    house = saga("ada", "bo")
    booking_id = house.open()
    house.run_until_quiet()
    house.pay("ada")
    id = to_wire("bkg", booking_id)
    told = run("cancel", id)
    assert (told.exit_code, "Nobody is charged." in told.output, "Nothing was changed" in told.output) == (
        2,
        True,
        True,
    )
    assert house.booking().state is BookingState.OPEN
    done = run("cancel", id, "--yes", *WHY)
    assert done.exit_code == 0
    house.run_until_quiet()
    assert (house.booking().state, house.provider.captures) == (BookingState.ABORTED, [])
    again = run("cancel", id, "--yes", *WHY, "--json")
    assert json.loads(again.output) == {
        "booking": id,
        "state": "aborted",
        "plan": "over",
        "is_done": True,
        "needs_second": False,
    }


def test_cancel_takes_a_booked_one_back_and_refunds(saga: MakeSaga, run: Callable[..., Result]) -> None:
    house = saga("ada", "bo")
    id = to_wire("bkg", house.open())
    house.run_until_quiet()
    for name in ("ada", "bo"):
        house.pay(name)
    assert run("cancel", id, "--yes", *WHY).exit_code == 0
    assert run("cancel", id, "--yes", *WHY).exit_code == 0
    house.run_until_quiet()
    assert house.booking().state is BookingState.REFUNDED
    assert sorted(amount for _, amount in house.provider.refunds) == [5_000, 5_000]
    assert house.merchant_twin.live_orders() == []
    shown = run("show", id).output
    assert "canceled_by_operator: booked -> booked, by mara: the merchant asked" in shown


def test_what_gives_money_back_needs_a_reason(saga: MakeSaga, run: Callable[..., Result]) -> None:
    house = saga("ada", "bo")
    id = to_wire("bkg", house.open())
    for words in (("cancel", id, "--yes"), ("refund", f"ref_{'0' * 32}", "--again")):
        told = run(*words, "--by", "mara")
        assert (told.exit_code, "say why" in told.output) == (2, True)
    assert house.booking().state is BookingState.PLACING


def test_much_money_is_given_back_by_two(saga: MakeSaga, database_url: str) -> None:
    """Mara alone may give 99.99 back; this is 100.00, so that Noor has to say the same."""
    house = saga("ada", "bo")
    id = to_wire("bkg", house.open())
    house.run_until_quiet()
    for name in ("ada", "bo"):
        house.pay(name)
    environment = {
        "GROUPBOOK_DATABASE_URL": database_url,
        "GROUPBOOK_SECRET_KEY": "a secret of the tests, long enough",
        "GROUPBOOK_OPERATOR_ALONE_MAX": "9999",
    }

    def cancel(by: str) -> Result:
        words = ["bookings", "cancel", id, "--yes", "--by", by, "--why", f"{by} says so"]
        return CliRunner().invoke(app, words, env=environment)

    for _ in range(2):
        told = cancel("mara")
        assert (told.exit_code, "somebody else has to say the same" in told.output) == (2, True)
    house.run_until_quiet()
    assert (house.booking().state, house.provider.refunds) == (BookingState.BOOKED, [])
    assert house.count("SELECT count(*) FROM booking_step WHERE event = 'cancel_proposed'") == 1
    house.travel(hours=25)
    assert cancel("noor").exit_code == 2  # a day later it is a proposal of her own
    assert cancel("mara").exit_code == 0
    house.run_until_quiet()
    assert house.booking().state is BookingState.REFUNDED
    assert sum(amount for _, amount in house.provider.refunds) == 10_000
    steps = [(step.event, step.by, step.why) for step in house.steps() if step.by]
    assert steps == [
        ("cancel_proposed", "mara", "mara says so"),
        ("cancel_proposed", "noor", "noor says so"),
        ("canceled_by_operator", "mara", "mara says so"),
    ]


def test_cancel_stops_a_decision_that_waits_for_the_merchant(saga: MakeSaga, run: Callable[..., Result]) -> None:
    """The merchant is silent: the order that was asked for gets its tombstone, then everybody is released."""
    house = saga("ada", "bo")
    id = to_wire("bkg", house.open())
    house.run_until_quiet()
    house.merchant_twin.provoke("confirm", "late_effect", 3)
    house.merchant_twin.provoke("read", "unavailable", 40)
    for name in ("ada", "bo"):
        house.pay(name)
    assert house.booking().state is BookingState.CONFIRMING
    told = run("cancel", id, "--yes", *WHY)
    assert (told.exit_code, "tombstoning" in told.output) == (0, True)
    house.merchant_twin._troubles.clear()
    house.run_until_quiet()
    house.merchant_twin.land_zombies()
    assert house.booking().state is BookingState.ABORTED
    assert (house.provider.captures, house.merchant_twin.live_orders()) == ([], [])


def test_cancel_is_refused_while_the_money_is_being_taken(saga: MakeSaga, run: Callable[..., Result]) -> None:
    house = saga("ada", "bo")
    id = to_wire("bkg", house.open())
    house.run_until_quiet()
    house.provider.plan("capture", *UNAVAILABLE)
    for name in ("ada", "bo"):
        house.pay(name)
    assert house.booking().state is BookingState.CAPTURING
    before = house.count("SELECT version FROM booking")
    told = run("cancel", id, "--yes", *WHY)
    assert (told.exit_code, "the outcome is not known yet" in told.output) == (1, True)
    document = json.loads(run("cancel", id, "--yes", *WHY, "--json").output)
    assert document["error"] == "cancel_unsafe"
    assert house.count("SELECT version FROM booking") == before
    house.travel(hours=7)
    house.run_until_quiet()
    assert house.booking().state is BookingState.PARKED
    assert "groupbook bookings cancel" not in run("parked").output
    assert run("cancel", id, "--yes", *WHY).exit_code == 1


def test_cancel_of_a_parked_booking_gives_back_what_was_taken(saga: MakeSaga, run: Callable[..., Result]) -> None:
    """Both were charged and the tickets never came: the order goes back, then the money."""
    house = saga("ada", "bo")
    id = to_wire("bkg", house.open())
    house.run_until_quiet()
    for name in ("ada", "bo"):
        house.pay(name)
    house.execute("UPDATE booking SET state = 'parked', resume_state = 'capturing'")
    house.execute(
        "INSERT INTO booking_step (merchant_id, booking_id, n, from_state, event, to_state, at) "
        "SELECT merchant_id, booking_id, max(n) + 1, 'capturing', 'budget_out', 'parked', now() "
        "FROM booking_step GROUP BY merchant_id, booking_id"
    )
    told = run("cancel", id, "--yes", *WHY)
    assert (told.exit_code, "unwinding" in told.output) == (0, True)
    house.run_until_quiet()
    assert house.booking().state is BookingState.REFUNDED
    assert sorted(amount for _, amount in house.provider.refunds) == [5_000, 5_000]


@pytest.mark.parametrize("command", ["show", "resume", "cancel"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((UNKNOWN,), "There is no such booking."),
        (("bkg_x",), "This is not the id of such a thing"),
        (("'; DROP TABLE booking; --",), "This is not the id of such a thing"),
        ((UNKNOWN, "--merchant", "nobody"), "There is no merchant with this slug."),
    ],
)
def test_what_is_not_there_is_a_sentence_and_not_a_trace(
    saga: MakeSaga, run: Callable[..., Result], command: str, words: tuple[str, ...], sentence: str
) -> None:
    saga("ada")
    if command == "resume":
        words = (*words, *WHY)
    told = run(command, *words)
    assert (told.exit_code, sentence in told.output, "Traceback" in told.output) == (1, True, False)
    document = json.loads(run(command, *words, "--json").output)
    assert set(document) == {"error", "detail"}


def test_without_a_database_it_says_so() -> None:
    environment = {
        "GROUPBOOK_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "GROUPBOOK_SECRET_KEY": "a secret of the tests, long enough",
    }
    told = CliRunner().invoke(app, ["bookings", "parked"], env=environment)
    assert (told.exit_code, "The database does not answer" in told.output) == (1, True)
    told = CliRunner().invoke(app, ["bookings", "parked"], env={"GROUPBOOK_DATABASE_URL": None})
    assert (told.exit_code, "GROUPBOOK_SECRET_KEY" in told.output) == (1, True)


def test_a_refund_that_came_back_is_asked_for_again(saga: MakeSaga, run: Callable[..., Result]) -> None:
    """After the end of a booking the bank sends one back: an alarm, and the operator makes it good."""
    house = saga("ada", "bo")
    house.open()
    house.run_until_quiet()
    for name in ("ada", "bo"):
        house.pay(name)
    booking_id = house.booking().id
    bookings.cancel_booking(house.database, house.friends["ada"], booking_id)
    house.run_until_quiet()
    assert house.booking().state is BookingState.REFUNDED
    with house.database.begin(house.merchant_id) as session:
        first = payments.refunds_of(session, booking_id)[0].id
    house.provider.settle_refund(first, RefundState.FAILED)
    with house.database.begin(house.merchant_id) as session:
        intents.owe(session, "payment.observe_refund", first)
    house.run_until_quiet()
    shown = run("show", to_wire("bkg", booking_id))
    assert f"{to_wire('ref', first)}  refund €50.00: failed" in shown.output
    assert run("refund", to_wire("ref", first)).exit_code == 2
    for _ in range(2):
        waits = bookings.mend_refund(
            house.database, house.merchant_id, first, OPS, paid_elsewhere=None, alone_max=4_999
        )
        assert (waits.needs_second, waits.asked_again_as) == (True, None)
    told = run("refund", to_wire("ref", first), "--again", *WHY)
    assert (told.exit_code, "asked for again as ref_" in told.output) == (0, True)
    again = run("refund", to_wire("ref", first), "--again", "--json", *WHY)
    house.run_until_quiet()
    with house.database.begin(house.merchant_id) as session:
        refunds = {one.id: one for one in payments.refunds_of(session, booking_id)}
        books = payments.statement(session, booking_id)
    new = json.loads(again.output)["asked_again_as"]
    assert {to_wire("ref", id): one.state.value for id, one in refunds.items()}[new] == "succeeded"
    assert (len(refunds), books.refunded.minor, refunds[first].state) == (3, 10_000, RefundState.RETRIED)
    refused = run("refund", to_wire("ref", first), "--paid-elsewhere", "transfer 4711", *WHY)
    assert (refused.exit_code, "made good already" in refused.output) == (1, True)
