"""Settings: read once from `GROUPBOOK_*`, then passed on. Nothing else in the house reads the environment."""

from __future__ import annotations

from functools import cached_property
from urllib.parse import urlsplit

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
        default=SecretStr(""), description="smtp://user:password@host:587 (STARTTLS) or smtps://…"
    )
    mail_from: str = Field(default="", description="the sender of our e-mails")

    # What is allowed
    test_mode: bool = Field(default=False, description="serves the style guide and lets webhooks reach loopback")

    # Budgets, in seconds
    provider_timeout_seconds: float = 20.0
    merchant_timeout_seconds: float = 20.0
    lease_seconds: float = 120.0
    retry_seconds_min: float = 2.0
    retry_seconds_max: float = 600.0
    sweep_seconds: float = 15.0
    collection_window_seconds: float = Field(default=1800.0, description="how long a group has to authorize")
    confirm_budget_seconds: float = Field(default=900.0, description="how long the merchant may take to confirm")
    settle_budget_seconds: float = Field(default=6 * 3600.0, description="how long capturing or voiding may take")
    second_look_seconds: float = Field(default=330.0, description="when a voided attempt is looked at again")
    session_days: float = 30.0
    embed_session_seconds: float = Field(default=8 * 3600.0, description="life of a bearer in a frame")

    @cached_property
    def public_origin(self) -> str:
        """Scheme, host and port as a browser writes them in `Origin`."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    @cached_property
    def payment_origins(self) -> tuple[str, ...]:
        """Where hosted payment pages live: the provider's own, or the sandbox's beside its interface."""
        if self.stripe_api_base == STRIPE_API_BASE:
            return ("https://checkout.stripe.com",)
        parts = urlsplit(self.stripe_api_base)
        return (f"{parts.scheme}://{parts.netloc}",)
