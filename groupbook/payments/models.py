"""Tables of payments. Nobody outside the room reads them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CHAR,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from groupbook.kit.database import Base, TenantRow, currency_column


class PortionRow(TenantRow, Base):
    """What one payer owes towards one reference."""

    __tablename__ = "portion"
    __table_args__ = (
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint("cap >= amount", name="cap"),
        CheckConstraint("captured >= 0 AND captured <= amount", name="captured"),
        CheckConstraint("refunded >= 0 AND refunded <= captured", name="refunded"),
        Index("ix_portion_reference", "merchant_id", "reference"),
        Index("ix_portion_payer", "merchant_id", "payer"),
    )

    reference: Mapped[UUID]
    traveler: Mapped[UUID]
    payer: Mapped[UUID]
    amount: Mapped[int]
    cap: Mapped[int]  # the most the payer is asked to agree to, and what is authorized
    currency: Mapped[str] = currency_column()
    covers: Mapped[list[Any]]
    state: Mapped[str] = mapped_column(Text)
    captured: Mapped[int] = mapped_column(default=0)
    refunded: Mapped[int] = mapped_column(default=0)
    decline_reason: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(default=0)
    keeps_card: Mapped[bool] = mapped_column(default=False)  # the card may be asked once more if taking the money fails
    authorizes_at: Mapped[datetime | None]  # until then a page only saves the card
    asked_again_at: Mapped[datetime | None]  # a short portion is payable again from then on
    dropped_at: Mapped[datetime | None]  # its traveler left the party: in no sum any more
    refund_failed: Mapped[bool] = mapped_column(default=False)
    dispute: Mapped[str] = mapped_column(Text, default="none")
    opened_at: Mapped[datetime]
    asked_at: Mapped[datetime | None]  # another payer is asked since then, or the same anew; else since it was opened
    changed_at: Mapped[datetime]


class AttemptRow(TenantRow, Base):
    """One try to get one payer's authorization: one page or none, and at most one payment, at the provider."""

    __tablename__ = "attempt"
    __table_args__ = (
        ForeignKeyConstraint(
            ["merchant_id", "portion_id"],
            ["portion.merchant_id", "portion.id"],
            name="fk_attempt_portion_id_portion",
        ),
        UniqueConstraint("merchant_id", "portion_id", "n"),
        UniqueConstraint("merchant_id", "payment_ref"),
        UniqueConstraint("merchant_id", "page_ref"),
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_attempt_one_current", "merchant_id", "portion_id", unique=True, postgresql_where=text("is_current")),
    )

    portion_id: Mapped[UUID]
    n: Mapped[int]
    payer: Mapped[UUID]
    amount: Mapped[int]
    currency: Mapped[str] = currency_column()
    state: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(Text)
    is_current: Mapped[bool]
    title: Mapped[str] = mapped_column(Text)
    locale: Mapped[str] = mapped_column(Text)
    success_url: Mapped[str] = mapped_column(Text)
    cancel_url: Mapped[str] = mapped_column(Text)
    page_ref: Mapped[str | None] = mapped_column(Text)
    page_url: Mapped[str | None] = mapped_column(Text)
    payment_ref: Mapped[str | None] = mapped_column(Text)
    saved_ref: Mapped[str | None] = mapped_column(Text)  # a card kept at the provider: made or used here
    closes_at: Mapped[datetime | None]
    capture_before: Mapped[datetime | None]
    decline_reason: Mapped[str | None] = mapped_column(Text)
    card_brand: Mapped[str | None] = mapped_column(Text)
    card_last4: Mapped[str | None] = mapped_column(CHAR(4))
    dispute: Mapped[str] = mapped_column(Text, default="none")  # the payer's bank, about what was taken here
    # Plain database time: they are compared with how long a call can be under way, which no test merchant may shift.
    started_at: Mapped[datetime]
    close_asked_at: Mapped[datetime | None]
    authorized_at: Mapped[datetime | None]
    capture_asked_at: Mapped[datetime | None]
    observed_at: Mapped[datetime | None]
    told: Mapped[list[Any] | None]  # which differences from the provider's truth were told already


class RefundRow(TenantRow, Base):
    """Money on its way back to a payer. `is_unasked` undoes a capture that nobody here asked for.

    `retry_of` is the failed refund that this one stands in for; `note` says how a failed one was settled elsewhere.
    """

    __tablename__ = "refund"
    __table_args__ = (
        ForeignKeyConstraint(
            ["merchant_id", "portion_id"], ["portion.merchant_id", "portion.id"], name="fk_refund_portion_id_portion"
        ),
        ForeignKeyConstraint(
            ["merchant_id", "attempt_id"], ["attempt.merchant_id", "attempt.id"], name="fk_refund_attempt_id_attempt"
        ),
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_refund_portion_id", "merchant_id", "portion_id"),
    )

    portion_id: Mapped[UUID]
    attempt_id: Mapped[UUID]
    amount: Mapped[int]
    currency: Mapped[str] = currency_column()
    state: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    is_unasked: Mapped[bool]
    refund_ref: Mapped[str | None] = mapped_column(Text)
    failure_reason: Mapped[str | None] = mapped_column(Text)
    retry_of: Mapped[UUID | None]
    note: Mapped[str | None] = mapped_column(Text)
    asked_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class LedgerAccountRow(Base):
    """One account of one merchant in one currency."""

    __tablename__ = "ledger_account"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "code", "currency"),)

    merchant_id: Mapped[UUID]
    code: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = currency_column()


