"""Values and pure decisions about people: no database, no clock.

Errors of this room (kit.errors draws the tree they hang in):

    GroupbookError
    ├── Invalid            name_empty, name_too_long, invalid_challenge, invalid_instance
    ├── Unauthenticated    launch_rejected, login_mismatch
    ├── Forbidden          embed_origin_not_registered, handoff_code_wrong
    ├── NotFound           network_not_found, handoff_not_found, person_not_found, guest_not_found,
    │                  session_not_found
    ├── Conflict           handoff_not_open, guest_adopted
    ├── Gone               login_expired, handoff_expired
    └── Refused            login_refused
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

from groupbook.kit.errors import Conflict, Forbidden, Gone, Invalid, NotFound, Refused, Unauthenticated
from groupbook.kit.ids import GuestId, HandoffId, MerchantId, PersonId, SessionId

name_characters_max: Final = 80
locale_characters_max: Final = 35
url_characters_max: Final = 2_000
payload_characters_max: Final = 4_096

login_seconds: Final = 600
handoff_seconds: Final = 300
handoff_code_seconds: Final = 60
handoff_attempts_max: Final = 5
launch_seconds_max: Final = 300
launch_skew_seconds: Final = 60

SessionKind = Literal["cookie", "bearer", "guest"]
HandoffState = Literal["open", "approved", "redeemed", "denied", "spent"]
SESSION_KINDS: Final[Mapping[str, SessionKind]] = {"cookie": "cookie", "bearer": "bearer", "guest": "guest"}
ConsentPurpose = Literal["embed", "messages", "visits"]


# --- errors ---------------------------------------------------------------------------------------------------------


class NameEmpty(Invalid):
    code = "name_empty"


class NameTooLong(Invalid):
    code = "name_too_long"


class InvalidChallenge(Invalid):
    code = "invalid_challenge"


class InvalidInstance(Invalid):
    code = "invalid_instance"


class NetworkNotFound(NotFound):
    code = "network_not_found"


class PersonNotFound(NotFound):
    code = "person_not_found"


class GuestNotFound(NotFound):
    code = "guest_not_found"


class GuestAdopted(Conflict):
    """The seat already belongs to somebody else."""

    code = "guest_adopted"


class LoginExpired(Gone):
    """Unknown, used or too old: the three look alike from outside."""

    code = "login_expired"


class LoginMismatch(Unauthenticated):
    """The answer came to another browser than the one that asked, or from another network."""

    code = "login_mismatch"


class LoginRefused(Refused):
    """The network, or the person there, said no; or its answer does not prove who they are."""

    code = "login_refused"


class EmbedOriginNotRegistered(Forbidden):
    code = "embed_origin_not_registered"


class SessionNotFound(NotFound):
    """None of this caller's that still works."""

    code = "session_not_found"


class HandoffNotFound(NotFound):
    code = "handoff_not_found"


class HandoffExpired(Gone):
    code = "handoff_expired"


class HandoffNotOpen(Conflict):
    """Already approved, denied, redeemed, or spent by wrong tries."""

    code = "handoff_not_open"


class HandoffCodeWrong(Forbidden):
    code = "handoff_code_wrong"


class LaunchReason(StrEnum):
    """Why a launch payload was turned away."""

    MISSING_SIGNATURE = "missing_signature"
    BAD_SIGNATURE = "bad_signature"
    BAD_ALGORITHM = "bad_algorithm"
    EXPIRED = "expired"
    FUTURE = "future"
    REPLAYED = "replayed"
    WRONG_AUDIENCE = "wrong_audience"
    MALFORMED = "malformed"


class LaunchRejected(Unauthenticated):
    code = "launch_rejected"

    def __init__(self, reason: LaunchReason) -> None:
        super().__init__(reason=reason.value)
        self.reason = reason


