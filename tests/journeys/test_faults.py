"""Three friends book while one switch of the payment sandbox or the agency is on, each switch in turn.

The outcome is a right one, no page ever says what is not so, and nobody is left without a way on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import pytest
from playwright.sync_api import expect

from groupbook.merchants.domain import Capabilities
from integrations.demo.payments.app import FAULTS
from integrations.demo.rail.provoke import WHATS
from tests.journeys.crowd import GOOD, KEEPS, LATE, PAY, TRIO, Friend, Stage, Trio, euro, gather, settled
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
    "price_dropped": (Trouble("deciding", "confirm", less=300),),
    "overcharged": (Trouble("deciding", "confirm", ("aborted", "parked")),),
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
    """One booking of three in which one thing goes wrong."""

    def __init__(self, stage: Stage, trio: Trio, side: str, fault: str, trouble: Trouble) -> None:
        self.stage, self.trio, self.side, self.fault, self.trouble = stage, trio, side, fault, trouble
        self.ana, self.bo, self.chloe = trio
        self.crowd = gather(stage, TRIO, f"Trouble {fault}")
        self.times = 0

    def through(self) -> None:
        with self.stage.selling(self.trouble.sells):
            self.book()
            if self.crowd.state == "open":
                self.pay()
            self.end()
        assert [friend.errors for friend in self.trio] == [[], [], []]

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
        assert self.stage.calls_to_come() < self.times, "it met no call"
        self.stage.mend()
        self.times = 0

    # --- the steps ---

    def book(self) -> None:
        self.crowd.seats(self.trio)
        is_now = self.switch_on("opening")
        if self.trouble.sells is LATE:
            self.ana.page.get_by_label("Time for everybody to pay").select_option(label="10 days")
        self.ana.press("Hold the seats and ask everybody to pay")
        if is_now and self.trouble.says in UNTIL_MENDED:
            self.all_read_it()
            self.mend()
        self.watch("open", *ENDED)

    def pay(self) -> None:
        self.pay_in_spite_of_it(self.bo)
        self.ana.pays()
        self.chloe.to_the_hosted_page(PAY)
        is_now = self.switch_on("deciding")
        self.chloe.types(GOOD)
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
        wait_until(lambda: any(self.is_told(friend) for friend in self.trio), "somebody is asked again")
        self.tell_the_truth()
        (asked,) = [friend for friend in self.trio if self.is_told(friend)]
        asked.pays()

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
        due = 3 * self.crowd.fare - self.trouble.less
        for friend in self.trio:
            friend.has_ticket()
        self.bo.sees(f"{euro(due // 3)} was taken from your card.")
        assert self.crowd.books() == settled(due)

    def is_aborted(self) -> None:
        for friend in self.trio:
            friend.sees(friend.say("Nobody was charged"))
        if self.trouble.says:
            self.all_read_it()
        expect(self.ana.main.get_by_role("button", name="Vote on another train")).to_be_visible()
        assert self.crowd.books() == settled(0)

    def is_refunded(self) -> None:
        """Everybody has it back, or reads whose bank did not take it."""
        fare = self.crowd.fare
        if self.trouble.says:
            wait_until(lambda: any(self.is_told(friend) for friend in self.trio), "who did not get it back is told")
            assert self.crowd.books() == settled(fare) | {"agency": 0}
        else:
            self.bo.sees(f"{euro(fare)} goes back to your card. Banks show this within ten days.")
            assert self.crowd.books() == settled(0)

    # --- what is said ---

    def all_read_it(self) -> None:
        for friend in self.trio:
            friend.sees(*told(friend, self.trouble.says))
        self.tell_the_truth()

    def is_told(self, friend: Friend) -> bool:
        said = friend.main.inner_text()
        return all(part in said for part in told(friend, self.trouble.says))

    def watch(self, *states: str) -> None:
        """Until the booking is in one of these states; meanwhile every page tells the truth, at each look."""

        def is_there() -> bool:
            self.tell_the_truth()
            return self.crowd.state in states

        wait_until(is_there, lambda: f"{self.crowd.state} is not one of {states}")

    def tell_the_truth(self) -> None:
        for name, friend in zip(TRIO, self.trio, strict=True):
            said = friend.main.inner_text()
            assert list(self.crowd.lies(name, said, friend.say)) == [], (name, said)


def told(friend: Friend, english: str) -> list[str]:
    """The sentence in the reader's language, without what is filled in."""
    return re.split(r"%\(\w+\)s", friend.say(english))
