"""Ids: one prefix per kind, nothing else is an id."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook.kit.errors import InvalidId
from groupbook.kit.ids import PREFIXES, from_wire, new_id, to_wire


@given(st.uuids())
def test_an_id_survives_the_wire(id: UUID) -> None:
    assert from_wire("trip", to_wire("trip", id)) == id


@pytest.mark.parametrize(
    "text",
    ["", "trip_", "trip", "bkg_" + "0" * 32, "trip_" + "0" * 31, "trip_" + "G" * 32, "trip_" + "A" * 32, "０" * 37],
)
def test_anything_else_is_not_an_id(text: str) -> None:
    with pytest.raises(InvalidId):
        from_wire("trip", text)


def test_new_ids_are_version_7_and_in_order() -> None:
    ids = [new_id() for _ in range(1000)]
    assert {id.version for id in ids} == {7}
    assert len(set(ids)) == 1000
    assert [id.int >> 80 for id in ids] == sorted(id.int >> 80 for id in ids)


def test_every_kind_has_its_own_prefix() -> None:
    assert len(set(PREFIXES.values())) == len(PREFIXES)
