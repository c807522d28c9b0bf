"""What goes over the wire about discount codes, between us and the merchant."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from groupbook.discounts.domain import CodeDraft, CodeLimits, DiscountCode, Redemption
from groupbook.kit.http import Instant, MoneyWire, WholeNumber, Wire, wire_id
from groupbook.kit.ids import from_wire, to_wire

Limit = Annotated[WholeNumber, Field(ge=1, le=1_000_000_000)]


class CodeLimitsIn(Wire):
    """How often and when a code counts; what is left out, or null, is without a limit.

    Limits count reserved and redeemed uses, and `uses_max` is never under those; a person is whoever brings the code to
    a group's price. `ends_at` is exclusive.
    """

    uses_max: Limit | None = None
    uses_per_person_max: Limit | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None

    def limits(self) -> CodeLimits:
        return CodeLimits(**{name: getattr(self, name) for name in CodeLimitsIn.model_fields})


class CreateCode(CodeLimitsIn):
    """A code that brings in one of your rules: one with the trigger `{"code": true}`.

    `code` has 3 to 40 letters, digits, dots, dashes and underscores; case does not count. With an `owner` (a person) it
    works for that person only, and for everybody else it does not exist. Limits count reserved and redeemed uses; a
    person is whoever brings the code to a group's price. `ends_at` is exclusive.
    """

    code: Annotated[str, StringConstraints(max_length=40)]
    rule: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    owner: wire_id("psn") | None = None  # type: ignore[valid-type]  # a type made from the prefix

    def draft(self) -> CodeDraft:
        return CodeDraft(
            text=self.code,
            rule=self.rule,
            owner=None if self.owner is None else from_wire("psn", self.owner),
            uses_max=self.uses_max,
            uses_per_person_max=self.uses_per_person_max,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
        )


class CodeOut(Wire):
    """One of your codes. `uses` counts what open bookings reserved and what was redeemed, up to `uses_max`."""

    id: wire_id("cod")  # type: ignore[valid-type]  # a type made from the prefix
    code: str
    rule: str
    owner: wire_id("psn") | None  # type: ignore[valid-type]
    uses: int
    uses_max: int | None
    uses_per_person_max: int | None
    starts_at: Instant | None
    ends_at: Instant | None
    created_at: Instant
    disabled_at: Instant | None
    livemode: bool

    @classmethod
    def of(cls, code: DiscountCode, *, livemode: bool) -> CodeOut:
        draft = code.draft
        return cls(
            id=to_wire("cod", code.id),
            code=draft.text,
            rule=draft.rule,
            owner=None if draft.owner is None else to_wire("psn", draft.owner),
            uses=code.uses,
            uses_max=draft.uses_max,
            uses_per_person_max=draft.uses_per_person_max,
            starts_at=draft.starts_at,
            ends_at=draft.ends_at,
            created_at=code.created_at,
            disabled_at=code.disabled_at,
            livemode=livemode,
        )


class RedemptionOut(Wire):
    """One use of a code: `reserved` by an open booking, `redeemed` once that is booked, `released` when it comes to
    nothing or is taken back; then it no longer counts. `saved` is what the code took off the group's price.
    """

    id: wire_id("rdm")  # type: ignore[valid-type]  # a type made from the prefix
    code: wire_id("cod")  # type: ignore[valid-type]
    booking: wire_id("bkg")  # type: ignore[valid-type]
    state: str
    saved: MoneyWire
    reserved_at: Instant
    redeemed_at: Instant | None
    released_at: Instant | None
    livemode: bool

    @classmethod
    def of(cls, one: Redemption, *, livemode: bool) -> RedemptionOut:
        return cls(
            id=to_wire("rdm", one.id),
            code=to_wire("cod", one.code_id),
            booking=to_wire("bkg", one.reference),  # the only references there are
            state=one.state.value,
            saved=MoneyWire.of(one.saved),
            reserved_at=one.reserved_at,
            redeemed_at=one.redeemed_at,
            released_at=one.released_at,
            livemode=livemode,
        )
