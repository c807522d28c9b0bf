"""The sandbox's hosted page in a real browser, phone-sized, light and dark, by keyboard and without script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.demo.test_payment_sandbox import opened
from tests.support.payments import RunningSandbox, running

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running(tmp_path_factory.mktemp("sandbox")) as server:
        yield server


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_payer_is_declined_confirms_and_goes_back(sandbox: RunningSandbox, browser: Any, scheme: str) -> None:
    phone = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = phone.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    session = opened(sandbox, success_url=f"{sandbox.url}/health")

    def is_accessible() -> None:
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.goto(session["url"])
    is_accessible()
    page.get_by_role("button", name="Refusée").click()
    assert page.get_by_label("Numéro de carte").input_value() == "4000 0000 0000 0002"
    page.keyboard.press("Enter")  # the chip moved the focus to the button that pays
    page.get_by_role("alert").wait_for()
    is_accessible()
    page.get_by_label("Numéro de carte").fill("4000002760003184")
    page.get_by_label("Expire").press_sequentially("1239")
    page.get_by_label("Code de sécurité").fill("123")
    page.get_by_role("button", name="Autoriser").click()
    page.wait_for_url("**/c/challenge/**")
    is_accessible()
    page.get_by_role("button", name="Oui").click()
    page.wait_for_url("**/health")
    page.goto(f"{sandbox.url}/c/pay/{session['id']}")
    assert "déjà autorisé" in page.content()
    is_accessible()
    page.goto(f"{sandbox.url}/_faults")
    is_accessible()
    assert complaints == []
    phone.close()


def test_without_script_a_test_card_pays_in_one_tap(sandbox: RunningSandbox, browser: Any) -> None:
    phone = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False, locale="en-GB")
    page = phone.new_page()
    session = opened(sandbox, success_url=f"{sandbox.url}/health", locale="en")
    page.goto(session["url"])
    page.get_by_role("button", name="Accepted").click()
    page.wait_for_url("**/health")
    assert sandbox.api("GET", f"/v1/checkout/sessions/{session['id']}").json()["status"] == "complete"
    phone.close()
