"""E-mail by SMTP (RFC 5321), as plain text and HTML, with one-click unsubscribing (RFC 8058). Standard library only."""

from __future__ import annotations

import re
import smtplib
import ssl
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from typing import Final
from urllib.parse import unquote, urlsplit

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.notices.domain import NO_MAILBOX, Address, Message

CHANNEL: Final = "email"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
# A server may say 550 of a mailbox that is gone, and of a policy against us (RFC 5321 4.2.3). The enhanced code tells
# which (RFC 3463 3.2-3.3, RFC 7505); a server that gives none is taken at its word.
_ABOUT_A_MAILBOX: Final = (550, 551, 553)
_POLICY: Final = "5.7."
_ENHANCED: Final = re.compile(rb"([245]\.\d{1,3}\.\d{1,3})(?!\S)")


class Mailer:
    """`groupbook.notices.ports.Messenger` by e-mail.

    `smtps://` speaks TLS from the first byte, `smtp://` upgrades with STARTTLS, which a server on this machine alone
    may lack. Certificates are checked; a password never goes over an open line to another machine.

    Args:
        context: whom to trust; the system's authorities when absent.
    """

    channel = CHANNEL

    def __init__(
        self, *, url: str, sender: str, timeout_seconds: float = 20.0, context: ssl.SSLContext | None = None
    ) -> None:
        self._server = urlsplit(url)
        self._sender = sender
        self._timeout_seconds = timeout_seconds
        self._context = context or ssl.create_default_context()

    def reaches(self, to: Address) -> bool:
        return bool(self._server.scheme) and to.email is not None

    def send(self, to: Address, message: Message, *, key: str) -> None:
        forbid_in_transaction("sending an e-mail")
        letter = letter_of(to.email or "", message, sender=self._sender, key=key)
        try:
            smtp = self._connect()
        except (smtplib.SMTPException, OSError) as error:  # a wrong password, too: the next try may find it mended
            raise Unavailable(channel=CHANNEL, error=type(error).__name__) from error
        try:
            smtp.send_message(letter, from_addr=parseaddr(self._sender)[1], to_addrs=[to.email or ""])
        except smtplib.SMTPRecipientsRefused as error:
            [(status, said)] = error.recipients.values()
            raise _of_recipient(status, said) from error
        except smtplib.SMTPSenderRefused as error:  # about us, never about them: kept until somebody mends it
            raise Unavailable(channel=CHANNEL, status=error.smtp_code) from error
        except smtplib.SMTPResponseException as error:
            raise _by_status(error.smtp_code) from error
        except (smtplib.SMTPException, OSError) as error:
            raise OutcomeUnknown(channel=CHANNEL) from error
        finally:
            _hang_up(smtp)

    def _connect(self) -> smtplib.SMTP:
        host, port = self._server.hostname or "localhost", self._server.port
        smtp: smtplib.SMTP
        if self._server.scheme == "smtps":
            smtp = smtplib.SMTP_SSL(host, port or 465, timeout=self._timeout_seconds, context=self._context)
        else:
            smtp = smtplib.SMTP(host, port or 587, timeout=self._timeout_seconds)
        try:
            smtp.ehlo_or_helo_if_needed()
            if self._server.scheme == "smtp" and (smtp.has_extn("starttls") or host not in _LOOPBACK):
                smtp.starttls(context=self._context)
            if self._server.username and self._server.password:
                smtp.login(unquote(self._server.username), unquote(self._server.password))
        except (smtplib.SMTPException, OSError):
            smtp.close()
            raise
        return smtp


def letter_of(email: str, message: Message, *, sender: str, key: str) -> EmailMessage:
    """The message as a mailbox takes it.

    Raises:
        Refused: a header would break; the address or the sender is not one.
    """
    letter = EmailMessage(policy=SMTP)
    try:
        letter["From"] = sender
        letter["To"] = email
        letter["Subject"] = message.subject
        letter["Date"] = formatdate()
        # The same message sent again after a lost answer has the same id, which mailboxes fold into one.
        letter["Message-ID"] = f"<{key.replace(':', '.')}@{parseaddr(sender)[1].rpartition('@')[2] or 'localhost'}>"
        letter["Auto-Submitted"] = "auto-generated"
        if message.stop_url:
            letter["List-Unsubscribe"] = f"<{message.stop_url}>"
            letter["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        letter.set_content(message.plain)
        letter.add_alternative(message.html, subtype="html")
        letter.as_bytes()
    except (ValueError, MessageError, UnicodeError) as error:  # `email` refuses line breaks and odd bytes in headers
        raise Refused("message_refused") from error
    return letter


def _of_recipient(status: int, said: bytes) -> Refused | Unavailable:
    """What a no to the recipient means: only a mailbox that is gone is one for good.

    A blocklist, a missing SPF record and the like are about us, and mended by us: the mailbox is tried again.
    """
    found = _ENHANCED.match(said)
    enhanced = found[1].decode() if found else ""
    if 500 <= status < 600 and (enhanced in NO_MAILBOX or (not enhanced and status in _ABOUT_A_MAILBOX)):
        return Refused("not_reachable", status=status)
    if status in _ABOUT_A_MAILBOX or enhanced.startswith(_POLICY):
        return Unavailable(channel=CHANNEL, error=f"{status} {enhanced}")
    return _by_status(status)


def _by_status(status: int) -> Refused | Unavailable:
    """A 5xx is a no to this message, anything else passes (RFC 5321 4.2.1)."""
    if 500 <= status < 600:
        return Refused("message_refused", status=status)
    return Unavailable(channel=CHANNEL, status=status)


def _hang_up(smtp: smtplib.SMTP) -> None:
    """Say goodbye; what was taken stays taken even if the other side hangs up first."""
    try:
        smtp.quit()
    except (smtplib.SMTPException, OSError):
        smtp.close()
