"""Eight pay in every way there is while one switch of the payment sandbox or the agency is on, each switch in turn.

The outcome is a right one, no page ever says what is not so, and nobody is left without a way on. Two of them have a
browser; the others pay and read without one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import pytest

from groupbook.merchants.domain import Capabilities
from integrations.demo.payments.app import FAULTS
from integrations.demo.rail.provoke import WHATS
from tests.journeys.afar import IN_BROWSERS, NINE, Afar, agree, those_afar
from tests.journeys.crowd import CHALLENGED, GOOD, KEEPS, LATE, PAY, Friend, Stage, Trio, euro, gather, settled
from tests.support.rig import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ENDED = ("aborted",)


@dataclass(frozen=True)
class Trouble:
    """One fault, where it is switched on, and what becomes of the booking.

    `when`: as the booking opens, as Bo pays, as Bo comes back, as the last one pays and all is decided, as Bo
    gives the booked place back, or as the organizer calls the booking off. `says`: what somebody reads because of it.
    """

    when: Literal["opening", "paying", "returning", "deciding", "changing", "back"]
    operation: str
    ends: tuple[str, ...] = ("booked",)
    says: str = ""
    seconds: float = 0
    lasts: bool = False  # from then on, for every call
    sells: Capabilities = KEEPS
    less: int = 0  # what the whole party pays less than agreed


SILENT = "The other side does not answer. Nothing was changed; try again in a moment."
UNKNOWN = "We do not know yet whether it worked. Wait a moment and look again."
UNHEARD = "We have not heard from your bank yet"
PLACING = "This usually takes a few seconds. If the railway does not answer by %(when)s, nobody is asked for anything."
CONFIRMING = (
    "This usually takes a few seconds. If the railway does not answer by %(when)s, we call the order off. Nobody pays "
    "before the seats are confirmed."
)
CAPTURING = (
    "The seats are confirmed. A bank that does not answer at once is asked again until %(when)s, and nobody pays twice."
)
UNTIL_MENDED = {SILENT, UNHEARD, PLACING, CONFIRMING, CAPTURING}  # the fault is on as long as nobody reads this
MISSED = "Your bank did not pay at the last step. Nothing was taken. Pay again, so that everybody can go."
DECLINED_AWAY = "Your bank said no. Nothing was taken, and nothing is kept."
CONFIRM_YOURSELF = "Your bank wants you to confirm this yourself. Nothing was taken, and nothing is kept."
AGAIN = {MISSED, DECLINED_AWAY, CONFIRM_YOURSELF}  # who reads this has a button that mends it
CAME_BACK = (
    "%(paid)s was taken from your card. What was to go back to it came back to us from your bank. A person is finding "
    "another way, and you need do nothing."
)
TAKEN = "%(paid)s was taken from your card."
GONE = "The railway has no seats for all of you on this train any more."
DEARER = "The railway has changed the price of this train. The new price is asked for next time."
NOT_ACCEPTED = "The railway did not accept the details of somebody in the group."
CREATE, READ = "checkout.sessions.create", "checkout.sessions.retrieve"
CAPTURE, CHARGE, REFUND = "payment_intents.capture", "payment_intents.create", "refunds.create"

AT_THE_PROVIDER: dict[str, tuple[Trouble, ...]] = {
    "lost_answer": (Trouble("paying", CREATE), Trouble("deciding", CAPTURE)),
    "late_effect": (Trouble("deciding", CAPTURE, seconds=1),),
    "server_error": (Trouble("paying", CREATE), Trouble("returning", READ, says=UNHEARD)),
    "server_error_after": (Trouble("deciding", CAPTURE),),
    "rate_limit": (Trouble("paying", "*", says=SILENT),),
    "lock_timeout": (Trouble("deciding", CAPTURE, says=CAPTURING),),
    "slow": (Trouble("paying", CREATE, seconds=2),),
    "capture_fails": (Trouble("deciding", CAPTURE, says=MISSED),),
    "off_session_declined": (Trouble("deciding", CHARGE, says=DECLINED_AWAY, sells=LATE),),
    "off_session_asks": (Trouble("deciding", CHARGE, says=CONFIRM_YOURSELF, sells=LATE),),
    "refund_pending": (Trouble("back", REFUND, ends=("refunded",), seconds=1),),
    "refund_fails": (Trouble("back", REFUND, ends=("refunded",), says=CAME_BACK, seconds=1),),
    "duplicate_webhook": (Trouble("opening", "*", lasts=True),),
    "reorder_webhook": (Trouble("opening", "*", lasts=True),),
    "late_webhook": (Trouble("opening", "*", seconds=2, lasts=True),),
    "drop_webhook": (Trouble("opening", "*", lasts=True),),
}
AT_THE_AGENCY: dict[str, tuple[Trouble, ...]] = {
    "sold_out": (Trouble("opening", "hold", ENDED, GONE), Trouble("deciding", "confirm", ENDED, GONE)),
    "price_changed": (Trouble("opening", "hold", ENDED, DEARER),),
    "price_dropped": (Trouble("deciding", "confirm", less=900),),
    "overcharged": (Trouble("deciding", "confirm", ENDED),),
    "pending": (Trouble("deciding", "confirm"),),
    "not_allowed": (Trouble("changing", "amend"),),
    "too_late": (Trouble("changing", "amend"),),
    "hold_expired": (Trouble("deciding", "confirm", ENDED),),
    "invalid_traveler": (Trouble("deciding", "confirm", ENDED, NOT_ACCEPTED),),
    "short_hold": (Trouble("opening", "hold", ("booked", "aborted")),),
    "slow": (Trouble("opening", "hold"),),
    "lost_answer": (Trouble("deciding", "confirm"),),
    "late_effect": (Trouble("deciding", "confirm"),),
    "unavailable": (Trouble("opening", "hold", says=PLACING),),
    "broken": (Trouble("deciding", "confirm", says=CONFIRMING),),
}

CASES = [("sandbox", name, one) for name in FAULTS for one in AT_THE_PROVIDER[name]]
CASES += [("agency", name, one) for name in WHATS for one in AT_THE_AGENCY[name]]


@pytest.mark.parametrize(
    ("side", "fault", "trouble"), CASES, ids=[f"{name}-{one.when}-{one.operation}" for _, name, one in CASES]
)
def test_with_a_fault_the_outcome_is_right_and_the_pages_say_so(
    stage: Stage, trio: Trio, side: str, fault: str, trouble: Trouble
) -> None:
    try:
        Play(stage, trio, side, fault, trouble).through()
    finally:
        stage.mend()


class Play:
    """One booking of nine, of whom eight pay in every way there is, in which one thing goes wrong.

    Bo and Chloé have a browser; she is the last to pay, and her bank asks her first.
    """

    def __init__(self, stage: Stage, trio: Trio, side: str, fault: str, trouble: Trouble) -> None:
        self.stage, self.side, self.fault, self.trouble = stage, side, fault, trouble
        _, self.bo, self.chloe = trio
        self.crowd = gather(stage, NINE, f"Trouble {fault}")
        self.afar = those_afar(self.crowd)
        self.browsers: dict[str, Friend] = {}
        self.paid: dict[str, list[int]] = {}
        self.times = 0

    def through(self) -> None:
        with self.stage.selling(self.trouble.sells):
            self.book()
            if self.crowd.state == "open":
                self.pay()
            self.end()
        assert [friend.errors for friend in self.browsers.values()] == [[], []]

    # --- the fault ---

    def switch_on(self, when: str) -> bool:
        """Whether this is the moment."""
        if self.trouble.when != when:
            return False
        self.times = 1000 if self.trouble.lasts or self.trouble.says in UNTIL_MENDED else 1
        if self.side == "sandbox":
            self.stage.fault(self.fault, self.trouble.operation, times=self.times, seconds=self.trouble.seconds)
        else:
            self.stage.rig.agency.provoke(self.trouble.operation, self.fault, times=self.times)
        return True

    def mend(self) -> None:
        wait_until(lambda: self.stage.calls_to_come() < self.times, "it meets a call")
        self.stage.mend()
        self.times = 0

    # --- the steps ---

    def book(self) -> None:
        """Ana asks everybody to pay."""
        is_now = self.switch_on("opening")
        self.crowd.opens(window_seconds=10 * 86_400 if self.trouble.sells is LATE else None)
        if is_now and self.trouble.says:
            self.sit_down()
        if is_now and self.trouble.says in UNTIL_MENDED:
            self.all_read_it()
            self.mend()
        self.watch("open", *ENDED)
        if not self.browsers and self.crowd.state != "open":
            self.sit_down()

    def sit_down(self) -> None:
        """Bo and Chloé look, from the beginning where there is something to read, else when it is their turn to pay."""
        self.browsers = {"Bo": self.bo, "Chloé": self.chloe}
        self.crowd.seats((self.bo, self.chloe), IN_BROWSERS)

    def pay(self) -> None:
        self.paid = agree(self.crowd)
        for friend in self.afar.values():
            friend.pays(comes_back=self.fault == "drop_webhook")
        if not self.browsers:
            self.sit_down()
        self.pay_in_spite_of_it(self.bo)
        self.chloe.to_the_hosted_page(PAY)
        is_now = self.switch_on("deciding")
        self.chloe.types(CHALLENGED)
        self.chloe.page.locator("button[value=confirm]").click()
        self.chloe.comes_back()
        if is_now and self.trouble.says in UNTIL_MENDED:
            self.all_read_it()
            self.mend()
        elif is_now and self.trouble.says in AGAIN:
            self.pay_once_more()

    def pay_in_spite_of_it(self, bo: Friend) -> None:
        """Whoever gets no page is told so, and gets it with a later click."""
        self.switch_on("paying")
        self.click_to_pay(bo)
        while not bo.page.locator("#number").count():
            assert bo.page.locator("[data-notice]").inner_text() in (SILENT, UNKNOWN)
            if self.times:
                self.mend()
            self.click_to_pay(bo)
        is_now = self.switch_on("returning")
        bo.types(GOOD)
        bo.comes_back()
        if is_now:
            bo.sees(*told(bo, self.trouble.says))
            self.mend()
        bo.page.wait_for_url("**/t/trip_*")

    def click_to_pay(self, bo: Friend) -> None:
        """Until the answer is there: the hosted page, or ours that says why not."""
        with bo.page.expect_navigation(url=re.compile(r"/c/pay/|/pay$")):
            bo.press(PAY)

    def pay_once_more(self) -> None:
        """Whoever it met, it was one of them, and for one of their payments."""
        wait_until(lambda: self.crowd.unpaid(*NINE), "somebody is asked again")
        (name,) = [name for name in NINE if self.crowd.unpaid(name)]
        wait_until(lambda: self.is_told(name), f"{name} is told")
        self.tell_the_truth()
        (self.browsers.get(name) or self.afar[name]).pays()

    def end(self) -> None:
        if self.trouble.when == "back":
            self.watch("booked")
            self.is_booked()
            self.switch_on("back")
            self.crowd.cancel()
        if self.trouble.when == "changing":
            self.watch("booked")
            self.switch_on("changing")
            self.crowd.gives_back("Bo")
        self.watch(*self.trouble.ends)
        {"booked": self.is_booked, "aborted": self.is_aborted, "refunded": self.is_refunded}[self.crowd.state]()
        self.tell_the_truth()
        if self.times:
            self.mend()

    # --- how it may end ---

    def is_booked(self) -> None:
        """Everybody has paid what they agreed to, or less where the railway sold for less, and reads how much."""
        assert self.crowd.books() == settled(len(NINE) * self.crowd.fare - self.trouble.less)
        for name, agreed in self.paid.items():
            taken = sorted(row["amount_received"] for row in self.crowd.payments_of(name) if row["amount_received"])
            assert taken == agreed if not self.trouble.less else sum(taken) <= sum(agreed), name
            if name in self.afar:
                said = self.reads_the_truth(name)
                assert [cents for cents in taken if f"{euro(cents)} was taken" not in said] == [], (name, said)
        for name, friend in self.browsers.items():
            friend.has_ticket()
            friend.sees(*(friend.say(TAKEN, paid=euro(cents, friend.say.locale)) for cents in self.paid_by(name)))

    def paid_by(self, name: str) -> list[int]:
        return [row["amount_received"] for row in self.crowd.payments_of(name) if row["amount_received"]]

    def is_aborted(self) -> None:
        for friend in self.browsers.values():
            friend.sees(friend.say("Nobody was charged"))
        said = {name: self.reads_the_truth(name) for name in self.afar}
        assert [name for name in said if "Nobody was charged" not in said[name]] == []
        if self.trouble.says:
            self.all_read_it()
        assert "Vote on another train" in said["Ana"]
        assert self.crowd.books() == settled(0)

    def is_refunded(self) -> None:
        """Everybody has it back, or reads whose bank did not take it."""
        for name in self.afar:
            self.reads_the_truth(name)
        if not self.trouble.says:
            self.bo.sees(f"{euro(self.crowd.fare - 100)} goes back to your card. Banks show this within ten days.")
            assert self.crowd.books() == settled(0)
            return
        wait_until(lambda: self.came_back(), "a bank sends the money back")
        ((name, cents),) = self.came_back()
        wait_until(lambda: self.is_told(name), f"{name} is told")
        assert self.crowd.books() == settled(cents) | {"agency": 0}

    def came_back(self) -> list[tuple[str, int]]:
        """Whose bank did not take back how much."""
        return [
            (name, row["amount"])
            for name in NINE
            for row in self.crowd.refunds_of(self.crowd.payments_of(name))
            if row["status"] == "failed"
        ]

    # --- what is said ---

    def all_read_it(self) -> None:
        for friend in self.browsers.values():
            friend.sees(*told(friend, self.trouble.says))
        self.tell_the_truth()

    def is_told(self, name: str) -> bool:
        reader = self.browsers.get(name) or self.afar[name]
        said = self.reads_the_truth(name)
        return all(part in said for part in told(reader, self.trouble.says))

    def watch(self, *states: str) -> None:
        """Until the booking is in one of these states; meanwhile both browsers tell the truth, at each look."""

        def is_there() -> bool:
            self.tell_the_truth()
            if self.fault == "pending":
                self.crowd.asks_the_agency_now()
            return self.crowd.state in states

        wait_until(is_there, lambda: f"{self.crowd.state} is not one of {states}")

    def tell_the_truth(self) -> None:
        for name in self.browsers:
            self.reads_the_truth(name)

    def reads_the_truth(self, name: str) -> str:
        """What this one reads now."""
        reader = self.browsers.get(name) or self.afar[name]
        said = reader.said()
        assert list(self.crowd.lies(name, said, reader.say)) == [], (name, said)
        return said


def told(reader: Friend | Afar, english: str) -> list[str]:
    """The sentence in the reader's language, without what is filled in."""
    return re.split(r"%\(\w+\)s", reader.say(english))
