"""E-mail by SMTP, to addresses that a network has verified. Standard library only."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.notices.domain import Address


class Mailer:
    """`groupbook.notices.ports.Messenger` by e-mail.

    `smtps://` speaks TLS from the first byte, `smtp://` upgrades with STARTTLS unless the server is this machine.
    """

    channel = "email"

    def __init__(self, *, url: str, sender: str, timeout_seconds: float = 20.0) -> None:
        self._server = urlsplit(url)
        self._sender = sender
        self._timeout_seconds = timeout_seconds

    def reaches(self, to: Address) -> bool:
        return bool(self._server.scheme) and to.email is not None

    def send(self, to: Address, *, text: str, link: str, key: str) -> None:
        forbid_in_transaction("sending an e-mail")
        try:
            smtp = self._connect()
        except (smtplib.SMTPException, OSError) as error:
            raise Unavailable(channel=self.channel) from error
        try:
            with smtp:
                smtp.send_message(self._message(to, text, link, key))
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as error:
            if _is_permanent(error):
                raise Refused("not_reachable") from error
            raise Unavailable(channel=self.channel) from error
        except smtplib.SMTPResponseException as error:
            raise Unavailable(channel=self.channel, status=error.smtp_code) from error
        except (smtplib.SMTPException, OSError) as error:
            raise OutcomeUnknown(channel=self.channel) from error

    def _connect(self) -> smtplib.SMTP:
        host, port = self._server.hostname or "localhost", self._server.port
        context = ssl.create_default_context()
        smtp: smtplib.SMTP
        if self._server.scheme == "smtps":
            smtp = smtplib.SMTP_SSL(host, port or 465, timeout=self._timeout_seconds, context=context)
        else:
            smtp = smtplib.SMTP(host, port or 587, timeout=self._timeout_seconds)
            if host not in ("localhost", "127.0.0.1", "::1"):
                smtp.starttls(context=context)
        if self._server.username and self._server.password:
            smtp.login(unquote(self._server.username), unquote(self._server.password))
        return smtp

    def _message(self, to: Address, text: str, link: str, key: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = to.email or ""
        # The first sentence's subject is short already; a header takes no line break.
        message["Subject"] = " ".join(text.split())[:120]
        message["Date"] = formatdate()
        # The same notice sent again after a lost answer has the same id, which mailboxes fold into one.
        message["Message-ID"] = f"<{key.replace(':', '.')}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(f"{text}\n\n{link}\n")
        return message


def _is_permanent(error: smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) -> bool:
    if isinstance(error, smtplib.SMTPDataError):
        return error.smtp_code >= 500
    return all(code >= 500 for code, _ in error.recipients.values())
