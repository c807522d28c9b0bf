"""The merchant's pages of rules: an upload with its errors, versions and their times, and a made-up party."""

from __future__ import annotations

import ast
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from starlette.testclient import TestClient

from groupbook import discounts
from groupbook.discounts import Finding, Problem
from groupbook.kit.i18n import words
from groupbook.web.rule_words import place_text
from tests.support.saga import Saga
from tests.support.site import free_port, read, served, staff_token

ROOT = Path(__file__).resolve().parents[2]
EMAIL = "ines@kestrel.example"
RULES = {
    rule["id"]: rule for rule in json.loads((ROOT / "tests/data/discount-catalogue.json").read_text("utf-8"))["rules"]
}
CHILD = {**RULES["uk.child"], "currency": "EUR", "stacks_with": ["uk.fam"]}
FAMILY = {**RULES["uk.family-friends"], "currency": "EUR"}
CODE = {**RULES["shop.pct20-max15"], "valid": {"to": "2999-12-31"}}


def store(client: TestClient, rules: list[Any] | str, starts_on: str = "2026-01-01", act: str = "store") -> Any:
    text = rules if isinstance(rules, str) else json.dumps({"rules": rules}, indent=1)
    return client.post("/dashboard/rules", data={"act": act, "rules": text, "starts_on": starts_on})


def stored(saga: Saga) -> int:
    return saga.count("SELECT count(*) FROM rule_catalogue")


# --- sentences ------------------------------------------------------------------------------------------------------


