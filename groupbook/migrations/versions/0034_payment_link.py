"""A merchant lets the operator's platform act for its account at the payment provider.

Why: who is sent to the provider must be known again when they come back (once, in the same session, within an hour),
and a message of a connected account names the account, not the merchant. Both tables are new.
Way back: drops them; accounts stay connected, and what their messages would tell is read by the sweep.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID

from groupbook.migrations.tenancy import drop_lookup_function, drop_tenant_table, lookup_function, tenant_table

revision = "0034_payment_link"
down_revision = "0033_seat_links"

_ARGUMENTS = "of_adapter text, of_account text"


def upgrade() -> None:
    tenant_table(
        "payment_link",
        sa.Column("state_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("staff_session_id", UUID(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Index("uq_payment_link_state", "merchant_id", "state_sha256", unique=True),
    )
    tenant_table(
        "payment_linked_account",
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name="pk_payment_linked_account"),
        sa.Index("ix_payment_linked_account", "adapter", "account"),
    )
    lookup_function(
        "merchants_of_linked_account",
        _ARGUMENTS,
        "SETOF uuid",
        "SELECT merchant_id FROM payment_linked_account WHERE adapter = of_adapter AND account = of_account "
        "ORDER BY merchant_id",
        reads={"payment_linked_account": ["merchant_id", "adapter", "account"]},
    )


def downgrade() -> None:
    drop_lookup_function("merchants_of_linked_account", _ARGUMENTS)
    drop_tenant_table("payment_linked_account", "payment_link")