class JournalRow(TenantRow, Base):
    """One movement of money. `cause` makes it once: the same cause is never journaled twice."""

    __tablename__ = "journal"
    __table_args__ = (
        UniqueConstraint("merchant_id", "kind", "cause"),
        Index("ix_journal_reference", "merchant_id", "reference"),
        Index("ix_journal_recorded_at", "merchant_id", "recorded_at", "id"),
    )

    reference: Mapped[UUID]
    portion_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(Text)
    cause: Mapped[UUID]
    recorded_at: Mapped[datetime]


class PostingRow(TenantRow, Base):
    """One side of a movement: debit positive, credit negative. Never changed, never deleted."""

    __tablename__ = "posting"
    __table_args__ = (
        ForeignKeyConstraint(
            ["merchant_id", "journal_id"], ["journal.merchant_id", "journal.id"], name="fk_posting_journal_id_journal"
        ),
        ForeignKeyConstraint(
            ["merchant_id", "account", "currency"],
            ["ledger_account.merchant_id", "ledger_account.code", "ledger_account.currency"],
            name="fk_posting_account_ledger_account",
        ),
        CheckConstraint("amount <> 0", name="amount"),
        Index("ix_posting_journal_id", "merchant_id", "journal_id"),
    )

    journal_id: Mapped[UUID]
    account: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = currency_column()
    amount: Mapped[int]


class ReconciliationRunRow(Base):
    """One day of a merchant's account compared with the provider. Instants here are plain database time."""

    __tablename__ = "reconciliation_run"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "day"),)

    merchant_id: Mapped[UUID]
    day: Mapped[date]
    started_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    payments: Mapped[int]
    refunds: Mapped[int]
    foreign: Mapped[int]
    differences: Mapped[int]
    last_error: Mapped[str | None] = mapped_column(Text)


class DifferenceRow(TenantRow, Base):
    """Where the provider and we disagree, until a later run no longer sees it. Amounts in minor units."""

    __tablename__ = "reconciliation_difference"
    __table_args__ = (
        Index(
            "ix_reconciliation_difference_open",
            "merchant_id",
            "kind",
            "provider_ref",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("ix_reconciliation_difference_first_seen_at", "merchant_id", "first_seen_at"),
    )

    day: Mapped[date]
    kind: Mapped[str] = mapped_column(Text)
    provider_ref: Mapped[str] = mapped_column(Text)
    reference: Mapped[UUID | None]
    portion_id: Mapped[UUID | None]
    attempt_id: Mapped[UUID | None]
    refund_id: Mapped[UUID | None]
    currency: Mapped[str] = currency_column()
    expected: Mapped[int]
    observed: Mapped[int]
    first_seen_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]


class SetupRow(TenantRow, Base):
    """One try to connect an account at a provider. The configuration is sealed, and gone once it is of no use."""

    __tablename__ = "payment_setup"
    __table_args__ = (
        Index("ix_payment_setup_last", "merchant_id", "started_at"),
        CheckConstraint("state IN ('running', 'failed', 'connected', 'superseded')", name="state"),
    )

    adapter: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    key_hint: Mapped[str] = mapped_column(Text)
    endpoint_url: Mapped[str] = mapped_column(Text)
    sealed_configuration: Mapped[bytes | None] = mapped_column(LargeBinary)
    plan: Mapped[list[Any]]
    done: Mapped[list[Any]]
    started_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class LinkRow(TenantRow, Base):
    """Somebody of the merchant was sent to the provider, to let our platform act for their account. Gone once used."""

    __tablename__ = "payment_link"
    __table_args__ = (Index("uq_payment_link_state", "merchant_id", "state_sha256", unique=True),)

    state_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    staff_session_id: Mapped[UUID]
    expires_at: Mapped[datetime]


class LinkedAccountRow(Base):
    """Whose the messages of an account on our platform are. At most one a merchant, as it has one account in use."""

    __tablename__ = "payment_linked_account"
    __table_args__ = (PrimaryKeyConstraint("merchant_id"),)

    merchant_id: Mapped[UUID]
    adapter: Mapped[str] = mapped_column(Text)
    account: Mapped[str] = mapped_column(Text)


class EventCursorRow(Base):
    """Up to when the messages of a merchant's provider were read from its own list, and when that was last tried."""

    __tablename__ = "payment_event_cursor"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "source"),)

    merchant_id: Mapped[UUID]
    source: Mapped[str] = mapped_column(Text)
    read_until: Mapped[datetime | None]
    tried_at: Mapped[datetime]
