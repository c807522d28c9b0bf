"""Who is behind a user agent, on strings seen in the wild."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from groupbook.referrals.agents import classify
from groupbook.referrals.domain import mint_code, purpose_of, read_code, truncate_address
from tests.referrals.conftest import IPHONE, PHONE


@pytest.mark.shared
def test_every_seen_user_agent_is_told_apart(shared: Path) -> None:
    seen = json.loads((shared / "cases" / "social-vectors.json").read_text("utf-8"))["user_agents"]
    wrong = [one["ua"] for one in seen if (classify(one["ua"])[0] == "bot") != (one["class"] == "bot")]
    assert (len(seen), wrong) == (62, [])


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (PHONE, ("person", "chrome")),
        (IPHONE, ("person", "safari")),
        ("", ("none", "none")),
        ("   ", ("none", "none")),
        ("facebookexternalhit/1.1", ("bot", "bot")),
        ("Mozilla/5.0 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0", ("bot", "bot")),
        ("curl/8.5.0", ("bot", "bot")),
        ("Mozilla/5.0 " + "x" * 100_000, ("person", "other")),
    ],
)
def test_class_and_family(agent: str, expected: tuple[str, str]) -> None:
    assert classify(agent) == expected


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("unknown", ""),
        ("", ""),
    ],
)
def test_an_address_becomes_a_neighborhood(address: str, network: str) -> None:
    assert truncate_address(address) == network


@pytest.mark.parametrize("name", ["sec-purpose", "purpose", "x-purpose", "x-moz"])
def test_a_browser_that_looks_ahead_says_so(name: str) -> None:
    assert purpose_of({name: "prefetch;prerender"}) == "prefetch;prerender"
    assert purpose_of({name: "navigation"}) is None


def test_a_code_is_read_as_people_write_it() -> None:
    codes = {mint_code() for _ in range(500)}
    assert len(codes) == 500
    for code in codes:
        assert read_code(code.lower()) == code
        assert read_code(f"{code[:4]}-{code[4:8]}-{code[8:]}") == code
    assert read_code("O1I L") is None
    assert read_code("oil0oil0oil0") == "011001100110"
    assert read_code("U" * 12) is None
    assert read_code("") is None
    assert read_code("0" * 10_000) is None
