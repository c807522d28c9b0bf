"""The demo's mailbox: empty, then with a letter."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

from groupbook.web import mailbox_pages

NAME = "0" * 32


def test_the_mailbox_shows_letters_and_says_where_there_is_none(tmp_path: Path) -> None:
    browser = TestClient(Starlette(routes=mailbox_pages.routes(tmp_path / "mails")))
    empty = browser.get("/mailbox")
    assert (empty.status_code, "No mail yet" in empty.text) == (200, True)

    (tmp_path / "mails").mkdir()
    letter = EmailMessage()
    letter["To"], letter["Subject"] = "bo@example.org", "Lyon lights: it is decided"
    letter.set_content("The group has decided.")
    letter.add_alternative("<p>The group has decided.</p>", subtype="html")
    (tmp_path / "mails" / f"{NAME}.eml").write_bytes(letter.as_bytes())
    full = browser.get("/mailbox")
    assert "No mail yet" not in full.text
    assert "Lyon lights: it is decided" in full.text
    assert "<p>The group has decided.</p>" in browser.get(f"/mailbox/{NAME}").text
