"""Logging in through our own pages: at top level, and from a merchant's frame with a real browser."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest
import uvicorn
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from groupbook import merchants, people
from groupbook.kit.database import Database
from groupbook.kit.http import Edge
from groupbook.kit.ids import new_id
from groupbook.people.domain import challenge_of
from groupbook.people.endpoints import PeopleDeps
from groupbook.people.endpoints import routes as people_routes
from groupbook.web import cookies, login
from groupbook.web.render import STATIC
from groupbook.web.sessions import bearer_of
from tests.support.plaza import Plaza, plaza

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
INSTANCE = "0123456789abcdef0123456789abcdef"

# The frame of a merchant's widget, reduced to the hand-off.
FRAME = """<!doctype html><title>frame</title><button id="go">Log in</button><output id="who"></output>
<script>
let kept = true;
try { localStorage.setItem("x", "1"); } catch { kept = false; }
document.cookie = "x=1; SameSite=None; Secure";
document.title = kept || document.cookie ? "open" : "blocked";
go.onclick = async () => {
  const popup = window.open("about:blank", "gb-login", "popup,width=480,height=720");
  const post = async (path, body) => (await fetch(path, {method: "POST", body: JSON.stringify(body),
    headers: {"Content-Type": "application/json"}})).json();
  const opened = await post("/v1/embed/handoffs", {merchant: "kestrel", embed_origin: "%(shop)s",
    instance: "%(instance)s", challenge: "%(challenge)s"});
  addEventListener("message", async (event) => {
    if (event.origin !== location.origin || event.source !== popup || event.data.handoff !== opened.id) return;
    const session = await post(`/v1/embed/handoffs/${opened.id}/redeem`,
      {code: event.data.code, verifier: "%(verifier)s"});
    const me = await (await fetch("/v1/me", {headers: {Authorization: `Bearer ${session.token}`}})).json();
    who.textContent = me.display_name;
  });
  popup.location = opened.url;
};
</script>"""

# What Safari does to a frame of another site.
NO_STORAGE_IN_FRAMES = """if (window !== window.top) {
  for (const name of ["localStorage", "sessionStorage", "indexedDB"])
    Object.defineProperty(window, name, {get() { throw new DOMException("blocked", "SecurityError"); }});
}"""


class Site:
    """groupbook's login on localhost, a shop on 127.0.0.1 and Plaza: three sites, as in life."""

    def __init__(self, database: Database, network: Plaza, url: str, shop: str) -> None:
        self.database = database
        self.network = network
        self.url = url
        self.shop = shop

    @contextmanager
    def browse(self) -> Iterator[httpx2.Client]:
        headers = {"Origin": self.url}
        with httpx2.Client(base_url=self.url, headers=headers, follow_redirects=False, trust_env=False) as client:
            yield client

    def open_handoff(self, client: httpx2.Client, **changes: str) -> httpx2.Response:
        body = {
            "merchant": "kestrel",
            "embed_origin": self.shop,
            "instance": INSTANCE,
            "challenge": challenge_of(VERIFIER),
        } | changes
        return client.post("/v1/embed/handoffs", json=body)

    def log_in(self, client: httpx2.Client, query: str, person: str = "ana", answer: str = "yes") -> httpx2.Response:
        sent = client.get(f"/login/demo?{query}")
        assert sent.status_code == 303
        params = self.network.approve(sent.headers["location"], person, answer)
        return client.get("/login/demo/callback", params=params)


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    kestrel = merchants.create_merchant(database, slug="kestrel", name="Kestrel Rail", livemode=False)
    ours, theirs = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    url = f"http://localhost:{ours.getsockname()[1]}"
    shop = f"http://127.0.0.1:{theirs.getsockname()[1]}"
    with database.begin(kestrel.id) as session:
        merchants.add_embed_origin(session, shop)
    with (
        plaza(tmp_path, url) as network,
        served(shop_page(url), theirs),
        served(groupbook_app(database, network, url, shop), ours),
    ):
        yield Site(database, network, url, shop)


