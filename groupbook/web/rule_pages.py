"""The dashboard's pages of rules: versions and their times, an upload with its errors, what a version changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from groupbook import discounts
from groupbook.discounts import Finding, Problem, RuleChange, VersionState, VersionSummary
from groupbook.house import House
from groupbook.kit import clock
from groupbook.kit.errors import NotFound
from groupbook.kit.i18n import Words
from groupbook.web.desk import Desk, DeskPages, Form, read_form
from groupbook.web.json_text import NotJson, lines_of, read_json
from groupbook.web.render import words_of
from groupbook.web.rule_words import place_text

RULES: Final = "/dashboard/rules"
text_characters_max: Final = 1 << 20
_excerpt_characters_max: Final = 400


@dataclass(frozen=True)
class Place:
    """One place of a document that is wrong or strange, with its line where the text is at hand."""

    pointer: str
    rule: str
    line: int | None
    text: str


@dataclass(frozen=True)
class Upload:
    """What the merchant sent, and what is to be said of it."""

    text: str = ""
    starts_on: str = ""
    text_error: str = ""
    day_error: str = ""
    problems: Sequence[Place] = ()
    warnings: Sequence[Place] = ()
    rule_count: int | None = None  # known once they were found sound

    @property
    def is_refused(self) -> bool:
        return bool(self.text_error or self.day_error or self.problems)


@dataclass(frozen=True)
class Draft:
    """A text as rules: the document, or why it is none."""

    document: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def read_draft(text: str, say: Words) -> Draft:
    """The rules of a text: an object with a list `rules`, as we give it out, or the bare list."""
    if not text.strip():
        return Draft(error=say("Paste your rules, or choose a file."))
    try:
        document = read_json(text)
    except NotJson as error:
        return Draft(error=not_json_text(error, say))
    if isinstance(document, list):
        document = {"rules": document}
    if not isinstance(document, dict) or not isinstance(document.get("rules"), list):
        return Draft(error=say('A list of rules is needed: {"rules": [ … ]}.'))
    return Draft(document)


def not_json_text(error: NotJson, say: Words) -> str:
    match error.code:
        case "syntax":
            return say(
                "This is not JSON: something is wrong in line %(line)s, at sign %(column)s.",
                line=error.line,
                column=error.column,
            )
        case "name_twice":
            return say("The field “%(name)s” is given twice in one object.", name=error.name)
        case "encoding":
            return say("The file is not text in UTF-8.")
        case "number":
            return say("It holds a number that is none, or is too long.")
        case "character":
            return say("It holds a sign that cannot be stored.")
    return say("This is nested too deeply.")


def places(found: Sequence[Problem | Finding], text: str | None, say: Words) -> list[Place]:
    """Each place with its sentence; `text` is the very text that was read."""
    pointers = [one.pointer for one in found]
    # A bare list was read as {"rules": [...]}.
    inside = "" if text is None or text.lstrip().startswith("{") else "/rules"
    lines = {} if text is None else lines_of(text, [pointer.removeprefix(inside) for pointer in pointers])
    return [
        Place(one.pointer, one.rule or "", lines.get(one.pointer.removeprefix(inside)), place_text(one, say))
        for one in found
    ]


class RulePages(DeskPages):
    """Versions of rules, on one house."""

    def routes(self) -> list[Route]:
        return [
            Route(RULES, self._page(self.list_versions), methods=["GET", "POST"]),
            Route(RULES + "/{version:int}", self._page(self.show_version), methods=["GET", "POST"]),
            Route(RULES + "/{version:int}/download", self._page(self.download)),
        ]

    async def list_versions(self, request: Request, desk: Desk) -> Response:
        """Every version and its time; a form looks new rules through, or stores them."""
        say = words_of(request)
        upload = Upload(starts_on=(await self._today(desk)).isoformat())
        if request.method == "POST":
            form = await read_form(request, files_max=1)
            upload = await self._read_upload(form, desk, say)
            if form["act"] == "store" and not upload.is_refused:
                return RedirectResponse(f"{RULES}/{await self._store(upload, desk, say)}?stored=1", 303)
        found = await self._step(desk, lambda session: discounts.list_versions(session, clock.now(session).date()))
        context = {
            "upload": upload,
            "versions": [_version_row(one, say) for one in found],
            "characters_max": text_characters_max,
        }
        return self._render(request, desk, "rules", context, status=422 if upload.is_refused else 200)

    async def _today(self, desk: Desk) -> date:
        return (await self._step(desk, clock.now)).date()

    async def _read_upload(self, form: Form, desk: Desk, say: Words) -> Upload:
        content = form.file("file")
        upload = Upload(text=form.text("rules", text_characters_max), starts_on=form["starts_on"].strip())
        if content:
            try:
                upload = replace(upload, text=content.decode("utf-8-sig"))
            except UnicodeDecodeError:
                return replace(upload, text_error=not_json_text(NotJson("encoding"), say))
        starts_on = day_of(upload.starts_on)
        if starts_on is None:
            upload = replace(upload, day_error=say("Give the first day of travel: 2026-12-31."))
        return await run_in_threadpool(_looked_through, upload, starts_on, desk.merchant.currency, say)

    async def _store(self, upload: Upload, desk: Desk, say: Words) -> int:
        document, starts_on = read_draft(upload.text, say).document, day_of(upload.starts_on)

        def store(session: Session) -> int:
            now = clock.now(session)
            return discounts.put_catalogue(session, document, starts_on=starts_on or now.date(), now=now).version

        return await self._step(desk, store)

    async def show_version(self, request: Request, desk: Desk) -> Response:
        """One version: its time, its rules, what deserves a second look, and what it changed."""
        number, say = request.path_params["version"], words_of(request)
        if request.method == "POST":
            await self._act(await read_form(request), desk, number)
            return RedirectResponse(RULES, 303)
        against = request.query_params.get("against", "")

        def read(session: Session) -> dict[str, Any]:
            today = clock.now(session).date()
            versions = discounts.list_versions(session, today)
            since = int(against) if against.isascii() and against.isdigit() and len(against) < 9 else None
            pair = discounts.version_pair(session, number, since=since)
            shown = next(one for one in versions if one.version == number)
            before = pair.before.document if pair.before else {"rules": []}
            check = discounts.check_catalogue(pair.after.document, currency=desk.merchant.currency)
            return {
                "version": _version_row(shown, say),
                "is_coming": shown.starts_on > today and shown.state is not VersionState.WITHDRAWN,
                "others": [one.version for one in versions if one.version != number],
                "since": pair.before.version if pair.before else None,
                "changes": _changes(discounts.changes_between(before, pair.after.document)),
                "rules": _rule_rows(pair.after.document, say),
                "warnings": places(check.findings, None, say),
            }

        context = await self._step(desk, read)
        return self._render(
            request, desk, "rule_version", {"here": "rules", "stored": "stored" in request.query_params, **context}
        )

    async def _act(self, form: Form, desk: Desk, number: int) -> None:
        if form["act"] != "withdraw":
            raise NotFound()
        await self._step(desk, lambda session: discounts.withdraw_version(session, number, now=clock.now(session)))

    async def download(self, request: Request, desk: Desk) -> Response:
        """The rules as they were uploaded, written to be read."""
        number = request.path_params["version"]
        found = await self._step(desk, lambda session: discounts.read_version(session, number))
        name = f"{desk.merchant.slug}-rules-{number}.json"
        return Response(
            json.dumps(found.document, ensure_ascii=False, indent=1) + "\n",
            media_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
        )


def day_of(text: str) -> date | None:
    """A day as browsers send it; None for anything else."""
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def _looked_through(upload: Upload, starts_on: date | None, currency: str, say: Words) -> Upload:
    draft = read_draft(upload.text, say)
    if draft.error:
        return replace(upload, text_error=draft.error)
    check = discounts.check_catalogue(draft.document, starts_on=starts_on, currency=currency)
    return replace(
        upload,
        problems=places(check.problems, upload.text, say),
        warnings=places(check.findings, upload.text, say),
        rule_count=None if check.problems else len(draft.document["rules"]),
    )


# --- for the templates ----------------------------------------------------------------------------------------------


def state_words(state: VersionState, say: Words) -> tuple[str, str]:
    """A version's state and its tone."""
    s = VersionState
    return {
        s.IN_FORCE: (say("In force"), "ok"),
        s.SCHEDULED: (say("Coming"), "info"),
        s.ENDED: (say("Over"), "quiet"),
        s.REPLACED: (say("Replaced"), "quiet"),
        s.WITHDRAWN: (say("Withdrawn"), "quiet"),
    }[state]