def codes_in(path: str, *, of: str) -> set[str]:
    """Codes as they stand in the source: the first argument of a call, or the second part of a yielded tuple."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if of == "raise" and isinstance(node, ast.Call) and getattr(node.func, "id", "") == "PydanticCustomError":
            found.add(node.args[0].value)  # type: ignore[attr-defined] # a constant
        if of == "yield" and isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
            found |= {part.value for part in node.value.elts[1:2] if isinstance(part, ast.Constant)}
    return found


def test_every_way_to_be_wrong_has_a_sentence_in_both_languages() -> None:
    engine = "groupbook/discounts/engine"
    refusals = codes_in(f"{engine}/rules.py", of="raise") | codes_in(f"{engine}/cases.py", of="raise")
    refusals |= codes_in(f"{engine}/rules.py", of="yield")
    findings = codes_in(f"{engine}/lint.py", of="yield") | {"not_a_time", "not_a_day"}
    assert (len(refusals) > 15, len(findings) > 35) == (True, True)
    names = """class other own family currency merchant to starts_on fact value role capacity from min max most least
    size payers n floor cap price"""
    facts = dict.fromkeys(names.split(), "x")
    places: list[Problem | Finding] = [Problem("/rules/0", code, "r", f"something about {code}") for code in refusals]
    places += [Finding("/rules/0", code, "r", facts) for code in findings]
    for place in places:
        english, french = place_text(place, words("en")), place_text(place, words("fr"))
        assert english not in (place.code.replace("_", " "), f"something about {place.code}"), place.code
        assert (english != french, english[0].isupper() or english[0] in "“x%m") == (True, True), place.code


# --- an upload ------------------------------------------------------------------------------------------------------


def test_broken_rules_are_told_by_line_and_sentence_and_nothing_is_stored(saga: Saga, client: TestClient) -> None:
    broken = {**CHILD, "effect": {"bp": 50_000}}
    answer = store(client, [broken, {**FAMILY, "surprise": 1}])
    page = read(answer)
    assert answer.status_code == 422
    assert "2 places are wrong. Nothing was stored." in page
    assert "uk.child /rules/0/effect/bp This number is too large: 10000 is the most." in page
    assert "uk.family-friends /rules/1/surprise There is no field “surprise” here." in page
    line = int(re.search(r"Line (\d+) uk\.child", page)[1])  # type: ignore[index] # it is there, or the test fails
    assert "50000" in json.dumps({"rules": [broken]}, indent=1).splitlines()[line - 1]
    assert "50000" in answer.text  # what was typed is still there
    assert stored(saga) == 0
    french = client.post("/dashboard/rules?lang=fr", data={"act": "store", "rules": "[{}]", "starts_on": "2026-01-01"})
    assert "Le « scope » d’une règle est self, joint ou order." in unescape(french.text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Paste your rules, or choose a file."),
        ('{"rules": [\n {"id": }]}', "something is wrong in line 2, at sign 9."),
        ('{"rules": 1}', "A list of rules is needed"),
        ('{"rules": [], "rules": []}', "The field “rules” is given twice in one object."),
        ('{"rules": [{"id": "\\u0000"}]}', "It holds a sign that cannot be stored."),
        (
            json.dumps([{"id": f"r{number}", "executable": False} for number in range(1_001)]),
            "This is too long: 1000 is the most.",
        ),
    ],
)
def test_a_text_that_is_no_list_of_rules_is_refused(saga: Saga, client: TestClient, text: str, sentence: str) -> None:
    answer = store(client, text)
    assert (answer.status_code, sentence in read(answer)) == (422, True)
    assert stored(saga) == 0


def test_a_check_stores_nothing_and_a_file_is_read(saga: Saga, client: TestClient) -> None:
    checked = read(store(client, [CHILD], act="check"))
    assert "1 rule, and it can be stored. Nothing was stored yet." in checked
    assert "/rules/0/stacks_with/0 No rule has the class uk.fam." in checked
    assert stored(saga) == 0
    content = "\ufeff" + json.dumps([CHILD, FAMILY])
    answer = client.post(
        "/dashboard/rules",
        data={"act": "store", "starts_on": "2026-01-01", "rules": "what stood there before"},
        files={"file": ("rules.json", content.encode(), "application/json")},
    )
    assert (answer.status_code, answer.url.path) == (200, "/dashboard/rules/1")
    assert "Stored. Prices count it for travel from its first day." in read(answer)
    not_text = {"file": ("rules.json", b"\xff\xfe", "application/json")}
    refused = client.post("/dashboard/rules", data={"act": "store", "starts_on": "2026-01-01"}, files=not_text)
    assert (refused.status_code, "The file is not text in UTF-8." in read(refused)) == (422, True)
    no_day = store(client, [CHILD], starts_on="soon")
    assert (no_day.status_code, "Give the first day of travel" in read(no_day)) == (422, True)
    assert stored(saga) == 1


# --- versions -------------------------------------------------------------------------------------------------------


def test_versions_show_their_time_what_changed_and_can_be_taken_back(saga: Saga, client: TestClient) -> None:
    assert "No rules yet" in read(client.get("/dashboard/rules"))
    store(client, [CHILD, CODE])
    store(client, [{**CHILD, "effect": {"bp": 6000}}, FAMILY], starts_on="2999-01-01")
    page = read(client.get("/dashboard/rules"))
    assert "Version 2 Coming from Tuesday, 1 January 2999 on · 2 rules" in page
    assert "Version 1 In force Thursday, 1 January 2026 to Monday, 31 December 2998 · 2 rules" in page
    second = read(client.get("/dashboard/rules/2"))
    assert "What changed since version 1" in second
    assert "Added Family & Friends Railcard uk.family-friends" in second
    assert 'effect before: {"bp": 5000} now: {"bp": 6000}' in second
    assert "Nothing: the rules are the same." in read(client.get("/dashboard/rules/2?against=2"))
    down = client.get("/dashboard/rules/2/download")
    assert down.headers["content-disposition"] == 'attachment; filename="kestrel-rules-2.json"'
    assert [rule["id"] for rule in down.json()["rules"]] == ["uk.child", "uk.family-friends"]
    assert client.post("/dashboard/rules/1", data={"act": "withdraw"}).status_code == 403
    client.post("/dashboard/rules/2", data={"act": "withdraw"})
    page = read(client.get("/dashboard/rules"))
    assert "Version 2 Withdrawn" in page
    assert "Version 1 In force from Thursday, 1 January 2026 on" in page
    for gone in ("/dashboard/rules/3", "/dashboard/rules/3/download", "/dashboard/rules/x"):
        assert client.get(gone).status_code == 404


# --- a made-up party ------------------------------------------------------------------------------------------------

PARTY: dict[str, Any] = {
    "act": "price",
    "rules": "",
    "date": "2026-11-28",
    "depart": "11:00",
    "direction": "single",
    "currency": "EUR",
    "travel_class": "2",
    "same_train": "yes",
    "fares": "offpeak 100.00",
    "name": ["Ana", "Ben", "Cem"],
    "age": ["40", "41", "8"],
    "card": ["uk.family-friends", "", ""],
    "card2": ["", "", ""],
    "fares_of": ["", "", ""],
    "tags_of": ["", "", ""],
    "code": ["", "", ""],
    "owner": ["1", "1", "1"],
}


def priced(client: TestClient, **fields: Any) -> Any:
    return client.post("/dashboard/rules/try", data={**PARTY, **fields})


def test_a_party_is_priced_line_by_line(saga: Saga, client: TestClient) -> None:
    store(client, [CHILD, FAMILY, CODE, {**RULES["uk.groupsave"], "currency": "EUR"}])
    answer = priced(client)
    page = read(answer)
    assert answer.status_code == 200
    assert "Together €152.00 instead of €250.00, each alone" in page
    assert "Proven No cheaper lawful combination exists." in page
    assert "Ana Fare offpeak €100.00 Family & Friends Railcard -€34.00 Ana pays €100.00 alone €66.00" in page
    assert "Cem Fare offpeak €100.00 Child fare 5-15 -€50.00 Family & Friends Railcard -€30.00" in page
    assert "Family & Friends Railcard (card of Ana) : Ana, Ben, Cem" in page
    assert "GroupSave needs more grown-ups in the group. missing_adult" in page
    with_code = read(priced(client, code=[CODE["id"], "", ""], owner=["2", "1", "1"]))
    assert "Together €137.00" in with_code
    assert saga.count("SELECT count(*) FROM quote") == saga.count("SELECT count(*) FROM traveler") == 0


def test_what_is_wrong_stands_at_its_field(saga: Saga, client: TestClient) -> None:
    nothing = priced(client)
    assert (nothing.status_code, "No rules are in force on the day of travel." in read(nothing)) == (422, True)
    store(client, [CHILD, FAMILY])
    answer = priced(client, age=["forty", "41", "8"], fares_of=["", "standard", ""], name=["Ana", "Ana", "Cem"])
    page = unescape(answer.text)
    assert answer.status_code == 422
    for field, sentence in (
        ("age-1", "Give a whole number, at most 150."),
        ("fares-2", "Write names and numbers in turn"),
        ("name-2", "Two travelers have the same name."),
    ):
        assert re.search(rf'id="f-{field}"[^>]*aria-invalid="true"[^>]*aria-describedby="[^"]*f-{field}-error"', page)
        assert re.search(rf'id="f-{field}-error">{sentence}', page), field
    assert "Give a date" in read(priced(client, date="2026-13-01"))
    assert "This text is not written as it has to be here." in read(priced(client, depart="25:00"))
    assert "Everybody needs a fare." in read(priced(client, fares=""))
    assert "Together" not in read(answer)


def test_the_form_grows_and_shrinks_by_its_own_buttons(saga: Saga, client: TestClient) -> None:
    store(client, [CHILD, FAMILY])
    page = client.get("/dashboard/rules/try?preset=family").text
    assert [page.count('name="name"'), page.count('value="uk.family-friends"')] == [4, 8]
    assert client.get("/dashboard/rules/try?preset=friends").text.count('name="name"') == 10
    grown = priced(client, act="add").text
    assert (grown.count('name="name"'), 'value="Dia"' in grown) == (4, True)
    shrunk = priced(client, act="remove-2").text
    assert re.findall(r'name="name" type="text" value="(\w+)"', shrunk) == ["Ana", "Cem"]
    many = {name: [str(at) for at in range(20)] for name in ("name", "age")}
    assert priced(client, act="add", **many).text.count('name="name"') == 12


def test_a_draft_is_tried_without_being_stored(saga: Saga, client: TestClient) -> None:
    draft = json.dumps([CHILD])
    answer = priced(client, rules="draft", draft=draft, card=["", "", ""])
    assert "Together €250.00" in read(answer)
    assert "Your draft" in read(answer)
    broken = priced(client, rules="draft", draft=json.dumps([{**CHILD, "layer": -1}]))
    assert broken.status_code == 422
    assert "Line 1 uk.child /rules/0/layer This number is too small: 0 is the least." in read(broken)
    assert "something is wrong in line 1" in read(priced(client, rules="draft", draft="{"))
    assert stored(saga) == 0


def test_the_case_is_taken_away_as_json_and_priced_again(saga: Saga, client: TestClient) -> None:
    store(client, [CHILD, FAMILY])
    page = priced(client).text
    found = re.search(r'<textarea[^>]*id="f-case"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    assert found is not None
    case = json.loads(unescape(found[1]))
    assert (case["expected"]["total"], len(case["travellers"])) == (15_200, 3)  # spelling: the cases' own
    catalogue = discounts.check_catalogue({"rules": [CHILD, FAMILY]})
    assert catalogue.problems == ()
    case["travellers"][2] |= {"age": None, "born": "2010-01-01"}  # spelling: the cases' own
    again = priced(client, act="json", case=json.dumps(case))
    assert "Together €300.00" in read(again)
    wrong = priced(client, act="json", case=json.dumps({**case, "currency": "euro"}))
    assert (wrong.status_code, "/currency This text is not written as it has to be here." in read(wrong)) == (422, True)
    assert "This is not JSON" in read(priced(client, act="json", case="{"))
    assert "A case is an object in braces." in read(priced(client, act="json", case="[]"))


def test_the_pages_are_for_staff_and_their_own_origin(saga: Saga, client: TestClient) -> None:
    foreign = {"Origin": "https://evil.example"}
    for path in ("/dashboard/rules", "/dashboard/rules/try"):
        assert client.post(path, data={"act": "store", "rules": "[]"}, headers=foreign).status_code == 403
    client.cookies.clear()
    for path in ("/dashboard/rules", "/dashboard/rules/1", "/dashboard/rules/try", "/dashboard/rules/1/download"):
        answer = client.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/login")
    assert stored(saga) == 0


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_axe_finds_nothing_on_the_pages_of_rules(database_url: str, browser: Any, width: int, scheme: str) -> None:
    """Filled in by hand in a real browser: an upload that is refused, a version, an answer, a broken form."""
    port = free_port()
    saga = Saga(database_url, "ada", "bo", public_url=f"http://127.0.0.1:{port}")
    token = staff_token(saga, email=EMAIL)
    axe, found = Axe(), {}
    with served(saga, port=port) as url:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.add_cookies([{"name": "gb_staff", "value": token, "url": url}])
        page = context.new_page()

        def look(name: str) -> None:
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in axe.run(page).response["violations"]]
            if page.evaluate("document.documentElement.scrollWidth") > width:
                told.append("wider than the window")
            if told:
                found[name] = told

        page.goto(f"{url}/dashboard/rules")
        page.fill("#f-rules", json.dumps([{**CHILD, "layer": -1}]))
        page.click("button[value=check]")
        look("refused")
        page.fill("#f-rules", json.dumps([CHILD, FAMILY, CODE]))
        page.fill("#f-starts_on", "2026-01-01")
        page.click("button[value=store]")
        look("version")
        page.goto(f"{url}/dashboard/rules/try?preset=family")
        page.select_option("#f-card-1", "uk.family-friends")
        page.press("#f-age-1", "Enter")
        page.wait_for_selector("#answer-title")
        look("answer")
        page.fill("#f-age-1", "x")
        page.press("#f-age-1", "Enter")
        page.wait_for_selector("#f-age-1-error")
        look("broken form")
        context.close()
    saga.close()
    assert found == {}, found
