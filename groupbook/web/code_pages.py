"""The dashboard's pages of discount codes: what there is and how often it was used, a new one, its limits, its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from groupbook import bookings, discounts
from groupbook.discounts import CodeDraft, CodeExists, CodeInvalid, CodeLimits, CodeState, DiscountCode
from groupbook.discounts.domain import RedemptionState
from groupbook.house import House
from groupbook.kit import clock
from groupbook.kit.errors import InvalidId
from groupbook.kit.i18n import Words, format_number
from groupbook.kit.ids import BookingId, CodeId, from_wire, to_wire
from groupbook.web.desk import Desk, DeskPages, Form, read_form
from groupbook.web.render import words_of

CODES: Final = "/dashboard/codes"
_LIMITS: Final = ("uses_max", "uses_per_person_max")
_MOMENTS: Final = ("starts_at", "ends_at")
_FIELDS: Final = ("code", "rule", "owner", *_LIMITS, *_MOMENTS)
_number_digits_max: Final = 12
_redemptions_shown: Final = 20


@dataclass
class Typed:
    """A form as it was typed, what it means where it means something, and what is wrong, by field."""

    texts: Mapping[str, str]
    numbers: dict[str, int | None] = field(default_factory=dict)
    moments: dict[str, datetime | None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def limits(self) -> CodeLimits:
        numbers, moments = self.numbers, self.moments
        return CodeLimits(numbers["uses_max"], numbers["uses_per_person_max"], moments["starts_at"], moments["ends_at"])


class CodePages(DeskPages):
    """The pages, on one house."""

    def routes(self) -> list[Route]:
        return [
            Route(CODES, self._page(self.list_codes), methods=["GET", "POST"]),
            Route(CODES + "/{code_id}", self._page(self.show_code), methods=["GET", "POST"]),
            Route(CODES + "/{code_id}/disable", self._page(self.disable_code), methods=["GET", "POST"]),
        ]

    async def list_codes(self, request: Request, desk: Desk) -> Response:
        """The codes with their counts; a form makes one, also like another (`?like=cod_…`)."""
        say = words_of(request)
        typed = Typed(dict.fromkeys(_FIELDS, ""))
        if request.method == "POST":
            typed = read_typed(await read_form(request), desk.merchant.timezone, say)
            made = await self._step(desk, lambda session: self._create(session, typed, say))
            if made is not None:
                return RedirectResponse(f"{CODES}/{to_wire('cod', made)}?made=1", 303)
        elif like := request.query_params.get("like"):
            id = CodeId(from_wire("cod", like))
            code = await self._step(desk, lambda session: discounts.read_code(session, id))
            typed = Typed({**texts_of(code, desk.merchant.timezone), "code": ""})
        cursor = request.query_params.get("cursor") or None

        def read(session: Session) -> dict[str, Any]:
            now = clock.now(session)
            found = discounts.list_codes(session, cursor, 50)
            rules = discounts.rules_for_codes(session, now=now)
            return {
                "rows": [_row(one, rules, now, say) for one in found.rows],
                "next_cursor": found.next_cursor,
                "rules": sorted(rules.items(), key=lambda rule: (rule[1], rule[0])),
            }

        context = {"typed": typed.texts, "errors": typed.errors, **await self._step(desk, read)}
        return self._render(request, desk, "codes", context, status=422 if typed.errors else 200)

    def _create(self, session: Session, typed: Typed, say: Words) -> CodeId | None:
        """The new code; None where something typed is wrong, and nothing was stored."""
        owner = None
        if typed.texts["owner"]:
            try:
                owner = from_wire("psn", typed.texts["owner"])
            except InvalidId:
                typed.errors["owner"] = code_problem(CodeInvalid(reason="unknown_owner"), say)
        if typed.errors:
            return None
        limits = typed.limits
        draft = CodeDraft(
            text=typed.texts["code"],
            rule=typed.texts["rule"],
            owner=owner,
            uses_max=limits.uses_max,
            uses_per_person_max=limits.uses_per_person_max,
            starts_at=limits.starts_at,
            ends_at=limits.ends_at,
        )
        try:
            return discounts.create_code(session, draft, now=clock.now(session)).id
        except (CodeInvalid, CodeExists) as error:
            _put(typed, error, say)
            return None

    async def show_code(self, request: Request, desk: Desk) -> Response:
        """One code: its count, what it was used for, and its limits to change."""
        code_id, say, zone = _id(request), words_of(request), desk.merchant.timezone
        typed = None
        if request.method == "POST":
            form = await read_form(request)
            typed = await self._step(desk, lambda session: self._change(session, code_id, form, zone, say))
            if not typed.errors:
                return RedirectResponse(f"{request.url.path}?changed=1", 303)
        cursor = request.query_params.get("cursor") or None

        def read(session: Session) -> dict[str, Any]:
            now = clock.now(session)
            code = discounts.read_code(session, code_id)
            found = discounts.list_redemptions(session, code_id, cursor, _redemptions_shown)
            titles = bookings.titles(session, {BookingId(one.reference) for one in found.rows})
            return {
                "code": _row(code, discounts.rules_for_codes(session, now=now), now, say),
                "typed": typed.texts if typed else texts_of(code, zone),
                "errors": typed.errors if typed else {},
                "uses": [
                    {
                        "booking": to_wire("bkg", one.reference),
                        "title": titles.get(BookingId(one.reference), ""),
                        "state": redemption_words(one.state, say),
                        "saved": one.saved,
                        "at": one.redeemed_at or one.reserved_at,
                    }
                    for one in found.rows
                ],
                "next_cursor": found.next_cursor,
            }

        context = {
            "here": "codes",
            "made": "made" in request.query_params,
            "changed": "changed" in request.query_params,
            **await self._step(desk, read),
        }
        return self._render(request, desk, "code", context, status=422 if typed else 200)

    def _change(self, session: Session, code_id: CodeId, form: Form, zone: str, say: Words) -> Typed:
        shown = discounts.read_code(session, code_id)
        typed = read_typed(form, zone, say, shown)
        if not typed.errors:
            try:
                discounts.change_code_limits(session, code_id, typed.limits)
            except CodeInvalid as error:
                _put(typed, error, say)
        return typed

    async def disable_code(self, request: Request, desk: Desk) -> Response:
        """Asked once more, because a code that is switched off stays so."""
        code_id = _id(request)
        page = f"{CODES}/{to_wire('cod', code_id)}"
        if request.method == "POST":
            await self._step(desk, lambda session: discounts.disable_code(session, code_id, now=clock.now(session)))
            return RedirectResponse(page, 303)
        code = await self._step(desk, lambda session: discounts.read_code(session, code_id))
        if code.disabled_at is not None:
            return RedirectResponse(page, 303)
        say = words_of(request)
        context = {
            "here": "codes",
            "title": say("Switch this code off?"),
            "facts": [(say("Code"), code.draft.text), (say("Used"), uses_text(code, say))],
            "effect": say(
                "No new price counts it, and who enters it is told that there is no such code. Groups that have been "
                "asked to pay keep their price. This cannot be undone, and its text cannot be given to another code."
            ),
            "label": say("Switch off"),
            "back": page,
        }
        return self._render(request, desk, "sure", context)


# --- what was typed -------------------------------------------------------------------------------------------------


def read_typed(form: Form, zone: str, say: Words, shown: DiscountCode | None = None) -> Typed:
    """The form's numbers and moments, in the merchant's time. A moment that was left as it was shown stays the very
    instant, seconds and all.
    """
    typed = Typed({name: form[name].strip() for name in _FIELDS})
    for name in _LIMITS:
        text = typed.texts[name]
        if not text or (text.isascii() and text.isdigit() and len(text) <= _number_digits_max):
            typed.numbers[name] = int(text) if text else None
        else:
            typed.errors[name] = code_problem(CodeInvalid(reason="limit_range"), say)
    before = texts_of(shown, zone) if shown is not None else {}
    for name in _MOMENTS:
        text = typed.texts[name]
        if shown is not None and text == before[name]:
            typed.moments[name] = getattr(shown.draft, name)
            continue
        try:
            typed.moments[name] = _moment(text, zone)
        except ValueError:
            typed.errors[name] = say("Give a day and a time: 2026-12-31T18:00.")
    return typed


def _moment(text: str, zone: str) -> datetime | None:
    """What a browser's field for day and time sends. Raises ValueError."""
    if not text:
        return None
    at = datetime.fromisoformat(text)
    if at.tzinfo is not None or len(text) < len("2026-12-31T18:00"):
        raise ValueError(text)
    return at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def texts_of(code: DiscountCode, zone: str) -> dict[str, str]:
    """A code as its form shows it."""
    draft = code.draft

    def local(at: datetime | None) -> str:
        return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M") if at is not None else ""

    return {
        "code": draft.text,
        "rule": draft.rule,
        "owner": to_wire("psn", draft.owner) if draft.owner is not None else "",
        "uses_max": str(draft.uses_max or ""),
        "uses_per_person_max": str(draft.uses_per_person_max or ""),
        "starts_at": local(draft.starts_at),
        "ends_at": local(draft.ends_at),
    }


