"""Profiles that a share of the seeds plays, each aimed at paths which plain histories rarely take.

A path deep in the machines needs several rare things in one history: a capture that fails, and a payer who is silent,
and a merchant who does not take the order back. Each profile puts such things together, so that coverage (`coverage`)
comes from many ordinary-sized histories and not from long ones.
"""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import Final

from tests.simulation.plan import Profile

PLAIN: Final = Profile("")
plain_share: Final = 0.4  # of the seeds play without a profile

# Everybody pays, and in time: what is aimed at lies behind the freeze.
_GOES: Final = {"people.silent": 0.0, "people.leave": 0.0, "organizer.cancel": 0.0, "people.late": 0.0}
# What the provider says by itself is often lost, and nobody comes back to our page.
_UNHEARD: Final = {"webhook:lost": 0.5, "people.gone": 1.0}
_HASTY: Final = {"outside.hasty": 1.0}
_MENDED: Final = {"operator.resume": 1.0}

PROFILES: Final[tuple[Profile, ...]] = (
    Profile(
        "the organizer is hasty",
        {
            "organizer.hasty": 1.0,
            "merchant.holds": 0.8,
            "merchant.place_hold:slow": 0.2,
            "merchant.place_hold:slow_answer": 0.2,
            "merchant.place_hold:zombie": 0.3,
            "merchant.release_hold:busy": 0.5,
            "merchant.release_hold:lost_answer": 0.2,
        },
        0.2,
        0.7,
    ),
    Profile(
        "canceled while they pay",
        {
            "organizer.hasty": 1.0,
            "people.prompt": 1.0,
            "merchant.holds": 0.0,
            "provider.open_payment:slow_answer": 0.25,
            "provider.open_payment:slow_refused": 0.2,
            "provider.open_payment:zombie": 0.25,
            "provider.open_payment:lost_answer": 0.05,
            "provider.observe:slow_answer": 0.6,
            "bank.authorize:abandoned": 0.3,
            "bank.authorize:challenge_left": 0.2,
            "bank.authorize:declined": 0.2,
        },
        0.2,
        2.0,
    ),
    Profile(
        "the merchant is away",
        {
            **_GOES,
            "merchant.holds": 0.8,
            "merchant.earning": 0.9,
            "merchant.place_hold:lost_answer": 0.85,
            "merchant.observe_hold:busy": 0.9,
            "merchant.away:placing": 0.5,
            "merchant.away:tombstoning": 0.6,
            "merchant.away:unwinding": 0.7,
            "merchant.confirm:lost_request": 0.4,
            "organizer.regret": 0.7,
        },
        0.1,
        1.5,
    ),
    Profile("nothing left", {"merchant.sells_out": 1.0, "merchant.holds": 0.2, **_GOES}, 0.2),
    Profile(
        "tombstones do not hold",
        {
            **_GOES,
            **_MENDED,
            "merchant.weak": 1.0,
            "merchant.holds": 0.3,
            "merchant.confirm:pending": 0.03,
            "merchant.confirm:zombie": 0.9,
            "merchant.observe_order:busy": 0.3,
            "operator.stop": 0.8,
        },
        0.1,
    ),
    Profile(
        "says later, and keeps it",
        {
            **_GOES,
            **_MENDED,
            "merchant.weak": 0.0,
            "merchant.confirm:overcharged": 0.1,
            "merchant.confirm:pending": 0.8,
            "merchant.cancel:not_cancelable": 0.95,
            "merchant.decides:overcharged": 0.3,
        },
        0.1,
    ),
    Profile(
        "short, and the order stands",
        {
            **_GOES,
            **_MENDED,
            "provider.capture:lapsed": 0.4,
            "policy.receivable": 0.0,
            "merchant.cancel:not_cancelable": 0.7,
            "organizer.give_up": 0.5,
        },
        0.2,
    ),
    Profile(
        "short, and the merchant is owed it",
        {
            **_GOES,
            "people.deaf": 0.8,
            "provider.capture:lapsed": 0.5,
            "policy.receivable": 1.0,
            "people.amend": 0.8,
            "people.spare": 1.0,
            "organizer.regret": 0.4,
        },
        0.1,
        1.3,
    ),
    Profile(
        "kept cards, charged unheard",
        {
            **_GOES,
            **_UNHEARD,
            **_HASTY,
            "policy.saves": 1.0,
            "nudge:lost": 0.3,
            "provider.authorize_saved:lost_answer": 0.5,
            "provider.observe:busy": 0.3,
            "dashboard.capture:captured": 0.3,
            "dashboard.void:voided": 0.3,
            "bank.lapse:early": 0.3,
            "bank.saved:declined": 0.1,
        },
        0.1,
        1.5,
    ),
    Profile(
        "kept cards, charged too late",
        {
            **_HASTY,
            "people.gone": 1.0,
            "webhook:lost": 0.5,
            "policy.saves": 1.0,
            "people.late": 0.3,
            "people.silent": 0.0,
            "organizer.cancel": 0.6,
            "provider.close_payment:busy": 0.97,  # the card is still there when the call lands
            "provider.authorize_saved:zombie": 0.6,
            "provider.authorize_saved:refused": 0.3,
            "provider.authorize_saved:slow_refused": 0.1,
            "bank.saved:declined": 0.12,
            "bank.saved:authentication_required": 0.12,
            "dashboard.capture:captured": 0.3,
            "dashboard.void:voided": 0.3,
            "bank.lapse:early": 0.3,
        },
        0.1,
        2.5,
    ),
    Profile(
        "charged once more",
        {
            **_GOES,
            "policy.keeps_cards": 1.0,
            "provider.capture:taken_by_hand": 0.5,
            "provider.capture:lapsed": 0.1,
            "provider.capture:busy": 0.2,
            "provider.void:busy": 0.9,
            "provider.observe:busy": 0.1,
            "bank.saved:declined": 0.2,
            "provider.authorize_saved:lost_answer": 0.2,
        },
        0.1,
    ),
    Profile(
        "released while it is taken",
        {
            **_GOES,
            **_HASTY,
            "provider.capture:busy": 0.6,
            "provider.capture:lost_request": 0.2,
            "provider.capture:slow": 0.2,
            "dashboard.void:voided": 0.5,
            "bank.lapse:early": 0.2,
        },
        0.1,
    ),
    Profile(
        "money moves in the dashboard",
        {
            **_UNHEARD,
            **_HASTY,
            "dashboard.capture:captured": 0.35,
            "dashboard.void:voided": 0.35,
            "bank.lapse:early": 0.15,
            "bank.authorize:declined": 0.45,
            "bank.authorize:challenge": 0.25,
            "provider.observe:slow_answer": 0.2,
            "provider.void:busy": 0.4,
        },
        0.1,
        2.0,
    ),
    Profile(
        "old readings",
        {
            **_HASTY,
            "provider.observe:slow_answer": 0.6,
            "provider.close_payment:slow_answer": 0.2,
            "bank.authorize:declined": 0.2,
            "bank.authorize:challenge": 0.2,
            "bank.authorize:challenge_fails": 0.15,
            "bank.authorize:challenge_back": 0.15,
            "bank.lapse:early": 0.3,
            "dashboard.void:voided": 0.2,
            "webhook:double": 0.6,
            "people.leave": 0.15,
            "people.take": 0.15,
            "organizer.cancel": 0.3,
        },
        0.1,
        1.5,
    ),
    Profile(
        "old readings of cards",
        {
            **_GOES,
            "policy.saves": 1.0,
            "people.prompt": 0.8,
            "merchant.holds": 0.0,
            "provider.observe:slow_answer": 0.35,
            "webhook:double": 0.6,
            "bank.card:removed": 0.2,
        },
        0.1,
    ),
    Profile(
        "days to pay",
        {
            "window.long": 1.0,
            "bank.authorize:challenge_left": 0.3,
            "bank.authorize:declined": 0.4,
            "bank.authorize:abandoned": 0.1,
            "people.ask": 0.2,
            "people.take": 0.2,
            "people.leave": 0.1,
            "bank.lapse:early": 0.2,
            "organizer.rescue": 0.5,
        },
        0.1,
    ),
    Profile(
        "small change",
        {
            "fare.tiny": 1.0,
            "merchant.price_moves": 0.9,
            "merchant.cheaper": 0.7,
            "merchant.holds": 0.0,
            "people.leave": 0.3,
            "people.late": 0.3,
            "people.silent": 0.0,
            "policy.saves": 0.6,
            "bank.authorize:declined": 0.5,
            "bank.authorize:abandoned": 0.15,
            "bank.lapse:early": 0.5,
        },
        0.1,
        3.5,
    ),
    Profile(
        "cheaper than agreed",
        {
            **_GOES,
            **_HASTY,
            "fare.tiny": 0.7,
            "merchant.confirm:pending": 0.9,
            "merchant.decides:dropped": 0.9,
            "bank.lapse:early": 0.4,
        },
        0.1,
    ),
    Profile(
        "changes",
        {
            **_GOES,
            **_MENDED,
            "people.amend": 1.0,
            "people.spare": 1.0,
            "merchant.amend:fee": 0.2,
            "merchant.amend:refused": 0.2,
            "merchant.amend:overcharged": 0.1,
            "merchant.amend:lost_answer": 0.2,
            "provider.capture:lapsed": 0.15,
            "operator.force": 0.3,
        },
        0.1,
    ),
    Profile(
        "changes that nobody answers",
        {
            **_GOES,
            **_MENDED,
            **_HASTY,
            "people.amend": 1.0,
            "people.spare": 1.0,
            "merchant.away:amending": 1.0,
            "away.for_days": 0.6,
            "merchant.cancel:not_cancelable": 0.8,
            "merchant.amend:overcharged": 0.6,
            "operator.force": 0.9,
        },
        0.05,
        1.5,
    ),
    Profile(
        "changes that are paid too early",
        {
            **_GOES,
            **_HASTY,
            "people.amend": 1.0,
            "people.spare": 1.0,
            "merchant.away:amending": 1.0,
            "away.for_days": 0.0,
            "bank.change:lapses": 0.8,
            "bank.authorize:declined": 0.3,
            "organizer.rescue": 0.6,
        },
        0.05,
        4.0,
    ),
    Profile(
        "given back",
        {
            **_GOES,
            **_MENDED,
            "people.amend": 0.7,
            "merchant.amend:fee": 0.8,
            "organizer.regret": 0.6,
            "provider.refund:fails": 0.15,
            "provider.refund:refused": 0.15,
            "provider.refund:fails_late": 0.3,
            "provider.refund:pending_fails": 0.2,
        },
        0.05,
        1.5,
    ),
    Profile(
        "disputes",
        {
            **_GOES,
            **_MENDED,
            "dispute:opened": 0.3,
            "dispute:reopened": 0.3,
            "outside.hasty": 0.6,
            "webhook:lost": 0.3,
            "organizer.regret": 0.6,
        },
        0.05,
    ),
    Profile(
        "the provider is away",
        {
            **_GOES,
            **_MENDED,
            "provider.capture:lapsed": 0.2,
            "provider.away:capturing": 0.4,
            "provider.away:refunding": 0.7,
            "provider.away:voiding": 0.5,
            "provider.away:freezing": 0.1,
            "organizer.regret": 0.7,
        },
        0.05,
    ),
    Profile(
        "tickets come later",
        {
            **_GOES,
            **_MENDED,
            "merchant.confirm:tickets_later": 0.9,
            "merchant.tickets:revoked": 0.35,
            "provider.capture:lapsed": 0.4,
        },
        0.05,
        1.5,
    ),
    Profile(
        "places that earn their time",
        {
            "merchant.holds": 1.0,
            "merchant.earning": 1.0,
            "people.silent": 0.0,
            "people.prompt": 0.3,
            "merchant.place_hold:lost_answer": 0.3,
            "merchant.observe_hold:busy": 0.5,
            "merchant.extend_hold:lost_answer": 0.4,
            "merchant.extend_hold:lost_request": 0.3,
            "merchant.extend_hold:slow_answer": 0.1,
            "merchant.extend_hold:refused": 0.1,
            "organizer.cancel": 0.3,
        },
        0.1,
    ),
    Profile(
        "sold, unheard, and kept",
        {
            **_GOES,
            "merchant.holds": 1.0,
            "merchant.earning": 0.9,
            "merchant.weak": 0.0,
            "merchant.confirm:lost_answer": 0.97,
            "merchant.observe_order:busy": 0.97,
            "merchant.cancel:not_cancelable": 0.97,
        },
        0.1,
        1.0,
    ),
    Profile(
        "pages that open late",
        {
            "provider.open_payment:zombie": 0.4,
            "provider.open_payment:refused": 0.4,
            "provider.observe:busy": 0.1,
        },
        0.1,
        0.8,
    ),
    Profile(
        "kept cards that go",
        {
            **_GOES,
            "policy.saves": 1.0,
            "window.long": 1.0,
            "bank.card:removed": 0.6,
            "webhook:double": 0.3,
        },
        0.1,
        0.5,
    ),
    Profile(
        "given up, and charged after all",
        {
            **_HASTY,
            "people.gone": 1.0,
            "people.silent": 0.0,
            "people.late": 0.2,
            "policy.saves": 1.0,
            "organizer.cancel": 0.8,
            "webhook:lost": 0.95,
            "people.leave": 0.2,
            "provider.close_payment:busy": 0.97,  # the card is still there when the call lands
            "provider.authorize_saved:zombie": 0.9,
            "provider.authorize_saved:refused": 0.08,
            "provider.observe:busy": 0.3,
            "dashboard.capture:captured": 0.7,
            "dashboard.void:voided": 0.2,
            "bank.lapse:early": 0.4,
        },
        0.1,
        1.2,
    ),
    Profile(
        "standing still, with a page in its hands",
        {
            "policy.saves": 1.0,
            "people.prompt": 0.7,
            "worker.stall:before": 0.15,
            "provider.observe:busy": 0.85,  # nobody else finds the page meanwhile
            "merchant.holds": 0.3,
        },
        0.1,
        0.8,
    ),
    Profile("standing still", {"worker.stall:before": 0.05, "worker.crash:before": 0.02, "nudge:lost": 0.3}, 0.3),
)


_WEIGHTS: Final = tuple(accumulate(profile.weight for profile in PROFILES))


def profile_of(seed: int) -> Profile:
    """Which odds a seed plays with."""
    random = Random(f"{seed} profile")
    return PLAIN if random.random() < plain_share else random.choices(PROFILES, cum_weights=_WEIGHTS)[0]
