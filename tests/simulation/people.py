"""Friends, their organizer and the operator: who does what when, through the use cases that the web calls."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from uuid import UUID

from groupbook import bookings, payments
from groupbook.bookings.models import BookingRow, PayRequestRow
from groupbook.kit.callers import Caller
from groupbook.kit.errors import GroupbookError
from groupbook.kit.ids import BookingId, MemberId, PortionId, RefundId
from groupbook.kit.models import IntentRow
from groupbook.kit.money import Money
from groupbook.payments import least_payable
from groupbook.payments.models import PortionRow, RefundRow
from tests.simulation.memory.store import KINDS
from tests.simulation.plan import AmendmentPlan, PersonPlan
from tests.simulation.stage import Stage
from tests.support.operators import OPS

_PAYABLE: Final = ("open", "authorizing", "saved", "declined", "expired", "short")
_ASKED_AGAIN: Final = ("declined", "expired", "short", "open")


class People:
    """The party of one world. `0` is the organizer."""

    def __init__(self, world: Stage, members: list[MemberId], callers: list[Caller]) -> None:
        self._world = world
        self.members = members
        self.callers = callers
        self._has_begun = False
        self._is_regretting = False
        self._resumed = 0
        self._has_amended = False
        self._has_given_up = False
        self._has_stopped = False
        self.is_amending = False  # what is authorized now is for a change of a booked party
        self._has_reopened = False
        self._again = [0 if world.plan.is_deaf else 2] * len(members)  # answers to "pay again"
        self._refunds_seen: set[UUID] = set()
        self.left: set[int] = set()

    # --- what they have in mind ---

    def begin(self) -> None:
        """The organizer opens the booking; a second click now and then."""
        world = self._world
        self._try(0, "open", self._open)
        if world.plan.people[0].is_double:
            world.later(world.dice.between("people.click", 0.05, 3), self._try, 0, "open", self._open)
        if world.plan.cancels_after is not None:
            world.later(world.plan.cancels_after, self._try, 0, "cancel", self._cancel)

    def heard(self, rows: list[Any]) -> None:
        """What a commit changed for somebody to see: they are asked to pay, it is booked, it is parked."""
        for row in rows:
            kind = KINDS[type(row)]
            if kind is PortionRow and not self._has_begun:
                self._has_begun = True
                for index, plan in enumerate(self._world.plan.people):
                    self._mind(index, plan)
            elif kind is PortionRow and row.version and row.state in _ASKED_AGAIN:
                self._heard_portion(row)
            elif kind is BookingRow:
                self._heard_booking(row)
            elif kind is RefundRow and row.state == "failed" and row.id not in self._refunds_seen:
                self._refunds_seen.add(row.id)
                world = self._world
                world.later(world.dice.between("operator.refund", 600, 3 * 86_400), self._mend_refund, row.id)
            elif kind is IntentRow and row.state == "parked" and row.reference is not None:
                world = self._world
                world.later(world.dice.between("operator.calls", 600, 86_400), self._revive, row.id, row.reference)

    def _heard_portion(self, row: PortionRow) -> None:
        """Their card was refused, their time ran out, or the price rose: some pay again."""
        world = self._world
        index = next((index for index, member in enumerate(self.members) if member == row.payer), None)
        if world.plan.is_rescued and index and row.state != "open" and self._again[0]:
            self._again[0] -= 1
            delay = world.dice.between("people.rescue", 5, 300)
            world.later(delay, self._try, 0, "take_over", partial(self._rescue, portion_id=row.id))
        if world.plan.is_rescued and world.plan.is_forgetful and index == 0 and row.state == "open":
            return  # what they took over, they forget
        if index is not None and self._again[index] and world.plan.people[index].pays_after is not None:
            self._again[index] -= 1
            world.later(world.dice.between("people.again", 20, 3600), self.pay, index, 1)

    def _heard_booking(self, row: BookingRow) -> None:
        world = self._world
        world.came_to(row.state)
        self.is_amending = row.state == "amending"
        if row.state == "confirming" and world.plan.is_stopped and not self._has_stopped:
            self._has_stopped = True
            world.later(world.dice.between("operator.stop", 0.1, 120), self._stop, row.id)
        if row.state == "recovering" and world.plan.gives_up_after is not None and not self._has_given_up:
            self._has_given_up = True
            world.later(world.plan.gives_up_after, self._try, 0, "cancel", self._cancel)
        if row.state == "booked" and not self._has_amended:
            self._has_amended = True
            for plan in world.plan.amendments:
                world.later(plan.after, self._try, 0, "amend", partial(self._amend, plan=plan))
        if row.state == "aborted" and world.plan.reopens and not self._has_reopened:
            self._has_reopened = True
            world.later(world.dice.between("organizer.reopen", 30, 3600), self._try, 0, "open", self._open)
        if row.state == "booked" and not self._is_regretting and world.plan.regrets_after is not None:
            self._is_regretting = True
            world.later(world.plan.regrets_after, self._try, 0, "cancel", self._cancel)
        elif row.state == "parked" and self._resumed < world.plan.resumes:
            self._resumed += 1
            world.later(world.dice.between("operator", 600, 86_400), self._resume, row.id)

    def _mind(self, index: int, plan: PersonPlan) -> None:
        world = self._world
        if plan.leaves_after is not None:
            world.later(plan.leaves_after, self._try, index, "leave", self._leave)
        if plan.asks is not None:
            world.later(world.dice.between("people.ask", 1, 300), self._try, index, "ask", self._ask)
        if plan.takes is not None:
            world.later(world.dice.between("people.take", 300, 600), self._try, index, "take_over", self._take)
        if plan.pays_after is not None:
            world.later(plan.pays_after, self.pay, index, plan.retries)
            if plan.is_double:
                world.later(plan.pays_after + world.dice.between("people.click", 0.05, 3), self.pay, index, 0)

    # --- paying ---

    def pay(self, index: int, retries: int) -> None:
        """They open the page of every portion that is theirs to pay."""
        if index in self.left:
            return
        for portion in self._to_pay(index):
            self._try(index, "pay", partial(self._open_page, portion_id=portion, retries=retries))

    def _open_page(self, index: int, portion_id: UUID, retries: int) -> None:
        world = self._world
        try:
            page = bookings.start_payment(
                world.production,
                world.work.runner,
                self.callers[index],
                PortionId(portion_id),
                locale="en",
                public_url="https://groupbook.test",
            )
        except GroupbookError:
            if retries > 0:
                world.later(world.dice.between("people.retry", 5, 900), self.pay, index, retries - 1)
            raise
        world.later(world.dice.between("people.think", 4, 120), world.bank.visit, page.page_ref, index, retries)

    def is_back(self, index: int) -> None:
        """Done on the provider's page: some come back to ours, which reads the truth."""
        world = self._world
        if not world.plan.people[index].returns:
            return

        def refresh(index: int) -> None:
            for portion in self._to_pay(index):
                bookings.refresh_payment(world.production, world.work.runner, self.callers[index], PortionId(portion))

        world.later(world.dice.between("people.back", 0.3, 3), self._try, index, "refresh", refresh)

    def _to_pay(self, index: int) -> list[UUID]:
        """What their screen offers them; now and then they press an old button."""
        me = self.members[index]
        mine = [one for one in self._world.values(PortionRow) if one["payer"] == me]
        if self._world.dice.draw("people.old_button") < 0.05:
            return [one["id"] for one in mine]
        return [one["id"] for one in mine if one["state"] in _PAYABLE]

    def _portion_of(self, index: int) -> PortionId | None:
        of = self.members[index]
        found = [one["id"] for one in self._world.values(PortionRow) if one["traveler"] == of]
        return PortionId(found[-1]) if found else None

    # --- the rest ---

    def _open(self, index: int) -> None:
        world = self._world
        bookings.open_booking(world.production, self.callers[index], world.trip_id, policy=world.policy)

    def _cancel(self, index: int) -> None:
        for values in self._current():
            bookings.cancel_booking(self._world.production, self.callers[index], BookingId(values["id"]))

    def _leave(self, index: int) -> None:
        for values in self._current():
            bookings.leave_booking(self._world.production, self.callers[index], BookingId(values["id"]))
            self.left.add(index)

    def _amend(self, _organizer: int, *, plan: AmendmentPlan) -> None:
        world = self._world
        for values in self._current():
            going = {one["traveler"] for one in world.values(PortionRow) if one["dropped_at"] is None}
            free = [index for index, member in enumerate(self.members) if member not in going]
            member, caller = self.members[plan.member], self.callers[0]
            if plan.kind == "surcharge":
                least = least_payable(world.plan.currency).minor
                amount = Money(max(least, world.plan.fare // 100 * 10), world.plan.currency)
                caller = world.desk
                change = bookings.Change("surcharge", member, surcharge=amount)
                payer: int | None = plan.member
            elif plan.kind == "replace":
                if not free:
                    return
                payer = free[0]
                change = bookings.Change("replace", member, by=self.members[payer])
            else:
                payer = None
                change = bookings.Change("cancel", member)
            bookings.amend_booking(world.production, caller, BookingId(values["id"]), change)
            if payer is not None and world.dice.draw("people.amended") < 0.8:
                self.left.discard(payer)
                world.later(world.dice.between("people.amends", 30, 3600), self.pay, payer, 2)

    def _current(self) -> list[Mapping[str, Any]]:
        return [one for one in self._world.values(BookingRow) if one["state"] not in ("aborted", "refunded")]

    def _mend_refund(self, refund_id: UUID) -> None:
        """The operator sees a refund that came back: again, or another way."""
        world = self._world

        def mend() -> None:
            try:
                with world.database.begin(world.merchant_id) as session:
                    if world.plan.refunds_elsewhere:
                        payments.settle_refund_elsewhere(session, RefundId(refund_id), "transfer 1")
                    else:
                        payments.retry_refund(session, RefundId(refund_id))
            except GroupbookError as error:
                world.told("operator", f"cannot mend the refund: {error.code}")

        world.web("operator", mend)

    def _ask(self, index: int) -> None:
        friend, portion = self._world.plan.people[index].asks, self._portion_of(index)
        if friend is not None and portion is not None:
            bookings.ask_to_pay(self._world.production, self.callers[index], portion, self.members[friend])
            self._world.later(
                self._world.dice.between("people.answer", 10, 600), self._try, friend, "take_over", self._take_asked
            )

    def _take_asked(self, index: int) -> None:
        asked = [
            one["portion_id"]
            for one in self._world.values(PayRequestRow)
            if one["asked_of"] == self.members[index] and one["state"] == "asked"
        ]
        for portion in asked:
            bookings.take_over(self._world.production, self.callers[index], PortionId(portion))
            self._world.later(self._world.dice.between("people.think", 4, 120), self.pay, index, 1)

    def _rescue(self, index: int, *, portion_id: UUID) -> None:
        bookings.take_over(self._world.production, self.callers[index], PortionId(portion_id))
        if not self._world.plan.is_forgetful:
            self._world.later(self._world.dice.between("people.think", 4, 120), self.pay, index, 1)

    def _take(self, index: int) -> None:
        friend = self._world.plan.people[index].takes
        portion = None if friend is None else self._portion_of(friend)
        if portion is not None:
            bookings.take_over(self._world.production, self.callers[index], portion)
            self._world.later(self._world.dice.between("people.think", 4, 120), self.pay, index, 1)

    def _resume(self, booking_id: UUID) -> None:
        world = self._world

        def resume() -> None:
            if world.plan.is_forced:
                try:
                    done = bookings.force_cancel(
                        world.production, world.merchant_id, booking_id, OPS, alone_max=sys.maxsize
                    )
                    world.told("operator", f"ends the booking: {done.plan.value}")
                    return
                except GroupbookError as error:
                    world.told("operator", f"cannot end the booking: {error.params}")
            try:
                bookings.resume_booking(world.production, world.merchant_id, booking_id, OPS)
            except GroupbookError as error:
                world.told("operator", f"cannot resume: {error.code}")
                return
            world.told("operator", "resumes the booking")

        world.web("operator", resume)

    def _revive(self, intent_id: UUID, booking_id: UUID) -> None:
        """A call was given up, and the operator has heard of it: once the other side is back, it is tried again.

        What stands behind a parked booking waits for the person who puts that back.
        """
        world = self._world
        is_given_up = any(one["id"] == intent_id and one["state"] == "parked" for one in world.values(IntentRow))
        is_parked = any(one["id"] == booking_id and one["state"] == "parked" for one in world.values(BookingRow))
        if not is_given_up or is_parked:
            return

        def resume() -> None:
            done = bookings.resume_booking(world.production, world.merchant_id, booking_id, OPS)
            world.told("operator", f"has {done.calls} calls tried again")

        world.web("operator", resume)
        world.later(86_400, self._revive, intent_id, booking_id)  # the web server may be down

    def _stop(self, booking_id: UUID) -> None:
        world = self._world

        def stop() -> None:
            try:
                bookings.force_cancel(
                    world.production, world.merchant_id, BookingId(booking_id), OPS, alone_max=sys.maxsize
                )
            except GroupbookError as error:
                world.told("operator", f"cannot end the booking: {error.code}")

        world.web("operator", stop)

    def _try(self, index: int, what: str, act: Callable[[int], None]) -> None:
        """A web request of theirs; being refused is an answer, and the watch hears which."""
        world = self._world

        def request() -> None:
            try:
                act(index)
            except GroupbookError as error:
                world.person(self.members[index], what, False, error.code)
                return
            world.person(self.members[index], what, True)

        world.web(f"{what} by {index}", request)