def _put(typed: Typed, error: CodeInvalid | CodeExists, say: Words) -> None:
    typed.errors[(error.pointer or "/code").removeprefix("/")] = code_problem(error, say)


def code_problem(error: CodeInvalid | CodeExists, say: Words) -> str:
    """What is wrong with one field."""
    if isinstance(error, CodeExists):
        return say("You have a code of this text already; capitals do not make another.")
    reason = error.params.get("reason")
    if reason == "below_uses":
        return say.many(
            "It was used %(num)s time already; that is the least.",
            "It was used %(num)s times already; that is the least.",
            int(str(error.params["uses"])),
        )
    return {
        "code_text": say("Take 3 to 40 letters, digits, dots, dashes or underscores, a letter or digit first."),
        "unknown_rule": say("Your rules do not know this one, neither today's nor the newest."),
        "rule_without_code": say("This rule needs no code."),
        "unknown_owner": say("There is no such person. Their id begins with psn_."),
        "limit_range": say("Give a whole number, 1 or more, or nothing."),
        "ends_before_start": say("The end has to come after the beginning."),
    }.get(str(reason), say("That did not work. Nothing was changed."))


# --- for the templates ----------------------------------------------------------------------------------------------


def state_words(state: CodeState, say: Words) -> tuple[str, str]:
    """Where a code stands for whoever has not used it yet, and its tone."""
    s = CodeState
    return {
        s.USABLE: (say("Can be used"), "ok"),
        s.NOT_STARTED: (say("Not yet"), "info"),
        s.EXPIRED: (say("Expired"), "quiet"),
        s.USED_UP: (say("Used up"), "warn"),
        s.DISABLED: (say("Switched off"), "quiet"),
    }[state]