# --- values ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExternalIdentity:
    """Who a network says somebody is. The key is (network, app_id, subject); never the e-mail address.

    `app_id` is our registration at the network: several networks give one human another subject per application.
    """

    network: str
    app_id: str
    subject: str
    display_name: str = ""
    avatar_url: str | None = None
    email: str | None = None
    email_verified: bool = False
    locale: str | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """A verified launch payload: who opened us inside the network, for which merchant, from which start link.

    `signature` makes the payload usable once; `merchant_slug` and `start` were signed with the rest.
    """

    identity: ExternalIdentity
    signature: bytes
    signed_at: datetime
    merchant_slug: str | None = None
    start: str | None = None


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """One trip to a network's login page; the same value goes into `begin` and `finish`."""

    redirect_uri: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Person:
    id: PersonId
    display_name: str
    avatar_url: str | None
    locale: str | None
    erased: bool


@dataclass(frozen=True, slots=True)
class Guest:
    """A seat in one trip (`trip_ref`, opaque here) held by a name; `person_id` once it has been adopted."""

    id: GuestId
    trip_ref: UUID
    name: str
    person_id: PersonId | None


@dataclass(frozen=True, slots=True)
class Card:
    """What the others in a trip may see of somebody. An erased person's card has an empty name."""

    id: UUID
    kind: Literal["person", "guest"]
    display_name: str
    avatar_url: str | None = None

    @property
    def initials(self) -> str:
        return initials(self.display_name)


@dataclass(frozen=True, slots=True)
class Contact:
    """One way to reach a person: an account at a network, and its e-mail address if the network verified it."""

    network: str
    app_id: str
    subject: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a session lives: a browser's, a frame's, a guest's seat. The edge fills it from the settings."""

    cookie_seconds: float = 30 * 86_400
    bearer_seconds: float = 8 * 3_600
    guest_seconds: float = 180 * 86_400

    def end(self, kind: SessionKind, now: datetime) -> datetime:
        seconds = {"cookie": self.cookie_seconds, "bearer": self.bearer_seconds, "guest": self.guest_seconds}[kind]
        return now + timedelta(seconds=seconds)


LIFETIMES: Final = Lifetimes()


@dataclass(frozen=True, slots=True)
class Device:
    """A session as its owner sees it: where somebody is known as them. `embed_origin`: in a frame on that site."""

    id: SessionId
    kind: SessionKind
    embed_origin: str | None
    since: datetime
    expires_at: datetime
    is_current: bool


@dataclass(frozen=True, slots=True)
class MintedSession:
    """A session at birth: the only moment its token exists on our side."""

    id: SessionId
    kind: SessionKind
    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SeatedGuest:
    guest: Guest
    session: MintedSession


@dataclass(frozen=True, slots=True)
class LoginStart:
    """Send the browser to `url` with `browser_secret` in a cookie; only that browser can finish."""

    url: str
    browser_secret: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A person with a fresh session. `return_to` is a path of ours; `start` the launch's signed start parameter."""

    merchant_id: MerchantId
    person: Person
    session: MintedSession
    is_new: bool
    return_to: str = "/"
    handoff_id: HandoffId | None = None
    start: str | None = None


@dataclass(frozen=True, slots=True)
class Handoff:
    """A login on its way from a top-level window into a merchant's frame."""

    id: HandoffId
    merchant_id: MerchantId
    embed_origin: str
    instance: str
    state: HandoffState
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class HandoffCode:
    """`code` goes to the opener by postMessage; `match_code` is typed by the person when the opener is gone."""

    handoff_id: HandoffId
    code: str
    match_code: str
    expires_at: datetime


# --- names ----------------------------------------------------------------------------------------------------------

# ZWNJ and ZWJ are part of Persian words and of family emoji, tag characters of regional flags. All other invisible
# format characters only help to imitate or to turn the text around them (bidi embeddings, overrides, isolates).
_KEPT_FORMAT: Final = frozenset({0x200C, 0x200D, *range(0xE0020, 0xE0080)})
_MARKS_MAX: Final = 4


def clean_name(text: str, *, pointer: str | None = "/name") -> str:
    """A name as we store it: composed, one line, no control or bidi characters, at most 80 characters.

    Emoji and right-to-left names stay as they are.

    Raises:
        NameEmpty: nothing visible is left.
        NameTooLong: more than 80 characters after trimming.
    """
    name = _visible(text[: name_characters_max * 100])
    if not any(unicodedata.category(char)[0] in "LNSP" for char in name):
        raise NameEmpty(pointer=pointer)
    if len(text) > name_characters_max * 100 or len(name) > name_characters_max:
        raise NameTooLong(pointer=pointer, characters_max=name_characters_max)
    return name


