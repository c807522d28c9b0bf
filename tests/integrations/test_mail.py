"""E-mail to a real SMTP server: encryption, login, refusals for good and for now, and headers nobody can break."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.notices.domain import Address, Message
from integrations.social.mail import Mailer
from tests.support.mailbox import LOGIN, Mailbox, Security, mailbox

SENDER = "Kestrel Trips <trips@gb.example>"
ANA = Address("", "", "", "ana@example.org")
MESSAGE = Message(
    subject="Your ticket is here: Été 🎉",
    text="Your ticket.",
    link="https://gb.example/t/trip_1",
    plain="Your ticket is here.\n.\nA line with a dot alone stood above.\n",
    html="<p>Your ticket is here.</p>",
    stop_url="https://gb.example/mail/abc",
)


def mailer(box: Mailbox, *, login: tuple[str, str] | None = None, timeout_seconds: float = 5.0) -> Mailer:
    url = box.url
    if login:
        scheme, _, rest = url.partition("://")
        url = f"{scheme}://{quote(login[0], safe='')}:{quote(login[1], safe='')}@{rest}"
    context = ssl.create_default_context(cafile=box.ca_file or None)
    return Mailer(url=url, sender=SENDER, timeout_seconds=timeout_seconds, context=context)


def test_a_letter_has_two_bodies_and_says_how_to_stop(tmp_path: Path) -> None:
    with mailbox(tmp_path) as box:
        mailer(box).send(ANA, MESSAGE, key="notice:17")
        [mail] = box.mails
        assert box.recipients == ["ana@example.org"]
        assert (mail["From"], mail["To"]) == (SENDER, "ana@example.org")
        assert mail["Subject"] == MESSAGE.subject
        assert mail["Message-ID"] == "<notice.17@gb.example>"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["List-Unsubscribe"] == "<https://gb.example/mail/abc>"
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
        plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
        assert plain is not None
        assert html is not None
        assert plain.get_content().replace("\r\n", "\n") == MESSAGE.plain
        assert html.get_content().strip() == MESSAGE.html


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_the_line_is_encrypted_and_the_login_right(tmp_path: Path, security: Security) -> None:
    with mailbox(tmp_path, security, needs_login=True) as box:
        mailer(box, login=LOGIN).send(ANA, MESSAGE, key="notice:1")
        assert (len(box.mails), box.was_secure) == (1, [True])
        with pytest.raises(Unavailable):
            mailer(box, login=(LOGIN[0], "wrong")).send(ANA, MESSAGE, key="notice:2")
        with pytest.raises((Unavailable, Refused)):
            mailer(box).send(ANA, MESSAGE, key="notice:3")
        assert len(box.mails) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_nobody_vouches_for_gets_no_letter(tmp_path: Path, security: Security) -> None:
    with mailbox(tmp_path, security) as box:
        stranger = Mailer(url=box.url, sender=SENDER, timeout_seconds=5)
        with pytest.raises(Unavailable):
            stranger.send(ANA, MESSAGE, key="notice:1")
        assert box.mails == []


def test_another_machine_without_starttls_gets_no_letter(tmp_path: Path) -> None:
    with mailbox(tmp_path) as box:
        port = box.url.rpartition(":")[2]
        elsewhere = Mailer(url=f"smtp://127.0.0.2:{port}", sender=SENDER, timeout_seconds=2)
        with pytest.raises(Unavailable):
            elsewhere.send(ANA, MESSAGE, key="notice:1")
        assert box.mails == []


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        ("550 5.1.1 no such mailbox", Refused, "not_reachable"),
        ("553 5.1.3 no mailbox name", Refused, "not_reachable"),
        ("550 5.1.10 the domain takes no mail", Refused, "not_reachable"),
        ("550 5.2.1 mailbox disabled", Refused, "not_reachable"),
        ("550 no such user here", Refused, "not_reachable"),  # a server without enhanced codes
        ("550 5.7.1 service unavailable; client host blocked using a list", Unavailable, None),
        ("550 5.7.26 unauthenticated sender", Unavailable, None),
        ("554 5.7.1 client host blocked using a list", Unavailable, None),
        ("553 5.1.8 sender's domain does not exist", Unavailable, None),
        ("550 5.0.0 no", Unavailable, None),
        ("554 no", Refused, "message_refused"),
        ("552 5.2.2 mailbox full", Refused, "message_refused"),
        ("450 4.2.0 come back later", Unavailable, None),
        ("451 4.7.1 greylisted", Unavailable, None),
    ],
)
def test_a_recipient_is_refused_for_good_or_for_now(
    tmp_path: Path, answer: str, error: type[Exception], reason: str | None
) -> None:
    with mailbox(tmp_path) as box:
        box.answers["ana@example.org"] = answer
        with pytest.raises(error) as caught:
            mailer(box).send(ANA, MESSAGE, key="notice:1")
        assert getattr(caught.value, "reason", None) == reason
        assert box.mails == []
        box.answers.clear()
        mailer(box).send(ANA, MESSAGE, key="notice:1")
        assert len(box.mails) == 1


@pytest.mark.parametrize(
    ("answer", "error"), [("554 5.6.0 looks like spam", Refused), ("452 4.3.1 disk full", Unavailable)]
)
def test_a_letter_is_refused_for_good_or_for_now(tmp_path: Path, answer: str, error: type[Exception]) -> None:
    with mailbox(tmp_path) as box:
        box.after_data = answer
        with pytest.raises(error) as caught:
            mailer(box).send(ANA, MESSAGE, key="notice:1")
        assert getattr(caught.value, "reason", "message_refused") == "message_refused"  # the mailbox is not blamed


def test_a_line_cut_after_the_letter_is_an_unknown_outcome(tmp_path: Path) -> None:
    with mailbox(tmp_path) as box:
        box.hangs_up_after_data = True
        with pytest.raises(OutcomeUnknown):
            mailer(box).send(ANA, MESSAGE, key="notice:1")
        box.hangs_up_after_data = False
        mailer(box).send(ANA, MESSAGE, key="notice:1")
        assert {mail["Message-ID"] for mail in box.mails} == {"<notice.1@gb.example>"}  # mailboxes fold the two


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes the connection and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        held: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    held.append(server.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for one in held:
            one.close()


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with silent_server() as port:
        quiet = Mailer(url=f"smtp://127.0.0.1:{port}", sender=SENDER, timeout_seconds=0.3)
        with pytest.raises(Unavailable):
            quiet.send(ANA, MESSAGE, key="notice:1")


@pytest.mark.parametrize(
    ("email", "message"),
    [
        ("ana@example.org\r\nBcc: all@example.org", MESSAGE),
        ("ana@example.org\nBcc: all@example.org", MESSAGE),
        ("ana@example.org", replace(MESSAGE, subject="Hello\r\nBcc: all@example.org")),
        ("ana@example.org", replace(MESSAGE, stop_url="https://gb.example/>\r\nX-Evil: 1")),
    ],
)
def test_a_line_break_starts_no_header(tmp_path: Path, email: str, message: Message) -> None:
    with mailbox(tmp_path) as box:
        with pytest.raises(Refused) as caught:
            mailer(box).send(Address("", "", "", email), message, key="notice:1")
        assert caught.value.reason == "message_refused"
        assert box.mails == []
