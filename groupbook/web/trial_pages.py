"""The dashboard's page to try rules on a made-up party: a form, the answer line by line, and the case to take away.

Nothing is stored, and no script is needed: the form grows and shrinks by its own buttons.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import partial
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from groupbook import discounts
from groupbook.discounts import (
    CaseInvalid,
    CatalogueInvalid,
    CatalogueNotFound,
    DiscountError,
    NoOwnFare,
    Problem,
    RulesUnsupported,
    TooManyCombinations,
    Trial,
    TrialChoices,
    TrialRules,
    TrialsBusy,
)
from groupbook.house import House
from groupbook.kit import clock
from groupbook.kit.i18n import Words
from groupbook.kit.money import Money
from groupbook.web import trial_form
from groupbook.web.desk import Desk, DeskPages, Form, read_form
from groupbook.web.json_text import NotJson, read_json
from groupbook.web.price_words import proof_text, reason_text
from groupbook.web.render import words_of
from groupbook.web.rule_pages import RULES, Place, day_of, not_json_text, places, read_draft, text_characters_max
from groupbook.web.rule_words import place_text
from groupbook.web.trial_form import CodeFields, PartyFields, PersonFields

TRY: Final = RULES + "/try"
DRAFT: Final = "draft"
PRESETS: Final = ("family", "friends", "cards")
case_characters_max: Final = 200_000
_NO_CHOICES: Final = TrialChoices(None, (), {}, (), ())


@dataclass(frozen=True)
class Chosen:
    """Which rules to try: a version's number, `draft`, or empty for those in force on the day of travel."""

    rules: str = ""
    draft: str = ""

    @property
    def version(self) -> int | None:
        return int(self.rules) if self.rules.isascii() and self.rules.isdigit() and len(self.rules) < 9 else None


@dataclass
class View:
    """What the page shows besides the form: an answer, or what is wrong."""

    errors: dict[str, str] = field(default_factory=dict)
    trouble: str = ""
    is_text: bool = False  # the case was written as JSON
    draft_problems: list[Place] | None = None
    case_text: str = ""
    case_problems: list[Place] | None = None
    answer: dict[str, Any] | None = None

    @property
    def is_refused(self) -> bool:
        return bool(self.errors or self.trouble or self.draft_problems or self.case_problems)


class TrialPages(DeskPages):
    """The page, on one house."""

    def routes(self) -> list[Route]:
        return [Route(TRY, self._page(self.try_rules), methods=["GET", "POST"])]

    async def try_rules(self, request: Request, desk: Desk) -> Response:
        """A preset to begin with; a posted form grows, shrinks, or is priced."""
        say = words_of(request)
        if request.method == "GET":
            chosen = Chosen(request.query_params.get("rules", "")[:20])
            wanted = request.query_params.get("preset", "")
            return await run_in_threadpool(self._begin, request, desk, chosen, wanted, say)
        form = await read_form(request, fields_max=200)
        chosen = Chosen(form["rules"], form.text("draft", text_characters_max))
        return await run_in_threadpool(self._go_on, request, desk, form, chosen, say)

    def _begin(self, request: Request, desk: Desk, chosen: Chosen, wanted: str, say: Words) -> Response:
        today = self._now(desk, clock.now).date()
        choices = _choices(self._rules(desk, chosen, today, View(), say))
        party = trial_form.preset(wanted, choices, currency=desk.merchant.currency, today=today)
        return self._show(request, desk, chosen, party, choices, View())

    def _go_on(self, request: Request, desk: Desk, form: Form, chosen: Chosen, say: Words) -> Response:
        today = self._now(desk, clock.now).date()
        act, view, party = form["act"], View(), _read_fields(form)
        if act == "add" or act.startswith("remove-"):
            party = _with_one_more(party) if act == "add" else _without(party, act.removeprefix("remove-"))
            rules = self._rules(desk, chosen, day_of(party.date) or today, View(), say)
            return self._show(request, desk, chosen, party, _choices(rules), view)
        case = _case_of_text(form, view, say) if act == "json" else _case_of_fields(party, view, say)
        rules = self._rules(desk, chosen, _day_of_case(case) or today, view, say)
        if rules is not None and not view.errors:
            _price(rules, case, view, say)
        if view.answer is not None and act == "json":
            party = trial_form.fields_of(case)
        return self._show(request, desk, chosen, party, _choices(rules), view)

    def _rules(self, desk: Desk, chosen: Chosen, on: date, view: View, say: Words) -> TrialRules | None:
        """The rules to try; None, and what is wrong with them told in the view, when there are none."""
        draft = read_draft(chosen.draft, say) if chosen.rules == DRAFT else None
        if draft is not None and draft.error:
            view.errors["draft"] = draft.error
            return None
        document = None if draft is None else draft.document
        try:
            return self._now(
                desk, lambda session: discounts.trial_rules(session, on=on, version=chosen.version, draft=document)
            )
        except CatalogueNotFound:
            view.errors["rules"] = say(
                "No rules are in force on the day of travel. Choose a version, or paste a draft."
            )
        except (CatalogueInvalid, RulesUnsupported) as error:
            view.draft_problems = places(error.problems, chosen.draft, say)
        return None

    def _show(
        self, request: Request, desk: Desk, chosen: Chosen, party: PartyFields, choices: TrialChoices, view: View
    ) -> Response:
        versions = self._now(desk, lambda session: discounts.list_versions(session, clock.now(session).date()))
        currencies = dict.fromkeys([party.currency, desk.merchant.currency, *choices.currencies])
        context = {
            "here": "rules",
            "chosen": chosen,
            "party": party,
            "choices": choices,
            "view": view,
            "errors": view.errors,
            "presets": PRESETS,
            "versions": versions,
            "currencies": [(one, one) for one in currencies],
            "cards": [(card.type, f"{card.name} ({card.type})") for card in choices.cards],
            "people_max": trial_form.people_max,
        }
        return self._render(request, desk, "rule_trial", context, status=422 if view.is_refused else 200)


