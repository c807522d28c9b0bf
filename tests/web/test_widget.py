"""The loader and the frame in a real browser: groupbook on localhost, the shop on 127.0.0.1, no third-party cookies."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from groupbook.kit.ids import to_wire
from groupbook.web import quickstart
from tests.support.saga import Saga
from tests.web.conftest import Site

pytestmark = pytest.mark.browser

SHOP_PAGE = """<!doctype html><html lang="en"><title>shop</title><h1>Shop</h1>
<script async src="{url}/v1.js" data-merchant="kestrel"></script>
<button id="plan" data-groupbook="modal" data-offer="{offer}">Plan with friends</button>
<div id="inline" data-groupbook="inline" data-offer="{offer}" data-locale="fr"></div>
<script>
  window.heard = []; window.before = Object.keys(window).length;
  window.groupbook = window.groupbook || function () {{ (groupbook.q = groupbook.q || []).push(arguments) }};
  groupbook("on", "*", function (event) {{ heard.push(event.type) }});
  groupbook("nonsense", 1); groupbook("inline", {{element: "#nowhere"}});
  groupbook("on", "ready", function () {{ throw new Error("of the shop") }});
</script></html>"""


KEPT = """() => {
  const kept = document.cookie ? [document.cookie] : [];
  for (const name of ["localStorage", "sessionStorage"])
    try { kept.push(...Object.values(window[name])); } catch { /* denied: nothing can be kept there */ }
  return kept;
}"""


@contextmanager
def serve(listener: socket.socket, app: Starlette) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def live(database_url: str) -> Iterator[Site]:
    """The pages and a shop page, each on a port of its own."""
    saga = Saga(database_url, "Nobody")
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(socket.socket()) for _ in range(2))
        for listener in (ours, theirs):
            listener.bind(("127.0.0.1", 0))
        url = f"http://localhost:{ours.getsockname()[1]}"
        site = Site(saga, url, f"http://127.0.0.1:{theirs.getsockname()[1]}")
        shop_page = SHOP_PAGE.format(url=url, offer=to_wire("off", saga.offer_id))

        async def show(request: Request) -> HTMLResponse:
            return HTMLResponse(shop_page)

        async def pasted(request: Request) -> HTMLResponse:
            return HTMLResponse("<!doctype html><title>shop</title>" + quickstart.widget(url, "kestrel"))

        stack.enter_context(serve(ours, site.app))
        stack.enter_context(serve(theirs, Starlette(routes=[Route("/", show), Route("/pasted", pasted)])))
        yield site
    saga.close()


@pytest.fixture
def phone(browser: Any) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page: Page = context.new_page()
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    yield page
    context.close()


def test_the_loader_shows_the_frame_and_never_throws_on_the_page(live: Site, phone: Page) -> None:
    """Bad commands and a failing listener are warnings; a foreign message with the right shape is nothing."""
    thrown: list[str] = []
    phone.on("pageerror", lambda error: thrown.append(str(error)))
    phone.goto(live.shop)
    frame = phone.frame_locator("#inline iframe")
    expect(frame.get_by_role("heading", name="Préparer un voyage entre amis")).to_be_visible()
    phone.wait_for_function("heard.includes('ready')")
    height = "document.querySelector('#inline iframe').getBoundingClientRect().height"
    phone.wait_for_function(f"{height} > 700")
    was = phone.evaluate(height)
    inst = phone.evaluate(
        "new URLSearchParams(new URL(document.querySelector('#inline iframe').src).hash.slice(1)).get('inst')"
    )
    phone.evaluate("inst => window.postMessage({gb: 1, inst, type: 'size', payload: {h: 19}}, '*')", inst)
    phone.evaluate(
        "inst => window.postMessage({gb: 1, inst, type: 'ready', payload: {}}, '*', [new MessageChannel().port2])", inst
    )
    phone.wait_for_timeout(300)
    assert phone.evaluate(height) == was
    assert phone.evaluate("heard.filter(type => type === 'ready').length") == 1
    assert thrown == []
    phone.evaluate("groupbook('destroy')")
    assert phone.locator("iframe").count() == 0


def test_the_modal_takes_the_focus_and_gives_it_back(live: Site, phone: Page) -> None:
    phone.goto(live.shop)
    phone.locator("#plan").click()
    frame = phone.frame_locator("dialog iframe")
    expect(frame.get_by_role("heading", name="Plan a trip with friends")).to_be_visible()
    frame.locator("#f-name").click()
    frame.locator("#f-name").press("Escape")
    expect(phone.locator("dialog")).to_be_hidden()
    assert phone.evaluate("document.activeElement.id") == "plan"


def test_a_closed_modal_opens_again_where_it_was_and_a_guest_can_keep_the_trip(live: Site, phone: Page) -> None:
    """Closing hides the running frame; the seat goes to a tab of our own by a post, never by an address."""
    phone.goto(live.shop)
    phone.locator("#plan").click()
    frame = phone.frame_locator("dialog iframe")
    frame.locator("#f-title").fill("Lights")
    frame.locator("#f-name").fill("Ana")
    frame.get_by_role("button", name="Start planning").click()
    expect(frame.get_by_text("You are planning")).to_be_visible()
    phone.get_by_role("button", name="Close").click()
    expect(phone.locator("dialog")).to_be_hidden()
    phone.locator("#plan").click()
    expect(frame.get_by_text("You are planning")).to_be_visible()
    with phone.context.expect_page() as opened:
        frame.get_by_role("button", name="Open in its own tab").click()
    tab = opened.value
    expect(tab.get_by_text("You are planning")).to_be_visible()
    assert re.fullmatch(re.escape(live.url) + r"/t/trip_[0-9a-f]{32}", tab.url)
    phone.evaluate("groupbook('destroy')")
    assert phone.locator("iframe").count() == 0


def test_a_guest_plans_in_the_frame_with_a_bearer_that_is_nowhere_to_be_found(live: Site, phone: Page) -> None:
    """The seat's token is in no cookie, store or address; half-typed text survives news of others."""
    phone.goto(live.shop)
    phone.locator("#plan").click()
    frame = phone.frame_locator("dialog iframe")
    frame.locator("#f-title").fill("Lights")
    frame.locator("#f-name").fill("Ana")
    frame.get_by_role("button", name="Start planning").click()
    expect(frame.get_by_text("You are planning")).to_be_visible()
    inside = next(one for one in phone.frames if one.url.startswith(live.url) and "lang=fr" not in one.url)
    assert inside.evaluate(KEPT) == []
    assert "trip_" not in inside.url
    assert phone.context.cookies(live.url) == []

    invite = frame.locator("#invite-link").input_value()
    bo = live.browser()
    bo.headers["Origin"] = live.url
    trip = bo.join(invite.removeprefix(live.url), "Bo")
    frame.locator("#f-comment").fill("half a sent")
    bo.act(trip, "vote", option=bo.option_of(trip), choice="yes")
    inside.evaluate("window.dispatchEvent(new Event('online'))")
    expect(frame.locator(".gb-tally").first).to_contain_text("1 yes")
    expect(frame.locator("#f-comment")).to_have_value("half a sent")
    expect(frame.locator("#f-comment")).to_be_focused()


