"""The mailbox of the demo: letters that were written into a folder instead of being sent. In test mode only."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from groupbook.kit.errors import NotFound
from groupbook.web.render import render

letters_shown: Final = 100
_NAME: Final = re.compile(r"[0-9a-f]{32}")
# A letter is shown as a mail program would show it: no script, nothing fetched.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def routes(folder: Path) -> list[Route]:
    """The mailbox of one folder."""

    async def mailbox(request: Request) -> Response:
        context = {"letters": await run_in_threadpool(_letters, folder)}
        return render(request, "mailbox.html", context)

    async def letter(request: Request) -> Response:
        mail = await run_in_threadpool(_letter, folder, request.path_params["name"])
        body = mail.get_body(("html",))
        if body is None:
            raise NotFound()
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return HTMLResponse(body.get_content(), headers=headers)

    return [Route("/mailbox", mailbox), Route("/mailbox/{name}", letter)]


def _letters(folder: Path) -> list[dict[str, Any]]:
    """The newest first."""
    files = sorted(folder.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns, reverse=True)[:letters_shown]
    found = []
    for file in files:
        mail = _letter(folder, file.stem)
        plain = mail.get_body(("plain",))
        found.append(
            {
                "name": file.stem,
                "to": str(mail["To"]),
                "subject": str(mail["Subject"]),
                "stop": str(mail["List-Unsubscribe"] or "").strip("<>"),
                "plain": plain.get_content() if plain is not None else "",
            }
        )
    return found


def _letter(folder: Path, name: str) -> EmailMessage:
    if _NAME.fullmatch(name) is None:
        raise NotFound()
    try:
        return message_from_bytes((folder / f"{name}.eml").read_bytes(), policy=policy.default)
    except OSError:
        raise NotFound() from None