def trim_name(text: str) -> str:
    """A name that a network gave us: cleaned and cut, never refused; empty when nothing visible is left."""
    name = _visible(text[: name_characters_max * 4])[:name_characters_max].rstrip()
    return name if any(unicodedata.category(char)[0] in "LNSP" for char in name) else ""


def initials(name: str) -> str:
    """Up to two letters for a picture that is missing; empty for an empty name."""
    words = [word for word in name.split() if unicodedata.category(word[0])[0] in "LN"]
    chosen = [words[0], words[-1]] if len(words) > 1 else words
    return "".join(word[0] for word in chosen).upper()


def _visible(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", text):
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks > _MARKS_MAX:
            continue
        if category in ("Zs", "Zl", "Zp") or char in "\t\n\r":
            kept.append(" ")
        elif category[0] != "C" or ord(char) in _KEPT_FORMAT:
            kept.append(char)
    return " ".join("".join(kept).split())


# --- tokens, challenges, codes --------------------------------------------------------------------------------------

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_INSTANCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
# No 0 O 1 I L U: read from one window, typed in another.
_MATCH_LETTERS: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_MATCH_CODE: Final = re.compile(rf"[{_MATCH_LETTERS}]{{6}}")


def mint_token() -> str:
    """256 random bits, for sessions, states and codes; only `digest` of it is stored."""
    return secrets.token_urlsafe(32)


def mint_match_code() -> str:
    return "".join(secrets.choice(_MATCH_LETTERS) for _ in range(6))


def digest(token: str) -> bytes:
    """SHA-256: the token is long and random, so no slow hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def digest_bytes(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def challenge_of(verifier: str) -> str:
    """RFC 7636 S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()


def check_challenge(challenge: str) -> str:
    if _CHALLENGE.fullmatch(challenge) is None:
        raise InvalidChallenge(pointer="/challenge")
    return challenge


def check_instance(instance: str) -> str:
    if _INSTANCE.fullmatch(instance) is None:
        raise InvalidInstance(pointer="/instance")
    return instance


def proves(verifier: str, challenge: str) -> bool:
    """Whether `verifier` is the one whose challenge was given; constant time in the comparison."""
    return _VERIFIER.fullmatch(verifier) is not None and hmac.compare_digest(challenge_of(verifier), challenge)


def normal_match_code(text: str) -> str | None:
    """What the person typed, as it was minted; None when it cannot be one."""
    code = text.upper().replace(" ", "").replace("-", "")
    return code if _MATCH_CODE.fullmatch(code) else None


def is_same(given: str, stored_digest: bytes | None) -> bool:
    return stored_digest is not None and hmac.compare_digest(digest(given), stored_digest)


# --- addresses ------------------------------------------------------------------------------------------------------

_PATH: Final = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,1999}")


def safe_return(path: str | None) -> str:
    """A path of ours to come back to; anything that could lead to another site becomes "/"."""
    return path if path is not None and _PATH.fullmatch(path) else "/"


def safe_picture(url: str | None) -> str | None:
    """An http(s) picture address, or None."""
    if url is None or len(url) > url_characters_max or not url.isascii() or any(char <= " " for char in url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("https", "http") and parts.hostname and "@" not in parts.netloc else None


# --- decisions ------------------------------------------------------------------------------------------------------


def check_fresh(signed_at: datetime, now: datetime) -> None:
    """A launch opens a session for 300 s after it was signed; a clock 60 s ahead is tolerated.

    Raises:
        LaunchRejected: `expired` or `future`.
    """
    if signed_at - now > timedelta(seconds=launch_skew_seconds):
        raise LaunchRejected(LaunchReason.FUTURE)
    if now - signed_at > timedelta(seconds=launch_seconds_max):
        raise LaunchRejected(LaunchReason.EXPIRED)
