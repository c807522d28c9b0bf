"""The errors of payments. Each code is in the list that the API's problems are written from.

GroupbookError
├── Invalid      portion_too_small, portion_currency, portion_not_representable
├── NotFound     portion_not_found, attempt_not_found, refund_not_found
├── Forbidden    not_your_portion
├── Conflict     portion_not_payable, portion_disputed, illegal_step, refund_too_large, authorization_too_old
├── TooMany      too_many_attempts
└── InvariantBroken  parts_do_not_sum; ledger_unbalanced (ledger.py)
"""

from __future__ import annotations

from groupbook.kit.errors import Conflict, Forbidden, Invalid, InvariantBroken, NotFound, TooMany


class PortionTooSmall(Invalid):
    code = "portion_too_small"


class PortionCurrency(Invalid):
    code = "portion_currency"


class PortionNotRepresentable(Invalid):
    """Cards take no such amount: the last digit of a three-decimal currency is always 0 there."""

    code = "portion_not_representable"


class PortionNotFound(NotFound):
    code = "portion_not_found"


class AttemptNotFound(NotFound):
    code = "attempt_not_found"


class RefundNotFound(NotFound):
    code = "refund_not_found"


class NotYourPortion(Forbidden):
    code = "not_your_portion"


class PortionNotPayable(Conflict):
    code = "portion_not_payable"


class PortionDisputed(Conflict):
    """The payer asked their bank for the money back: a refund on top of that would pay twice (C6)."""

    code = "portion_disputed"


class IllegalStep(Conflict):
    """The machine does not know this event in this state; nothing was written."""

    code = "illegal_step"


class RefundTooLarge(Conflict):
    code = "refund_too_large"


class AuthorizationTooOld(Conflict):
    code = "authorization_too_old"


class TooManyAttempts(TooMany):
    code = "too_many_attempts"


class PartsDoNotSum(InvariantBroken):
    code = "parts_do_not_sum"
