"""The contract of `groupbook.notices.ports.Messenger`: every channel and the twin.

A channel joins by one line in `CHANNELS`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from groupbook.kit.database import Database
from groupbook.kit.errors import InvariantBroken, Refused, Unavailable
from groupbook.kit.ids import MerchantId, new_id
from groupbook.notices.domain import Address, Message
from groupbook.notices.ports import Messenger
from integrations.demo.network.cast import BY_HANDLE
from integrations.social.demo_messages import DemoMessenger
from integrations.social.mail import Mailer
from integrations.social.mail_folder import FolderMailer
from integrations.social.messages_twin import TwinMessenger
from tests.support.mailbox import mailbox
from tests.support.plaza import BOT_TOKEN, plaza

TEXT = "Été à Marseille 🎉: your ticket is here."
LINK = "https://gb.example/t/trip_1"
MESSAGE = Message(
    subject="Your ticket is here: Été à Marseille 🎉",
    text=TEXT,
    link=LINK,
    plain=f"{TEXT}\n\n{LINK}\n",
    html=f"<p>{TEXT}</p>",
    stop_url="https://gb.example/mail/token",
)


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
        lambda: [(message.text, message.link) for _, message in twin.sent.values()],
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


@contextmanager
def mail_world(folder: Path) -> Iterator[World]:
    with mailbox(folder) as box:
        box.answers["nobody@example.org"] = "550 5.1.1 no such mailbox"
        yield World(
            Mailer(url=box.url, sender="trips@gb.example"),
            Address("demo", "app", "ana", "ana@example.org"),
            Address("demo", "app", "nobody", "nobody@example.org"),
            Mailer(url=f"smtp://127.0.0.1:{_closed_port()}", sender="trips@gb.example", timeout_seconds=1),
            lambda: [_read(mail) for mail in {str(mail["Message-ID"]): mail for mail in box.mails}.values()],
        )


@contextmanager
def folder_world(folder: Path) -> Iterator[World]:
    kept = folder / "mails"
    blocked = folder / "a-file"
    blocked.write_text("in the way")
    yield World(
        FolderMailer(folder=kept, sender="trips@gb.example"),
        Address("demo", "app", "ana", "ana@example.org"),
        Address("demo", "app", "nobody", "nobody@example.org\nBcc: all@example.org"),
        FolderMailer(folder=blocked, sender="trips@gb.example"),
        lambda: [
            _read(message_from_bytes(path.read_bytes(), policy=policy.default)) for path in sorted(kept.glob("*.eml"))
        ],
    )


def _read(mail: EmailMessage) -> tuple[str, str]:
    body = mail.get_body(("plain",))
    assert body is not None
    text, _, link = body.get_content().replace("\r\n", "\n").strip().partition("\n\n")
    return text, link


def _closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


CHANNELS: dict[str, Callable[[Path], AbstractContextManager[World]]] = {
    "twin": twin_world,
    "demo": plaza_world,
    "email": mail_world,
    "folder": folder_world,
}


@pytest.fixture(params=sorted(CHANNELS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with CHANNELS[request.param](tmp_path) as world:
        yield world


def test_a_message_arrives_and_the_same_key_is_one_message(world: World) -> None:
    assert world.messenger.reaches(world.ana)
    world.messenger.send(world.ana, MESSAGE, key="notice:1")
    world.messenger.send(world.ana, MESSAGE, key="notice:1")
    assert world.inbox() == [(TEXT, LINK)]
    world.messenger.send(world.ana, MESSAGE, key="notice:2")
    assert len(world.inbox()) == 2


def test_who_cannot_be_reached_is_refused_for_good(world: World) -> None:
    with pytest.raises(Refused):
        world.messenger.send(world.stranger, MESSAGE, key="notice:1")
    assert world.inbox() == []


def test_a_channel_that_is_away_has_sent_nothing(world: World) -> None:
    with pytest.raises(Unavailable):
        world.unreachable.send(world.ana, MESSAGE, key="notice:1")


def test_it_reaches_its_own_addresses_only(world: World) -> None:
    assert not world.messenger.reaches(Address("another", "app", "ana"))


def test_nothing_is_sent_inside_a_transaction(world: World, database: Database) -> None:
    with database.begin(MerchantId(new_id())), pytest.raises(InvariantBroken):
        world.messenger.send(world.ana, MESSAGE, key="notice:1")
    assert world.inbox() == []


def test_what_is_not_configured_reaches_nobody() -> None:
    ana = Address("demo", "groupbook", "ana", "ana@example.org")
    assert not DemoMessenger(base_url="", token="").reaches(ana)
    assert not Mailer(url="", sender="").reaches(ana)
    assert not FolderMailer(folder=Path("mails"), sender="").reaches(Address("demo", "groupbook", "ana"))
