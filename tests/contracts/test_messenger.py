"""The contract of `groupbook.notices.ports.Messenger`: every channel and the twin.

A channel joins by one line in `CHANNELS`.
"""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest

from groupbook.kit.database import Database
from groupbook.kit.errors import InvariantBroken, Refused, Unavailable
from groupbook.kit.ids import MerchantId, new_id
from groupbook.notices.domain import Address
from groupbook.notices.ports import Messenger
from integrations.demo.network.cast import BY_HANDLE
from integrations.social.demo_messages import DemoMessenger
from integrations.social.mail import Mailer
from integrations.social.messages_twin import TwinMessenger
from tests.support.plaza import BOT_TOKEN, plaza

TEXT = "Été à Marseille 🎉: your ticket is here."
LINK = "https://gb.example/t/trip_1"


@dataclass
class World:
    """A channel, somebody it reaches, somebody it refuses, and that somebody's inbox as (text, link)."""

    messenger: Messenger
    ana: Address
    stranger: Address
    unreachable: Messenger
    inbox: Callable[[], list[tuple[str, str]]]


@contextmanager
def twin_world(folder: Path) -> Iterator[World]:
    twin = TwinMessenger(refuses=frozenset({"nobody"}))
    yield World(
        twin,
        Address("demo", "app", "ana"),
        Address("demo", "app", "nobody"),
        TwinMessenger(is_down=True),
        lambda: [(text, link) for _, text, link in twin.sent.values()],
    )


@contextmanager
def plaza_world(folder: Path) -> Iterator[World]:
    with plaza(folder) as running:
        ana = BY_HANDLE["ana"]

        def inbox() -> list[tuple[str, str]]:
            with running.browse("ana") as client:
                page = client.get("/messages").text
            return [(TEXT, LINK)] * min(page.count(TEXT), page.count(LINK))

        messenger = DemoMessenger(base_url=running.url, token=BOT_TOKEN)
        away = DemoMessenger(base_url=f"http://127.0.0.1:{_closed_port()}", token=BOT_TOKEN, timeout_seconds=1)
        yield World(
            messenger,
            Address("demo", "groupbook", ana.id),
            Address("demo", "groupbook", "nobody"),
            away,
            inbox,
        )
        messenger.close()
        away.close()


class _Mailbox(socketserver.StreamRequestHandler):
    """The least of RFC 5321 that a client needs; `nobody@…` is refused for good."""

    def handle(self) -> None:
        mails = cast("_MailServer", self.server).mails
        self._say("220 mail.test")
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "DATA":
                self._say("354 go on")
                lines = []
                while (part := self.rfile.readline()) != b".\r\n":
                    lines.append(part.removeprefix(b"."))
                mail = message_from_bytes(b"".join(lines), policy=policy.default)
                mails[str(mail["Message-ID"])] = mail
                self._say("250 taken")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("550 no such mailbox" if verb == "RCPT" and "nobody@" in line else "250 mail.test")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mailbox)
        self.mails: dict[str, EmailMessage] = {}


@contextmanager
def mail_world(folder: Path) -> Iterator[World]:
    with _MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def inbox() -> list[tuple[str, str]]:
            bodies = [mail.get_content() for mail in server.mails.values()]
            return [cast("tuple[str, str]", tuple(re.split(r"\s*\n\s*\n", body.strip()))) for body in bodies]

        yield World(
            Mailer(url=f"smtp://127.0.0.1:{server.server_address[1]}", sender="trips@gb.example"),
            Address("demo", "app", "ana", "ana@example.org"),
            Address("demo", "app", "nobody", "nobody@example.org"),
            Mailer(url=f"smtp://127.0.0.1:{_closed_port()}", sender="trips@gb.example", timeout_seconds=1),
            inbox,
        )
        server.shutdown()
        thread.join(5)


def _closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


CHANNELS: dict[str, Callable[[Path], AbstractContextManager[World]]] = {
    "twin": twin_world,
    "demo": plaza_world,
    "email": mail_world,
}


@pytest.fixture(params=sorted(CHANNELS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with CHANNELS[request.param](tmp_path) as world:
        yield world


def test_a_message_arrives_and_the_same_key_is_one_message(world: World) -> None:
    assert world.messenger.reaches(world.ana)
    world.messenger.send(world.ana, text=TEXT, link=LINK, key="notice:1")
    world.messenger.send(world.ana, text=TEXT, link=LINK, key="notice:1")
    assert world.inbox() == [(TEXT, LINK)]
    world.messenger.send(world.ana, text=TEXT, link=LINK, key="notice:2")
    assert len(world.inbox()) == 2


def test_who_cannot_be_reached_is_refused_for_good(world: World) -> None:
    with pytest.raises(Refused):
        world.messenger.send(world.stranger, text=TEXT, link=LINK, key="notice:1")
    assert world.inbox() == []


def test_a_channel_that_is_away_has_sent_nothing(world: World) -> None:
    with pytest.raises(Unavailable):
        world.unreachable.send(world.ana, text=TEXT, link=LINK, key="notice:1")


def test_it_reaches_its_own_addresses_only(world: World) -> None:
    assert not world.messenger.reaches(Address("another", "app", "ana"))


def test_nothing_is_sent_inside_a_transaction(world: World, database: Database) -> None:
    with database.begin(MerchantId(new_id())), pytest.raises(InvariantBroken):
        world.messenger.send(world.ana, text=TEXT, link=LINK, key="notice:1")
    assert world.inbox() == []


def test_what_is_not_configured_reaches_nobody() -> None:
    ana = Address("demo", "groupbook", "ana", "ana@example.org")
    assert not DemoMessenger(base_url="", token="").reaches(ana)
    assert not Mailer(url="", sender="").reaches(ana)
