"""Seals and the marks by which sealed values are compared."""

from __future__ import annotations

import pytest

from groupbook.kit.errors import InvariantBroken
from groupbook.kit.sealing import Sealer


def test_a_seal_opens_in_its_own_place_only_also_after_the_key_was_rotated() -> None:
    sealed = Sealer("old").seal("card:1", b"4242")
    assert b"4242" not in sealed
    assert Sealer("new", "old").open("card:1", sealed) == b"4242"
    for sealer, place in ((Sealer("old"), "card:2"), (Sealer("new"), "card:1")):
        with pytest.raises(InvariantBroken):
            sealer.open(place, sealed)


def test_a_mark_is_the_same_for_the_same_secret_at_the_same_place_under_the_same_key() -> None:
    sealer = Sealer("a key")
    mark = sealer.mark("cards", b"4242")
    assert mark == Sealer("a key", "an older one").mark("cards", b"4242")
    others = [sealer.mark("cards", b"4243"), sealer.mark("card", b"s4242"), Sealer("another").mark("cards", b"4242")]
    assert len({mark, *others}) == 4
    assert sealer.seal("cards", b"4242") != sealer.seal("cards", b"4242"), "a seal is not the mark"