def _version_row(one: VersionSummary, say: Words) -> dict[str, Any]:
    return {
        "number": one.version,
        "url": f"{RULES}/{one.version}",
        "starts_on": one.starts_on,
        "ends_on": one.ends_on,
        "state": state_words(one.state, say),
        "is_standing": one.state not in (VersionState.REPLACED, VersionState.WITHDRAWN),
        "rules": one.rules,
        "created_at": one.created_at,
    }


def _changes(found: discounts.CatalogueChanges) -> dict[str, list[dict[str, Any]]]:
    return {
        "added": [_change(one) for one in found.added],
        "removed": [_change(one) for one in found.removed],
        "changed": [_change(one) for one in found.changed],
    }


def _change(one: RuleChange) -> dict[str, Any]:
    fields = [
        {"name": part.field, "before": _excerpt(part.before), "after": _excerpt(part.after)} for part in one.fields
    ]
    return {"id": one.id, "title": one.title, "fields": fields}


def _excerpt(value: Any) -> str:
    """A value as JSON, cut where nobody reads on; empty where there is none."""
    text = "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _excerpt_characters_max else text[:_excerpt_characters_max] + " …"


def _rule_rows(document: Mapping[str, Any], say: Words) -> list[dict[str, Any]]:
    kinds = {"self": say("One person"), "joint": say("Several people"), "order": say("The whole order")}
    rows = []
    for rule in document["rules"]:
        trigger = rule.get("trigger", {})
        card = trigger.get("card", ())
        rows.append(
            {
                "id": rule["id"],
                "title": rule.get("title") or rule["id"],
                "kind": say("Stated, not priced") if rule.get("executable") is False else kinds[rule["scope"]],
                "cards": ([card] if isinstance(card, str) else list(card)),
                "is_code": "code" in trigger,
                "is_public": "public" in trigger,
                "valid": rule.get("valid", {}),
            }
        )
    return rows


def routes(house: House) -> list[Route]:
    return RulePages(house).routes()
