"""A merchant's sealed configuration, read: which key, whose account, which secrets sign messages until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from groupbook.kit.errors import InvariantBroken
from groupbook.kit.money import Money, exponent
from integrations.payments.stripe.units import to_stripe

if TYPE_CHECKING:
    from integrations.payments.stripe.platform import Platform

API_BASE: Final = "https://api.stripe.com"
# https://docs.stripe.com/js/including: always from Stripe's own address, never a copy
SCRIPT_URL: Final = "https://js.stripe.com/v3/"
_THREE_DECIMALS: Final = 3


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A webhook secret; an old one counts until its end (https://docs.stripe.com/webhooks#roll-endpoint-secrets)."""

    secret: str = field(repr=False)
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Keys: `secret_key` (else the platform's is used), `webhook_secret`, and optionally `webhook_secret_previous` with
    `webhook_secret_previous_until`, `api_base`; on a platform `account` (the connected one that is charged) and
    `fee_basis_points` (the platform's part of each charge, in hundredths of a percent). `page` is "own" where payers
    stay on our page with Stripe's fields in it; for that there is `publishable_key` (else the platform's), and
    `script_url`, the address of Stripe.js, which only the operator's settings say."""

    secret_key: str = field(repr=False)
    signing: tuple[SigningSecret, ...] = ()
    api_base: str = API_BASE
    account: str | None = None
    fee_basis_points: int = 0
    connect_base: str | None = None
    account_ref: str | None = None
    publishable_key: str = ""
    script_url: str = SCRIPT_URL
    page: str | None = None

    @property
    def has_own_page(self) -> bool:
        """Whether payers stay on our page. Without a key for browsers Stripe's page always works."""
        return self.page == "own" and bool(self.publishable_key)

    @property
    def may_have_own_pages(self) -> bool:
        """Whether a page of ours may have been opened on this account: it was chosen once, now or earlier."""
        return self.page is not None

    @property
    def message_account(self) -> str | None:
        """Whose messages are ours where one names its account; messages of a key's own account name none."""
        return self.account or self.account_ref

    def fee_of(self, amount: Money) -> int | None:
        """The platform's part of a charge, in Stripe's units, rounded down to what can be charged; None without one.

        https://docs.stripe.com/connect/direct-charges#collect-fees
        """
        if self.account is None:
            return None
        minor = amount.minor * self.fee_basis_points // 10_000
        minor -= minor % (10 if exponent(amount.currency) == _THREE_DECIMALS else 1)
        return to_stripe(Money(minor, amount.currency)) if minor > 0 else None

    @classmethod
    def parse(cls, given: Mapping[str, Any], *, livemode: bool, platform: Platform | None = None) -> Self:
        """Raises InvariantBroken: no key, one of the other mode, or live payments without https."""
        secret_key = str(given.get("secret_key") or "")
        if not secret_key:
            if platform is None:
                raise InvariantBroken(what="there is neither a key nor a platform")
            given = {**given, "api_base": platform.api_base, "publishable_key": platform.publishable_key}
            secret_key = platform.secret_key
        if ("_live_" in secret_key) is not livemode:
            raise InvariantBroken(what="the key's mode is not the merchant's")
        api_base = str(given.get("api_base") or API_BASE)
        if livemode and urlsplit(api_base).scheme != "https":
            raise InvariantBroken(what="live payments need https")
        signing = []
        if given.get("webhook_secret"):
            signing.append(SigningSecret(str(given["webhook_secret"])))
        if given.get("webhook_secret_previous"):
            until = given.get("webhook_secret_previous_until")
            previous = str(given["webhook_secret_previous"])
            signing.append(SigningSecret(previous, datetime.fromisoformat(until) if until else None))
        fee = int(given.get("fee_basis_points") or 0)
        if not 0 <= fee < 10_000 or (fee and not (given.get("account") or given.get("code"))):
            raise InvariantBroken(what="a fee is a part of a connected account's charge")
        publishable_key = str(given.get("publishable_key") or "")
        if publishable_key and ("_live_" in publishable_key) is not livemode:
            raise InvariantBroken(what="the publishable key's mode is not the merchant's")
        return cls(
            secret_key,
            tuple(signing),
            api_base,
            given.get("account"),
            fee,
            platform.connect_base if platform is not None else None,
            given.get("account_ref"),
            publishable_key,
            str(given.get("script_url") or _script_url(api_base)),
            given.get("page"),
        )


def _script_url(api_base: str) -> str:
    """Stripe's own; a sandbox serves its stand-in beside its interface."""
    return SCRIPT_URL if api_base == API_BASE else f"{api_base.rstrip('/')}/v3/"
