"""How members want to be reached, what they do not want, and when a merchant's customers are reminded.

Why: reminders go to the address somebody gave for one trip, after they confirmed it, until they say stop. An opt-out
and a mailbox that does not exist are kept by a mark of the address, so that erasing the address does not forget the no.
Way back: drops the tables with their rows; who said stop would be written to again, so stop the sending first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

from groupbook.migrations.tenancy import drop_tenant_table, tenant_table

revision = "0023_reminders"
down_revision = "0022_payment_setup"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    tenant_table(
        "reach",
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("trip_id", UUID(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("confirmed_at", _INSTANT),
        sa.Column("locale", sa.Text()),
        sa.Column("timezone", sa.Text()),
        sa.Column("given_at", _INSTANT, nullable=False),
        sa.UniqueConstraint("merchant_id", "member_id", name="uq_reach_merchant_id_member_id"),
    )
    tenant_table(
        "address_try",
        sa.Column("member_id", UUID(), nullable=False),
        sa.Column("address_mark", sa.LargeBinary(), nullable=False),
        sa.Column("tried_at", _INSTANT, nullable=False),
        sa.Index("ix_address_try_tried_at", "merchant_id", "tried_at"),
    )
    tenant_table(
        "opt_out",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address_mark", sa.LargeBinary(), nullable=False),
        sa.Column("reminders_at", _INSTANT),
        sa.Column("all_at", _INSTANT),
        sa.Column("refused_at", _INSTANT),
        sa.UniqueConstraint(
            "merchant_id", "channel", "address_mark", name="uq_opt_out_merchant_id_channel_address_mark"
        ),
    )
    tenant_table(
        "reminder_settings",
        sa.Column("settings", JSONB(), nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name="pk_reminder_settings"),
    )
    op.create_index("ix_notice_trip_id", "notice", ["merchant_id", "trip_id"])


def downgrade() -> None:
    op.drop_index("ix_notice_trip_id", "notice")
    drop_tenant_table("reminder_settings", "opt_out", "address_try", "reach")
