"""Plaza over real HTTP: its OpenID provider, feed, messages and app frame."""

from __future__ import annotations

import base64
import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from groupbook.people.domain import challenge_of
from tests.support.plaza import BOT_TOKEN, CALLBACK, CLIENT_SECRET, Plaza, plaza

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plaza]:
    with plaza(tmp_path_factory.mktemp("plaza")) as running:
        yield running


def question(site: Plaza, **changes: str) -> str:
    params = {
        "response_type": "code",
        "client_id": "groupbook",
        "redirect_uri": CALLBACK,
        "scope": "openid profile email",
        "state": "state-1",
        "nonce": "nonce-1",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    } | changes
    return f"{site.url}/oauth/authorize?{urlencode({k: v for k, v in params.items() if v})}"


def trade(site: Plaza, code: str, **changes: str) -> httpx2.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        "client_id": "groupbook",
        "client_secret": CLIENT_SECRET,
    } | changes
    return httpx2.post(f"{site.url}/oauth/token", data=form, trust_env=False)


def test_the_whole_code_flow(site: Plaza) -> None:
    with site.browse() as browser:
        document = browser.get("/.well-known/openid-configuration").json()
        assert (document["issuer"], document["code_challenge_methods_supported"]) == (site.url, ["S256"])
        keys = KeySet.import_key_set(browser.get(document["jwks_uri"]).json())
        assert all("d" not in key.as_dict(private=False) for key in keys.keys)
        answer = site.approve(question(site), "chloe")
        assert (answer["state"], answer["iss"]) == ("state-1", site.url)
        tokens = trade(site, answer["code"])
        assert tokens.headers["cache-control"] == "no-store"
        claims = jwt.decode(tokens.json()["id_token"], keys, algorithms=["ES256"]).claims
        assert {name: claims[name] for name in ("iss", "aud", "sub", "nonce", "name", "email_verified")} == {
            "iss": site.url,
            "aud": "groupbook",
            "sub": "plaza-chloe",
            "nonce": "nonce-1",
            "name": "Chloé",
            "email_verified": True,
        }
        assert browser.get(claims["picture"]).text.startswith("<svg")
        bearer = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
        assert browser.get("/oauth/userinfo", headers=bearer).json()["email"] == "chloe@plaza.example"
        # The code again: refused, and what it gave the first time has ended.
        assert trade(site, answer["code"]).json() == {"error": "invalid_grant"}
        assert browser.get("/oauth/userinfo", headers=bearer).status_code == 401


def test_a_code_needs_its_verifier_address_and_client(site: Plaza) -> None:
    def code() -> str:
        return site.approve(question(site), "bo")["code"]

    assert trade(site, code(), code_verifier="a" * 43).json() == {"error": "invalid_grant"}
    assert trade(site, code(), code_verifier="").json() == {"error": "invalid_grant"}
    assert trade(site, code(), redirect_uri=CALLBACK + "/").json() == {"error": "invalid_grant"}
    assert trade(site, "made-up").json() == {"error": "invalid_grant"}
    assert trade(site, code(), grant_type="refresh_token").json() == {"error": "unsupported_grant_type"}
    wrong = trade(site, code(), client_secret="guess")
    assert (wrong.status_code, wrong.json()) == (401, {"error": "invalid_client"})
    basic = base64.b64encode(urlencode({"groupbook": CLIENT_SECRET}).replace("=", ":", 1).encode()).decode()
    form = {"grant_type": "authorization_code", "code": code(), "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    headers = {"Authorization": f"Basic {basic}"}
    assert httpx2.post(f"{site.url}/oauth/token", data=form, headers=headers, trust_env=False).status_code == 200


def test_nobody_is_sent_to_an_address_that_is_not_registered(site: Plaza) -> None:
    with site.browse("ana") as browser:
        for changes in (
            {"redirect_uri": "https://evil.example/"},
            {"redirect_uri": CALLBACK + ".evil.example"},
            {"redirect_uri": CALLBACK + "?x=1"},
            {"redirect_uri": ""},
            {"client_id": "another"},
        ):
            page = browser.get(question(site, **changes))
            assert page.status_code == 400
            assert "location" not in page.headers
            assert "evil" not in page.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"nonce": ""}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_a_wrong_question_goes_back_to_its_asker(site: Plaza, changes: dict[str, str], error: str) -> None:
    with site.browse("ana") as browser:
        back = browser.get(question(site, **changes))
    answer = dict(parse_qsl(urlsplit(back.headers["location"]).query))
    assert back.headers["location"].startswith(CALLBACK)
    assert (answer["error"], answer["state"], answer["iss"]) == (error, "state-1", site.url)


def test_only_plazas_own_page_can_say_yes_and_only_once(site: Plaza) -> None:
    with site.browse("ana") as browser:
        asked = re.search(r'name="ask" value="([^"]+)"', browser.get(question(site)).text)
        assert asked is not None
        form = {"ask": asked[1], "person": "ana", "answer": "yes"}
        elsewhere = {"Origin": "https://evil.example"}
        assert browser.post("/oauth/authorize", data=form, headers=elsewhere).status_code == 400
        assert browser.post("/oauth/authorize", data=form).status_code == 303
        assert browser.post("/oauth/authorize", data=form).status_code == 400  # a double click


