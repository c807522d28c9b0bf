"""E-mail into a folder instead of the world: one file a letter, for the demo's mailbox page and for development."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import Unavailable
from groupbook.notices.domain import Address, Message
from integrations.social.mail import CHANNEL, letter_of


class FolderMailer:
    """`groupbook.notices.ports.Messenger`: the same key is the same file."""

    channel = CHANNEL

    def __init__(self, *, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    def reaches(self, to: Address) -> bool:
        return to.email is not None

    def send(self, to: Address, message: Message, *, key: str) -> None:
        forbid_in_transaction("writing an e-mail")
        letter = letter_of(to.email or "", message, sender=self._sender, key=key)
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            half = self._folder / f".{name}"
            half.write_bytes(letter.as_bytes())
            os.replace(half, self._folder / f"{name}.eml")
        except OSError as error:
            raise Unavailable(channel=CHANNEL, error=type(error).__name__) from error