def test_a_vote_is_saved_at_once_can_be_undone_and_keeps_the_focus(live: Site, phone: Page) -> None:
    ana = live.browser()
    ana.headers["Origin"] = live.url
    trip = ana.start("Ana", to_wire("off", live.saga.offer_id))
    invite = re.search(r'value="(http://localhost:\d+/i/[^"]+)"', ana.get(trip).text)
    assert invite is not None
    phone.goto(invite[1])
    phone.fill("#f-name", "Bo")
    phone.get_by_role("button", name="Join and vote").click()
    works = phone.get_by_role("button", name="Works")
    works.click()
    expect(works).to_have_attribute("aria-pressed", "true")
    expect(phone.locator(".gb-tally")).to_contain_text("1 yes")
    expect(works).to_be_focused()
    phone.get_by_role("button", name="Undo").click()
    expect(phone.locator(".gb-tally")).to_contain_text("0 yes")
    phone.context.set_offline(True)
    works.click()
    expect(phone.get_by_role("alert")).to_contain_text("offline")
    expect(works).to_have_attribute("aria-pressed", "false")


def test_the_skip_link_jumps_and_loads_nothing(live: Site, phone: Page) -> None:
    """A jump within the page is a step in the history, too; loading the page anew would throw the focus back."""
    asked: list[str] = []
    phone.goto(f"{live.url}/start?merchant=kestrel")
    phone.wait_for_load_state("networkidle")
    phone.on("request", lambda request: asked.append(request.url) if "/start" in request.url else None)
    phone.keyboard.press("Tab")
    expect(phone.get_by_role("link", name="Skip to the content")).to_be_focused()
    phone.keyboard.press("Enter")
    expect(phone).to_have_url(re.compile("#main$"))
    phone.locator("#f-title").focus()
    phone.wait_for_load_state("networkidle")
    expect(phone.locator("#f-title")).to_be_focused()
    assert asked == []


def test_a_refused_code_stays_to_be_put_right_and_a_pressed_button_never_drops_the_focus(
    live: Site, phone: Page
) -> None:
    ana = live.browser()
    ana.headers["Origin"] = live.url
    trip = ana.start("Ana", to_wire("off", live.saga.offer_id))
    phone.context.add_cookies([{"name": name, "value": value, "url": live.url} for name, value in ana.cookies.items()])
    phone.goto(live.url + trip)
    phone.locator("#about-you > summary").click()
    phone.locator("#f-code").fill("NOSUCH")
    phone.get_by_role("button", name="Add the code").click()
    expect(phone.locator("[data-notice]")).to_be_focused()
    expect(phone.locator("#f-code")).to_be_visible()
    expect(phone.locator("#f-code")).to_have_value("NOSUCH")
    phone.get_by_role("button", name="Choose this one").focus()
    phone.keyboard.press("Enter")
    expect(phone.get_by_role("heading", name="It is decided")).to_be_visible()
    expect(phone.locator("#main")).to_be_focused()


def test_what_the_documents_say_to_paste_opens_the_widget(live: Site, phone: Page) -> None:
    documents = (Path(__file__).parents[2] / "docs" / "widget.md").read_text(encoding="utf-8")
    assert quickstart.widget("https://groupbook.example", "your-slug") in documents
    phone.goto(live.shop + "/pasted")
    phone.get_by_role("button", name="Plan with friends").click()
    expect(phone.frame_locator("dialog iframe").get_by_role("heading", name="Plan a trip with friends")).to_be_visible()
