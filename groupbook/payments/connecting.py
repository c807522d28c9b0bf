"""Connecting a merchant's own account at a provider: the steps, in their order, and what follows from each. Pure.

    account -> one step per permission -> endpoint -> authorization -> (connected) -> tidy
    exchange -> account -> authorization -> (connected)      for an account that lets our platform act for it
    one step per further permission -> page -> (connected)   to have the payment page on our own pages
    page -> (connected)                                      and to have it at the provider again

Every permission is looked at, so that the merchant reads all that is missing at once. A provider that takes no address
for its messages does not hinder: the sweep reads what nobody told. Live accounts make no test authorization.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from groupbook.kit.errors import Conflict, NotFound
from groupbook.kit.ids import SetupId
from groupbook.kit.money import Money, exponent
from groupbook.payments.amounts import least_payable, payable_step

EXCHANGE: Final = "exchange"
ACCOUNT: Final = "account"
ENDPOINT: Final = "endpoint"
AUTHORIZATION: Final = "authorization"
PAGE: Final = "page"
TIDY: Final = "tidy"
_MAY: Final = "may:"
# Where payers give their card: on the provider's page, or in its fields on ours
HOSTED_PAGE: Final = "hosted"
OWN_PAGE: Final = "own"
# What of a configuration says so
_PAGE_CHOICE: Final = ("page", "publishable_key")
# How long somebody may take at the provider before they come back: time enough to open an account there
link_seconds: Final = 3600
# How long an old signing secret counts beside a new one (docs.stripe.com/webhooks: rolled secrets overlap 24 h at most)
secret_overlap_seconds: Final = 24 * 3600
_WITHDRAWN: Final = "withdrawn_at"  # whoever connects anew vouches for it; a look finds it out again
_NAMES: Final = frozenset({"account_ref", "account_name"})
# What a configuration knows about the account's messages to us
_MESSAGES: Final = ("webhook_secret", "webhook_secret_previous", "webhook_secret_previous_until", "endpoint_ref")
Outcome = Literal["ok", "missing", "warning", "skipped", "failed"]


class SetupNotFound(NotFound):
    code = "payment_setup_not_found"


class SetupNotAgain(Conflict):
    """Nothing is kept of this setup that could be tried again."""

    code = "payment_setup_not_again"


class OwnPageNotOffered(Conflict):
    """The account is reached through the operator's platform, which has no key for browsers."""

    code = "own_page_not_offered"


class PaymentsUnderWay(Conflict):
    """Another account is in use, or one that may be another, and payments can only be settled where they were made."""

    code = "payments_under_way"


class LinkProblem(StrEnum):
    """Why somebody who came back from the provider is not connected.

    `over`: it was used already, or took too long. `foreign`: it was begun by somebody else, or in another session.
    `denied`: they said no there. `broken`: the provider says that we asked wrongly.
    """

    OVER = "over"
    FOREIGN = "foreign"
    DENIED = "denied"
    BROKEN = "broken"


class SetupState(StrEnum):
    RUNNING = "running"
    FAILED = "failed"
    CONNECTED = "connected"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class StepDone:
    """One step and what came of it; `said` has the facts for a sentence, never a secret."""

    step: str
    outcome: Outcome
    said: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def permission(self) -> str | None:
        return self.step.removeprefix(_MAY) if self.step.startswith(_MAY) else None


@dataclass(frozen=True, slots=True)
class SetupView:
    """A setup as it may be shown: everything but the key."""

    id: SetupId
    state: SetupState
    adapter: str
    key_hint: str
    plan: tuple[str, ...]
    done: tuple[StepDone, ...]
    started_at: datetime
    changed_at: datetime
    is_waiting: bool  # the provider did not answer, and is asked again
    can_be_tried_again: bool

    @property
    def current(self) -> str | None:
        """The step under way."""
        return next_step(self.plan, self.done) if self.state is SetupState.RUNNING else None


@dataclass(frozen=True, slots=True)
class ConnectedAccount:
    """The account in use, without its secrets."""

    adapter: str
    key_hint: str
    account_ref: str | None
    account_name: str | None
    is_platform: bool
    has_messages: bool
    connected_at: datetime | None
    previous_secret_until: datetime | None
    fee_basis_points: int
    withdrawn_at: datetime | None  # its holder ended what the platform may do
    has_own_page: bool
    publishable_key: str  # its own; empty where it has none, and where the platform's is used


