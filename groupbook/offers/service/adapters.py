"""Which adapter speaks to the merchant of a transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from groupbook import merchants
from groupbook.kit.database import Database, merchant_of, together
from groupbook.kit.errors import GroupbookError, Unavailable
from groupbook.kit.ids import IntentId, MerchantId
from groupbook.kit.intents import Intent
from groupbook.kit.sealing import Sealer
from groupbook.offers.ports import AdapterFactory, MerchantAdapter

Request = TypeVar("Request")
# Finds the adapter of the merchant this session is bound to. Reads rows only: the call comes after the transaction.
AdapterOf = Callable[[Session], MerchantAdapter]


def connected_adapters(factories: Mapping[str, AdapterFactory], sealer: Sealer) -> AdapterOf:
    """Adapters made from each merchant's own connection (address and token), by the registry's names.

    One adapter per configuration: it keeps its connections open from call to call.
    """
    made: dict[tuple[MerchantId, str], MerchantAdapter] = {}

    def adapter_of(session: Session) -> MerchantAdapter:
        connection = merchants.read_connection(session, sealer, "merchant_adapter")
        factory = factories.get(connection.adapter)
        if factory is None:
            raise Unavailable(what="no such merchant adapter", adapter=connection.adapter)
        mark = (merchant_of(session), repr(sorted(connection.configuration.items())))
        if mark not in made:
            made[mark] = factory(connection.configuration)
        return made[mark]

    return adapter_of


def fixed_adapters(adapters: Mapping[str, MerchantAdapter]) -> AdapterOf:
    """Ready adapters by the name the merchant row carries: for one-merchant installations, tests and the simulator."""

    def adapter_of(session: Session) -> MerchantAdapter:
        name = merchants.read_merchant(session).adapter
        if name not in adapters:
            raise Unavailable(what="no such merchant adapter", adapter=name)
        return adapters[name]

    return adapter_of


class LoadedCall(ABC, Generic[Request]):
    """A call whose request is read as it is claimed (`kit.intents.BatchHandler`), in the claim's own transaction."""

    _database: Database
    _adapter_of: AdapterOf

    @abstractmethod
    def _request(self, session: Session, intent: Intent) -> Request:
        """What the merchant is asked. Raises Refused where it is not wanted any more."""

    def load(self, session: Session, intents: Sequence[Intent]) -> dict[IntentId, tuple[MerchantAdapter, Request]]:
        loaded = {}
        for intent in intents:
            try:
                loaded[intent.id] = self._read(session, intent)
            except GroupbookError:
                continue  # the call says so itself
        return loaded

    def prepare(self, session: Session, intents: Sequence[Intent]) -> None:
        """Each locks its own rows as its answer is recorded."""

    def _read(self, session: Session, intent: Intent) -> tuple[MerchantAdapter, Request]:
        with together(session) as ask:
            request = ask(self._request, session, intent)
            adapter = ask(self._adapter_of, session)
        return adapter(), request()

    def _loaded(self, intent: Intent) -> tuple[MerchantAdapter, Request]:
        if intent.loaded is not None:
            loaded: tuple[MerchantAdapter, Request] = intent.loaded
            return loaded
        with self._database.begin(intent.merchant_id) as session:
            return self._read(session, intent)
