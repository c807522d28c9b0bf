"""Secrets at rest: sealed with `GROUPBOOK_SECRET_KEY`, bound to the place they are stored in."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from groupbook.kit.errors import InvariantBroken

_nonce_bytes: Final = 12
_key_mark_bytes: Final = 4
_mark_bytes: Final = 16


class Sealer:
    """Seals with the first key and opens with any, so that a key can be rotated without a flag day.

    `place` names the row and column ("merchant_connection:<merchant>:<kind>"): a sealed value copied to another
    place does not open there.
    """

    def __init__(self, *secret_keys: str) -> None:
        if not secret_keys or not all(secret_keys):
            raise InvariantBroken(what="no secret key to seal with")
        derived = [hashlib.sha256(b"groupbook sealing v1\0" + key.encode("utf-8")).digest() for key in secret_keys]
        self._ciphers = {hashlib.sha256(key).digest()[:_key_mark_bytes]: AESGCM(key) for key in derived}
        self._mark = next(iter(self._ciphers))
        self._marking = hashlib.sha256(b"groupbook marking v1\0" + secret_keys[0].encode("utf-8")).digest()

    def seal(self, place: str, secret: bytes) -> bytes:
        nonce = secrets.token_bytes(_nonce_bytes)
        return self._mark + nonce + self._ciphers[self._mark].encrypt(nonce, secret, place.encode("utf-8"))

    def open(self, place: str, sealed: bytes) -> bytes:
        """The secret again.

        Raises:
            InvariantBroken: sealed under a key we no longer have, for another place, or tampered with.
        """
        mark, nonce = sealed[:_key_mark_bytes], sealed[_key_mark_bytes : _key_mark_bytes + _nonce_bytes]
        cipher = self._ciphers.get(mark)
        if cipher is None:
            raise InvariantBroken(what="sealed with a key that is not configured", place=place)
        try:
            return cipher.decrypt(nonce, sealed[_key_mark_bytes + _nonce_bytes :], place.encode("utf-8"))
        except InvalidTag:
            raise InvariantBroken(what="a sealed value does not open", place=place) from None

    def mark(self, place: str, secret: bytes) -> bytes:
        """The same for the same secret of the same place, and nothing to anybody without the first key.

        By it sealed values are compared unopened; a plain digest would give a card number to whoever tries them all.
        """
        return hmac.digest(self._marking, place.encode("utf-8") + b"\0" + secret, "sha256")[:_mark_bytes]

    def seal_document(self, place: str, document: Mapping[str, Any]) -> bytes:
        return self.seal(place, json.dumps(document, sort_keys=True).encode("utf-8"))

    def open_document(self, place: str, sealed: bytes) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.open(place, sealed))
        return document
