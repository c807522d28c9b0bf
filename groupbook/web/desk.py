"""What the pages of the dashboard share: who sits at it, forms from our own pages only, one transaction, one frame."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from groupbook import merchants
from groupbook.house import House
from groupbook.kit.callers import Caller
from groupbook.kit.errors import GroupbookError
from groupbook.merchants.domain import Merchant
from groupbook.web import cookies
from groupbook.web.phrases import error_text
from groupbook.web.render import Viewer, render, words_of
from groupbook.web.sessions import require_own_origin

R = TypeVar("R")
HOME: Final = "/dashboard"
LOGIN: Final = "/dashboard/login"
field_characters_max: Final = 2_000


@dataclass(frozen=True)
class Desk:
    """Who sits at the dashboard: the caller, their name, their merchant."""

    caller: Caller
    name: str
    merchant: Merchant


Page = Callable[[Request, Desk], Awaitable[Response]]


class DeskPages:
    """Pages for staff, on one house."""

    def __init__(self, house: House) -> None:
        self._house = house

    def _page(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """A page for staff only: the login page otherwise; forms from our own pages only."""

        async def endpoint(request: Request) -> Response:
            desk = await run_in_threadpool(self._desk, request)
            if desk is None:
                return RedirectResponse(LOGIN, 303)
            try:
                if request.method == "POST":
                    require_own_origin(request, self._house.settings.public_origin)
                return await page(request, desk)
            except GroupbookError as error:
                return self._trouble(request, desk, error)

        return endpoint

    def _desk(self, request: Request) -> Desk | None:
        token = request.cookies.get(cookies.STAFF)
        caller = merchants.authenticate_staff(self._house.database, token) if token else None
        if caller is None or caller.subject is None:
            return None
        with self._house.database.begin(caller.merchant_id) as session:
            staff = merchants.read_staff(session, caller.subject)
            return None if staff is None else Desk(caller, staff.name, merchants.read_merchant(session))

    async def _step(self, desk: Desk, step: Callable[[Session], R]) -> R:
        return await run_in_threadpool(self._now, desk, step)

    def _now(self, desk: Desk, step: Callable[[Session], R]) -> R:
        """`_step` for who is in the thread pool already."""
        with self._house.database.begin(desk.merchant.id) as session:
            return step(session)

    def _render(
        self,
        request: Request,
        desk: Desk,
        page: str,
        context: Mapping[str, Any],
        *,
        status: int = 200,
        form_targets: Iterable[str] = (),
    ) -> Response:
        return render(
            request,
            f"dashboard/{page}.html",
            {"wide": True, "home_url": HOME, "here": page, **context},
            status=status,
            merchant=desk.merchant,
            viewer=Viewer(desk.name),
            form_targets=form_targets,
        )

    def _trouble(self, request: Request, desk: Desk, error: GroupbookError) -> Response:
        say = words_of(request)
        is_missing = error.kind.value == "not_found"
        text = say("There is nothing here, or it belongs to somebody else.") if is_missing else error_text(error, say)
        return self._render(request, desk, "trouble", {"text": text}, status=404 if is_missing else 403)


class Form:
    """A posted form: single texts by name, empty when absent, cut where no honest form would be longer."""

    def __init__(self, data: FormData, files: Mapping[str, bytes]) -> None:
        self._data = data
        self._files = files

    def __getitem__(self, name: str) -> str:
        return self.text(name, field_characters_max)

    def text(self, name: str, characters_max: int) -> str:
        value = self._data.get(name)
        return value[:characters_max].replace("\x00", "") if isinstance(value, str) else ""

    def getlist(self, name: str) -> list[Any]:
        return self._data.getlist(name)

    def nth(self, name: str, at: int) -> str:
        """One of several texts of a name, in the order of the page."""
        values = self._data.getlist(name)
        value = values[at] if at < len(values) else ""
        return value[:field_characters_max].replace("\x00", "") if isinstance(value, str) else ""

    def file(self, name: str) -> bytes:
        """What was uploaded under this name; empty when nothing was."""
        return self._files.get(name, b"")


async def read_form(request: Request, *, files_max: int = 0, fields_max: int = 100) -> Form:
    async with request.form(max_files=files_max, max_fields=fields_max) as data:
        files = {name: await value.read() for name, value in data.items() if isinstance(value, UploadFile)}
        return Form(data, files)