def test_a_post_with_a_link_becomes_a_card_and_the_click_goes_through_the_link(site: Plaza) -> None:
    with page_on_loopback() as (url, seen), site.browse("ana") as browser:
        compose = browser.get("/share", params={"url": url, "text": "Come along? 🎉"})
        assert "Marseille, together" in compose.text
        posted = browser.post("/posts", data={"url": url, "text": "Come along? 🎉"})
        feed = browser.get("/").text
        post_id = posted.headers["location"].rsplit("post-", 1)[1]
        assert f'href="{url}"' in feed
        assert "Marseille, together &lt;3" in feed
        assert "Come along? 🎉" in feed
        picture = browser.get(f"/cards/{post_id}")
        assert (picture.headers["content-type"], picture.content) == ("image/png", b"png!")
        assert set(seen) == {"PlazaPreviewBot/1.0 (+facebookexternalhit-like)"}


def test_the_bot_calls_nobody_but_loopback(site: Plaza) -> None:
    with site.browse("bo") as browser:
        for url in ("https://example.org/x", "http://127.0.0.1.evil.example/", "http://evil@127.0.0.1/", "file:///etc"):
            assert browser.get("/share", params={"url": url}).status_code == 200
        assert browser.post("/posts", data={"url": "https://example.org/x"}).status_code == 303
        assert browser.post("/posts", data={"url": "javascript:alert(1)"}).status_code == 400
        feed = browser.get("/").text
        assert "example.org" in feed
        assert "javascript:" not in feed


def test_bots_write_messages_once_and_only_with_their_token(site: Plaza) -> None:
    def send(body: dict[str, object], token: str = BOT_TOKEN, key: str = "k1") -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        return httpx2.post(f"{site.url}/api/messages", json=body, headers=headers, trust_env=False)

    message: dict[str, object] = {"to": "plaza-hana", "text": "All in! محمد", "url": "http://localhost:8000/t/1"}
    first, second = send(message), send(message)
    assert (first.status_code, second.status_code, first.json()) == (201, 200, second.json())
    assert send(message, token="guess").status_code == 401
    assert send({"to": "plaza-nobody", "text": "x"}, key="k2").status_code == 404
    assert send({"to": "plaza-hana", "text": "x" * 10_000}, key="k3").status_code == 422
    assert send({"to": "plaza-hana", "text": "x", "url": "javascript:1"}, key="k4").status_code == 422
    with site.browse("hana") as browser:
        assert "1<span" in browser.get("/").text
        inbox = browser.get("/messages").text
        assert inbox.count("All in! محمد") == 1
        assert "1<span" not in browser.get("/").text


def test_the_app_frame_opens_groupbook_with_a_signed_payload(site: Plaza) -> None:
    with site.browse() as browser:
        assert "Who opens the app?" in browser.get("/apps/groupbook").text
    with site.browse("ana") as browser:
        page = browser.get("/apps/groupbook", params={"start": "abc"})
        assert "frame-src http://localhost:8000;" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
    pairs = dict(parse_qsl(site.launch_payload("ana", "abc")))
    assert (pairs["sub"], pairs["merchant"], pairs["start"]) == ("plaza-ana", "kestrel", "abc")


def test_a_link_of_groupbook_can_be_opened_inside_plaza(site: Plaza) -> None:
    with site.browse("dev") as browser:
        for url in (
            "http://localhost:8000/i/Ab_-9",
            "http://localhost:8000.evil.example/i/x",
            "http://localhost:8000/x",
        ):
            browser.post("/posts", data={"url": url, "text": "?"})
        feed = browser.get("/").text
    assert re.findall(r'href="/apps/groupbook\?start=([^"]*)"', feed) == ["Ab_-9"]


def test_becoming_somebody_else_never_leads_away(site: Plaza) -> None:
    with site.browse() as browser:
        for bad in ("//evil.example", "/\\evil.example", "https://evil.example"):
            assert browser.post("/switch", data={"person": "gil", "next": bad}).headers["location"] == "/"
        assert browser.post("/switch", data={"person": "nobody"}).status_code == 400
        elsewhere = {"Origin": "https://evil.example"}
        assert browser.post("/switch", data={"person": "bo"}, headers=elsewhere).status_code == 400
        assert "You are <strong>Gil</strong>" in browser.get("/").text
        assert browser.get("/nowhere").status_code == 404
        assert browser.get("/health").json() == {"status": "ok"}


def test_a_killed_plaza_remembers_posts_and_its_key(tmp_path: Path) -> None:
    with plaza(tmp_path) as first, first.browse("ana") as browser:
        browser.post("/posts", data={"text": "Still here?"})
        keys = browser.get("/oauth/jwks.json").json()
    with plaza(tmp_path) as second, second.browse("ana") as browser:
        assert "Still here?" in browser.get("/").text
        assert browser.get("/oauth/jwks.json").json() == keys


@contextmanager
def page_on_loopback() -> Iterator[tuple[str, list[str]]]:
    """A page with Open Graph tags, and who fetched it."""
    seen: list[str] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["User-Agent"])
            host = self.headers["Host"]
            html = (
                "<title>x</title><meta property='og:title' content='Marseille, together &lt;3'>"
                f"<meta property='og:image' content='http://{host}/og.png'>"
            )
            kind, body = ("image/png", b"png!") if self.path == "/og.png" else ("text/html", html.encode())
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/s/ABCDEFGHJK", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
