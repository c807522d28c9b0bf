"""kill -9 in the middle of a booking, a restart, and the right outcome: nothing lost, nothing doubled.

Leases and sweeps run at a sixtieth of their length, so that what takes minutes in life takes seconds here.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.browserless import Walker
from tests.support.demo import RunningDemo, running_demo

SIXTIETH = {
    "GROUPBOOK_LEASE_SECONDS": "2",
    "GROUPBOOK_SWEEP_SECONDS": "1",
    "GROUPBOOK_RETRY_SECONDS_MIN": "0.2",
    "GROUPBOOK_RETRY_SECONDS_MAX": "10",
    "GROUPBOOK_SECOND_LOOK_SECONDS": "6",
}


@pytest.mark.parametrize("fault", ["slow", "late_effect"])
def test_a_worker_killed_while_it_captures_loses_and_doubles_nothing(
    state_folder: Callable[[], Path], fault: str
) -> None:
    state = state_folder()
    with running_demo(state, SIXTIETH, ends_with=1) as demo:
        ana, bo = everybody_but_the_last_paid(demo)
        httpx2.post(
            f"{demo.payments}/_faults",
            json={"fault": fault, "operation": "payment_intents.capture", "times": 1, "seconds": 4},
        ).raise_for_status()
        bo.pay()
        wait_until(lambda: booking(demo)["state"] in ("capturing", "booked"), seconds=120)
        os.kill(demo.pid("celery", "worker"), signal.SIGKILL)
        for walker in (ana, bo):
            walker.close()
        demo.process.wait(120)
        assert any("worker died" in line for line in demo.said), list(demo.said)
    with running_demo(state, SIXTIETH) as demo:
        wait_until(lambda: booking(demo)["state"] == "booked", seconds=180)
        ended = booking(demo)
        captured = [intent for intent in provider(demo, "payment_intents") if intent["status"] == "succeeded"]
        assert {portion["state"] for portion in ended["portions"]} == {"captured"}
        assert len(captured) == 2
        assert sum(intent["amount_received"] for intent in captured) == ended["total"]["amount"]
        assert provider(demo, "refunds") == []


def everybody_but_the_last_paid(demo: RunningDemo) -> tuple[Walker, Walker]:
    ana, bo = Walker(demo, "Ana"), Walker(demo, "Bo")
    bo.join(ana.start("Crash"))
    ana.decide_and_book()
    wait_until(lambda: booking(demo)["state"] == "open", seconds=120)
    ana.pay()
    return ana, bo


def booking(demo: RunningDemo) -> Any:
    answer = httpx2.get(f"{demo.web}/v1/bookings", headers={"Authorization": f"Bearer {demo.api_key}"}, timeout=60)
    data = answer.json()["data"]
    return data[0] if data else {"state": "none"}


def provider(demo: RunningDemo, kind: str) -> list[Any]:
    key = demo.secrets["stripe_secret_key"]
    answer = httpx2.get(f"{demo.payments}/v1/{kind}", headers={"Authorization": f"Bearer {key}"}, timeout=60)
    found: list[Any] = answer.json()["data"]
    return found


def wait_until(is_so: Callable[[], bool], *, seconds: float) -> None:
    give_up_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < give_up_at, "it never came to be"
        time.sleep(0.1)