def plan(permissions: Sequence[str], *, has_own_page: bool = False) -> tuple[str, ...]:
    """The steps of a whole setup."""
    page = (PAGE,) if has_own_page else ()
    return (ACCOUNT, *(f"{_MAY}{code}" for code in permissions), ENDPOINT, AUTHORIZATION, *page)


def plan_of_link() -> tuple[str, ...]:
    """The steps when the provider vouches for the account: our own key may do everything there, messages come to us."""
    return (EXCHANGE, ACCOUNT, AUTHORIZATION)


def plan_of_new_secret() -> tuple[str, ...]:
    """The steps when only the messages get a new secret."""
    return (ENDPOINT,)


def plan_of_page(permissions: Sequence[str]) -> tuple[str, ...]:
    """The steps when only the payment page changes its place."""
    return (*(f"{_MAY}{code}" for code in permissions), PAGE)


def page_choice(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration says about the payment page."""
    return {name: configuration[name] for name in _PAGE_CHOICE if configuration.get(name)}


def has_own_page(configuration: Mapping[str, Any]) -> bool:
    return bool(configuration.get("page") == OWN_PAGE)


def next_step(steps: Sequence[str], done: Sequence[StepDone]) -> str | None:
    """What is to be done next; None when nothing is, for good or ill."""
    known = {one.step for one in done}
    if any(one.outcome == "failed" for one in done):
        return None
    missing = any(one.outcome == "missing" for one in done)
    for step in steps:
        if step in known:
            continue
        return step if step.startswith(_MAY) or not missing else None
    return None


def is_sound(steps: Sequence[str], done: Sequence[StepDone]) -> bool:
    """Whether every step was made and nothing is in the way of using the account."""
    outcomes = {one.step: one.outcome for one in done}
    return all(outcomes.get(step) in ("ok", "warning", "skipped") for step in steps)


def trial_amount(currency: str) -> Money:
    """What the test authorization reserves: one of the currency, or the least a card may be asked for."""
    least, step = least_payable(currency), payable_step(currency)
    one = 10 ** exponent(currency)
    wanted = max(one, least.minor)
    return Money(-(-wanted // step) * step, currency)


def account_of(configuration: Mapping[str, Any]) -> str | None:
    """The account that this configuration charges, where it is known."""
    ref = configuration.get("account") or configuration.get("account_ref")
    return None if ref is None else str(ref)


def is_same_account(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Whether two configurations of one provider charge the same account; None: it cannot be told from them."""
    refs = (account_of(one), account_of(other))
    if None not in refs:
        return refs[0] == refs[1]
    is_same_key = one.get("secret_key") == other.get("secret_key")
    return True if is_same_key and one.get("account") == other.get("account") else None


def with_known(fresh: Mapping[str, Any], connected: Mapping[str, Any]) -> dict[str, Any]:
    """What is said anew of the account in use, over what is known of it: its name, and how it is reached.

    From a key to the platform, or back, only the name stays: another key is used, and messages come another way.
    """
    is_reached_alike = bool(fresh.get("secret_key")) is bool(connected.get("secret_key"))
    lost = {_WITHDRAWN} if is_reached_alike else connected.keys() - _NAMES
    return {name: value for name, value in connected.items() if name not in lost} | dict(fresh)


def with_secrets(fresh: Mapping[str, Any], connected: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """The configuration to store in place of one of the same account, so that no signed message is lost.

    A new signing secret counts beside the old one for a day; without a new one the old one stays, as its endpoint does.
    """
    stored = dict(fresh)
    if bool(fresh.get("secret_key")) is not bool(connected.get("secret_key")):
        return stored  # from a key to the platform, or back: their messages come another way
    old = connected.get("webhook_secret")
    if old and not stored.get("webhook_secret"):
        return stored | {name: connected[name] for name in _MESSAGES if name in connected}
    if old and old != stored["webhook_secret"]:
        stored["webhook_secret_previous"] = old
        stored["webhook_secret_previous_until"] = (now + timedelta(seconds=secret_overlap_seconds)).isoformat()
    return stored


def key_hint(secret_key: str) -> str:
    """Enough to recognize a key, far too little to use it: `rk_test_…x9Qd`."""
    if not secret_key:
        return ""
    head = "_".join(secret_key.split("_")[:2])
    return f"{head}_…{secret_key[-4:]}" if len(secret_key) > 20 else f"{head}_…"
