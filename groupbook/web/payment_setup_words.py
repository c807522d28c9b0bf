"""What is said about connecting a payment account: each step, what came of it, and what to do where it stopped."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from groupbook.kit.i18n import Words, format_instant, format_money, format_number
from groupbook.kit.money import Money
from groupbook.payments import LinkProblem, Permission, StepDone


def key_problem(reason: object, say: Words) -> str:
    """Why what was pasted cannot work."""
    return {
        "publishable": say("This is the publishable key, which browsers use. Paste the secret or a restricted key."),
        "wrong_mode": say(
            "This key is of the other mode: a test merchant takes keys with _test_, a live one keys with _live_."
        ),
        "not_publishable": say(
            "The publishable key begins with pk_test_ or pk_live_. Paste all of it, and no other key."
        ),
    }.get(str(reason), say("A key begins with rk_test_, sk_test_, rk_live_ or sk_live_. Paste all of it."))


def link_problem(problem: LinkProblem, say: Words) -> str:
    """Why coming back from Stripe connected nothing, and what to do."""
    return {
        LinkProblem.OVER: say(
            "This try is over: it was used already, or took longer than an hour. If your account is not shown below, "
            "press Connect with Stripe again."
        ),
        LinkProblem.FOREIGN: say(
            "This try was begun by somebody else, or before you logged in anew. For your safety nothing was connected. "
            "Press Connect with Stripe to begin your own."
        ),
        LinkProblem.DENIED: say("You said no on Stripe's page. Nothing was connected, and nothing has changed."),
        LinkProblem.BROKEN: say(
            "Stripe did not let us ask you: the operator has to mend their connection to Stripe. A key works meanwhile."
        ),
    }[problem]


def fee_words(basis_points: int, say: Words) -> str:
    """The operator's part of a charge: `1.25 %`; empty where there is none."""
    return f"{format_number(basis_points / 100, say.locale)}\N{NO-BREAK SPACE}%" if basis_points else ""


def step_words(step: str, say: Words) -> str:
    """What a step does. The permissions have rows of their own."""
    return {
        "exchange": say("Stripe confirms your yes"),
        "account": say("Your account answers"),
        "endpoint": say("Messages are sent to us, signed"),
        "authorization": say("A test payment is reserved and released"),
        "page": say("The payment page is put in place"),
    }.get(step, step)


def need_words(permission: Permission, say: Words) -> str:
    """What a permission is needed for."""
    return {
        "pages": say("payment pages"),
        "authorizations": say("reserving, taking and releasing money"),
        "refunds": say("refunds, and reading what was charged"),
        "kept_cards": say("cards that are kept until the deadline"),
        "disputes": say("hearing of disputes"),
        "reviews": say("waiting for a review of a risky payment"),
        "messages": say("hearing at once what happened"),
        "own_page": say("the payment page on our pages"),
    }.get(permission.needed_for, "")


def level_words(permission: Permission, say: Words) -> str:
    return say("Write") if permission.level == "write" else say("Read")


def said_words(done: StepDone, say: Words, timezone: str) -> str:
    """What came of a step, with its facts."""
    said = done.said
    if done.outcome in ("failed", "warning"):
        return _trouble(done, say)
    if done.step == "account":
        name, ref = said.get("name"), said.get("ref")
        return (
            f"{name} · {ref}" if name and ref else str(name or ref or say("It answers; its name is not shown to us."))
        )
    if done.step == "endpoint":
        return str(said.get("url", ""))
    if done.step == "exchange":
        return str(said.get("ref", ""))
    if done.step == "page":
        return say("On our page, with Stripe's fields in it.") if said.get("is_own") else say("On Stripe's own page.")
    if done.step == "authorization" and done.outcome == "skipped":
        return say("Live mode knows no test cards: your first real payment will tell.")
    if done.step == "authorization":
        amount = format_money(Money(int(said["amount"]), str(said["currency"])), say.locale)
        until = said.get("capture_before")
        if until:
            when = format_instant(datetime.fromisoformat(until), timezone, say.locale, "medium")
            return say("%(amount)s, which the bank would have kept until %(when)s.", amount=amount, when=when)
        return amount
    return ""


def _trouble(done: StepDone, say: Words) -> str:
    said: dict[str, Any] = dict(done.said)
    what, code = said.get("what"), said.get("code") or said.get("reason")
    if what == "payments_under_way":
        return say(
            "This is another account than the one in use, and payments are under way there. Connect it when they are "
            "settled: they can only be taken or released where they were made."
        )
    if what == "publishable_key":
        return say(
            "Stripe does not know this publishable key, or it is another account's. Payers go where they went before."
        )
    if what == "may_not_charge":
        return say("Stripe does not let this account take payments yet. Finish its activation in Stripe's dashboard.")
    if done.step == "exchange" and said.get("is_asked_again"):
        return say(
            "An answer of Stripe's did not reach us, and asked once more Stripe said no: what it had confirmed, if "
            "anything, it has ended by its own rule. Nothing is connected here. Press Connect with Stripe again."
        )
    if done.step == "exchange" and said.get("reason") == "not_found":
        return say("Stripe's confirmation counts once and for five minutes only. Press Connect with Stripe again.")
    if said.get("reason") == "credentials_rejected" and code == "account_invalid":
        return say("Your account does not let us act for it any more. Press Connect with Stripe again.")
    if said.get("reason") == "credentials_rejected":
        return say("Stripe does not accept this key. It may have been revoked, rolled, or copied in part.")
    if done.step == "endpoint":
        return say(
            "Stripe does not send messages to this address (it must be public and https, and 16 addresses are the "
            "most). Without them everything works, only slower: we look every two minutes."
        )
    return say("Stripe refused: %(code)s.", code=str(code))
