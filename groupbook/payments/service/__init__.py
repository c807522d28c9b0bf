"""Steps and use cases of payments. A step takes the open session, never commits and never calls out."""

from groupbook.payments.service.allocating import add_portion, open_portions, reallocate
from groupbook.payments.service.catching_up import read_missed_events
from groupbook.payments.service.deciding import capture_all, capture_portion, cover_shortfall, lessen_cover, observe_all
from groupbook.payments.service.differing import book_refund_outside, comparisons, differences
from groupbook.payments.service.listening import handle_event, handle_events, sweep
from groupbook.payments.service.opening import (
    PaymentRefused,
    assign_payer,
    begin_attempt,
    page_of,
    refresh_portion,
    start_attempt,
)
from groupbook.payments.service.reading import (
    attempts_of,
    earliest_capture_before,
    lock_view,
    portion_view,
    portions_of,
    reference_of,
    refunds_of,
    statement,
    tally,
    travelers_of,
)
from groupbook.payments.service.reconciling import reconcile_day, reconcile_due, today_of
from groupbook.payments.service.recovering import authorize_saved, recover_all, stop_taking
from groupbook.payments.service.refunding import (
    refund_amount,
    refund_portion,
    retry_refund,
    settle_refund_elsewhere,
    unwind_all,
)
from groupbook.payments.service.setting_up import (
    begin_link,
    begin_new_secret,
    begin_setup,
    connect_account,
    connected_account,
    finish_link,
    last_setup,
    try_setup_again,
)
from groupbook.payments.service.stating import statement_days, statement_of_days, statement_of_reference
from groupbook.payments.service.voiding import void_all, void_parked, void_portion

__all__ = [
    "PaymentRefused",
    "add_portion",
    "assign_payer",
    "attempts_of",
    "authorize_saved",
    "begin_attempt",
    "begin_link",
    "begin_new_secret",
    "begin_setup",
    "book_refund_outside",
    "capture_all",
    "capture_portion",
    "comparisons",
    "connect_account",
    "connected_account",
    "cover_shortfall",
    "differences",
    "earliest_capture_before",
    "finish_link",
    "handle_event",
    "handle_events",
    "last_setup",
    "lessen_cover",
    "lock_view",
    "observe_all",
    "open_portions",
    "page_of",
    "portion_view",
    "portions_of",
    "read_missed_events",
    "reallocate",
    "reconcile_day",
    "reconcile_due",
    "recover_all",
    "reference_of",
    "refresh_portion",
    "refund_amount",
    "refund_portion",
    "refunds_of",
    "retry_refund",
    "settle_refund_elsewhere",
    "start_attempt",
    "statement",
    "statement_days",
    "statement_of_days",
    "statement_of_reference",
    "stop_taking",
    "sweep",
    "tally",
    "today_of",
    "travelers_of",
    "try_setup_again",
    "unwind_all",
    "void_all",
    "void_parked",
    "void_portion",
]
