"""`/g/<token>`: somebody who does not travel gives to everybody who does; what it does is told before they agree."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from starlette.responses import Response
from starlette.routing import Route

from groupbook import bookings, notices, people
from groupbook.bookings.domain import BookingClosed, ContributionInvalid, SponsorLinkNotFound, SponsorLinkOver
from groupbook.kit.errors import GroupbookError
from groupbook.kit.http import STATUS
from groupbook.kit.ids import to_wire
from groupbook.notices import NoticeDeps, TooManyAddresses
from groupbook.notices.domain import check_email, email_characters_max
from groupbook.trips.domain import is_invite_token, mint_invite_token
from groupbook.web import phrases
from groupbook.web.amounts import typed_amount
from groupbook.web.asking import Ask, page, trouble_page
from groupbook.web.deps import WebDeps
from groupbook.web.start_pages import generic_preview
from groupbook.web.views import NoticeView

_FIELDS = {"name_empty": "name", "name_too_long": "name", "address_invalid": "email", "contribution_invalid": "amount"}


def routes(deps: WebDeps, letters: NoticeDeps) -> list[Route]:
    return [
        Route("/g/{token}", page(show_gift, deps), methods=["GET"]),
        Route("/g/{token}", page(partial(give, letters), deps), methods=["POST"]),
    ]


def show_gift(ask: Ask, error: GroupbookError | None = None) -> Response:
    """What is wanted, what it does, and what happens to one's card."""
    token = ask.request.path_params["token"]
    try:
        wanted = bookings.open_gift(ask.deps.database, token)
    except BookingClosed:
        return trouble_page(ask, SponsorLinkOver())  # what the group's booking became is not a stranger's to read
    merchant, caller = ask.merchant(wanted.merchant_id), ask.caller(wanted.trip_id)
    is_known = caller is not None and caller.merchant_id == wanted.merchant_id and caller.is_traveler
    field = _FIELDS.get(error.code) if error is not None else None
    text = phrases.error_text(error, ask.say) if error is not None else ""
    context = {
        "wanted": wanted,
        "action": f"/g/{token}",
        "nonce": mint_invite_token(),
        "values": {
            "name": ask.one("name"),
            "email": ask.one("email")[:email_characters_max],
            "amount": ask.one("amount"),
        },
        "errors": {one: text if one == field else "" for one in ("amount", "name", "email")},
        "asks_address": ask.deps.sends_mail and not is_known,
        "notice": NoticeView(text, "bad") if error is not None and field is None else None,
        "networks": ask.networks(merchant, f"/g/{token}"),
        "preview": generic_preview(ask, f"/g/{token}", merchant),
        "zone": merchant.timezone,
    }
    status = STATUS[error.kind] if error is not None else 200
    return ask.show(
        "sponsor.html", context, status=status, merchant=merchant, viewer=ask.viewer(caller) if is_known else None
    )


def give(letters: NoticeDeps, ask: Ask) -> Response:
    """Agree to an amount; the page that follows leads to the payment page. A guest says where news may go."""
    token = ask.request.path_params["token"]
    _, trip_id = bookings.find_gift(ask.deps.database, token)
    caller = ask.caller(trip_id)
    if caller is None:
        ask.require_own_page()
    email = ask.one("email")
    nonce = next((value for value in ask.form.get("nonce", ()) if is_invite_token(value)), None)
    try:
        if email or (letters.mailer is not None and caller is None):
            email = check_email(email)
        amount = typed_amount(ask.one("amount"), ask.one("currency"))
        if amount is None:
            raise ContributionInvalid(pointer="/amount", reason="out_of_range")
        given = bookings.give_without_a_place(
            ask.deps.database, caller, token, amount, name=ask.one("name") or None, nonce=nonce
        )
    except BookingClosed:
        return trouble_page(ask, SponsorLinkOver())
    except (SponsorLinkNotFound, SponsorLinkOver):
        raise
    except GroupbookError as error:
        return show_gift(ask, error)
    key = given.joined.guest_token
    asker = people.authenticate(ask.deps.database, key) if key else caller
    if email and asker is not None:
        with suppress(TooManyAddresses):  # the page says that nothing reaches them yet
            zone = ask.one("timezone") or None
            notices.give_address(letters, asker, trip_id, email, locale=ask.say.locale, timezone=zone)
    return ask.go(f"/t/{to_wire('trip', trip_id)}", seat=(trip_id, key))
