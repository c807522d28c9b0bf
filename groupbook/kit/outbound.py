"""HTTP to the outside: one client shape, with timeouts, no redirects and a cap on what we read."""

from __future__ import annotations

import httpx2


def client(
    base_url: str = "", *, timeout_seconds: float = 10.0, headers: dict[str, str] | None = None
) -> httpx2.Client:
    """A client for an adapter. Redirects are refused: a provider that moves is a configuration to change."""
    return httpx2.Client(
        base_url=base_url,
        timeout=httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, 5.0)),
        headers=headers or {},
        follow_redirects=False,
        limits=httpx2.Limits(max_connections=50, max_keepalive_connections=20),
        trust_env=False,
    )
