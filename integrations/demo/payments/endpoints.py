"""Webhook endpoints and the list of events (docs.stripe.com/api/webhook_endpoints, docs.stripe.com/api/events)."""

from __future__ import annotations

import time
from typing import Any, Final

from integrations.demo.payments.amounts import check_url
from integrations.demo.payments.books import API_VERSION, Books, without_secret
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.store import new_id

endpoints_max: Final = 16  # docs.stripe.com/webhooks: up to 16 endpoints


class Endpoints:
    def __init__(self, books: Books) -> None:
        self.store = books.store
        self.client_id = books.rules.client_id

    def create(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        check_url(params["url"], "url")
        if len(self.store.all_of("webhook_endpoint")) >= endpoints_max:
            raise WireError(400, f"You have reached the maximum of {endpoints_max} test webhook endpoints.")
        is_connect = bool(params.get("connect"))
        return self.add(params["url"], new_id("whsec_", 32), params["enabled_events"], is_connect=is_connect)

    def add(
        self, url: str, secret: str, events: list[str], id: str | None = None, *, is_connect: bool = False
    ) -> dict[str, Any]:
        """`is_connect`: for what happens on connected accounts (docs.stripe.com/connect/webhooks), and only for that.

        Such an endpoint names the platform's application (docs.stripe.com/api/webhook_endpoints/object).
        """
        endpoint: dict[str, Any] = {
            "id": id or new_id("we_"),
            "object": "webhook_endpoint",
            "api_version": API_VERSION,
            "application": self.client_id if is_connect else None,
            "created": int(time.time()),
            "enabled_events": events,
            "livemode": False,
            "metadata": {},
            "secret": secret,
            "status": "enabled",
            "url": url,
        }
        self.store.put(endpoint)
        return endpoint

    def update(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        endpoint = self.store.get("webhook_endpoint", path["id"])
        if "url" in params:
            check_url(params["url"], "url")
        endpoint |= {name: params[name] for name in ("url", "enabled_events", "metadata") if name in params}
        if "disabled" in params:
            endpoint["status"] = "disabled" if params["disabled"] else "enabled"
        self.store.put(endpoint)
        return without_secret(endpoint)

    def retrieve(self, _: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        return without_secret(self.store.get("webhook_endpoint", path["id"]))

    def delete(self, _: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        endpoint = self.store.get("webhook_endpoint", path["id"])
        self.store.delete(endpoint["id"])
        return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}

    def list_events(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        rows, more = self.store.page("event", params, {"type": params.get("type")})
        if "types" in params:
            rows = [row for row in rows if row["type"] in params["types"]]
        if "delivery_success" in params:
            failed = self.store.undelivered()
            rows = [row for row in rows if (row["id"] not in failed) == params["delivery_success"]]
        return {"object": "list", "url": "/v1/events", "has_more": more, "data": rows}
