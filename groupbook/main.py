"""The web application: `uvicorn groupbook.main:app`. It, `worker.py` and `cli.py` alone load integrations."""

from __future__ import annotations

from starlette.applications import Starlette

from groupbook import house as houses
from groupbook.config import Settings
from groupbook.house import House, Outside
from groupbook.kit import logs
from groupbook.kit.broker import CeleryNudger, celery_app
from groupbook.kit.database import Nudger
from groupbook.kit.errors import InvariantBroken
from groupbook.webhooks.sender import PinnedSender
from integrations import registry


def outside(settings: Settings) -> Outside:
    """Every adapter of the registry that the settings make possible."""
    return Outside(
        networks={
            name: network for name, make in registry.SOCIAL_NETWORKS.items() if (network := make(settings)) is not None
        },
        providers={name: make(settings) for name, make in registry.PAYMENT_PROVIDERS.items()},
        setups={name: make(settings) for name, make in registry.PAYMENT_SETUPS.items()},
        merchants=registry.MERCHANT_ADAPTERS,
        messengers=[
            messenger for connect in registry.MESSENGERS.values() if (messenger := connect(settings)) is not None
        ],
        sender=PinnedSender(loopback_allowed=settings.test_mode),
    )


def assemble(settings: Settings, *, nudger: Nudger | None = None, name: str = "groupbook") -> House:
    """The house with the real adapters."""
    return houses.build(settings, outside(settings), nudger=nudger, name=name)


def create_app(settings: Settings) -> Starlette:
    """The ASGI application."""
    from groupbook.web.app import build_app  # worker and command line assemble the house without the pages

    queue = celery_app(
        database_url=settings.database_url, broker_url=settings.broker_url, sweep_seconds=settings.sweep_seconds
    )
    return build_app(assemble(settings, nudger=CeleryNudger(queue), name="groupbook-web"))


def __getattr__(name: str) -> Starlette:
    # `uvicorn groupbook.main:app` asks for `app`; whoever only wants to assemble needs no settings.
    if name != "app":
        raise AttributeError(name)
    logs.configure()
    try:
        return create_app(Settings())
    except AttributeError as error:  # uvicorn would say that there is no `app`, and hide what is wrong
        raise InvariantBroken(what=repr(error)) from error
