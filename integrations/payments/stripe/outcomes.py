"""What became of a call, by the SDK's error: one table, so that no error is nameless.

what happened                                    what we say
connection refused, no route, no pool slot       Unavailable        (nothing was attempted)
429, lock_timeout, 409 key in use                Unavailable        (the limiter runs first)
time-out, connection broken, no sense in it      OutcomeUnknown
5xx                                              OutcomeUnknown(is_answered=True): kept for a day under the key
400 family, 402, 401, 403, 404, idempotency      Refused(reason)

https://docs.stripe.com/error-handling and https://docs.stripe.com/error-low-level. The errors below the line in the
table belong to Stripe's v2 API, which groupbook does not call; whoever meets one reads a name all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NoReturn

import stripe
import stripe.oauth_error as oauth

from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable


class NeverSent(stripe.APIConnectionError):
    """The request did not leave this machine."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`unavailable`: nothing was attempted. `refused`: a no, with its reason. `unknown`: only reading helps."""

    kind: Literal["unavailable", "refused", "unknown"]
    reason: str = ""


UNAVAILABLE: Final = Outcome("unavailable")
UNKNOWN: Final = Outcome("unknown")


def _refused(reason: str) -> Outcome:
    return Outcome("refused", reason)


# The error's code, where it says more than its class (https://docs.stripe.com/error-codes).
CODES: Final = MappingProxyType(
    {
        "amount_too_small": _refused("amount_too_small"),
        "amount_too_large": _refused("request_rejected"),
        "charge_already_captured": _refused("wrong_state"),
        "charge_already_refunded": _refused("nothing_to_refund"),
        "charge_disputed": _refused("charge_disputed"),
        "charge_expired_for_capture": _refused("authorization_gone"),
        "capture_charge_authorization_expired": _refused("authorization_gone"),
        "payment_intent_unexpected_state": _refused("wrong_state"),
        "setup_intent_unexpected_state": _refused("wrong_state"),
        "resource_missing": _refused("not_found"),
        "card_declined": _refused("card_declined"),
        "expired_card": _refused("card_declined"),
        "authentication_required": _refused("card_declined"),
        "account_invalid": _refused("credentials_rejected"),
        "api_key_expired": _refused("credentials_rejected"),
        "platform_api_key_expired": _refused("credentials_rejected"),
        "lock_timeout": UNAVAILABLE,
        "rate_limit": UNAVAILABLE,
        "idempotency_key_in_use": UNAVAILABLE,
    }
)
OUTCOMES: Final = MappingProxyType(
    {
        NeverSent: UNAVAILABLE,
        stripe.RateLimitError: UNAVAILABLE,
        stripe.StripeError: UNKNOWN,
        stripe.APIError: UNKNOWN,
        stripe.APIConnectionError: UNKNOWN,
        stripe.SignatureVerificationError: UNKNOWN,  # of a message, never of a call: see messages.py
        stripe.IdempotencyError: _refused("key_reused"),
        stripe.AuthenticationError: _refused("credentials_rejected"),
        stripe.PermissionError: _refused("credentials_rejected"),
        stripe.CardError: _refused("request_rejected"),
        stripe.InvalidRequestError: _refused("request_rejected"),
        stripe._error.StripeErrorWithParamCode: UNKNOWN,  # the base of the two above; never raised itself
        # --- connecting an account (https://docs.stripe.com/connect/oauth-reference#post-token-errors) ---
        oauth.OAuthError: _refused("request_rejected"),
        oauth.InvalidClientError: _refused("credentials_rejected"),
        oauth.InvalidGrantError: _refused("not_found"),  # the code was used, is too old, or is of another mode
        oauth.InvalidRequestError: _refused("request_rejected"),
        oauth.InvalidScopeError: _refused("request_rejected"),
        oauth.UnsupportedGrantTypeError: _refused("request_rejected"),
        oauth.UnsupportedResponseTypeError: _refused("request_rejected"),
        # --- the v2 API ---
        stripe.AlreadyCanceledError: _refused("wrong_state"),
        stripe.NotCancelableError: _refused("wrong_state"),
        stripe.FinancialAccountNotOpenError: _refused("wrong_state"),
        stripe.FxQuoteNeedsRefreshError: _refused("wrong_state"),
        stripe.TemporarySessionExpiredError: _refused("wrong_state"),
        stripe.VerificationExpiredError: _refused("wrong_state"),
        stripe.VerificationNotInitiatedError: _refused("wrong_state"),
        stripe.CapabilityNotEnabledError: _refused("credentials_rejected"),
        stripe.FeatureNotEnabledError: _refused("credentials_rejected"),
        stripe.BlockedByStripeError: _refused("request_rejected"),
        stripe.CannotProceedError: _refused("request_rejected"),
        stripe.ControlledByAlternateResourceError: _refused("request_rejected"),
        stripe.InsufficientFundsError: _refused("request_rejected"),
        stripe.InvalidPaymentMethodError: _refused("request_rejected"),
        stripe.InvalidPayoutMethodError: _refused("request_rejected"),
        stripe.InvalidVaultedCredentialError: _refused("request_rejected"),
        stripe.QuotaExceededError: _refused("request_rejected"),
        stripe.RecipientNotNotifiableError: _refused("request_rejected"),
        stripe.VerificationAttemptFailedError: _refused("request_rejected"),
    }
)


def code_of(error: stripe.StripeError) -> str | None:
    """Stripe's own code: only some classes carry it as an attribute, the answer always does."""
    return error.code or getattr(error.error, "code", None)


def outcome_of(error: stripe.StripeError) -> Outcome:
    """The name of what happened. An error nobody has named is unknown, never a refusal."""
    found, named = OUTCOMES.get(type(error), UNKNOWN), CODES.get(code_of(error) or "")
    is_certain = error.http_status is not None and error.http_status < 500  # a 5xx may have happened, whatever it says
    if named is None or not is_certain:
        return found
    if named is UNAVAILABLE:
        return named
    # Other codes say what a refused request was about; they turn nothing else into a refusal.
    return named if isinstance(error, stripe.CardError | stripe.InvalidRequestError) else found


def fail(what: str, error: stripe.StripeError) -> NoReturn:
    """Raise what the port promises for this error.

    Raises:
        Refused, Unavailable, OutcomeUnknown
    """
    outcome, code = outcome_of(error), code_of(error)
    if outcome.kind == "unavailable":
        raise Unavailable(what=what, code=code, status=error.http_status) from error
    if outcome.kind == "refused":
        raise Refused(outcome.reason, code=code) from error
    answered = error.http_status is not None and error.http_status >= 500
    raise OutcomeUnknown(what=what, status=error.http_status, is_answered=answered) from error
