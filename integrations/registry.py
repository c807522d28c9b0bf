"""Which adapter answers to which name. Plain dicts of factories: name -> (settings -> adapter).

A network or messenger whose settings are missing is not made at all: with an empty secret anybody could sign for it.

Only `main.py`, `worker.py` and `cli.py` load this file. A new network, provider or merchant is one file of its own,
one line here, and one line in its contract suite.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial

from pydantic import SecretStr

from groupbook.config import Settings
from groupbook.notices.ports import Messenger
from groupbook.offers.ports import AdapterFactory
from groupbook.payments.ports import Onboarding, ProviderFactory
from groupbook.people.ports import SocialNetwork
from integrations.merchants.http import http_merchant
from integrations.payments import stripe
from integrations.social.demo import demo_network
from integrations.social.demo_messages import DemoMessenger
from integrations.social.mail import Mailer
from integrations.social.mail_folder import FolderMailer
from integrations.social.signed import secret_bytes_min


def _is_set(*values: SecretStr) -> bool:
    return all(len(value.get_secret_value().encode()) >= secret_bytes_min for value in values)


def _demo_network(settings: Settings) -> SocialNetwork | None:
    client_secret, launch_secret = settings.demo_network_client_secret, settings.demo_network_launch_secret
    if not settings.demo_network_url or not _is_set(client_secret, launch_secret):
        return None
    return demo_network(
        base_url=settings.demo_network_url,
        client_id=settings.demo_network_client_id,
        client_secret=client_secret.get_secret_value(),
        launch_secret=launch_secret.get_secret_value(),
    )


def _demo_messenger(settings: Settings) -> Messenger | None:
    token = settings.demo_network_bot_token
    if not settings.demo_network_url or not _is_set(token):
        return None
    return DemoMessenger(base_url=settings.demo_network_url, token=token.get_secret_value())


def _mailer(settings: Settings) -> Messenger | None:
    url = settings.smtp_url.get_secret_value()
    if not url or not settings.mail_from:
        return None
    if settings.mail_folder is not None:
        return FolderMailer(folder=settings.mail_folder, sender=settings.mail_from)
    context = ssl.create_default_context(cafile=settings.smtp_ca_file or None)
    return Mailer(url=url, sender=settings.mail_from, timeout_seconds=settings.smtp_timeout_seconds, context=context)


SOCIAL_NETWORKS: dict[str, Callable[[Settings], SocialNetwork | None]] = {
    "demo": _demo_network,
}

# In order of taste.
MESSENGERS: dict[str, Callable[[Settings], Messenger | None]] = {
    "demo": _demo_messenger,
    "email": _mailer,
}

# Each merchant's own connection (address, token) configures its adapter.
MERCHANT_ADAPTERS: dict[str, AdapterFactory] = {
    "http": http_merchant,
}


def _platform(settings: Settings) -> stripe.Platform | None:
    """The operator's own platform, where there is one."""
    key = settings.stripe_secret_key.get_secret_value()
    if not key:
        return None
    secrets = (settings.stripe_connect_webhook_secret, settings.stripe_connect_webhook_secret_previous)
    return stripe.Platform(
        secret_key=key,
        client_id=settings.stripe_connect_client_id,
        webhook_secrets=tuple(one.get_secret_value() for one in secrets if one.get_secret_value()),
        fee_basis_points=settings.stripe_connect_fee_basis_points,
        api_base=settings.stripe_api_base,
        connect_base=settings.stripe_connect_base,
        publishable_key=settings.stripe_publishable_key,
    )


# Each merchant's own connection (keys, webhook secrets, or its account on our platform) configures its provider.
PAYMENT_PROVIDERS: dict[str, Callable[[Settings], ProviderFactory]] = {
    "stripe": lambda settings: partial(stripe.connect, platform=_platform(settings)),
}

# How a merchant's account is looked at before it is connected.
PAYMENT_SETUPS: dict[str, Callable[[Settings], Onboarding]] = {
    "stripe": lambda settings: stripe.onboarding(_platform(settings)),
}
