"""Events on their way: signed like Stripe's, tried again with growing pauses, in no promised order.

https://docs.stripe.com/webhooks: a fresh timestamp and signature for each attempt, 2xx within ten seconds is success.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import httpx2

from integrations.demo.payments.books import public
from integrations.demo.payments.engine import Engine

log = logging.getLogger("sandbox.webhooks")
_pauses_seconds: Final = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
answer_seconds_max: Final = 10.0
idle_seconds: Final = 0.05


def sign(body: bytes, secret: str, at: int) -> str:
    """The `Stripe-Signature` header (https://docs.stripe.com/webhooks#verify-manually)."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class Courier(threading.Thread):
    """Delivers what is due and lets planned things happen, until stopped. Its state is in the store."""

    def __init__(self, engine: Engine, run_late: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(name="courier", daemon=True)
        self._engine = engine
        self._run_late = run_late
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()
        self.join(timeout=5)

    def run(self) -> None:
        with httpx2.Client(timeout=answer_seconds_max, follow_redirects=False, trust_env=False) as client:
            while not self._stopped.wait(idle_seconds):
                self._engine.do_due(self._run_late)
                for event_id, endpoint_id, attempts in self._engine.store.due_deliveries(time.time()):
                    if self._stopped.is_set():
                        return
                    self._deliver(client, event_id, endpoint_id, attempts)

    def _deliver(self, client: httpx2.Client, event_id: str, endpoint_id: str, attempts: int) -> None:
        store = self._engine.store
        with store.acting_for(store.owner_of(event_id)):
            event = store.find(event_id)
        with store.acting_for(store.owner_of(endpoint_id)):
            endpoint = store.find(endpoint_id)
        if event is None or endpoint is None:
            store.note_delivery(event_id, endpoint_id, attempts=attempts, due_at=0, status="dropped")
            return
        arrived = self._post(client, endpoint, event)
        fault = store.take_fault(frozenset({"duplicate_webhook"}), event["type"]) if arrived else None
        if fault:
            self._post(client, endpoint, event)
        attempts += 1
        if arrived:
            store.note_delivery(event_id, endpoint_id, attempts=attempts, due_at=0, status="done")
        elif attempts > len(_pauses_seconds):
            store.note_delivery(event_id, endpoint_id, attempts=attempts, due_at=0, status="failed")
        else:
            due_at = time.time() + _pauses_seconds[attempts - 1]
            store.note_delivery(event_id, endpoint_id, attempts=attempts, due_at=due_at, status="due")

    def _post(self, client: httpx2.Client, endpoint: dict[str, Any], event: dict[str, Any]) -> bool:
        body = json.dumps(public(event), indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": sign(body, endpoint["secret"], int(time.time())),
        }
        try:
            answer = client.post(endpoint["url"], content=body, headers=headers)
        except httpx2.HTTPError as error:
            log.info("webhook %s not delivered: %s", event["id"], type(error).__name__)
            return False
        return 200 <= answer.status_code < 300
