"""Which adapter speaks to the merchant of a transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy.orm import Session

from groupbook import merchants
from groupbook.kit.database import merchant_of
from groupbook.kit.errors import Unavailable
from groupbook.kit.ids import MerchantId
from groupbook.kit.sealing import Sealer
from groupbook.offers.ports import AdapterFactory, MerchantAdapter

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
