"""Since when the merchant does not know an order that stands.

Why: an order with tickets is read once a day, and one that is not there any more was passed over in silence. Those
whose departure is ahead are a figure of their own. A column that may be empty needs no rewrite: empty is known, or
never read.
Way back: drops the column and the figure; what was told of it is told once more should this script run again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from groupbook.migrations.tenancy import drop_lookup_function, lookup_function

revision = "0039_absent_orders"
down_revision = "0038_dispute_of_attempt"

_ABSENT = (
    "'order_absent', (SELECT count(*) FROM merchant_order JOIN quote ON quote.merchant_id = merchant_order.merchant_id "
    "AND quote.id = merchant_order.quote_id JOIN offer ON offer.merchant_id = quote.merchant_id "
    "AND offer.id = quote.offer_id WHERE merchant_order.state = 'confirmed' AND absent_at IS NOT NULL "
    "AND departs_at > clock_timestamp()), "
)
_ROWS = (
    "'fact', (SELECT count(*) FROM fact WHERE delivered_at IS NULL), "
    "'intent', (SELECT count(*) FROM intent WHERE state IN ('due', 'calling', 'unknown')), "
    "'intent_failed', (SELECT count(*) FROM intent WHERE state = 'unknown' AND last_error LIKE 'unforeseen: %'), "
    "'intent_parked', (SELECT count(*) FROM intent WHERE state = 'parked'), "
    "{absent}"
    "'webhook_delivery', (SELECT count(*) FROM webhook_delivery WHERE state = 'pending'), "
    "'notice', (SELECT count(*) FROM notice WHERE state = 'pending'), "
    "'booking_parked', (SELECT count(*) FROM booking WHERE state = 'parked'), "
    "'refund_failed', (SELECT count(*) FROM refund WHERE state = 'failed'), "
    "'reconciliation_difference', (SELECT count(*) FROM reconciliation_difference WHERE resolved_at IS NULL)"
)
# A call that was written for a later hour is not owed before it.
_OLDEST = (
    "'fact', (SELECT min(recorded_at) FROM fact WHERE delivered_at IS NULL), "
    "'intent', (SELECT min(CASE WHEN attempts > 0 THEN owed_at ELSE due_at END) FROM intent "
    "WHERE state IN ('due', 'calling', 'unknown') AND (attempts > 0 OR due_at <= clock_timestamp()))"
)


def upgrade() -> None:
    op.add_column("merchant_order", sa.Column("absent_at", sa.DateTime(timezone=True)))
    orders = {
        "merchant_order": ("merchant_id", "quote_id", "state", "absent_at"),
        "quote": ("merchant_id", "id", "offer_id"),
        "offer": ("merchant_id", "id", "departs_at"),
    }
    _count(_ABSENT, orders)


def downgrade() -> None:
    _count("", {})
    op.drop_column("merchant_order", "absent_at")


def _count(absent: str, orders: dict[str, tuple[str, ...]]) -> None:
    drop_lookup_function("count_pending_rows", "")
    lookup_function(
        "count_pending_rows",
        "",
        "jsonb",
        f"SELECT jsonb_build_object('rows', jsonb_build_object({_ROWS.format(absent=absent)}), "
        "'oldest_seconds', (SELECT jsonb_object_agg(key, "
        "coalesce(extract(epoch FROM clock_timestamp() - value::timestamptz), 0)) "
        f"FROM jsonb_each_text(jsonb_build_object({_OLDEST}))))",
        reads={
            "fact": ("delivered_at", "recorded_at"),
            "intent": ("state", "attempts", "owed_at", "due_at", "last_error"),
            "webhook_delivery": ("state",),
            "notice": ("state",),
            "booking": ("state",),
            "refund": ("state",),
            "reconciliation_difference": ("resolved_at",),
        }
        | orders,
    )
