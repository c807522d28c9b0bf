"""How much the sandbox takes at once: rates, concurrency, and locks on objects (https://docs.stripe.com/rate-limits).

A bucket fills with `rate` tokens a second and holds one second's worth (https://stripe.com/blog/rate-limiters): one for
the account, one for each endpoint, that is for each named operation. Off unless asked for, except the locks: while one
request changes an object, another waits for a moment and is then told `lock_timeout`.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from integrations.demo.payments.errors import WireError

lock_wait_seconds: Final = 1.0


@dataclass(frozen=True)
class Limits:
    """Requests a second for the account and for one endpoint, requests at the same time; None is no limit.

    Stripe's own sandbox has 25 a second for both (docs.stripe.com/rate-limits), live accounts 100 and 25.
    """

    rate: float | None = None
    endpoint_rate: float | None = None
    concurrency: int | None = None

    def changed(self, given: dict[str, Any]) -> Limits:
        """With what the operator said.

        Raises:
            ValueError: an unknown name, or not a number above zero.
        """
        changes: dict[str, Any] = {}
        for name, value in given.items():
            if name not in self.__dataclass_fields__:
                raise ValueError(name)
            if value in (None, ""):
                changes[name] = None
            elif isinstance(value, bool) or not 0 < float(value) <= 100_000:
                raise ValueError(name)
            else:
                changes[name] = int(value) if name == "concurrency" else float(value)
        return replace(self, **changes)


@dataclass
class _Bucket:
    tokens: float
    at: float

    def take(self, rate: float, now: float) -> bool:
        self.tokens = min(max(rate, 1.0), self.tokens + (now - self.at) * rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class _Count:
    accepted: int = 0
    refused: int = 0
    peak: int = 0  # the most accepted within any one second
    recent: deque[float] = field(default_factory=deque)

    def accept(self, now: float) -> None:
        self.accepted += 1
        self.recent.append(now)
        while self.recent[0] <= now - 1:
            self.recent.popleft()
        self.peak = max(self.peak, len(self.recent))


class Limiter:
    """Lets requests in or says why not; counts both."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._active: dict[str, int] = defaultdict(int)
        self._counts: dict[str, _Count] = defaultdict(_Count)
        self._object_locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def set(self, limits: Limits) -> None:
        """From now on; what was counted is forgotten, so that a measurement starts clean."""
        with self._lock:
            self.limits = limits
            self._buckets.clear()
            self._counts.clear()

    def report(self) -> dict[str, Any]:
        with self._lock:
            counts = {
                operation: {"accepted": count.accepted, "refused": count.refused, "peak": count.peak}
                for operation, count in sorted(self._counts.items())
            }
            return {
                "limits": {name: getattr(self.limits, name) for name in self.limits.__dataclass_fields__},
                "endpoints": counts,
            }

    @contextmanager
    def admitted(self, account: str, operation: str) -> Iterator[None]:
        """Raises WireError 429, before anything is attempted, with the reason Stripe gives in its header."""
        self._admit(account, operation)
        try:
            yield
        finally:
            with self._lock:
                self._active[account] -= 1

    def _admit(self, account: str, operation: str) -> None:
        with self._lock:
            reason = self._reason(account, operation)
            if reason is not None:
                self._counts[operation].refused += 1
                raise WireError(
                    429,
                    "Request rate limit exceeded. You can learn more about rate limits in our documentation.",
                    code="rate_limit",
                    headers={"Stripe-Rate-Limited-Reason": reason, "Stripe-Should-Retry": "true"},
                )
            self._active[account] += 1
            self._counts[operation].accept(time.monotonic())

    def _reason(self, account: str, operation: str) -> str | None:
        limits, now = self.limits, time.monotonic()
        if limits.concurrency is not None and self._active[account] >= limits.concurrency:
            return "global-concurrency"
        if limits.endpoint_rate is not None and not self._take(account, operation, limits.endpoint_rate, now):
            return "endpoint-rate"
        if limits.rate is not None and not self._take(account, "*", limits.rate, now):
            return "global-rate"
        return None

    def _take(self, account: str, name: str, rate: float, now: float) -> bool:
        bucket = self._buckets.setdefault((account, name), _Bucket(max(rate, 1.0), now))
        return bucket.take(rate, now)

    @contextmanager
    def holding(self, object_id: str | None) -> Iterator[None]:
        """Nobody else changes this object meanwhile (docs.stripe.com/rate-limits#object-lock-timeouts).

        Raises:
            WireError: 429 lock_timeout, somebody has held it for too long.
        """
        if object_id is None:
            yield
            return
        lock = self._object_locks[object_id]
        if not lock.acquire(timeout=lock_wait_seconds):
            raise lock_timeout()
        try:
            yield
        finally:
            lock.release()


def lock_timeout() -> WireError:
    return WireError(
        429,
        "This object cannot be accessed right now because another API request or Stripe process is currently "
        "accessing it.",
        code="lock_timeout",
        headers={"Stripe-Should-Retry": "true"},
    )
