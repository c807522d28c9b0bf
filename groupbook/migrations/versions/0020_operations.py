"""What the operator looks at: facts by what they are about, the real time of a step, and how old the oldest debt is.

Why: a booking's story joins steps, facts and calls; facts were only found by when they are due, and a test merchant's
clock travels, so that steps alone cannot be put in order with calls. Alerts need the age of what is owed, not only how
much it is. The index is built inside the transaction: the table is young, and installations are small.
Way back: the look-up counts as it did, the column and the index go; nothing else is lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from groupbook.migrations.tenancy import drop_lookup_function, lookup_function

revision = "0020_operations"
down_revision = "0019_reconciliation"

_PENDING = (
    "'fact', (SELECT count(*) FROM fact WHERE delivered_at IS NULL), "
    "'intent', (SELECT count(*) FROM intent WHERE state IN ('due', 'calling', 'unknown')), "
    "'intent_parked', (SELECT count(*) FROM intent WHERE state = 'parked'), "
    "'webhook_delivery', (SELECT count(*) FROM webhook_delivery WHERE state = 'pending'), "
    "'notice', (SELECT count(*) FROM notice WHERE state = 'pending'), "
    "'booking_parked', (SELECT count(*) FROM booking WHERE state = 'parked')"
)
# A call that was written for a later hour is not owed before it.
_OLDEST = (
    "'fact', (SELECT min(recorded_at) FROM fact WHERE delivered_at IS NULL), "
    "'intent', (SELECT min(CASE WHEN attempts > 0 THEN owed_at ELSE due_at END) FROM intent "
    "WHERE state IN ('due', 'calling', 'unknown') AND (attempts > 0 OR due_at <= clock_timestamp()))"
)


def upgrade() -> None:
    op.create_index("ix_fact_subject", "fact", ["merchant_id", "subject"])
    op.create_index("ix_intent_parked", "intent", ["merchant_id", "id"], postgresql_where=sa.text("state = 'parked'"))
    op.add_column("booking_step", sa.Column("recorded_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE booking_step SET recorded_at = at")
    op.alter_column("booking_step", "recorded_at", nullable=False, server_default=sa.text("clock_timestamp()"))
    drop_lookup_function("count_pending_rows", "")
    lookup_function(
        "count_pending_rows",
        "",
        "jsonb",
        f"SELECT jsonb_build_object('rows', jsonb_build_object({_PENDING}, "
        "'refund_failed', (SELECT count(*) FROM refund WHERE state = 'failed'), "
        "'reconciliation_difference', (SELECT count(*) FROM reconciliation_difference WHERE resolved_at IS NULL)), "
        "'oldest_seconds', (SELECT jsonb_object_agg(key, "
        "coalesce(extract(epoch FROM clock_timestamp() - value::timestamptz), 0)) "
        f"FROM jsonb_each_text(jsonb_build_object({_OLDEST}))))",
        reads={
            "fact": ("delivered_at", "recorded_at"),
            "intent": ("state", "attempts", "owed_at", "due_at"),
            "webhook_delivery": ("state",),
            "notice": ("state",),
            "booking": ("state",),
            "refund": ("state",),
            "reconciliation_difference": ("resolved_at",),
        },
    )


def downgrade() -> None:
    drop_lookup_function("count_pending_rows", "")
    lookup_function(
        "count_pending_rows",
        "",
        "jsonb",
        f"SELECT jsonb_build_object({_PENDING})",
        reads={
            "fact": ("delivered_at",),
            "intent": ("state",),
            "webhook_delivery": ("state",),
            "notice": ("state",),
            "booking": ("state",),
        },
    )
    op.drop_column("booking_step", "recorded_at")
    op.drop_index("ix_intent_parked", "intent")
    op.drop_index("ix_fact_subject", "fact")
