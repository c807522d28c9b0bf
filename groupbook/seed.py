"""The demo's rows: one rail merchant with its shop, its payment account, its rules and somebody who may log in.

Seeding twice changes nothing but what the command line was told anew (addresses, secrets).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from groupbook import discounts, merchants, payments
from groupbook.house import House
from groupbook.kit import clock
from groupbook.kit.ids import MerchantId
from groupbook.kit.sealing import Sealer
from groupbook.merchants.domain import (
    Capabilities,
    ConnectionNotFound,
    EmbedOriginExists,
    MerchantNotFound,
    StaffExists,
)

hold_seconds_max = 3 * 3600  # the demo agency is patient: two hours to pay, and room to confirm


@dataclass(frozen=True)
class DemoPlan:
    """What the supervisor knows and the rows need."""

    slug: str
    name: str
    staff_email: str
    staff_password: str
    api_key: str
    shop_origin: str
    adapter_configuration: Mapping[str, Any]
    provider_configuration: Mapping[str, Any]
    rules: Mapping[str, Any]
    timezone: str = "Europe/Paris"
    currency: str = "EUR"


def seed_demo(house: House, plan: DemoPlan) -> MerchantId:
    """Make the demo merchant, or bring an existing one up to date."""
    try:
        merchant_id = merchants.merchant_by_slug(house.database, plan.slug).id
    except MerchantNotFound:
        merchant_id = merchants.create_merchant(
            house.database,
            slug=plan.slug,
            name=plan.name,
            livemode=False,
            timezone=plan.timezone,
            currency=plan.currency,
            capabilities=Capabilities(holds=True, hold_seconds_max=hold_seconds_max),
        ).id
    with house.database.begin(merchant_id) as session:
        merchants.create_api_key(session, house.sealer, name="Demo", secret=plan.api_key)
        merchants.connect(
            session,
            house.sealer,
            kind="merchant_adapter",
            adapter="http",
            configuration=plan.adapter_configuration,
        )
        _connect_account(session, house.sealer, plan.provider_configuration)
    _once(house, merchant_id, plan)
    return merchant_id


def _connect_account(session: Session, sealer: Sealer, configuration: Mapping[str, Any]) -> None:
    """The demo's own payment account, where none is in use; what somebody connected at the dashboard stays.

    Over the demo's own one only addresses are mended, and the messages of an address that was made since keep theirs.
    """
    try:
        known = merchants.read_connection(session, sealer, "payment_provider").configuration
    except ConnectionNotFound:
        known = {}
    if known and known.get("secret_key") != configuration["secret_key"]:
        return
    fresh = dict(configuration)
    if known.get("endpoint_ref"):
        del fresh["webhook_secret"]
    payments.connect_account(session, sealer, adapter="stripe", configuration=fresh)


def _once(house: House, merchant_id: MerchantId, plan: DemoPlan) -> None:
    try:
        with house.database.begin(merchant_id) as session:
            merchants.add_embed_origin(session, plan.shop_origin)
    except EmbedOriginExists:
        pass  # seeded before
    try:
        with house.database.begin(merchant_id) as session:
            merchants.create_staff(
                session, email=plan.staff_email, name=plan.name, password=plan.staff_password, role="owner"
            )
            now = clock.now(session)
            discounts.put_catalogue(session, plan.rules, starts_on=now.date(), now=now)
    except StaffExists:
        pass  # seeded before, rules and all
