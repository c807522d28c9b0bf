"""The runbook keeps up with the code: each way into `parked`, each alarm, figure and command is in it, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import typer
from prometheus_client import generate_latest
from starlette.testclient import TestClient

from groupbook import bookings
from groupbook.bookings.domain import BookingState
from groupbook.bookings.machine import TABLE
from groupbook.cli import app
from groupbook.web.app import build_app
from groupbook.web.metrics import REGISTRY
from groupbook.webhooks import EVENT_TYPES
from tests.support.saga import Saga
from worker import LISTENERS

ROOT = Path(__file__).resolve().parents[1]
RUNBOOK = (ROOT / "docs" / "operating.md").read_text("utf-8")
HEADINGS = set(re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE))
EVERYWHERE = {"broken"}  # told once: it may happen in every state that moves


def test_each_reason_to_park_has_an_entry() -> None:
    wanted = {
        f"`{event.value}`" if event.value in EVERYWHERE else f"`{event.value}` while `{state.value}`"
        for (state, event), (target, _) in TABLE.items()
        if target is BookingState.PARKED
    }
    wanted |= {f"`{name}`" for name, heard in LISTENERS.items() if ("bookings", bookings.on_reconciliation) in heard}
    assert wanted | {"any other code"} == HEADINGS | ({"`reconciliation.resolved`"} & wanted)


def test_a_booking_is_parked_in_no_other_way() -> None:
    """Whoever parks with a cause of a new kind adds it here and to the runbook."""
    causes = set()
    for path in (ROOT / "groupbook" / "bookings").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "park":
                causes.add(ast.unparse(node.args[2]))
    assert causes == {"event.value", "fact.name", "cause"}


def test_its_commands_exist() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # a group
    of_bookings = {
        command.name
        for group in app.registered_groups
        if group.name == "bookings" and group.typer_instance
        for command in group.typer_instance.registered_commands
    }
    for line in re.findall(r"groupbook ([a-z]+(?: [a-z]+)?)", RUNBOOK):
        first, _, second = line.partition(" ")
        assert first in known, line
        assert first != "bookings" or second in of_bookings, line
    assert of_bookings <= set(re.findall(r"groupbook bookings ([a-z]+)", RUNBOOK))


def test_its_figures_and_webhooks_exist(database_url: str) -> None:
    saga = Saga(database_url, "ada")
    with TestClient(build_app(saga.house)) as client:
        client.get("/metrics")
    saga.close()
    served = generate_latest(REGISTRY).decode()
    for figure in re.findall(r"groupbook_[a-z_]+\{kind=\"[a-z_]+\"\}", RUNBOOK):
        assert f"{figure} " in served, figure
    for name in re.findall(r"\| `([a-z]+\.[a-z_]+)` \|$", RUNBOOK, re.MULTILINE):
        assert name in EVENT_TYPES, name
    alarms = {name for name, heard in LISTENERS.items() if any(listener == "alarms" for listener, _ in heard)}
    assert alarms == set(re.findall(r"`alarm`, `([a-z]+\.[a-z_]+)`", RUNBOOK))
