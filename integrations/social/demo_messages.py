"""Messages through Plaza's bot: `POST {network}/api/messages` with the bot's token."""

from __future__ import annotations

import httpx2

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.kit.outbound import client
from groupbook.notices.domain import Address, Message


class DemoMessenger:
    """`groupbook.notices.ports.Messenger` for the demo network."""

    def __init__(self, *, base_url: str, token: str, network: str = "demo", timeout_seconds: float = 10.0) -> None:
        self._network = network
        self._is_configured = bool(base_url and token)
        self._client = client(base_url, timeout_seconds=timeout_seconds, headers={"Authorization": f"Bearer {token}"})

    @property
    def channel(self) -> str:
        return self._network

    def reaches(self, to: Address) -> bool:
        return self._is_configured and to.network == self._network and bool(to.subject)

    def send(self, to: Address, message: Message, *, key: str) -> None:
        forbid_in_transaction("sending a message")
        try:
            answer = self._client.post(
                "/api/messages",
                json={"to": to.subject, "text": message.text, "url": message.link},
                headers={"Idempotency-Key": key},
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise Unavailable(channel=self._network) from error
        except httpx2.TransportError as error:
            raise OutcomeUnknown(channel=self._network) from error
        if answer.status_code in (401, 429) or answer.status_code >= 500:
            raise Unavailable(channel=self._network, status=answer.status_code)
        if not answer.is_success:
            raise Refused("not_reachable", status=answer.status_code)

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()