def redemption_words(state: RedemptionState, say: Words) -> tuple[str, str]:
    s = RedemptionState
    return {
        s.RESERVED: (say("In an open booking"), "info"),
        s.REDEEMED: (say("Booked"), "ok"),
        s.RELEASED: (say("Given back: counts no more"), "quiet"),
    }[state]


def uses_text(code: DiscountCode, say: Words) -> str:
    """How often it was used, and of how many times."""
    if code.draft.uses_max is None:
        return say.many("%(num)s time", "%(num)s times", code.uses)
    most = format_number(code.draft.uses_max, say.locale)
    return say("%(uses)s of %(most)s", uses=format_number(code.uses, say.locale), most=most)


def _row(code: DiscountCode, rules: Mapping[str, str], now: datetime, say: Words) -> dict[str, Any]:
    draft = code.draft
    return {
        "id": to_wire("cod", code.id),
        "url": f"{CODES}/{to_wire('cod', code.id)}",
        "text": draft.text,
        "rule": draft.rule,
        "rule_title": rules.get(draft.rule, ""),
        "owner": to_wire("psn", draft.owner) if draft.owner is not None else "",
        "state": state_words(code.state(now, uses_by_subject=0), say),
        "is_off": code.disabled_at is not None,
        "uses": uses_text(code, say),
        "per_person": draft.uses_per_person_max,
        "starts_at": draft.starts_at,
        "ends_at": draft.ends_at,
        "created_at": code.created_at,
        "disabled_at": code.disabled_at,
    }


def _id(request: Request) -> CodeId:
    return CodeId(from_wire("cod", request.path_params["code_id"]))


def routes(house: House) -> list[Route]:
    return CodePages(house).routes()
