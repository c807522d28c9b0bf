"""When a booking is to be looked at next, who made a step of it and why, and what was told of an attempt.

Why: the sweep looked at every open booking each time, due or not; now it asks for those whose moment has come (a row
without one is looked at once, and then has one). An operator's step says who made it and why. The same difference at
the provider is told once. A call that a fault of ours has stopped is a figure of its own. And `entitlement.number`,
whose contents 0012 moved to the sealed column, goes: this script refuses to run while a number is still in it.
Way back: the sweep looks at everything again; who made which step, and what was told, is forgotten.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from groupbook.migrations.tenancy import drop_lookup_function, lookup_function

revision = "0021_looks"
down_revision = "0020_operations"

_FAILED = "'intent_failed', (SELECT count(*) FROM intent WHERE state = 'unknown' AND last_error LIKE 'unforeseen: %'), "
_ROWS = (
    "'fact', (SELECT count(*) FROM fact WHERE delivered_at IS NULL), "
    "'intent', (SELECT count(*) FROM intent WHERE state IN ('due', 'calling', 'unknown')), "
    "{failed}"
    "'intent_parked', (SELECT count(*) FROM intent WHERE state = 'parked'), "
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
_MOVING = sa.text("state NOT IN ('aborted', 'refunded', 'parked', 'booked')")


def upgrade() -> None:
    op.add_column("booking", sa.Column("look_at", sa.DateTime(timezone=True)))
    op.drop_index("ix_booking_moving", "booking")
    op.create_index("ix_booking_moving", "booking", ["merchant_id", "look_at", "id"], postgresql_where=_MOVING)
    op.add_column("booking_step", sa.Column("by", sa.Text()))
    op.add_column("booking_step", sa.Column("why", sa.Text()))
    op.add_column("attempt", sa.Column("told", JSONB()))
    _refuse_unsealed()
    op.drop_index("ix_entitlement_unsealed", "entitlement")
    op.drop_column("entitlement", "number")
    _count(_FAILED)


def downgrade() -> None:
    _count("")
    op.add_column("entitlement", sa.Column("number", sa.Text()))
    op.create_index(
        "ix_entitlement_unsealed", "entitlement", ["merchant_id"], postgresql_where=sa.text("number IS NOT NULL")
    )
    op.drop_column("attempt", "told")
    op.drop_column("booking_step", "why")
    op.drop_column("booking_step", "by")
    op.drop_index("ix_booking_moving", "booking")
    op.create_index("ix_booking_moving", "booking", ["merchant_id", "id"], postgresql_where=_MOVING)
    op.drop_column("booking", "look_at")


def _refuse_unsealed() -> None:
    # The owner is bound by row-level security too while it is forced; this is the one statement about all merchants.
    op.execute("ALTER TABLE entitlement NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM entitlement WHERE number IS NOT NULL) THEN "
        "RAISE EXCEPTION 'card numbers are not sealed yet: run the version before this one until they are'; "
        "END IF; END $$"
    )
    op.execute("ALTER TABLE entitlement FORCE ROW LEVEL SECURITY")


def _count(failed: str) -> None:
    drop_lookup_function("count_pending_rows", "")
    lookup_function(
        "count_pending_rows",
        "",
        "jsonb",
        f"SELECT jsonb_build_object('rows', jsonb_build_object({_ROWS.format(failed=failed)}), "
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
        },
    )
