"""The one tree of errors. Rooms subclass a kind and give it a `code`; `kit.http` alone turns a kind into a status.

GroupbookError
├── Malformed          cannot be read at all (syntax, a missing header)  400
├── Invalid            the request is wrong and will stay wrong          422
│   └── InvalidId      not one of our ids                                404
├── Unauthenticated    we do not know who asks                           401
├── Forbidden          we know who asks, and they may not                403
├── NotFound           no such thing, or not for you                     404
├── Conflict           right request, wrong moment                       409
├── Gone               it was here and ended                             410
├── TooMany            slow down                                         429
├── InvariantBroken    a promise of ours does not hold: stop             500
└── what the outside answers (ports raise these, nothing else):
    ├── Refused        asked and answered no; asking again cannot help   409
    ├── Unavailable    nothing was attempted; safe to ask again          503
    └── OutcomeUnknown it may have happened; only reading can tell       503
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What an error means to the one who asked; `kit.http` maps each to one status."""

    MALFORMED = "malformed"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    GONE = "gone"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"
    BROKEN = "broken"


class GroupbookError(Exception):
    """An error with a stable `code`, a `kind`, the facts it is about, and where in the request it lies.

    `params` are safe to show to the one who asked; `pointer` is a JSON pointer (RFC 6901) into the body.
    """

    code: ClassVar[str] = "error"
    kind: ClassVar[Kind] = Kind.BROKEN

    def __init__(self, *, pointer: str | None = None, **params: object) -> None:
        super().__init__(self.code, params)
        self.params = params
        self.pointer = pointer


class Malformed(GroupbookError):
    code = "malformed"
    kind = Kind.MALFORMED


class Invalid(GroupbookError):
    code = "invalid"
    kind = Kind.INVALID


class InvalidId(GroupbookError):
    code = "not_found"
    kind = Kind.NOT_FOUND


class Unauthenticated(GroupbookError):
    code = "unauthenticated"
    kind = Kind.UNAUTHENTICATED


class Forbidden(GroupbookError):
    code = "forbidden"
    kind = Kind.FORBIDDEN


class NotFound(GroupbookError):
    code = "not_found"
    kind = Kind.NOT_FOUND


class Conflict(GroupbookError):
    code = "conflict"
    kind = Kind.CONFLICT


class Gone(GroupbookError):
    code = "gone"
    kind = Kind.GONE


class TooLarge(GroupbookError):
    code = "too_large"
    kind = Kind.TOO_LARGE


class TooMany(GroupbookError):
    code = "too_many"
    kind = Kind.TOO_MANY


class InvariantBroken(GroupbookError):
    """A promise of ours does not hold. Never caught on the way: the booking is parked or the request ends."""

    code = "invariant_broken"
    kind = Kind.BROKEN


class Refused(GroupbookError):
    """The other side answered no. `reason` is our code for it; asking again cannot help."""

    code = "refused"
    kind = Kind.CONFLICT

    def __init__(self, reason: str, **params: object) -> None:
        super().__init__(pointer=None, reason=reason, **params)
        self.reason = reason


class Unavailable(GroupbookError):
    """Nothing was attempted, so it is safe to ask later."""

    code = "unavailable"
    kind = Kind.UNAVAILABLE


class OutcomeUnknown(GroupbookError):
    """It may have happened. A third answer, left only by asking with the same key or by reading the truth."""

    code = "outcome_unknown"
    kind = Kind.UNAVAILABLE
