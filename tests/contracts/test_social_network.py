"""The contract of `groupbook.people.ports` for social networks: every adapter and its twin.

A network joins by one line in `NETWORKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from groupbook.people.domain import LaunchRejected, LoginRefused, LoginRequest, mint_token
from groupbook.people.ports import LaunchVerifier, LoginProvider, SocialNetwork
from integrations.social.twin import TwinNetwork
from tests.support.plaza import CALLBACK, LAUNCH_SECRET, plaza

TIMEOUT = 5.0


class World(Protocol):
    """A network with somebody to play its people. `person` is a handle, `ana` among them."""

    network: SocialNetwork

    def approve(self, url: str, person: str, answer: str = "yes") -> dict[str, str]: ...

    def launch_payload(self, person: str, start: str = "") -> str: ...

    def sign(self, params: dict[str, str]) -> str: ...


class PlazaWorld:
    def __init__(self, running: object) -> None:
        from integrations.demo.network.provider import sign_launch
        from tests.support.plaza import Plaza

        assert isinstance(running, Plaza)
        self.network = running.network
        self.approve = running.approve
        self.launch_payload = running.launch_payload
        self.sign = lambda params: sign_launch(params, LAUNCH_SECRET)


class TwinWorld:
    def __init__(self) -> None:
        self._twin = TwinNetwork()
        self.network = self._twin.network

    def approve(self, url: str, person: str, answer: str = "yes") -> dict[str, str]:
        return self._twin.login.approve(url, person) if answer == "yes" else self._twin.login.cancel(url)

    def launch_payload(self, person: str, start: str = "") -> str:
        return self._twin.launch_payload(person, merchant="kestrel", at=datetime.now(UTC), start=start)

    def sign(self, params: dict[str, str]) -> str:
        from integrations.social.signed import sign

        return sign(params, "twin-launch-secret")


@contextmanager
def _plaza(folder: Path) -> Iterator[World]:
    with plaza(folder) as running:
        yield PlazaWorld(running)


@contextmanager
def _twin(folder: Path) -> Iterator[World]:
    yield TwinWorld()


NETWORKS: dict[str, Callable[[Path], AbstractContextManager[World]]] = {"demo": _plaza, "twin": _twin}


@pytest.fixture(scope="module", params=NETWORKS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with NETWORKS[request.param](tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


@pytest.fixture
def login(world: World) -> LoginProvider:
    assert world.network.login is not None
    return world.network.login


@pytest.fixture
def verifier(world: World) -> LaunchVerifier:
    assert world.network.launch is not None
    return world.network.launch


def asking() -> LoginRequest:
    return LoginRequest(redirect_uri=CALLBACK, state=mint_token(), nonce=mint_token(), verifier=mint_token())


# --- login ------------------------------------------------------------------------------------------------------------


def test_who_says_yes_comes_back_proven(world: World, login: LoginProvider) -> None:
    request = asking()
    params = world.approve(login.begin(request, timeout_seconds=TIMEOUT), "ana")
    ana = login.finish(params, request, now=datetime.now(UTC), timeout_seconds=TIMEOUT)
    assert (ana.network, ana.app_id, ana.display_name) == (world.network.name, login.app_id, "Ana")
    assert ana.avatar_url is not None
    assert ana.avatar_url.startswith(world.network.origin)
    again = asking()
    params = world.approve(login.begin(again, timeout_seconds=TIMEOUT), "ana")
    assert login.finish(params, again, now=datetime.now(UTC), timeout_seconds=TIMEOUT).subject == ana.subject
    other = asking()
    params = world.approve(login.begin(other, timeout_seconds=TIMEOUT), "bo")
    assert login.finish(params, other, now=datetime.now(UTC), timeout_seconds=TIMEOUT).subject != ana.subject


def refusal(login: LoginProvider, params: dict[str, str], request: LoginRequest) -> str:
    with pytest.raises(LoginRefused) as refused:
        login.finish(params, request, now=datetime.now(UTC), timeout_seconds=TIMEOUT)
    return refused.value.reason


def test_an_answer_counts_once_and_for_its_question_only(world: World, login: LoginProvider) -> None:
    request = asking()
    params = world.approve(login.begin(request, timeout_seconds=TIMEOUT), "ana")
    login.finish(params, request, now=datetime.now(UTC), timeout_seconds=TIMEOUT)
    assert refusal(login, params, request) == "code_refused"  # replayed

    def fresh() -> dict[str, str]:
        return world.approve(login.begin(request, timeout_seconds=TIMEOUT), "ana")

    assert refusal(login, fresh(), replace(request, verifier=mint_token())) == "code_refused"
    assert refusal(login, fresh(), replace(request, nonce=mint_token())) == "wrong_nonce"
    assert refusal(login, fresh(), replace(request, state=mint_token())) == "wrong_state"
    assert refusal(login, fresh(), replace(request, redirect_uri=CALLBACK + "/x")) == "code_refused"
    assert refusal(login, {**fresh(), "iss": "https://evil.example"}, request) == "wrong_issuer"
    assert refusal(login, {**fresh(), "code": "made-up"}, request) == "code_refused"
    without = fresh()
    del without["iss"]
    assert refusal(login, without, request) == "wrong_issuer"
    bare = fresh()
    del bare["code"]
    assert refusal(login, bare, request) == "malformed"
    assert refusal(login, {}, request) == "wrong_state"


def test_who_says_no_is_not_logged_in(world: World, login: LoginProvider) -> None:
    request = asking()
    params = world.approve(login.begin(request, timeout_seconds=TIMEOUT), "ana", "no")
    assert refusal(login, params, request) == "canceled"


# --- launches ---------------------------------------------------------------------------------------------------------


def reason(verifier: LaunchVerifier, payload: str, now: datetime | None = None) -> str:
    with pytest.raises(LaunchRejected) as rejected:
        verifier.verify(payload, now=now or datetime.now(UTC))
    return rejected.value.reason


def test_a_launch_tells_who_for_whom_and_from_where(world: World, verifier: LaunchVerifier) -> None:
    launch = verifier.verify(world.launch_payload("ana", "trip=x&y + ü"), now=datetime.now(UTC))
    assert (launch.identity.display_name, launch.merchant_slug, launch.start) == ("Ana", "kestrel", "trip=x&y + ü")
    again = verifier.verify(world.launch_payload("ana"), now=datetime.now(UTC))
    assert again.identity.subject == launch.identity.subject
    assert again.signature != launch.signature  # two launches in one second are two


def test_a_launch_that_was_touched_is_refused(world: World, verifier: LaunchVerifier) -> None:
    payload = world.launch_payload("ana")
    pairs = dict(parse_qsl(payload))
    signature = pairs["sig"]
    flipped = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    assert reason(verifier, urlencode({**pairs, "sub": "plaza-bo"})) == "bad_signature"
    assert reason(verifier, urlencode({**pairs, "extra": "1"})) == "bad_signature"
    assert reason(verifier, urlencode({**pairs, "sig": flipped})) == "bad_signature"
    assert reason(verifier, urlencode({**pairs, "sig": signature.upper()})) == "bad_signature"
    assert reason(verifier, urlencode({**pairs, "sig": "é"})) == "bad_signature"
    assert reason(verifier, urlencode({**pairs, "sig": ""})) == "missing_signature"
    assert reason(verifier, urlencode({k: v for k, v in pairs.items() if k != "sig"})) == "missing_signature"
    assert reason(verifier, payload + "&sub=plaza-bo") == "malformed"
    assert reason(verifier, f"sig={signature}&" + payload) == "malformed"
    for junk in ("", "x", "&", "%ff=%fe", "a" * 5_000, "&".join(f"k{n}=1" for n in range(100)), "a=%00&sig=1"):
        assert reason(verifier, junk) in ("malformed", "missing_signature")


def test_a_launch_is_judged_by_its_date_audience_and_algorithm(world: World, verifier: LaunchVerifier) -> None:
    at = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    def signed(**changes: str) -> str:
        params = {"app_id": verifier.app_id, "auth_date": str(int(at.timestamp())), "sub": "s", "merchant": "kestrel"}
        return world.sign({**params, **changes})

    for seconds in (-60, 0, 300):
        assert verifier.verify(signed(), now=at + timedelta(seconds=seconds)).signed_at == at
    assert reason(verifier, signed(), at + timedelta(seconds=301)) == "expired"
    assert reason(verifier, signed(), at - timedelta(seconds=61)) == "future"
    assert reason(verifier, signed(app_id="another"), at) == "wrong_audience"
    assert reason(verifier, signed(alg="none"), at) == "bad_algorithm"
    for bad in ("", "x", "-1", "1e9", "٣", "9" * 13, "1.5"):
        assert reason(verifier, signed(auth_date=bad), at) == "malformed"
    assert reason(verifier, signed(sub=""), at) == "malformed"


# --- sharing ----------------------------------------------------------------------------------------------------------


def test_the_share_address_carries_text_and_link_whole(world: World) -> None:
    assert world.network.share is not None
    address = world.network.share.share_url(text="Come? Ünï & 🎉 #1", url="http://localhost:8000/s/ABC?x=1&y=2#z")
    assert address.startswith(world.network.origin)
    query = parse_qs(urlsplit(address).query)
    assert query == {"text": ["Come? Ünï & 🎉 #1"], "url": ["http://localhost:8000/s/ABC?x=1&y=2#z"]}
