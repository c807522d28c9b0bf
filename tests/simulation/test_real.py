"""The simulator's plans on a real PostgreSQL, with worker processes that are killed; and what serves them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from groupbook.kit.errors import OutcomeUnknown, Unavailable
from groupbook.kit.money import Money
from groupbook.offers.ports import HoldRequest, MerchantRefused, ObservedOrder
from integrations.merchants.twin import TwinMerchant
from tests.simulation import real
from tests.simulation.beginning import OFFER
from tests.simulation.outside import MerchantWire
from tests.simulation.plan import draw
from tests.simulation.served import SILENCE, Remote, Served
from tests.simulation.world import World

histories = int(os.environ.get("GROUPBOOK_REAL_HISTORIES", "30"))


@pytest.mark.slow
def test_histories_on_postgresql_with_killed_workers_keep_every_promise() -> None:
    report = real.play(range(1, 1 + histories))
    assert (report.failed, report.histories) == ([], histories)
    assert report.kills >= histories // 10
    assert report.ends["booked"] > 0


def test_a_release_of_places_whose_time_is_over_is_told_though_nobody_said_yet_that_it_is() -> None:
    """On the wall the release that is owed for the expiry may be quicker than the clock that tells of the expiry."""
    world = World(draw(1))
    told: list[str] = []
    world.effect = lambda effect: told.append(effect.what)  # type: ignore[method-assign]
    desk = world.merchant
    wire = MerchantWire(world, "merchant", desk)
    request = HoldRequest("hld_1", OFFER, Money(0, world.plan.currency), (), 60)

    def send(name: str, *given: Any, **named: Any) -> None:
        wire._act(name, getattr(desk, name), given, named, "hld_1")()

    send("place_hold", request, key="1", timeout_seconds=1.0)
    desk.advance(60)
    send("release_hold", "hld_1", key="2", timeout_seconds=1.0)
    assert (desk.hold_state("hld_1"), told) == ("released", ["held", "released"])


class Mute:
    """An outside whose answers get lost."""

    def cancel(self, our_ref: str, *, key: str, timeout_seconds: float) -> object:
        return SILENCE

    def observe_order(self, our_ref: str, *, timeout_seconds: float) -> object:
        return SILENCE


def test_a_served_twin_answers_and_refuses_like_itself(tmp_path: Path) -> None:
    with Served(str(tmp_path / "outside")) as served:
        served.sides[1, "merchant"] = twin = TwinMerchant()
        remote = Remote(served.address, 1, "merchant")
        assert remote.observe_order("ord_1", timeout_seconds=5.0) == ObservedOrder("absent")
        twin.provoke("cancel", "not_cancelable")
        with pytest.raises(MerchantRefused) as refused:
            remote.cancel("ord_1", key="k", timeout_seconds=5.0)
    assert refused.value.reason == "not_cancelable"


def test_silence_is_unknown_for_an_act_and_unavailable_for_a_reading(tmp_path: Path) -> None:
    with Served(str(tmp_path / "outside")) as served:
        served.sides[1, "merchant"] = Mute()
        remote = Remote(served.address, 1, "merchant")
        with pytest.raises(OutcomeUnknown):
            remote.cancel("ord_1", key="k", timeout_seconds=0.2)
        with pytest.raises(Unavailable):
            remote.observe_order("ord_1", timeout_seconds=0.2)


def test_an_outside_that_is_not_there_was_never_asked(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Remote(str(tmp_path / "nobody"), 1, "merchant").cancel("ord_1", key="k", timeout_seconds=0.2)
