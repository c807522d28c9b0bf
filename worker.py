"""The worker: which fact is heard by whom, who makes which outside call, and what is swept. All of it in plain sight.

    celery -A worker worker --pool threads …      does the work
    celery -A worker beat                         asks for a sweep every `GROUPBOOK_SWEEP_SECONDS`

With `main.py` and `cli.py` the only file that loads integrations.
"""

from __future__ import annotations

from functools import cache

from celery import Celery
from celery.signals import setup_logging

from groupbook import bookings, notices, referrals, webhooks
from groupbook.config import Settings
from groupbook.house import APART, forget_person
from groupbook.kit import alarms, broker, logs
from groupbook.kit.facts import Listeners
from groupbook.main import assemble

# Fact -> who hears of it, in floors from low to high. A listener is a step: it composes and calls nobody outside.
_MERCHANT = ("webhooks", webhooks.note_event)
_PEOPLE = ("notices", notices.note)
_ALARM = ("alarms", alarms.note)
_HOLD = ("bookings", bookings.on_hold)
_ORDER = ("bookings", bookings.on_order)
_PORTION = ("bookings", bookings.on_portion)
_LINE = ("waiting", bookings.on_booking_over)
LISTENERS: Listeners = {
    "person.erased": [("house", forget_person)],
    "hold.placed": [_HOLD],
    "hold.refused": [_HOLD],
    "hold.extended": [_HOLD],
    "hold.extend_refused": [_HOLD],
    "hold.expired": [_HOLD],
    "hold.released": [_HOLD],
    "offer.rechecked": [_ORDER],
    "order.pending": [_ORDER],
    "order.confirmed": [_ORDER],
    "order.amended": [_ORDER],
    "order.amend_refused": [_ORDER],
    "order.rejected": [_ORDER],
    "order.canceled": [_ORDER],
    "order.discrepant": [_ORDER, _ALARM],
    "order.absent": [_ALARM, _MERCHANT],
    "order.found": [_MERCHANT],
    "portion.authorizing": [_PORTION],
    "portion.observed": [_PORTION],
    "portion.authorized": [_PORTION, _MERCHANT],
    "portion.declined": [_PORTION, _PEOPLE, _MERCHANT],
    "portion.reopened": [_PORTION],
    "portion.payer_changed": [_PORTION],
    "portion.expired": [_PORTION, _PEOPLE, _MERCHANT],
    "portion.captured": [_PORTION, _MERCHANT],
    "portion.capture_failed": [_PORTION],
    "portion.voided": [_PORTION, _MERCHANT],
    "portion.refunded": [_PORTION, _PEOPLE, _MERCHANT],
    "portion.saved": [_PORTION],
    "portion.dropped": [_PORTION],
    "portion.asked_again": [_PORTION, _PEOPLE],
    "portion.covered": [_PORTION],
    "portion.waived": [_PORTION],
    "portion.disputed": [_PORTION],
    "portion.dispute_won": [_PORTION],
    "portion.dispute_lost": [_PORTION],
    "portion.refund_failed": [_PORTION, _ALARM, _MERCHANT],
    "payment.discrepant": [_PORTION, _ALARM],
    "account.withdrawn": [_ALARM],
    "reconciliation.difference": [("bookings", bookings.on_reconciliation), _ALARM, _MERCHANT],
    "reconciliation.resolved": [_MERCHANT],
    "trip.started": [("referrals", referrals.on_trip_started), _MERCHANT],
    "trip.decided": [_PEOPLE, _MERCHANT],
    "trip.undecided": [_MERCHANT],
    "trip.reopened": [_MERCHANT],
    "trip.canceled": [_MERCHANT],
    "member.joined": [("referrals", referrals.on_member_joined), _MERCHANT],
    "member.left": [("waiting", bookings.on_member_left), _MERCHANT],
    "share.minted": [_MERCHANT],
    "booking.started": [_MERCHANT],
    "booking.opened": [_PEOPLE, _MERCHANT],
    "booking.confirmed": [_LINE, ("referrals", referrals.on_booking_confirmed), _PEOPLE, _MERCHANT],
    "booking.aborted": [_LINE, _PEOPLE, _MERCHANT],
    "booking.canceled": [_LINE, _PEOPLE, _MERCHANT],
    "booking.amended": [_MERCHANT],
    "booking.parked": [_MERCHANT],
    "place.offered": [_PEOPLE],
    "place.withdrawn": [_PEOPLE],
    "place.missed": [_PEOPLE],
    "place.unwanted": [_PEOPLE],
    "place.taken": [_PEOPLE],
    "place.filled": [_PEOPLE],
    "place.asked": [_PEOPLE],
    "place.called_off": [_PEOPLE],
    "place.kept": [_PEOPLE],
    "place.handed_on": [_PEOPLE],
    "waiting.room": [_PEOPLE],
    "waiting.over": [_PEOPLE],
    "waiting.needless": [_PEOPLE],
    "intent.parked": [_MERCHANT],
}

# Rows besides intents and facts that are woken after a commit, by the name their room nudges with.
JOBS = ("deliver_webhook", "send_notice")


def make_app(settings: Settings) -> Celery:
    """The Celery application of a worker or of beat."""
    app = broker.celery_app(
        database_url=settings.database_url, broker_url=settings.broker_url, sweep_seconds=settings.sweep_seconds
    )

    @cache
    def work() -> broker.Work:
        house = assemble(settings, nudger=broker.CeleryNudger(app), name="groupbook-worker")
        deliverer = house.deliverer(LISTENERS)
        return broker.Work(
            runner=house.worker_runner(deliverer),
            deliverer=deliverer,
            merchants=house.merchant_ids,
            jobs=house.jobs,
            sweeps=house.sweeps,
            apart=APART,
        )

    broker.add_tasks(app, work, jobs=JOBS)
    return app


def _say_it_our_way(**_celerys: object) -> None:
    """Celery leaves the loggers alone when somebody hears this signal."""
    logs.configure()


def __getattr__(name: str) -> Celery:
    # `celery -A worker` asks for `app`; whoever only wants the table above needs no settings.
    if name == "app":
        setup_logging.connect(_say_it_our_way)
        return make_app(Settings())
    raise AttributeError(name)
