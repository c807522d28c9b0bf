"""The dashboard's page of the settlement: what the merchant sets itself, the defaults otherwise, and a preview."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from groupbook import bookings
from groupbook.bookings import LOST_DISCOUNT, Policy
from groupbook.bookings.domain import SETTING_LIMITS, PolicyInvalid, check_settings, limits_of, policy_of
from groupbook.house import House
from groupbook.kit import clock
from groupbook.kit.i18n import Words
from groupbook.web.desk import Desk, DeskPages, Form, read_form
from groupbook.web.phrases import length_text
from groupbook.web.render import words_of
from groupbook.web.settlement_words import (
    UNITS,
    choice_words,
    explained,
    group_words,
    problem_words,
    traveler_texts,
    unit_words,
)

SETTLEMENT: Final = "/dashboard/settlement"
GROUPS: Final = {
    "collecting": ("collection_window_seconds", "extension_seconds", "authorize_ahead_seconds", "hold_margin_seconds"),
    "agreeing": ("payer_quorum", "lost_discount", "shortfall", "keeps_cards"),
    "deciding": ("confirm_budget_seconds", "settle_budget_seconds", "recovery_budget_seconds"),
    "after": ("amendment_window_seconds", "waiting_offer_seconds"),
}
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "lost_discount": LOST_DISCOUNT,
    "shortfall": ("unwind", "receivable"),
    "keeps_cards": ("no", "yes"),
}


@dataclass
class Typed:
    """A form as it was typed, the settings it means, and what is wrong, by name."""

    texts: dict[str, str]
    units: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


class SettlementPages(DeskPages):
    """The page, on one house."""

    def routes(self) -> list[Route]:
        return [Route(SETTLEMENT, self._page(self.show), methods=["GET", "POST"])]

    async def show(self, request: Request, desk: Desk) -> Response:
        """The settings; a form previews, stores, or lets go of all of them."""
        say, house = words_of(request), self._house.policy
        saved = await run_in_threadpool(bookings.read_settings, self._house.database, desk.caller)
        typed, is_preview = shown(saved), False
        if request.method == "POST":
            form = await read_form(request)
            typed = Typed({}, {}) if form["act"] == "reset" else read_typed(form, house, say)
            is_preview = form["act"] == "preview"
            if not is_preview and not typed.errors:
                await run_in_threadpool(self._store, desk, typed, say)
                if not typed.errors:
                    return RedirectResponse(f"{SETTLEMENT}?changed=1", 303)
        status = 422 if typed.errors else 200
        previewed = saved if typed.errors else typed.settings
        policy = policy_of(house, previewed)

        def read(session: Session) -> list[str]:
            limits = limits_of(house, previewed)
            return list(
                traveler_texts(policy, limits, desk.merchant.currency, clock.now(session), desk.merchant.timezone, say)
            )

        context = {
            "groups": [
                {"id": id, "name": group_words(id, say), "fields": [_field(name, typed, house, say) for name in names]}
                for id, names in GROUPS.items()
            ],
            "units": [(unit, unit_words(unit, say)) for unit in UNITS],
            "preview": await self._step(desk, read),
            "is_preview": is_preview and not typed.errors,
            "has_own": bool(saved),
            "is_put_aside": bool(saved) and policy_of(house, saved) is house,
            "errors": typed.errors,
            "changed": "changed" in request.query_params,
        }
        return self._render(request, desk, "settlement", context, status=status)

    def _store(self, desk: Desk, typed: Typed, say: Words) -> None:
        try:
            bookings.change_policy(self._house.database, desk.caller, self._house.policy, typed.settings)
        except PolicyInvalid as error:
            _put(typed, error, say)


# --- what was typed -------------------------------------------------------------------------------------------------


def read_typed(form: Form, house: Policy, say: Words) -> Typed:
    """Every field that is not left to the house. Whatever is wrong by itself is told, and else what is together."""
    typed = Typed({}, {})
    for one in fields(Policy):
        name = one.name
        text = typed.texts[name] = form[name].strip()
        if name in SETTING_LIMITS:
            unit = form[f"{name}_unit"]
            typed.units[name] = unit if unit in UNITS else "seconds"
        if not text:
            continue
        try:
            typed.settings[name] = _value(name, text, typed.units.get(name, ""))
            check_settings({name: typed.settings[name]}, house)
        except ValueError:
            typed.errors[name] = _not_a_number(name, say)
        except PolicyInvalid as error:
            if error.params.get("reason") != "authorizations_too_short":  # the others may make up for it
                typed.errors[name] = problem_words(error, say)
    if not typed.errors:
        try:
            check_settings(typed.settings, house)
        except PolicyInvalid as error:
            _put(typed, error, say)
    return typed


def _value(name: str, text: str, unit: str) -> Any:
    """What the API would be sent. Raises ValueError."""
    if name == "keeps_cards":
        return text == "yes"
    if name in _CHOICES:
        return text
    if name == "payer_quorum":
        return int(text)
    try:
        seconds = Decimal(text.replace(",", ".")) * UNITS[unit]
    except InvalidOperation as error:
        raise ValueError(text) from error
    if not seconds.is_finite():
        raise ValueError(text)
    return float(seconds)


def _not_a_number(name: str, say: Words) -> str:
    return say("Give a whole number, 1 or more, or nothing.") if name == "payer_quorum" else say("Give a number.")


def _put(typed: Typed, error: PolicyInvalid, say: Words) -> None:
    typed.errors[(error.pointer or "/").removeprefix("/")] = problem_words(error, say)


def shown(settings: Mapping[str, Any]) -> Typed:
    """Saved settings as the form shows them."""
    texts: dict[str, str] = {}
    units: dict[str, str] = {}
    for name, value in settings.items():
        if name in SETTING_LIMITS:
            texts[name], units[name] = _in_unit(value)
        elif name == "keeps_cards":
            texts[name] = "yes" if value else "no"
        else:
            texts[name] = str(value)
    return Typed(texts, units, dict(settings))


def _in_unit(seconds: float) -> tuple[str, str]:
    """In the unit that `length_text` takes."""
    unit = "seconds"
    if seconds >= 2 * UNITS["days"] and seconds % UNITS["days"] == 0:
        unit = "days"
    elif seconds >= UNITS["hours"] and seconds % UNITS["hours"] == 0:
        unit = "hours"
    elif seconds % UNITS["minutes"] == 0:
        unit = "minutes"
    return f"{Decimal(str(seconds)) / UNITS[unit]:f}".removesuffix(".0"), unit


# --- for the template -----------------------------------------------------------------------------------------------


def _field(name: str, typed: Typed, house: Policy, say: Words) -> dict[str, Any]:
    told, at_default = explained(name, say), getattr(house, name)
    found: dict[str, Any] = {
        "name": name,
        "label": told.label,
        "text": told.text,
        "value": typed.texts.get(name, ""),
        "error": typed.errors.get(name, ""),
        "is_length": name in SETTING_LIMITS,
        "choices": [],
        "range": "",
    }
    if name in SETTING_LIMITS:
        least, most = (length_text(int(limit), say) for limit in SETTING_LIMITS[name])
        found["default"] = length_text(int(at_default), say)
        found["unit"] = typed.units.get(name) or _in_unit(at_default)[1]
        found["range"] = say("Between %(least)s and %(most)s.", least=least, most=most)
    elif name in _CHOICES:
        standing = ("yes" if at_default else "no") if name == "keeps_cards" else str(at_default)
        found["default"] = choice_words(name, standing, say)
        found["choices"] = [(value, choice_words(name, value, say)) for value in _CHOICES[name]]
    else:
        found["default"] = say("everybody") if at_default is None else str(at_default)
    return found


def routes(house: House) -> list[Route]:
    return SettlementPages(house).routes()
