"""The SDK on our HTTP client: one account's line to Stripe. What its errors mean stands in `outcomes`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import httpx2
import stripe

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import Unavailable
from integrations.payments.stripe.configuration import Configuration
from integrations.payments.stripe.outcomes import NeverSent, fail

API_VERSION: Final = "2026-10-28.endive"
connect_seconds_max: Final = 5.0
_T = TypeVar("_T")


def _tells_no_secrets(record: logging.LogRecord) -> bool:
    """The SDK's debug lines hold whole bodies, and with them client secrets and the secrets of endpoints."""
    return record.levelno > logging.DEBUG


logging.getLogger("stripe").addFilter(_tells_no_secrets)

_budget: ContextVar[float] = ContextVar("stripe_timeout_seconds")


class Transport(stripe.HTTPClient):
    """The SDK's HTTP on our client: a time-out per call, and the difference between unsent and unanswered."""

    name = "httpx2"

    def __init__(self, client: httpx2.Client) -> None:
        super().__init__()
        self._client = client

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        seconds = _budget.get()
        timeout = httpx2.Timeout(
            seconds, connect=min(seconds, connect_seconds_max), pool=min(seconds, connect_seconds_max)
        )
        try:
            answer = self._client.request(method, url, headers=headers, content=post_data, timeout=timeout)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol) as error:
            raise NeverSent(type(error).__name__) from error  # type: ignore[no-untyped-call]  # the SDK leaves it bare
        except httpx2.HTTPError as error:
            raise stripe.APIConnectionError(type(error).__name__) from error  # type: ignore[no-untyped-call]  # same
        return answer.text, answer.status_code, answer.headers

    def close(self) -> None:
        self._client.close()


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    token = _budget.set(seconds)
    try:
        yield
    finally:
        _budget.reset(token)


class Line:
    """One account's connection to Stripe: `act` and `read` ask, outside any transaction, within a time-out."""

    def __init__(self, configuration: Configuration, client: httpx2.Client) -> None:
        self._client = client
        asking = stripe.StripeClient(
            configuration.secret_key,
            stripe_account=configuration.account,
            stripe_version=API_VERSION,
            base_addresses={"api": configuration.api_base.rstrip("/"), "connect": configuration.connect_base or ""},
            max_network_retries=0,
            http_client=Transport(client),
        )
        self.v1, self.oauth = asking.v1, asking.oauth

    def close(self) -> None:
        self._client.close()

    def act(self, what: str, ask: Callable[[], _T], timeout_seconds: float) -> _T:
        """Ask for an effect.

        Raises:
            Refused, Unavailable, OutcomeUnknown: by `outcomes.outcome_of`.
        """
        forbid_in_transaction(f"stripe {what}")
        try:
            with _within(timeout_seconds):
                return ask()
        except stripe.StripeError as error:
            fail(what, error)

    def read(self, what: str, ask: Callable[[], _T], timeout_seconds: float) -> _T:
        """Ask what is true.

        Raises:
            Unavailable: for whatever reason it could not be read.
        """
        forbid_in_transaction(f"stripe {what}")
        try:
            with _within(timeout_seconds):
                return ask()
        except stripe.StripeError as error:
            raise Unavailable(what=what, status=error.http_status) from error
