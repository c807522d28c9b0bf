"""Steps and use cases of payments. A step takes the open session, never commits and never calls out."""

from groupbook.payments.service.deciding import (
    capture_all,
    observe_all,
    refund_portion,
    unwind_all,
    void_all,
    void_portion,
)
from groupbook.payments.service.listening import handle_event, sweep
from groupbook.payments.service.opening import (
    PaymentRefused,
    assign_payer,
    begin_attempt,
    open_portions,
    refresh_portion,
    start_attempt,
)
from groupbook.payments.service.reading import (
    earliest_capture_before,
    is_observed_since,
    portion_view,
    portions_of,
    refunds_of,
    statement,
)

__all__ = [
    "PaymentRefused",
    "assign_payer",
    "begin_attempt",
    "capture_all",
    "earliest_capture_before",
    "handle_event",
    "is_observed_since",
    "observe_all",
    "open_portions",
    "portion_view",
    "portions_of",
    "refresh_portion",
    "refund_portion",
    "refunds_of",
    "start_attempt",
    "statement",
    "sweep",
    "unwind_all",
    "void_all",
    "void_portion",
]
