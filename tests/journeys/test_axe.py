"""axe finds nothing on any page of ours, in any state, on a phone and on a desk, in the light and in the dark."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from groupbook.web.render import STATIC
from groupbook.web.styleguide import SAMPLES, styleguide

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The style guide, which shows every page in every state with sample people."""
    app = Starlette(
        routes=[
            Route("/styleguide", styleguide),
            Route("/styleguide/{name}", styleguide),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=10)


# Each width and each scheme once: neither changes what axe says of the other, and a round takes a minute.
@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (1280, "light")])
def test_axe_finds_nothing_on_any_page(browser: Any, address: str, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"{page.url}: {error}"))
    axe = Axe()
    found: dict[str, list[str]] = {}
    for name in ["", *SAMPLES]:
        page.goto(f"{address}/styleguide/{name}".rstrip("/"))
        for details in page.locator("details").all():
            details.evaluate("one => one.open = true")
        violations = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
        told = [f"{v['id']}: {v['nodes'][0]['html'][:160]}" for v in violations]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            told.append("wider than the window")
        if told:
            found[name or "index"] = told
    context.close()
    assert found == {}
