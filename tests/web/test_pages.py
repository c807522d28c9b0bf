"""What every page keeps: who may frame it, what it tells to strangers, whose changes it takes."""

from __future__ import annotations

import gzip

import pytest

from groupbook import merchants
from groupbook.kit.ids import to_wire
from groupbook.web import vendor
from groupbook.web.render import STATIC, initials
from groupbook.web.styleguide import SAMPLES
from tests.support.site import text_of
from tests.web.conftest import SHOP, Site


def _policy(headers: object, name: str) -> str:
    policy: str = headers["Content-Security-Policy"]  # type: ignore[index]  # a case-insensitive mapping
    return next(part.strip() for part in policy.split(";") if part.strip().startswith(name))


def test_a_merchants_frame_names_exactly_that_merchants_origins(site: Site) -> None:
    other = merchants.create_merchant(site.saga.database, slug="other", name="Other Tours", livemode=False)
    with site.saga.database.begin(other.id) as session:
        merchants.add_embed_origin(session, "https://tours.example")
    browser = site.browser()
    mine, theirs = browser.get("/e/kestrel?offer=x").headers, browser.get("/e/other").headers
    assert _policy(mine, "frame-ancestors") == f"frame-ancestors {SHOP}"
    assert _policy(theirs, "frame-ancestors") == "frame-ancestors https://tours.example"
    assert "X-Frame-Options" not in mine
    assert mine["Referrer-Policy"] == "no-referrer"


def test_nobody_may_frame_a_merchant_without_registered_origins(site: Site) -> None:
    merchants.create_merchant(site.saga.database, slug="shy", name="Shy Tours", livemode=False)
    assert _policy(site.browser().get("/e/shy").headers, "frame-ancestors") == "frame-ancestors 'none'"


def test_a_networks_frame_names_the_network_only(site: Site) -> None:
    answer = site.browser().get(f"/n/{site.network.name}/launch?merchant=kestrel&sub=1&name=Ana")
    assert _policy(answer.headers, "frame-ancestors") == f"frame-ancestors {site.network.origin}"
    assert "Ana" not in answer.text, "the shell holds nobody's data"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/start", "/styleguide/booked", "/i/unknown", "/s/unknown", "/t/trip_x"])
def test_ordinary_pages_are_framed_by_nobody_and_run_our_scripts_only(site: Site, path: str) -> None:
    answer = site.browser().get(path)
    assert _policy(answer.headers, "frame-ancestors") == "frame-ancestors 'none'"
    assert _policy(answer.headers, "script-src") == "script-src 'self'"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "<script>" not in answer.text
    assert " style=" not in answer.text
    assert "onclick=" not in answer.text


def test_a_change_from_another_page_is_refused_and_changes_nothing(site: Site) -> None:
    ana = site.browser()
    trip = ana.start("Ana", to_wire("off", site.saga.offer_id))
    for origin in ("https://evil.example", "null"):
        answer = ana.post(f"{trip}/cancel", headers={"Origin": origin})
        assert answer.status_code == 403
    assert "You are planning" in text_of(ana.get(trip).text)
    assert site.browser().post("/start", data={"name": "Eve"}, headers={"Origin": "null"}).status_code == 403


def test_strangers_learn_nothing_of_a_trip(site: Site) -> None:
    """Not its title, not its members, not even that it lives; a preview in a chat tells nothing either."""
    ana = site.browser()
    trip = ana.start("Ana Secretname", to_wire("off", site.saga.offer_id))
    stranger = site.browser()
    assert stranger.get(trip).status_code == 401
    assert "Lights" not in stranger.get(trip).text
    invite = ana.invite_of(trip)
    ana.act(trip, "privacy", visibility="secret")
    assert stranger.get(invite).status_code == 410
    ana.act(trip, "privacy", visibility="link")
    page = stranger.get(invite).text
    head = page[: page.index("</head>")]
    preview = head.replace("<title>Lights</title>", "")
    assert "Secretname" not in preview
    assert "Lights" not in preview
    assert '<meta name="robots" content="noindex">' in head


def test_names_titles_and_comments_are_escaped(site: Site) -> None:
    ana = site.browser()
    trip = ana.start("<b>Ana</b>", to_wire("off", site.saga.offer_id), title='"><img src=x onerror=alert(1)>')
    ana.act(trip, "comment", body="</p><script>alert(2)</script>")
    page = ana.get(trip).text
    assert "<b>Ana" not in page
    assert "<img src=x" not in page
    assert "<script>alert" not in page