# --- what was posted ------------------------------------------------------------------------------------------------


def _read_fields(form: Form) -> PartyFields:
    single = {one.name for one in fields(PartyFields)} - {"people", "codes", "public_holiday", "same_train"}
    count = len(form.getlist("name"))
    return PartyFields(
        **{name: form[name].strip() for name in single},
        public_holiday=form["public_holiday"] == "yes",
        same_train=form["same_train"] == "yes",
        people=tuple(_read_person(form, at) for at in range(min(count, trial_form.people_max))),
        codes=tuple(_read_code(form, at) for at in range(trial_form.codes_max)),
    )


def _read_person(form: Form, at: int) -> PersonFields:
    def one(name: str) -> str:
        return form.nth(name, at).strip()

    return PersonFields(one("name"), one("age"), (one("card"), one("card2")), one("fares_of"), one("tags_of"))


def _read_code(form: Form, at: int) -> CodeFields:
    return CodeFields(form.nth("code", at), form.nth("owner", at))


def _with_one_more(party: PartyFields) -> PartyFields:
    if len(party.people) >= trial_form.people_max:
        return party
    free = next(name for name in trial_form.NAMES if name not in {one.name for one in party.people})
    return replace(party, people=(*party.people, PersonFields(free, "30")))


def _without(party: PartyFields, number: str) -> PartyFields:
    kept = tuple(one for at, one in enumerate(party.people, 1) if str(at) != number)
    return replace(party, people=kept or party.people)


def _case_of_fields(party: PartyFields, view: View, say: Words) -> Mapping[str, Any]:
    reading = trial_form.case_of(party, say)
    view.errors |= reading.errors
    return reading.case


def _case_of_text(form: Form, view: View, say: Words) -> Mapping[str, Any]:
    """A case as it was written."""
    view.is_text, view.case_text = True, form.text("case", case_characters_max)
    try:
        case = read_json(view.case_text)
    except NotJson as error:
        view.errors["case"] = not_json_text(error, say)
        return {}
    if not isinstance(case, dict):
        view.errors["case"] = say("A case is an object in braces.")
        return {}
    return case


def _day_of_case(case: Mapping[str, Any]) -> date | None:
    trip = case.get("trip")
    return day_of(str(trip.get("date", ""))) if isinstance(trip, Mapping) else None


# --- pricing --------------------------------------------------------------------------------------------------------


def _choices(rules: TrialRules | None) -> TrialChoices:
    """What the form offers; nothing while the rules themselves are wrong."""
    return _NO_CHOICES if rules is None else discounts.trial_choices(rules)


def _price(rules: TrialRules, case: Mapping[str, Any], view: View, say: Words) -> None:
    started = time.perf_counter()
    try:
        trial = discounts.try_party(rules, case)
    except TrialsBusy:
        view.trouble = say("Other parties are being priced. Try again in a moment.")
    except DiscountError as error:
        _refuse(view, error, say)
    else:
        view.answer = answer_of(trial, say, milliseconds=(time.perf_counter() - started) * 1_000)


