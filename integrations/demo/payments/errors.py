"""Errors as Stripe writes them (docs.stripe.com/api/errors)."""

from __future__ import annotations

from typing import Any


class WireError(Exception):
    """An answer that is an error.

    `is_executed` says that the endpoint had begun its work: only then is the answer kept under the idempotency key
    (docs.stripe.com/api/idempotent_requests).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
        is_executed: bool = False,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.is_executed = is_executed
        self.headers = headers or {}
        self.error: dict[str, Any] = {"message": message, "type": type}
        if code is not None:
            self.error |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
        if param is not None:
            self.error["param"] = param
        self.error |= extra

    @property
    def body(self) -> dict[str, Any]:
        return {"error": self.error}


def missing(kind: str, id: str, param: str = "id") -> WireError:
    return WireError(404, f"No such {kind}: '{id[:80]}'", code="resource_missing", param=param, is_executed=True)


def unexpected_state(verb: str, intent: dict[str, Any], allowed: str) -> WireError:
    return WireError(
        400,
        f"This PaymentIntent could not be {verb} because it has a status of {intent['status']}. "
        f"Only a PaymentIntent with one of the following statuses may be {verb}: {allowed}.",
        code="payment_intent_unexpected_state",
        is_executed=True,
        payment_intent=intent,
    )