@pytest.mark.parametrize("name", ["x" * 10_000, "", " \u200b ", "\u202e"])
def test_a_bad_name_is_told_at_its_field_and_nobody_joins(site: Site, name: str) -> None:
    ana, bo = site.browser(), site.browser()
    invite = ana.invite_of(ana.start("Ana", to_wire("off", site.saga.offer_id)))
    answer = bo.post(invite, data={"name": name})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert "1 person" in text_of(answer.text)


@pytest.mark.parametrize("fields", [{"age": "-1"}, {"age": "1e3"}, {"age": "300"}, {"age": "30", "card": "made_up"}])
def test_a_bad_age_or_card_is_refused_with_a_sentence(site: Site, fields: dict[str, str]) -> None:
    ana = site.browser()
    trip = ana.start("Ana", to_wire("off", site.saga.offer_id))
    answer = ana.act(trip, "about-me", **fields)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "Do you have a discount card?" in text_of(ana.get(trip).text), "nothing was kept"


def test_an_offer_of_nobody_and_an_unknown_occasion_still_open_the_page(site: Site) -> None:
    answer = site.browser().get("/start?merchant=kestrel&offer=off_00000000000000000000000000000000")
    assert answer.status_code == 200
    assert "This train is no longer sold." in text_of(answer.text)


def test_ended_links_say_so_with_a_way_out(site: Site) -> None:
    answer = site.browser("fr").get("/i/AAAAAAAAAAAAAAAAAAAAAA")
    assert answer.status_code == 404
    assert answer.headers["Content-Language"] == "fr"
    assert "Ce lien" in text_of(answer.text)
    assert 'href="/start?merchant=kestrel"' in answer.text


def test_the_frame_gets_its_guest_seat_as_a_bearer_and_never_a_cookie(site: Site) -> None:
    frame = site.browser()
    form = {"title": "Lights", "name": "Ana", "offer": to_wire("off", site.saga.offer_id)}
    headers = {"GB-Fetch": "1", "GB-Framed": "1"}
    answer = frame.post("/start?merchant=kestrel", data=form, headers=headers)
    assert answer.status_code == 204
    assert "set-cookie" not in answer.headers
    assert frame.get(answer.headers["GB-Go"]).status_code == 401
    bearer = {"Authorization": f"Bearer {answer.headers['GB-Bearer']}", **headers}
    page = frame.get(answer.headers["GB-Go"], headers=bearer)
    assert page.status_code == 200
    assert 'class="gb-framed"' in page.text
    del frame.headers["Origin"]
    assert frame.post(f"{answer.headers['GB-Go']}/comment", data={"body": "hi"}, headers=bearer).status_code == 200


def test_vendored_files_are_unmodified() -> None:
    assert vendor.check() == []


def test_the_loader_is_small_and_for_every_page(site: Site) -> None:
    assert len(gzip.compress((STATIC / "v1.js").read_bytes())) < 6_000
    answer = site.browser().get("/v1.js")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Content-Type"].startswith("text/javascript")


def test_a_page_weighs_less_than_400_kilobytes(site: Site) -> None:
    page = len(site.browser().get("/styleguide/deciding").content)
    static = sum(path.stat().st_size for path in STATIC.rglob("*") if path.suffix in (".css", ".js", ".svg", ".woff2"))
    assert page + static < 400_000


@pytest.mark.parametrize(
    ("name", "letters"), [("Ana", "A"), ("Bo van Berg", "BB"), ("🌻", "🌻"), ("ليلى", "ل"), (" ", "?")]
)
def test_initials(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_a_train_that_leaves_before_the_vote_ends_is_named(site: Site) -> None:
    browser = site.browser()
    late, in_time = (text_of(browser.get(f"/styleguide/{name}").text) for name in ("deciding-late", "deciding"))
    assert "TGV INOUI 6109 leaves before the time to vote is over." in late
    assert "OUIGO 7803 leaves before" not in late
    assert "leaves before" not in in_time


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_sample_renders_in_both_languages(site: Site, language: str) -> None:
    browser = site.browser(language)
    for name in SAMPLES:
        answer = browser.get(f"/styleguide/{name}")
        assert answer.status_code == 200, name
        assert f'<html lang="{language}"' in answer.text
