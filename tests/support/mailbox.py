"""A real SMTP server on loopback (aiosmtpd): plain, STARTTLS or TLS, with a login if wanted; it keeps what it takes."""

from __future__ import annotations

import asyncio
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Security = Literal["plain", "starttls", "tls"]
LOGIN = ("trips@gb.example", "a pass:word@with signs")


@dataclass
class Mailbox:
    """What arrived, and how the server behaves. `answers`: a reply to RCPT by address; `after_data`: to the letter."""

    url: str = ""
    ca_file: str = ""
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    after_data: str = "250 taken"
    hangs_up_after_data: bool = False
    was_secure: list[bool] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - as the server calls it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.answers.get(address, "250 ok")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as the server calls it
        if self.after_data.startswith("250"):
            content = cast("bytes", envelope.content)
            self.mails.append(message_from_bytes(content, policy=policy.default))
            self.recipients += envelope.rcpt_tos
            self.was_secure.append(
                server.transport is not None and server.transport.get_extra_info("cipher") is not None
            )
        if self.hangs_up_after_data and server.transport is not None:
            server.transport.close()
        return self.after_data

    def about(self, address: str) -> list[EmailMessage]:
        """The letters to this address, in the order they came."""
        return [mail for mail, to in zip(self.mails, self.recipients, strict=True) if to == address]


@contextmanager
def mailbox(folder: Path, security: Security = "plain", *, needs_login: bool = False) -> Iterator[Mailbox]:
    """A server, running."""
    box = Mailbox()
    context = _certified(folder, box) if security != "plain" else None
    keywords: dict[str, Any] = {"hostname": "mail.test"}
    if needs_login:  # behind TLS the line is secure before SMTP begins, which the server cannot see
        keywords |= {
            "auth_required": True,
            "authenticator": _authenticate,
            "auth_require_tls": security == "starttls",
        }
    if security == "starttls":
        keywords |= {"tls_context": context, "require_starttls": True}
    loop = asyncio.new_event_loop()

    def make() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a login without STARTTLS, which is the case behind TLS
            return SMTP(box, **keywords, loop=loop)

    # In its own thread from the beginning: the test's may have a browser driver's loop running.
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opened = loop.create_server(make, "127.0.0.1", 0, ssl=context if security == "tls" else None)
    server = asyncio.run_coroutine_threadsafe(opened, loop).result(10)
    box.url = f"{'smtps' if security == 'tls' else 'smtp'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield box
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _close(server: asyncio.Server) -> None:
    server.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0.02)


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == LOGIN
    return AuthResult(success=is_right, handled=is_right)


def _certified(folder: Path, box: Mailbox) -> ssl.SSLContext:
    """A certificate of our own for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "mail.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    box.ca_file = str(folder / "ca.pem")
    Path(box.ca_file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
