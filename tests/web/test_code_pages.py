"""The merchant's pages of discount codes: made, watched, changed and switched off, by the services of the API."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import UTC, date, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from starlette.testclient import TestClient

from groupbook import discounts
from groupbook.discounts import CodeUse, DiscountCode
from groupbook.kit.ids import CodeId, from_wire, new_id, to_wire
from groupbook.kit.money import Money
from tests.support.saga import Saga
from tests.support.site import free_port, read, served, staff_token

ROOT = Path(__file__).resolve().parents[2]
EMAIL = "ines@kestrel.example"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULES = {
    rule["id"]: rule for rule in json.loads((ROOT / "tests/data/discount-catalogue.json").read_text("utf-8"))["rules"]
}
IN_CATALOGUE = ("uk.16-25", "shop.own10", "shop.pct10")
FORM = {"code": "Spring-26", "rule": "shop.own10"}


def with_rules(saga: Saga) -> None:
    with saga.database.begin(saga.merchant_id) as session:
        rules = [{**RULES[id], "currency": "EUR"} for id in IN_CATALOGUE]
        discounts.put_catalogue(session, {"rules": rules}, starts_on=date(2026, 1, 1), now=NOW)


def codes(saga: Saga) -> list[DiscountCode]:
    with saga.database.begin(saga.merchant_id) as session:
        return list(discounts.list_codes(session, None, 10).rows)


def use(saga: Saga, code: DiscountCode) -> None:
    with saga.database.begin(saga.merchant_id) as session:
        counted = CodeUse(code.id, code.draft.rule, Money(300, "EUR"))
        discounts.reserve_codes(session, new_id(), [(new_id(), counted)], now=NOW)


def error_at(answer: Any, name: str) -> str:
    """What stands at a field, and that the field is said to be wrong by it."""
    found = re.search(rf'<span class="gb-error" id="f-{name}-error">([^<]*)</span>', answer.text)
    assert found is not None, read(answer)
    assert re.search(rf'<(?:input|select)[^>]* id="f-{name}"[^>]*f-{name}-error', answer.text)
    return unescape(found[1])


def test_a_code_is_made_listed_changed_and_switched_off(saga: Saga, client: TestClient) -> None:
    empty = read(client.get("/dashboard/codes"))
    assert "No codes yet First your rules need one that is triggered by a code." in empty
    with_rules(saga)
    offered = re.findall(r'<option value="([^"]+)"', client.get("/dashboard/codes").text)
    assert sorted(offered) == ["shop.own10", "shop.pct10"]  # uk.16-25 needs no code

    made = client.post("/dashboard/codes", data={**FORM, "uses_max": "5", "ends_at": "2027-06-01T02:00"})
    assert (made.status_code, "Made." in read(made)) == (200, True)
    [code] = codes(saga)
    assert (code.draft.text, code.draft.rule, code.draft.uses_max) == ("Spring-26", "shop.own10", 5)
    assert code.draft.ends_at == datetime(2027, 6, 1, 0, tzinfo=UTC)  # the merchant is in Paris
    path = f"/dashboard/codes/{to_wire('cod', code.id)}"
    assert made.url.path == path
    use(saga, code)
    assert "Spring-26 Can be used" in read(client.get("/dashboard/codes"))
    assert "Used 1 of 5" in read(client.get(path))
    assert "In an open booking €3.00" in read(client.get(path))

    changed = client.post(path, data={"uses_max": "1", "uses_per_person_max": "1", "starts_at": "", "ends_at": ""})
    assert "Spring-26 Used up" in read(changed)
    [code] = codes(saga)
    assert (code.draft.uses_max, code.draft.uses_per_person_max, code.draft.ends_at) == (1, 1, None)
    assert (code.draft.text, code.draft.rule) == ("Spring-26", "shop.own10")
    like = client.get(f"/dashboard/codes?like={to_wire('cod', code.id)}").text
    assert 'name="uses_max" type="text" value="1"' in like

    asked = client.get(f"{path}/disable")
    assert ("Switch this code off?" in read(asked), codes(saga)[0].disabled_at) == (True, None)
    for _ in range(2):
        assert client.post(f"{path}/disable").url.path == path
    assert codes(saga)[0].disabled_at is not None
    assert "Switched off" in read(client.get(path))
    assert client.get(f"{path}/disable").url.path == path  # nothing is left to ask
    for unknown in (f"cod_{'0' * 32}", "cod_x", "x"):
        assert client.get(f"/dashboard/codes/{unknown}").status_code == 404


WRONG: list[tuple[dict[str, str], str, str, str]] = [
    ({"code": "AB"}, "code", "Take 3 to 40 letters", "Prenez 3 à 40 lettres"),
    ({"code": "taken"}, "code", "You have a code of this text already", "Vous avez déjà un code de ce texte"),
    ({"rule": "uk.16-25"}, "rule", "This rule needs no code.", "Cette règle n’a pas besoin de code."),
    ({"rule": "no.such"}, "rule", "Your rules do not know this one", "Vos règles ne la connaissent pas"),
    ({"owner": "me"}, "owner", "There is no such person.", "Cette personne n’existe pas."),
    ({"owner": f"psn_{'0' * 32}"}, "owner", "There is no such person.", "Cette personne n’existe pas."),
    ({"uses_max": "0"}, "uses_max", "Give a whole number, 1 or more", "Indiquez un nombre entier, 1 ou plus"),
    ({"uses_max": "many"}, "uses_max", "Give a whole number, 1 or more", "Indiquez un nombre entier, 1 ou plus"),
    ({"uses_per_person_max": "1.5"}, "uses_per_person_max", "Give a whole number", "Indiquez un nombre entier"),
    ({"starts_at": "tomorrow"}, "starts_at", "Give a day and a time", "Indiquez un jour et une heure"),
    (
        {"starts_at": "2027-01-02T00:00", "ends_at": "2027-01-01T00:00"},
        "ends_at",
        "The end has to come after the beginning.",
        "La fin doit venir après le début.",
    ),
]


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_stored(saga: Saga, client: TestClient) -> None:
    with_rules(saga)
    client.post("/dashboard/codes", data={**FORM, "code": "TAKEN"})
    for typed, name, english, french in WRONG:
        for language, sentence in (("en", english), ("fr", french)):
            answer = client.post(f"/dashboard/codes?lang={language}", data={**FORM, **typed})
            assert (answer.status_code, sentence in error_at(answer, name)) == (422, True), typed
            for field, text in typed.items():
                assert field == "rule" or f'value="{text}"' in answer.text  # what was typed is still there
    assert [code.draft.text for code in codes(saga)] == ["TAKEN"]


def test_a_limit_is_never_under_what_was_used(saga: Saga, client: TestClient) -> None:
    with_rules(saga)
    client.post("/dashboard/codes", data={**FORM, "uses_max": "3"})
    [code] = codes(saga)
    for _ in range(2):
        use(saga, code)
    path = f"/dashboard/codes/{to_wire('cod', code.id)}"
    refused = client.post(path, data={"uses_max": "1"})
    assert (refused.status_code, error_at(refused, "uses_max")) == (
        422,
        "It was used 2 times already; that is the least.",
    )
    assert codes(saga)[0].draft.uses_max == 3


def test_a_moment_that_is_left_alone_stays_to_the_second(saga: Saga, client: TestClient) -> None:
    """The form shows minutes; the API gave seconds."""
    with_rules(saga)
    ends_at = datetime(2027, 1, 1, 22, 59, 59, tzinfo=UTC)
    with saga.database.begin(saga.merchant_id) as session:
        draft = discounts.CodeDraft("NEWYEAR", "shop.own10", ends_at=ends_at)
        code = discounts.create_code(session, draft, now=NOW)
    path = f"/dashboard/codes/{to_wire('cod', code.id)}"
    shown = re.search(r'id="f-ends_at"[^>]*value="([^"]+)"', client.get(path).text)
    assert shown is not None
    client.post(path, data={"uses_max": "7", "ends_at": shown[1]})
    [code] = codes(saga)
    assert (shown[1], code.draft.uses_max, code.draft.ends_at) == ("2027-01-01T23:59", 7, ends_at)


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_axe_finds_nothing_on_the_pages_of_codes(database_url: str, browser: Any, width: int, scheme: str) -> None:
    """With codes and without, with a form that was refused, and before one is switched off."""
    port = free_port()
    saga = Saga(database_url, "ada", "bo", public_url=f"http://127.0.0.1:{port}")
    token, axe, found = staff_token(saga, email=EMAIL), Axe(), {}
    with closing(saga), served(saga, port=port) as url:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.add_cookies([{"name": "gb_staff", "value": token, "url": url}])
        page = context.new_page()

        def look(name: str) -> None:
            told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in axe.run(page).response["violations"]]
            if page.evaluate("document.documentElement.scrollWidth") > width:
                told.append("wider than the window")
            if told:
                found[name] = told

        page.goto(f"{url}/dashboard/codes")
        look("empty")
        with_rules(saga)
        page.goto(f"{url}/dashboard/codes")
        page.fill("#f-code", "SPRING-26")
        page.fill("#f-uses_max", "0")
        page.click("#new button")
        look("refused")
        page.fill("#f-uses_max", "9")
        page.click("#new button")
        look("made")
        code_id = CodeId(from_wire("cod", page.url.split("/")[-1].partition("?")[0]))
        page.goto(f"{url}/dashboard/codes")
        look("list")
        page.goto(f"{url}/dashboard/codes/{to_wire('cod', code_id)}/disable")
        look("sure")
        context.close()
    assert found == {}, found