def _refuse(view: View, error: DiscountError, say: Words) -> None:
    """Put what is wrong where it is wrong: the written case, or a field of the form."""
    match error:
        case CaseInvalid() if view.is_text:
            view.case_problems = places(error.problems, view.case_text, say)
        case CaseInvalid():
            view.errors |= trial_form.errors_of(error.problems, partial(place_text, say=say))
            view.trouble = view.errors.pop("", "")
        case NoOwnFare():
            view.trouble = say(
                "%(name)s has no fare to buy alone, so nothing bounds what they would pay.",
                name=error.params.get("traveler", say("Somebody")),
            )
        case TooManyCombinations():
            view.trouble = say("The rules combine in too many ways for an exact answer, and no guess is given instead.")
        case _:
            view.trouble = place_text(Problem("", error.code), say)


# --- the answer -----------------------------------------------------------------------------------------------------


def answer_of(trial: Trial, say: Words, *, milliseconds: float) -> dict[str, Any]:
    """The answer as the page reads it: every amount as money, every rule by its name, every reason a sentence."""
    answer, currency = trial.answer, trial.case["currency"]

    def money(minor: int) -> Money:
        return Money(minor, currency)

    people = [
        {
            "name": id,
            "family": one["family"],
            "pay": money(one["pay"]),
            "alone": money(one["alone"]),
            "saves": money(one["alone"] - one["pay"]) if one["alone"] > one["pay"] else None,
            "lines": [_line(what, money(delta), trial, say) for what, delta in one["lines"]],
        }
        for id, one in answer["people"].items()
    ]
    alone = sum(one["alone"] for one in answer["people"].values())
    return {
        "version": trial.version,
        "total": money(answer["total"]),
        "alone": money(alone) if alone > answer["total"] else None,
        "people": people,
        "applications": [
            {"rule": _title(rule, trial), "by": _holder(by, say), "members": members, "anchor": anchor}
            for rule, by, members, anchor in answer["applications"]
        ],
        "rejected": [
            {"id": rule, "reason": why, "text": reason_text(why, _subject(rule, by, trial, say), say)}
            for rule, by, why in answer["rejected"]
        ],
        "unused": [
            {"rule": _subject(rule, by, trial, say), "dearer": money(more)} for rule, by, more in answer["unused"]
        ],
        "proof": proof_text(is_proven=answer["proof"]["optimal"], bound=money(answer["proof"]["bound"]), say=say),
        "is_proven": answer["proof"]["optimal"],
        "milliseconds": max(1, round(milliseconds)),
        "json": json.dumps(_case_to_copy(trial), ensure_ascii=False, indent=1),
    }


def _case_to_copy(trial: Trial) -> dict[str, Any]:
    """The case with its answer as `expected`: what `groupbook price --check` reads, one line or many."""
    names = ("total", "people", "applications", "rejected", "unused")
    expected = {name: trial.answer[name] for name in names}
    return {**{name: value for name, value in trial.case.items() if name != "expected"}, "expected": expected}


def _line(what: str, amount: Money, trial: Trial, say: Words) -> dict[str, Any]:
    if what.startswith("fare:"):
        return {"label": say("Fare %(family)s", family=what.removeprefix("fare:")), "amount": amount, "kind": ""}
    if what == "settle":
        label = say("Shared evenly, so that nobody pays more than alone")
        return {"label": label, "amount": amount, "kind": "off" if amount.minor < 0 else ""}
    return {"label": _title(what, trial), "amount": amount, "kind": "off" if amount.minor < 0 else ""}


def _title(rule: str, trial: Trial) -> str:
    return trial.titles.get(rule, rule)


def _subject(rule: str, by: str, trial: Trial, say: Words) -> str:
    """A rule and, where it is somebody's, whose: for the beginning of a sentence."""
    holder = _holder(by, say)
    return f"{_title(rule, trial)} ({holder})" if holder else _title(rule, trial)


def _holder(by: str, say: Words) -> str:
    if by == "public":
        return ""
    kind, at, name = by.rpartition("@")
    if not at:
        return by  # one card that names several people, by its own number
    return say("code of %(name)s", name=name) if kind == "code" else say("card of %(name)s", name=name)


def routes(house: House) -> list[Route]:
    return TrialPages(house).routes()
