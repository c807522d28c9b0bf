"""Settings: read once from `GROUPBOOK_*`, then passed on. Nothing else in the house reads the environment."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

STRIPE_API_BASE = "https://api.stripe.com"


class Settings(BaseSettings):
    """All settings. Lengths are seconds; every lease, sweep and budget is here, so crash tests can divide by sixty."""

    model_config = SettingsConfigDict(env_prefix="GROUPBOOK_", extra="ignore", frozen=True)

    # Where things are
    database_url: str = Field(description="postgresql://… ; any PostgreSQL 15 or newer")
    broker_url: str = Field(default="pgmq://", description="pgmq:// (in the same database), redis://… or amqp://…")
    public_url: str = Field(default="http://localhost:8000", description="where browsers reach groupbook")
    secret_key: SecretStr = Field(description="seals secrets at rest and derives invite tokens; at least 32 characters")

    # Who we are to others
    stripe_api_base: str = STRIPE_API_BASE
    stripe_secret_key: SecretStr = SecretStr("")
    stripe_webhook_secret: SecretStr = SecretStr("")
    stripe_publishable_key: str = Field(
        default="", description="your platform's key for browsers: connected accounts may then be paid on our own page"
    )
    stripe_connect_client_id: str = Field(
        default="", description="ca_…: merchants may connect their account on Stripe instead of pasting a key"
    )
    stripe_connect_base: str = "https://connect.stripe.com"
    stripe_connect_webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="of the platform's endpoint /in/stripe for messages of connected accounts"
    )
    stripe_connect_webhook_secret_previous: SecretStr = Field(
        default=SecretStr(""), description="the one before it, while it is being rolled"
    )
    stripe_connect_fee_basis_points: int = Field(
        default=0, ge=0, lt=10_000, description="the operator's part of each charge, in hundredths of a percent"
    )
    demo_network_url: str = ""
    demo_network_client_id: str = "groupbook"
    demo_network_client_secret: SecretStr = SecretStr("")
    demo_network_launch_secret: SecretStr = SecretStr("")
    demo_network_bot_token: SecretStr = SecretStr("")
    demo_merchant_url: str = ""
    demo_merchant_token: SecretStr = SecretStr("")
    demo_api_key: SecretStr = SecretStr("")
    demo_staff_password: SecretStr = SecretStr("")

    smtp_url: SecretStr = Field(
        default=SecretStr(""),
        description="smtp://user:password@host:587 (STARTTLS), smtps://… or file:///folder, which sends nothing",
    )
    smtp_ca_file: str = Field(default="", description="certificates to trust instead of the system's")
    smtp_timeout_seconds: float = 10.0
    bounce_secret: SecretStr = Field(
        default=SecretStr(""), description="the password by which returned letters are handed in at /in/mail"
    )
    mail_from: str = Field(default="", description='the sender of our e-mails: trips@example.org, "Trips" <…>')

    # What is allowed
    addresses_per_merchant_max: int = Field(
        default=1_000, ge=1, description="how many e-mail addresses a merchant's customers may give in a day"
    )
    test_mode: bool = Field(default=False, description="serves the style guide and lets webhooks reach loopback")

    # Budgets, in seconds
    provider_timeout_seconds: float = 20.0
    merchant_timeout_seconds: float = 20.0
    lease_seconds: float = 120.0
    calls_at_once: int = Field(default=8, description="how many calls of one booking may be under way in a worker")
    provider_endpoint_requests_per_second: float = Field(
        default=25.0, gt=0, description="what the payment provider allows per endpoint of one account"
    )
    provider_account_requests_per_second: int = Field(
        default=100, gt=0, description="and for all of its endpoints together; a sandbox allows 25"
    )
    idempotency_lock_seconds: float = Field(
        default=60.0, gt=0, description="how long a request may take before its repetition is let in beside it"
    )
    retry_seconds_min: float = 2.0
    retry_seconds_max: float = 600.0
    call_attempts_max: int = Field(default=200, gt=0, description="how often a call is tried before a person is asked")
    sweep_seconds: float = 15.0
    collection_window_seconds: float = Field(default=1800.0, description="how long a group has to authorize")
    confirm_budget_seconds: float = Field(default=900.0, description="how long the merchant may take to confirm")
    settle_budget_seconds: float = Field(default=6 * 3600.0, description="how long capturing or voiding may take")
    second_look_seconds: float = Field(default=330.0, description="when a voided attempt is looked at again")
    operator_alone_max: int = Field(
        default=100_000,
        ge=0,
        description="minor units of its currency that one operator may give back of a booking; more needs a second one",
    )
    call_alarm_seconds: float = Field(default=3600.0, description="how long an outside call may be owed unalarmed")
    fact_alarm_seconds: float = Field(default=300.0, description="how long a fact may wait for its listeners unalarmed")
    missed_events_seconds: float = Field(
        default=300.0, description="how often the provider's own list of messages is read for what never came"
    )
    session_days: float = 30.0
    embed_session_seconds: float = Field(default=8 * 3600.0, description="life of a bearer in a frame")

    @cached_property
    def public_origin(self) -> str:
        """Scheme, host and port as a browser writes them in `Origin`."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    @cached_property
    def mail_folder(self) -> Path | None:
        """Where e-mails are kept instead of sent; None when they are sent, or not written at all."""
        parts = urlsplit(self.smtp_url.get_secret_value())
        return Path(unquote(parts.path)) if parts.scheme == "file" and parts.path else None

    @cached_property
    def connect_origin(self) -> str:
        """Where a merchant is asked whether our platform may act for its account."""
        parts = urlsplit(self.stripe_connect_base)
        return f"{parts.scheme}://{parts.netloc}"

    @cached_property
    def payment_origins(self) -> tuple[str, ...]:
        """Where hosted payment pages live: the provider's own, or the sandbox's beside its interface."""
        if self.stripe_api_base == STRIPE_API_BASE:
            return ("https://checkout.stripe.com",)
        parts = urlsplit(self.stripe_api_base)
        return (f"{parts.scheme}://{parts.netloc}",)
