"""The sandbox's parts put together, and the table from an operation's name to what does it. No HTTP here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from integrations.demo.payments.books import Books, Rules, without_secret
from integrations.demo.payments.checkout import Checkout
from integrations.demo.payments.connect import Connect
from integrations.demo.payments.disputes import Disputes
from integrations.demo.payments.elements import Elements
from integrations.demo.payments.endpoints import Endpoints
from integrations.demo.payments.intents import Intents
from integrations.demo.payments.refunds import Refunds
from integrations.demo.payments.saving import Saving
from integrations.demo.payments.store import ACCOUNT, Store

Operation = Callable[[dict[str, Any], dict[str, str]], dict[str, Any]]


class Engine:
    def __init__(self, store: Store, rules: Rules) -> None:
        self.store = store
        self.books = books = Books(store, rules)
        self.saving = Saving(books)
        self.disputes = Disputes(books)
        self.intents = Intents(books, self.saving, self.disputes)
        self.refunds = Refunds(books, self.intents, self.disputes)
        self.checkout = Checkout(books, self.saving, self.intents)
        self.elements = Elements(books, self.saving, self.intents)
        self.endpoints = Endpoints(books)
        self.connect = Connect(books)
        self.operations: dict[str, Operation] = {
            "account.retrieve": lambda _params, _path: self.connect.account(),
            "application_fees.retrieve": self._get("application_fee"),
            "application_fees.list": self._list("application_fee", "/v1/application_fees", "charge"),
            "checkout.sessions.create": self.checkout.create,
            "checkout.sessions.retrieve": lambda _, path: self.checkout.find(path["id"]),
            "checkout.sessions.list": self._list(
                "checkout.session", "/v1/checkout/sessions", "payment_intent", "status", "customer"
            ),
            "checkout.sessions.expire": self.checkout.expire,
            "customers.create": self.saving.create_customer,
            "customers.retrieve": lambda _, path: self.saving.customer(path["id"], "id"),
            "customers.update": self.saving.update_customer,
            "customers.list": self._list("customer", "/v1/customers", "email"),
            "customers.delete": self.saving.delete_customer,
            "customers.payment_methods.list": self.saving.customer_methods,
            "payment_methods.retrieve": self._get("payment_method", "payment_method"),
            "payment_methods.list": self._list("payment_method", "/v1/payment_methods", "customer", "type"),
            "payment_methods.attach": self.saving.attach,
            "payment_methods.detach": self.saving.detach,
            "setup_intents.create": self.saving.create_setup,
            "setup_intents.retrieve": self._get("setup_intent", "intent"),
            "setup_intents.list": self._list("setup_intent", "/v1/setup_intents", "customer", "payment_method"),
            "setup_intents.cancel": self.saving.cancel_setup,
            "payment_intents.create": self.intents.create,
            "payment_intents.confirm": self.intents.confirm,
            "payment_intents.retrieve": lambda _, path: self.intents.find(path["id"]),
            "payment_intents.list": self._list("payment_intent", "/v1/payment_intents", "customer"),
            "payment_intents.capture": self.intents.capture,
            "payment_intents.cancel": self.intents.cancel,
            "charges.retrieve": self._get("charge"),
            "charges.list": self._list("charge", "/v1/charges", "payment_intent", "customer"),
            "refunds.create": self.refunds.create,
            "refunds.retrieve": self._get("refund"),
            "refunds.list": self._list("refund", "/v1/refunds", "payment_intent", "charge"),
            "disputes.retrieve": self._get("dispute", "dispute"),
            "disputes.list": self._list("dispute", "/v1/disputes", "payment_intent", "charge"),
            "disputes.update": self.disputes.update,
            "disputes.close": self.disputes.close,
            "reviews.retrieve": self._get("review"),
            "reviews.list": self._list("review", "/v1/reviews"),
            "reviews.approve": self.intents.approve_review,
            "balance_transactions.retrieve": self._get("balance_transaction"),
            "balance_transactions.list": self._list(
                "balance_transaction", "/v1/balance_transactions", "type", "source", "currency"
            ),
            "events.retrieve": self._get("event"),
            "events.list": self.endpoints.list_events,
            "webhook_endpoints.create": self.endpoints.create,
            "webhook_endpoints.retrieve": self.endpoints.retrieve,
            "webhook_endpoints.list": self._list("webhook_endpoint", "/v1/webhook_endpoints"),
            "webhook_endpoints.update": self.endpoints.update,
            "webhook_endpoints.delete": self.endpoints.delete,
        }

    def _get(self, kind: str, param: str = "id") -> Operation:
        return lambda _, path: self.store.get(kind, path["id"], param)

    def _list(self, kind: str, url: str, *filters: str) -> Operation:
        def page(params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
            rows, more = self.store.page(kind, params, {name: params.get(name) for name in filters})
            return {"object": "list", "url": url, "has_more": more, "data": [without_secret(row) for row in rows]}

        return page

    def do_due(self, run: Callable[[dict[str, Any]], None]) -> None:
        """Let what was planned happen: a refund that settles, a bank's decision, a request whose effect came late."""
        for id, what in self.store.due_later(time.time()):
            with self.store.acting_for(what.get("of", ACCOUNT)):
                with self.store.transaction():
                    self.store.drop_later(id)
                    if what["do"] == "refund":
                        self.refunds.finish(what["id"], what["status"])
                    elif what["do"] == "dispute":
                        self.disputes.finish(what["id"], what["status"])
                if what["do"] == "request":
                    run(what)