def groupbook_app(database: Database, network: Plaza, url: str, shop: str) -> Starlette:
    networks = {"demo": network.network}

    def registered(merchant_id: Any) -> list[str]:
        with database.begin(merchant_id) as session:
            return [origin.origin for origin in merchants.embed_origins(session)]

    def authenticate(request: Request) -> Any:
        token = bearer_of(request)
        return people.authenticate(database, token) if token else None

    async def frame(request: Request) -> HTMLResponse:
        values = {"shop": shop, "instance": INSTANCE, "challenge": challenge_of(VERIFIER), "verifier": VERIFIER}
        return HTMLResponse(FRAME % values, headers={"Content-Security-Policy": f"frame-ancestors {shop}"})

    async def blank(request: Request) -> HTMLResponse:
        return HTMLResponse("<title>page</title>")

    deps = PeopleDeps(
        database=database,
        networks=networks,
        public_url=url,
        find_merchant=lambda slug: merchants.merchant_by_slug(database, slug).id,
        embed_origins=registered,
    )
    return Starlette(
        routes=[
            Route("/e/kestrel", frame),
            Route("/t/x", blank),
            *people_routes(deps, Edge(database, authenticate, url)),
            *login.routes(login.LoginDeps(database, networks, url)),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
    )


def shop_page(url: str) -> Starlette:
    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse(f'<title>shop</title><iframe name="gb" src="{url}/e/kestrel" title="Plan"></iframe>')

    return Starlette(routes=[Route("/", page)])


@contextmanager
def served(app: Starlette, listener: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


# --- at top level -----------------------------------------------------------------------------------------------------


def test_a_login_at_top_level_returns_to_where_it_began(site: Site) -> None:
    with site.browse() as browser:
        page = browser.get("/login", params={"merchant": "kestrel", "return_to": "/t/x"})
        assert "Continue with Plaza" in page.text
        assert page.headers["cross-origin-opener-policy"] == "unsafe-none"
        done = site.log_in(browser, urlencode({"merchant": "kestrel", "return_to": "/t/x"}))
        assert (done.status_code, done.headers["location"]) == (303, "/t/x")
        flags = next(value for value in done.headers.get_list("set-cookie") if value.startswith(cookies.SESSION))
        assert "HttpOnly" in flags
        assert "SameSite=lax" in flags
        assert people.authenticate(site.database, browser.cookies[cookies.SESSION]) is not None
        token = browser.cookies[cookies.SESSION]
        assert browser.post("/logout", headers={"Origin": site.shop}).status_code == 403
        assert people.authenticate(site.database, token) is not None
        assert browser.post("/logout").status_code == 303
        assert people.authenticate(site.database, token) is None


def test_a_login_never_leads_to_another_site(site: Site) -> None:
    for bad in ("//evil.example", "https://evil.example/", "/\\evil.example"):
        with site.browse() as browser:
            done = site.log_in(browser, urlencode({"merchant": "kestrel", "return_to": bad}))
            assert done.headers["location"] == "/"


def test_a_callback_in_another_browser_or_twice_logs_nobody_in(site: Site) -> None:
    with site.browse() as attacker, site.browse() as victim:
        sent = attacker.get("/login/demo?merchant=kestrel")
        params = site.network.approve(sent.headers["location"], "bo")
        page = victim.get("/login/demo/callback", params=params)
        assert page.status_code == 403
        assert cookies.SESSION not in victim.cookies
        assert attacker.get("/login/demo/callback", params=params).status_code == 410  # the state is spent
        refused = site.log_in(attacker, "merchant=kestrel", answer="no")
        assert (refused.status_code, cookies.SESSION in attacker.cookies) == (403, False)
        for path in ("/login?merchant=nobody", "/login/nowhere?merchant=kestrel", "/login/demo/callback", "/login?h=x"):
            assert attacker.get(path).status_code in (404, 410)


def test_a_guest_who_logs_in_keeps_the_seat(site: Site) -> None:
    merchant_id, trip_id = merchants.merchant_by_slug(site.database, "kestrel").id, new_id()
    with site.database.begin(merchant_id) as session:
        seat = people.add_guest(session, trip_ref=trip_id, name="Ana")
    with site.browse() as browser:
        browser.cookies.set(f"gb_seat_{trip_id.hex}", seat.session.token, domain="localhost.local")
        done = site.log_in(browser, "merchant=kestrel")
        assert any(value.startswith(f'gb_seat_{trip_id.hex}=""') for value in done.headers.get_list("set-cookie"))
    with site.database.begin(merchant_id) as session:
        assert people.read_guest(session, seat.guest.id).person_id is not None


# --- the hand-off -----------------------------------------------------------------------------------------------------


def test_the_consent_names_the_origin_and_only_our_page_can_agree(site: Site) -> None:
    """An attacker's hand-off, opened by a victim who is logged in."""
    with site.browse() as attacker, site.browse() as victim:
        opened = site.open_handoff(attacker).json()
        site.log_in(victim, "merchant=kestrel", person="chloe")
        page = victim.get(f"/login/handoff?h={opened['id']}")
        assert "Continue as Chloé on " + urlsplit(site.shop).netloc in page.text
        form = {"h": opened["id"], "answer": "yes"}
        assert victim.post("/login/handoff", data=form, headers={"Origin": site.shop}).status_code == 403
        assert victim.post("/login/handoff", data=form, headers={"Origin": "null"}).status_code == 403
        redeem = f"/v1/embed/handoffs/{opened['id']}/redeem"
        assert attacker.post(redeem, json={"code": "x", "verifier": VERIFIER}).status_code == 403
        assert victim.post("/login/handoff", data={**form, "answer": "no"}).status_code == 200
        again = victim.post("/login/handoff", data=form)
        assert (again.status_code, 'id="gb-handoff"' in again.text) == (410, False)
        assert attacker.post(redeem, json={"code": "x", "verifier": VERIFIER}).status_code == 409


def test_the_code_from_the_window_opens_the_frame_once(site: Site) -> None:
    with site.browse() as frame, site.browse() as window:
        opened = site.open_handoff(frame).json()
        first = window.get(f"/login/handoff?h={opened['id']}&network=demo")
        assert first.headers["location"] == f"/login/demo?h={opened['id']}"  # nobody is logged in: there first
        back = site.log_in(window, f"h={opened['id']}", person="gil")
        assert back.headers["location"] == f"/login/handoff?h={opened['id']}"
        done = window.post("/login/handoff", data={"h": opened["id"], "answer": "yes"})
        code = re.search(r'data-handoff="[^"]+" data-code="([^"]+)"', done.text)
        assert code is not None
        body = {"code": code[1], "verifier": VERIFIER}
        redeem = f"/v1/embed/handoffs/{opened['id']}/redeem"
        session = frame.post(redeem, json=body).json()
        bearer = {"Authorization": f"Bearer {session['token']}"}
        assert session["person"]["display_name"] == "Gil"
        assert frame.get("/v1/me", headers=bearer).json()["initials"] == "G"
        assert frame.post(redeem, json=body).json()["code"] == "handoff_not_open"
        assert frame.post("/v1/sessions/end", headers=bearer).status_code == 204
        assert frame.get("/v1/me", headers=bearer).status_code == 401


def test_a_handoff_asks_for_lawful_values(site: Site) -> None:
    with site.browse() as frame:
        assert site.open_handoff(frame, embed_origin="https://evil.example").json()["code"] == (
            "embed_origin_not_registered"
        )
        assert site.open_handoff(frame, merchant="nobody").status_code == 404
        for changes in ({"challenge": "x"}, {"instance": "x"}, {"merchant": "Ünï"}, {"extra": "1"}):
            assert site.open_handoff(frame, **changes).status_code == 422
    with site.database.begin(merchants.merchant_by_slug(site.database, "kestrel").id) as session:
        assert session.execute(text("SELECT count(*) FROM handoff")).scalar_one() == 0


def test_a_launch_over_http_opens_once(site: Site) -> None:
    with site.browse() as frame:
        body = {"merchant": "kestrel", "payload": site.network.launch_payload("hana", "abc")}
        opened = frame.post("/v1/launches/demo", json=body)
        assert (opened.status_code, opened.json()["start"]) == (201, "abc")
        assert frame.post("/v1/launches/demo", json=body).json()["params"] == {"reason": "replayed"}
        assert frame.post("/v1/launches/nowhere", json=body).status_code == 404
        assert frame.post("/v1/launches/demo", json={**body, "payload": "x=1"}).status_code == 401


@pytest.mark.browser
def test_the_window_logs_the_frame_in_where_third_party_cookies_are_blocked(site: Site, strict_browser: Any) -> None:
    context = strict_browser.new_context(viewport={"width": 390, "height": 844})
    context.add_init_script(NO_STORAGE_IN_FRAMES)
    page = context.new_page()
    page.goto(site.shop)
    frame = page.frame_locator("iframe")
    assert page.frame("gb").title() == "blocked"
    with page.expect_popup() as opening:
        frame.get_by_role("button", name="Log in").click()
    window = opening.value
    window.get_by_role("button", name="Freya").click()
    window.get_by_role("button", name="Allow as Freya").click()
    assert urlsplit(site.shop).netloc in window.get_by_role("heading").inner_text()
    window.get_by_role("button", name="Continue as Freya").click()
    frame.get_by_text("Freya").wait_for()
    if not window.is_closed():
        window.wait_for_event("close")
