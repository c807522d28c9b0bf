"""Signed query strings: how a network that opens us inside itself says who did.

The signature is HMAC-SHA256, in lower-case hex, over the decoded pairs without `sig`, sorted by key, written
`key=value` and joined by line feeds. A value with a control character could imitate another pair and is refused.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, urlencode

from groupbook.kit.errors import InvariantBroken
from groupbook.people.domain import (
    ExternalIdentity,
    Launch,
    LaunchReason,
    LaunchRejected,
    check_fresh,
    payload_characters_max,
)

secret_bytes_min: Final = 16
_pairs_max: Final = 32
_epoch_seconds_max: Final = 253_402_300_799


def sign(params: Mapping[str, str], secret: str) -> str:
    """The payload a network sends: all pairs and their signature, as a query string."""
    return urlencode({**params, "sig": _signature(params, secret).hex()})


class SignedQueryVerifier:
    """`groupbook.people.ports.LaunchVerifier` for such payloads of one application at one network.

    Raises:
        InvariantBroken: the secret is empty or short, so anybody could sign in anybody's name.
    """

    def __init__(self, *, network: str, app_id: str, secret: str) -> None:
        if len(secret.encode()) < secret_bytes_min:
            raise InvariantBroken(what="a short launch secret", network=network, bytes_min=secret_bytes_min)
        self._network = network
        self._app_id = app_id
        self._secret = secret

    @property
    def app_id(self) -> str:
        return self._app_id

    def verify(self, payload: str, *, now: datetime) -> Launch:
        params = _read_pairs(payload)
        given = params.pop("sig", "")
        if not given:
            raise LaunchRejected(LaunchReason.MISSING_SIGNATURE)
        if params.get("alg", "HMAC-SHA256") != "HMAC-SHA256":
            raise LaunchRejected(LaunchReason.BAD_ALGORITHM)
        signature = _signature(params, self._secret)
        if not hmac.compare_digest(signature.hex().encode(), given.encode("utf-8", "surrogatepass")):
            raise LaunchRejected(LaunchReason.BAD_SIGNATURE)
        if params.get("app_id") != self._app_id:
            raise LaunchRejected(LaunchReason.WRONG_AUDIENCE)
        signed_at = _read_date(params.get("auth_date", ""))
        check_fresh(signed_at, now)
        subject = params.get("sub", "")
        if not subject or len(subject) > 255:
            raise LaunchRejected(LaunchReason.MALFORMED)
        identity = ExternalIdentity(
            network=self._network,
            app_id=self._app_id,
            subject=subject,
            display_name=params.get("name", ""),
            avatar_url=params.get("picture") or None,
            locale=params.get("locale") or None,
        )
        return Launch(
            identity=identity,
            signature=signature,
            signed_at=signed_at,
            merchant_slug=params.get("merchant") or None,
            start=params.get("start") or None,
        )


def _read_pairs(payload: str) -> dict[str, str]:
    if not payload or len(payload) > payload_characters_max:
        raise LaunchRejected(LaunchReason.MALFORMED)
    try:
        pairs = parse_qsl(
            payload, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_pairs_max
        )
    except ValueError as error:
        raise LaunchRejected(LaunchReason.MALFORMED) from error
    params = dict(pairs)
    if len(params) != len(pairs) or any(char < " " for key, value in pairs for char in key + value):
        raise LaunchRejected(LaunchReason.MALFORMED)
    return params


def _signature(params: Mapping[str, str], secret: str) -> bytes:
    text = "\n".join(f"{key}={params[key]}" for key in sorted(params))
    return hmac.digest(secret.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha256)


def _read_date(text: str) -> datetime:
    if not (text.isascii() and text.isdigit() and int(text[:13]) <= _epoch_seconds_max and len(text) <= 12):
        raise LaunchRejected(LaunchReason.MALFORMED)
    return datetime.fromtimestamp(int(text), UTC)
