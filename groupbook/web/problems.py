"""Every error code of the API: why it happens and what to do. `/problems/<code>` shows it; a test keeps it complete.

For developers, in English. What people read on pages comes from the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Advice:
    cause: str
    fix: str


_SOMEBODY_ELSE = (
    "It never existed, was removed, or belongs to another merchant, trip or person; which of these is not told."
)
_CHECK_ID = "Check the id, and that you use the key or session of the merchant and member it belongs to."
_READ_AGAIN = "Read the object again and decide anew."
_OURS = "This is our mistake. Nothing more was done; send us the request id."


def _missing(what: str) -> Advice:
    return Advice(f"There is no such {what} for you. {_SOMEBODY_ELSE}", _CHECK_ID)


PROBLEMS: Final[Mapping[str, Advice]] = MappingProxyType(
    {
        # the edge
        "malformed": Advice(
            "The request is not HTTP or JSON as we read it.",
            "Send UTF-8 JSON with `Content-Type: application/json`, without duplicate names.",
        ),
        "invalid": Advice(
            "A value is wrong and will stay wrong.", "See `params` and `errors` for what is wrong with it."
        ),
        "invalid_request": Advice(
            "Fields are missing, unknown, or of the wrong type or length.",
            "`errors` lists each with its JSON pointer; correct them and send again.",
        ),
        "invalid_cursor": Advice(
            "The cursor was not given out by this list.",
            "Pass `next_cursor` unchanged, or leave it out to start at the newest.",
        ),
        "method_not_allowed": Advice(
            "The path exists, the method does not.", "The `Allow` header lists the methods; see the reference."
        ),
        "too_large": Advice("The body is larger than one megabyte.", "Send less at once."),
        "too_many": Advice("You ask faster than we allow.", "Wait as long as `Retry-After` says."),
        "unauthenticated": Advice(
            "We do not know who asks.",
            "Send `Authorization: Bearer` with an API key or a session token that is still good.",
        ),
        "forbidden": Advice(
            "We know who asks, and they may not.",
            "`params` says what is needed: another kind of caller, or a scope of the key.",
        ),
        "foreign_origin": Advice(
            "A change was asked for with a cookie from a page that is not ours.",
            "Use a bearer token from other sites and from scripts.",
        ),
        "not_found": _missing("thing"),
        "conflict": Advice("The request is right and the moment is not.", _READ_AGAIN),
        "gone": Advice("It was here and ended.", "Start again from the object it belonged to."),
        "unavailable": Advice(
            "Something we depend on did not answer; nothing was attempted.",
            "Try again, with the same `Idempotency-Key` where you sent one.",
        ),
        "outcome_unknown": Advice(
            "The other side did not answer, so it may have happened.",
            "Do not start anew. Ask again with the same `Idempotency-Key`, or read the object; we find out, too.",
        ),
        "refused": Advice(
            "The merchant's engine or another outside system answered no; `params.reason` says why.",
            "Asking the same again cannot help; change what is asked.",
        ),
        "invariant_broken": Advice("One of our own promises does not hold, so we stopped.", _OURS),
        # idempotency
        "idempotency_key_missing": Advice(
            "This operation moves money and needs an `Idempotency-Key`.",
            "Make a fresh key (a UUID) per intention, keep it, and send it with every try.",
        ),
        "idempotency_key_invalid": Advice(
            "The key is longer than 255 characters or has characters other than visible ASCII.", "Use a UUID."
        ),
        "idempotency_key_in_use": Advice(
            "The first request with this key is still at work.",
            "Wait a moment and send the same again; you will get its answer.",
        ),
        "idempotency_key_reused": Advice(
            "This key was used for a request with another method, path or body.", "Use a new key for a new request."
        ),
        # money
        "amount_out_of_range": Advice(
            "The amount is beyond what we can count.", "Amounts are whole minor units, at most a quadrillion."
        ),
        "currency_mismatch": Advice("Two currencies meet where one is needed.", "Use the currency of the offer."),
        "nobody_pays": Advice("A price would be divided among nobody.", "At least one person must take part."),
        # merchants
        "merchant_not_found": _missing("merchant"),
        "merchant_exists": Advice("This slug is taken in this mode.", "Choose another slug."),
        "api_key_not_found": _missing("API key"),
        "invalid_api_key": Advice(
            "The key is malformed, unknown, revoked or expired; which of these is not told.",
            "Copy it again from the dashboard; a key has a checksum, so a typing error is likely.",
        ),
        "invalid_scope": Advice("There is no such scope, or none was given.", "`params.allowed` lists the scopes."),
        "missing_scope": Advice(
            "The key does not have the scope this needs.", "Make a key with that scope in the dashboard."
        ),
        "live_mode_refused": Advice("This works in test mode only.", "Use a `gb_test_` key."),
        "embed_origin_not_found": _missing("embed origin"),
        "embed_origin_exists": Advice("This origin is registered already.", "Nothing to do."),
        "invalid_origin": Advice(
            "That is not an exact https origin.",
            "Write scheme, host and port only: `https://shop.example`. http is for loopback in test mode.",
        ),
        "invalid_slug": Advice("A slug has 1 to 40 lower-case letters, digits and inner hyphens.", "Choose another."),
        "invalid_email": Advice("That is not an e-mail address.", "Correct it."),
        "weak_password": Advice("The password is too short.", "Use at least twelve characters."),
        "staff_exists": Advice("This e-mail address has a login already.", "Log in, or use another address."),
        "invalid_login": Advice(
            "Unknown address, wrong password, or locked after too many tries; which of these is not told.",
            "Check both, or wait a quarter of an hour.",
        ),
        "invalid_travel": Advice(
            "A test clock runs between 0 seconds and 400 days ahead.", "Choose an offset in that range."
        ),
        "connection_not_found": Advice(
            "This merchant is not connected to such an outside system.", "Connect it with `groupbook connect`."
        ),
        # people
        "person_not_found": _missing("person"),
        "guest_not_found": _missing("guest"),
        "guest_adopted": Advice("The seat belongs to a person by now.", "Log in as that person."),
        "name_empty": Advice("Nothing visible is left of the name.", "Send a name of 1 to 80 characters."),
        "name_too_long": Advice("The name is longer than 80 characters.", "Shorten it."),
        "network_not_found": _missing("social network"),
        "login_expired": Advice("The login was begun too long ago, or finished already.", "Begin it again."),
        "login_mismatch": Advice(
            "The answer came to another browser than the one that asked.", "Begin the login again in this browser."
        ),
        "login_refused": Advice("The network, or the person there, said no.", "Begin again, and agree there."),
        "launch_rejected": Advice(
            "The network's launch payload is not genuine, too old, or was used before; `params.reason` says which.",
            "Open groupbook again from inside the network.",
        ),
        "invalid_challenge": Advice(
            "The challenge is not the SHA-256 of a verifier, base64url without padding (RFC 7636, S256).",
            "Compute it so.",
        ),
        "invalid_instance": Advice("The instance is not 16 to 64 letters of base64url.", "Let the widget make it."),
        "embed_origin_not_registered": Advice(
            "The page that asks is not one of the merchant's registered origins.",
            "Register its exact origin in the dashboard.",
        ),
        "handoff_not_found": _missing("hand-off"),
        "handoff_not_open": Advice("The hand-off was approved, denied, redeemed or spent already.", "Begin a new one."),
        "handoff_expired": Advice("The hand-off is older than five minutes.", "Begin a new one."),
        "handoff_code_wrong": Advice("The code is wrong, or older than a minute.", "Begin a new hand-off."),
        # discounts
        "cards_invalid": Advice(
            "A discount card is unknown, or its dates are wrong.", "See the card list of the merchant."
        ),
        "case_invalid": Advice("The pricing case cannot be read.", "`errors` says where."),
        "catalogue_in_force": Advice(
            "The version of your rules has begun, and prices were made with it.",
            "Upload a new version that starts today; only one that has not begun can be withdrawn.",
        ),
        "catalogue_invalid": Advice("The rule catalogue cannot be read.", "`errors` says where."),
        "catalogue_not_found": Advice(
            "There is no such version of your rules, or none in force on that day.",
            "See the versions; store one that starts on or before the day.",
        ),
        "catalogue_refused": Advice(
            "Rules are broken, or cannot be priced exactly; nothing was stored.",
            "`errors` names every place by its pointer; `POST /v1/rules/check` says the same and stores nothing.",
        ),
        "code_exists": Advice(
            "You have a discount code of this text; case does not count.",
            "Choose another text, or use that one.",
        ),
        "code_invalid": Advice(
            "The discount code cannot be stored as it is.",
            "`params.reason` says why: its text, its rule (one of your catalogue, triggered by a code), its owner, its "
            "limits or its dates; or the traveler holds as many codes as we keep.",
        ),
        "code_not_found": Advice(
            "There is no such discount code, or it is somebody else's; which of these is not told.",
            "Check the text, and that the person it was made for is logged in.",
        ),
        "code_not_usable": Advice(
            "The discount code exists and cannot be used now; `params.reason` says why (not_started, expired, used_up, "
            "disabled). At the opening of a booking: somebody else was faster; nothing was moved.",
            "Ask again: the next price is made without the code.",
        ),
        "discount_invalid": Advice("A discount, card or rule is not valid.", "`params` says which."),
        "no_own_fare": Advice("A traveler has no fare of their own in this offer.", "Send a full fare for everybody."),
        "proof_broken": Advice(
            "The proof does not show that this price is lawful and the cheapest.", "`params` says what is wrong."
        ),
        "rules_unsupported": Advice(
            "The catalogue uses a kind of rule this version does not know.", "Leave it out, or update groupbook."
        ),
        "trial_ambiguous": Advice(
            "A made-up party is to be priced by a stored version and by a draft at once.", "Send one of the two."
        ),
        "trials_busy": Advice(
            "Other made-up parties are being priced, and only a few are at once.", "Wait as long as `Retry-After` says."
        ),
        "too_many_combinations": Advice(
            "The rules allow more combinations than we can prove the cheapest of.",
            "Fewer stackable rules, or a smaller party.",
        ),
        # offers
        "offer_not_found": _missing("offer"),
        "occasion_not_found": _missing("occasion"),
        "quote_not_found": _missing("quote"),
        "hold_not_found": _missing("hold"),
        "order_not_found": _missing("order"),
        "invalid_offer": Advice(
            "The offer contradicts itself.",
            "`errors` says where: legs in order, fares in one currency, a fare when it is bookable.",
        ),
        "offer_not_bookable": Advice(
            "The offer has no fare, or its time is over: it can be voted on, not booked.", "Choose another offer."
        ),
        "quote_expired": Advice("The quote is too old to book on.", "Quote again."),
        "unknown_traveler": Advice("The quote does not know this member.", "Quote again with today's members."),
        "hold_pending": Advice(
            "The merchant has not answered an earlier request for places.",
            "Wait; the answer is on its way or will be read back.",
        ),
        "hold_not_live": Advice("The merchant does not keep the places (any more).", "Start a new booking."),
        "holds_not_offered": Advice(
            "This merchant's engine cannot hold places.",
            "Book without a hold; price and places are checked at the end.",
        ),
        "too_many_holds": Advice(
            "Too many places are kept for groups that have not paid, by this organizer or on this offer.",
            "Let one go, wait a while, or book without a hold.",
        ),
        "order_pending": Advice(
            "The merchant has not answered yet about this order.",
            "Wait; the answer is on its way or will be read back.",
        ),
        "amendment_not_offered": Advice(
            "The merchant does not change an order in this way, or not any more; `reason` says which.",
            "Cancel the whole booking, or ask the merchant.",
        ),
        "order_final": Advice(
            "The order was canceled, and a canceled order never rises again.", "Start a new booking."
        ),
        # trips
        "trip_not_found": _missing("trip"),
        "member_not_found": _missing("member"),
        "option_not_found": _missing("option"),
        "invite_not_found": _missing("invite"),
        "comment_not_found": _missing("comment"),
        "trip_text_invalid": Advice(
            "A text is empty, too long, or has characters we do not take; `params.reason` says which.", "Correct it."
        ),
        "deadline_required": Advice("Voting with a quorum needs a deadline.", "Send `rule.deadline_at`."),
        "deadline_in_past": Advice("The deadline is past, or more than a year away.", "Choose one within a year."),
        "invalid_quorum": Advice("The quorum is not between 1 and 60.", "Choose another."),
        "option_needs_something": Advice("An option is an offer, a date or a place: exactly one.", "Send exactly one."),
        "not_organizer": Advice("Only the organizer of the trip may do this.", "Ask the organizer."),
        "not_member": Advice("Only members of the trip may do this.", "Join the trip first."),
        "trip_state_forbids": Advice(
            "The trip is in a state in which this cannot happen; `params.state` says which.", _READ_AGAIN
        ),
        "trip_changed": Advice("The trip changed since you read it.", _READ_AGAIN),
        "trip_full": Advice("A trip has at most 60 members.", "Start a second trip."),
        "too_many_options": Advice("A trip has at most 40 options.", "Remove one first."),
        "too_many_invites": Advice("A trip has at most 100 invites.", "Revoke some, or use one link for everybody."),
        "too_many_comments": Advice("A trip has at most 1,000 comments.", "Talk elsewhere."),
        "option_decided": Advice("The group has decided on this option.", "Take the decision back first."),
        "roster_frozen": Advice(
            "The booking is being decided: nobody may join or leave now.", "Wait until it has ended."
        ),
        "booking_open": Advice("A booking of this trip is under way.", "Wait for it, or cancel it first."),
        "quorum_not_reached": Advice("Not enough members can come.", "Wait for votes, or let the organizer decide."),
        "not_unanimous": Advice("Not everybody has said yes to one option.", "Wait for votes."),
        "decision_not_due": Advice("The deadline of the vote has not come.", "Wait for it."),
        "undo_too_late": Advice("A decision can be undone for ten seconds.", "Reopen the vote instead."),
        "organizer_stays": Advice(
            "The organizer cannot leave their own trip.", "Cancel the trip, or hand it over first."
        ),
        "invite_expired": Advice("The invite is past its date.", "Ask for a new one."),
        "invite_revoked": Advice("The invite was taken back.", "Ask for a new one."),
        "trip_canceled": Advice("The organizer called the trip off.", "Start another."),
        # payments
        "portion_not_found": _missing("portion"),
        "attempt_not_found": _missing("attempt"),
        "refund_not_found": _missing("refund"),
        "portion_currency": Advice("A portion is in another currency than its booking.", "Use the booking's."),
        "portion_too_small": Advice(
            "The amount is below what the provider can take.", "Let one payer take several portions."
        ),
        "portion_not_representable": Advice(
            "Cards take no such amount in this currency: its last digit must be 0.", "Round the prices to it."
        ),
        "provider_key_rejected": Advice(
            "This is no key of the payment provider that could work here; `reason` says why.",
            "Paste a secret or a restricted key of this mode.",
        ),
        "payment_setup_not_found": _missing("setup"),
        "payment_setup_not_again": Advice(
            "Nothing is kept of this setup that could be tried again.", "Paste the key once more."
        ),
        "payments_under_way": Advice(
            "Payments are under way on the account in use, and this may be another one.",
            "Connect it once they are settled.",
        ),
        "portion_disputed": Advice(
            "The payer asked their bank for the money back.", "Answer the dispute; a refund on top would pay twice."
        ),
        "portion_not_payable": Advice(
            "The portion is settled, closed, or another attempt for it is under way.", _READ_AGAIN
        ),
        "not_your_portion": Advice(
            "Somebody else pays this portion.", "Ask its payer, or take it over where they asked you to."
        ),
        "payment_page_gone": Advice("This payment page has closed.", "Start the payment anew."),
        "own_page_not_offered": Advice(
            "The operator's platform has no publishable key, so payers cannot stay on our page.",
            "Leave them on the provider's page, or ask the operator.",
        ),
        "payment_refused": Advice(
            "The payment provider refused; `params.reason` says why.", "Try another card, or ask a friend to pay."
        ),
        "too_many_attempts": Advice("Too many cards were tried for one portion.", "Wait, or let somebody else pay."),
        "authorization_too_old": Advice(
            "The bank keeps the money for a shorter time than is left.", "Authorize again."
        ),
        "refund_too_large": Advice("More would go back than was taken.", "Refund at most what is left."),
        "illegal_step": Advice("The payment is in a state in which this cannot happen.", _READ_AGAIN),
        "event_rejected": Advice(
            "The provider's message is not genuine, or too old.", "Check the signing secret and the clock."
        ),
        "statement_not_found": _missing("booking with money to tell of"),
        "statement_period_invalid": Advice(
            "The last day is before the first, more than a year after it, or outside the calendar we keep.",
            "Name two days at most a year apart, or none for the last thirty.",
        ),
        "statement_too_long": Advice(
            "More movements than one document should hold.", "Ask for fewer days at once and join the parts."
        ),
        "difference_not_found": _missing("difference"),
        "difference_not_bookable": Advice(
            "Only a refund made outside, not resolved yet and within what was paid, can be taken into the books.",
            "Reconcile the day again and look at what it finds.",
        ),
        "ledger_unbalanced": Advice("A journal entry would not balance, so nothing was written.", _OURS),
        "parts_do_not_sum": Advice("Portions would not sum to the total, so nothing was written.", _OURS),
        # bookings
        "booking_not_found": _missing("booking"),
        "pay_request_not_found": _missing("request to pay for somebody"),
        "not_your_booking": Advice("You take no part in this booking.", _CHECK_ID),
        "booking_closed": Advice("The booking is decided, or its time is over.", _READ_AGAIN),
        "nothing_decided": Advice(
            "The group has not decided on an offer.", "Decide first; dates and places cannot be booked."
        ),
        "nobody_travels": Advice("Nobody of the group is going.", "At least one member must say that they are going."),
        "not_traveling": Advice(
            "That member has no place in this booking, or whoever would come in has one already.",
            "Read the booking; its portions name who travels.",
        ),
        "amendment_open": Advice(
            "One change of a booked member at a time, and one is under way.",
            "Wait for `booking.amended`, then ask again.",
        ),
        "session_not_found": _missing("session"),
        "amendment_not_found": _missing("change"),
        "amendment_accepted": Advice(
            "The change cannot be taken back any more: who comes in has paid, or it is made or over; `stage` says "
            "where it stands.",
            "Read the booking; a change that was made can be followed by another.",
        ),
        "terms_changed": Advice(
            "The change would come to something else than its preview said, or the preview is too old. Nothing moved.",
            "Ask for a new preview, show it, and send its `terms`.",
        ),
        "amendment_incomplete": Advice(
            "A replacement needs `by`, a surcharge `amount` in the booking's currency; nothing else has either.",
            "Send what the kind needs; `pointer` says what is wrong.",
        ),
        "contribution_not_found": _missing("contribution"),
        "contribution_invalid": Advice(
            "The amount cannot be given: too little for a card, more than the whole, another currency, a reserve "
            "without the policy for it, one contribution too many, or towards somebody who does not travel.",
            "`pointer` and `reason` say which; `params` has the limits.",
        ),
        "handover_not_found": _missing("hand-over link"),
        "handover_over": Advice(
            "Somebody took the place, it was taken back, or its time is over.",
            "Ask whoever sent the link for a new one.",
        ),
        "nonce_missing": Advice(
            "A guest takes a place with a secret of their own, by which they ask again should the answer be lost.",
            "Send 128 random bits or more as `nonce`, and keep them until you have the answer.",
        ),
        "handover_open": Advice(
            "The place is handed over by a link, or offered to the waiting list, already.",
            "One way at a time: take it back first (`DELETE /v1/handovers/{id}`).",
        ),
        "nobody_waits": Advice(
            "Nobody in the waiting list could take the place before the deadline; nothing was changed.",
            "Keep the place, hand it over by a link, or leave.",
        ),
        "nothing_to_wait_for": Advice(
            "The trip has room, so they can join; or it is booked, so no place comes free.",
            "Join by the invite.",
        ),
        "already_traveling": Advice(
            "Whoever takes the place is in the party already.", "A place is for somebody who does not travel yet."
        ),
        "sponsor_link_not_found": _missing("sponsor link"),
        "sponsor_link_over": Advice(
            "The organizer closed the link, or all that is wanted by it is promised.", "Ask the organizer."
        ),
        "split_not_found": _missing("split"),
        "split_invalid": Advice(
            "A split needs two or more travelers, you among them, and only so many of yours wait at a time.",
            "`reason` says which; `params` has the limits. Your own no ends one that waits.",
        ),
        "split_changed": Advice(
            "The split is over, the prices changed since, the amount is not the one it comes to, or it is not the "
            "proposer's turn yet.",
            "Read the booking's `splits` again; propose a new one where it lapsed.",
        ),
        "reason_missing": Advice(
            "Whoever steps in by hand says why; it stands in the booking's timeline.", "Say it in a few words."
        ),
        "policy_invalid": Advice(
            "A settlement setting is unknown or outside its limits.", "`pointer` names it; `params` has the limits."
        ),
        "receipt_not_found": Advice(
            "Nothing was taken from you for this booking.", "Receipts are for who paid, once the money was taken."
        ),
        "details_invalid": Advice(
            "A detail is too long, has too many lines, or signs nobody can read.", "`pointer` names it."
        ),
        "reminders_invalid": Advice(
            "A setting of reminders is unknown or outside its limits.", "`pointer` names it; `params` has the limits."
        ),
        "address_invalid": Advice("This is no e-mail address that can be written to.", "Send `name@domain`, in ASCII."),
        "too_many_addresses": Advice(
            "Too many addresses were tried today: by a member, this one by anybody, in a trip or at a merchant.",
            "Try again tomorrow.",
        ),
        "seat_link_over": Advice(
            "The link was used, is older than half an hour, or its seat or address is another now.",
            "Ask for another one by the button in the newest letter.",
        ),
        "too_many_seat_links": Advice(
            "So many links a day are sent to one guest's mailbox; `params.per_day_max` says how many.",
            "Use the newest one, or try again tomorrow.",
        ),
        "mail_link_unknown": Advice(
            "The link was not made by us, was cut on its way, or is too old.", "Open it from the newest mail."
        ),
        "cancel_unsafe": Advice(
            "The booking cannot be ended by force here: a capture is under way, or the merchant contradicts us.",
            "`reason` says which; see the runbook in docs/operating.md.",
        ),
        "portion_gone": Advice(
            "Its traveler has left the booking: nobody owes this portion any more.", "Read the booking again."
        ),
        "not_payable_now": Advice("Nothing can be paid at this moment.", _READ_AGAIN),
        # referrals
        "share_not_found": _missing("share"),
        "visit_not_found": _missing("visit"),
        "share_not_allowed": Advice(
            "The organizer keeps this trip to those who are invited.", "Ask the organizer to change who may see it."
        ),
        "invalid_channel": Advice(
            "The merchant does not share to this channel.", "Use the name of a network, `copy` or `mail`."
        ),
        "invalid_share_field": Advice(
            "A share cannot show this field of a trip.", "See the reference for the fields that may be shown."
        ),
        "too_many_shares": Advice("One member shared one trip very often.", "Share an existing link again."),
        "visit_too_fresh": Advice(
            "The page was confirmed sooner than a person could have seen it.", "Confirm once the page is visible."
        ),
        "age_invalid": Advice("An age is a whole number of years between 0 and 120.", "Correct it."),
        "share_revoked": Advice("This share was taken back.", "Ask for a new link."),
        # webhooks
        "webhook_endpoint_not_found": _missing("webhook endpoint"),
        "event_not_found": Advice(
            f"There is no such event for you, or it is older than thirty days. {_SOMEBODY_ELSE}", _CHECK_ID
        ),
        "invalid_webhook_url": Advice(
            "We do not post there; `params.reason` says why.",
            "Use a public https address without credentials or fragment; loopback is for test machines.",
        ),
        "invalid_event_type": Advice(
            "There is no such event type.", "See the list of webhooks in the reference, or use `*`."
        ),
        "too_many_webhook_endpoints": Advice("A merchant has at most twenty endpoints.", "Delete one first."),
        "webhook_endpoint_disabled": Advice(
            "The endpoint was disabled, by an answer 410 or by you.", "Enable it first."
        ),
    }
)
