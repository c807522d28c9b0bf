"""What a history is made of, drawn from its seed: the party, the merchant, the budgets, the people, the faults.

Swarm testing: each history switches on its own few kinds of fault, some rare and some frequent, so that no kind hides
another. A `Profile` moves the odds by name, towards a rare path; `profiles` has those that a share of the seeds plays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from groupbook.bookings.domain import authorization_seconds_min
from groupbook.payments.domain import least_payable

Happens = Callable[[str, float], bool]
DAY: Final = 86_400.0
HOUR: Final = 3_600.0

# Every fault the world knows, with the highest rate a swarm gives it.
FAULTS: Final[Mapping[str, Mapping[str, float]]] = {
    "provider.open_payment": {
        "lost_request": 0.2,
        "lost_answer": 0.2,
        "zombie": 0.15,
        "error_500": 0.15,
        "error_500_after": 0.15,
        "busy": 0.2,
        "slow": 0.2,
        "refused": 0.08,
    },
    "provider.close_payment": {
        "lost_request": 0.2,
        "lost_answer": 0.2,
        "zombie": 0.15,
        "error_500": 0.15,
        "error_500_after": 0.15,
        "busy": 0.2,
        "slow": 0.1,
    },
    "provider.capture": {
        "lost_request": 0.2,
        "lost_answer": 0.2,
        "zombie": 0.15,
        "error_500": 0.15,
        "error_500_after": 0.15,
        "busy": 0.3,
        "slow": 0.1,
        "lapsed": 0.25,
    },
    "provider.void": {
        "lost_request": 0.2,
        "lost_answer": 0.2,
        "zombie": 0.15,
        "error_500": 0.15,
        "error_500_after": 0.15,
        "busy": 0.2,
        "slow": 0.1,
    },
    "provider.refund": {
        "lost_request": 0.25,
        "lost_answer": 0.25,
        "zombie": 0.2,
        "error_500": 0.2,
        "error_500_after": 0.2,
        "busy": 0.2,
        "slow": 0.1,
        "pending": 0.4,
        "pending_fails": 0.25,
        "fails_late": 0.25,
    },
    "provider.authorize_saved": {
        "lost_request": 0.25,
        "lost_answer": 0.25,
        "zombie": 0.2,
        "error_500": 0.15,
        "error_500_after": 0.15,
        "busy": 0.2,
        "slow": 0.1,
        "declined": 0.3,
        "authentication_required": 0.2,
    },
    "provider.observe": {"busy": 0.2, "slow": 0.1},
    "provider.observe_refund": {"busy": 0.2},
    "provider.down": {"outage": 1.0},
    "merchant.place_hold": {
        "lost_request": 0.2,
        "lost_answer": 0.25,
        "zombie": 0.2,
        "busy": 0.2,
        "slow": 0.1,
        "sold_out": 0.1,
    },
    "merchant.extend_hold": {
        "lost_request": 0.2,
        "lost_answer": 0.25,
        "zombie": 0.2,
        "busy": 0.2,
        "slow": 0.1,
        "refused": 0.3,
        "hold_expired": 0.1,
    },
    "merchant.release_hold": {"lost_request": 0.2, "lost_answer": 0.25, "zombie": 0.2, "busy": 0.2, "slow": 0.1},
    "merchant.confirm": {
        "lost_request": 0.25,
        "lost_answer": 0.25,
        "zombie": 0.2,
        "busy": 0.2,
        "slow": 0.1,
        "sold_out": 0.1,
        "price_changed": 0.1,
        "hold_expired": 0.1,
        "invalid_traveler": 0.05,
        "pending": 0.3,
        "price_dropped": 0.3,
        "overcharged": 0.1,
    },
    "merchant.cancel": {
        "lost_request": 0.25,
        "lost_answer": 0.25,
        "zombie": 0.2,
        "busy": 0.2,
        "slow": 0.1,
        "not_cancelable": 0.2,
    },
    "merchant.amend": {
        "lost_request": 0.25,
        "lost_answer": 0.25,
        "zombie": 0.2,
        "busy": 0.2,
        "slow": 0.1,
        "refused": 0.2,
        "price_changed": 0.2,
        "overcharged": 0.1,
    },
    "merchant.observe_hold": {"busy": 0.2},
    "merchant.observe_order": {"busy": 0.2},
    "merchant.read_offer": {"busy": 0.2},
    "merchant.down": {"outage": 1.0},
    "database.commit": {"fails": 0.02},
    "worker.crash": {"before": 0.03, "after": 0.03},
    "web.crash": {"before": 0.02, "after": 0.02},
    "nudge": {"lost": 0.5, "double": 0.3, "late": 0.3},
    "webhook": {"lost": 0.8, "double": 0.4, "late": 0.5, "old": 0.2},
    "bank.authorize": {"declined": 0.3, "challenge": 0.3, "abandoned": 0.15, "review": 0.15},
    "bank.lapse": {"early": 0.15},
    "dashboard.capture": {"captured": 0.08},
    "dashboard.void": {"voided": 0.08},
    "bank.card": {"removed": 0.15},
    "dispute": {"opened": 0.1},
}
# Later kinds, drawn by dice of their own: the older ones of a seed stay what they were.
MORE_FAULTS: Final[Mapping[str, Mapping[str, float]]] = {
    "provider.open_payment": {"slow_answer": 0.15, "slow_refused": 0.05},
    "provider.close_payment": {"slow_answer": 0.15},
    "provider.void": {"slow_answer": 0.15},
    "provider.observe": {"slow_answer": 0.15},
    "provider.observe_refund": {"slow_answer": 0.15},
    "merchant.place_hold": {"slow_answer": 0.15},
    "merchant.extend_hold": {"slow_answer": 0.15},
    "merchant.release_hold": {"slow_answer": 0.15},
    "merchant.cancel": {"slow_answer": 0.15},
    "merchant.observe_hold": {"slow_answer": 0.15},
    "merchant.observe_order": {"slow_answer": 0.15},
    "merchant.read_offer": {"slow_answer": 0.15},
    "provider.capture": {"slow_answer": 0.15, "refused": 0.05, "taken_by_hand": 0.05},
    "provider.authorize_saved": {"slow_answer": 0.15, "refused": 0.05, "slow_refused": 0.05},
    "provider.refund": {"slow_answer": 0.15, "refused": 0.1, "fails": 0.1},
    "merchant.confirm": {"slow_answer": 0.15, "tickets_later": 0.2},
    "merchant.amend": {"slow_answer": 0.15, "fee": 0.3},
    "merchant.decides": {"overcharged": 0.1, "dropped": 0.1},
    "merchant.tickets": {"revoked": 0.0},  # only where a profile wants it
    "bank.change": {"lapses": 0.15},
    "bank.saved": {"declined": 0.1, "authentication_required": 0.1},
    "bank.authorize": {"challenge_fails": 0.1, "challenge_left": 0.1, "challenge_back": 0.1},
    "dispute": {"reopened": 0.3},
    "worker.stall": {"before": 0.02, "after": 0.02},
    "bank.promise": {"short": 0.0},  # only where a profile wants it
    "bank.again_for_change": {"declined": 0.1, "abandoned": 0.1},  # asked once more for a change of a booked party
    "merchant.standing": {"canceled": 0.0},  # only where a profile wants it
}


@dataclass(frozen=True)
class Profile:
    """A named shift of the odds.

    Args:
        rates: `site:what` of a fault, or the name of a chance of `draw` (`people.leave`), to its probability.
        others: the factor on every fault that `rates` does not name.
        weight: how many of the seeds that play with a profile play this one.
    """

    name: str
    rates: Mapping[str, float] = field(default_factory=dict)
    others: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True)
class PersonPlan:
    """What one traveler has in mind. Times are seconds after the portions are asked for; None: never."""

    pays_after: float | None
    returns: bool = True  # comes back from the page to ours
    is_double: bool = False  # clicks twice
    asks: int | None = None  # asks this friend to pay
    takes: int | None = None  # takes over this friend's portion
    leaves_after: float | None = None
    retries: int = 2


@dataclass(frozen=True)
class AmendmentPlan:
    """A change of one place after the booking stands."""

    after: float
    kind: str
    member: int


@dataclass(frozen=True)
class Away:
    """Provider or merchant is out of reach, from `after` seconds after the booking first came into `state`."""

    side: str
    state: str
    after: float
    length: float


@dataclass(frozen=True)
class Plan:
    """Everything about a history that does not follow from what happens in it."""

    seed: int
    size: int
    currency: str
    fare: int
    concessions: tuple[int, ...]
    capabilities: Mapping[str, object]
    policy: Mapping[str, object]
    people: tuple[PersonPlan, ...]
    rates: Mapping[str, Mapping[str, float]]
    outages: tuple[tuple[str, float, float], ...]
    workers: int
    sweep_seconds: float
    restart_seconds: float
    faults_end: float
    horizon: float
    cancels_after: float | None = None  # the organizer, before anything is booked
    regrets_after: float | None = None  # the organizer, once it is booked
    resumes: int = 0  # how often an operator puts a parked booking back
    refunds_elsewhere: bool = False  # the operator pays a failed refund another way, instead of trying again
    reopens: bool = False  # the organizer tries once more when it came to nothing
    amendments: tuple[AmendmentPlan, ...] = ()
    price_moves: tuple[tuple[float, int], ...] = ()  # when, and by how many percent, the merchant's fares move
    spares: int = 0  # friends in the trip who are not going
    away: tuple[Away, ...] = ()
    gives_up_after: float | None = None  # the organizer, while a shortfall is being mended
    is_forced: bool = False  # the operator ends a parked booking instead of putting it back
    sells_out_at: float | None = None  # the merchant has nothing left of the offer
    is_hasty: bool = False  # banks and dashboards act within seconds, not within the day
    is_stopped: bool = False  # the operator ends a booking while the merchant is asked
    is_deaf: bool = False  # nobody answers to being asked again
    is_rescued: bool = False  # the organizer takes over whatever a member's bank refuses or lets lapse
    is_forgetful: bool = False  # and does not pay it
    profile: str = ""

    def describe(self) -> str:
        """In words, for the story."""
        holds = "keeps places" if self.capabilities.get("holds") else "keeps no places"
        pays = ", ".join(
            "silent" if one.pays_after is None else f"pays after {one.pays_after:.0f} s" for one in self.people
        )
        faults = ", ".join(
            f"{site}:{what} {rate:.2f}" for site, odds in self.rates.items() for what, rate in odds.items()
        )
        return (
            f"seed {self.seed}, profile {self.profile!r}: "
            f"{self.size} people at {self.fare} {self.currency}, the merchant {holds}; "
            f"policy {dict(self.policy)}; {self.workers} workers, a sweep every {self.sweep_seconds:.0f} s\n"
            f"people: {pays}\nfaults: {faults or 'none'}; outages: {self.outages or 'none'}"
        )


def draw(seed: int, profile: Profile | None = None) -> Plan:
    """The plan of a seed. The same seed and profile give the same plan on every machine."""
    random = Random(seed)
    odds = profile.rates if profile else {}

    def happens(name: str, chance: float) -> bool:
        return random.random() < odds.get(name, chance)

    def too(name: str, chance: float) -> bool:
        """As `happens`, by dice of its own: a chance that is new leaves the others where they fell."""
        return _own(seed, name) < odds.get(name, chance)

    size = random.choices(range(2, 13), weights=(26, 22, 16, 11, 8, 6, 4, 3, 2, 1, 1))[0]
    currency = random.choices(("EUR", "JPY", "TND"), weights=(8, 1, 1))[0]
    window = random.choices((1800.0, 6 * HOUR, 3 * DAY), weights=(7, 2, 1))[0] * random.uniform(0.5, 1.5)
    if too("window.long", 0.0):
        window = 2.5 * DAY
    spares = 1 if happens("people.spare", 0.3) else 0
    rates = _swarm(random, profile)
    _add_more(rates, seed, profile)
    own = Random(f"{seed} plan")
    plan = Plan(
        seed=seed,
        size=size,
        currency=currency,
        fare=random.randrange(900, 20_000, 10),
        concessions=tuple(random.choices((0, 25, 50, 100), weights=(12, 2, 2, 1))[0] for _ in range(size)),
        spares=spares,
        capabilities=_capabilities(random, happens, window),
        policy=_policy(random, happens, window, size),
        people=tuple(_person(random, happens, index, size, window) for index in range(size + spares)),
        rates=rates,
        outages=_outages(random, rates, window),
        workers=random.randint(1, 3),
        sweep_seconds=window / random.uniform(3, 8),
        restart_seconds=random.uniform(2.0, 120.0),
        faults_end=14 * DAY,
        horizon=60 * DAY,
        cancels_after=random.uniform(0, window) if happens("organizer.cancel", 0.05) else None,
        regrets_after=random.uniform(60, DAY) if happens("organizer.regret", 0.1) else None,
        resumes=random.randint(1, 2) if happens("operator.resume", 0.6) else 0,
        refunds_elsewhere=happens("operator.elsewhere", 0.4),
        reopens=happens("organizer.reopen", 0.15),
        amendments=_amendments(random, happens, size),
        price_moves=_price_moves(random, happens, window),
        away=_away(own, rates, odds),
        gives_up_after=own.uniform(60, 2 * HOUR) if too("organizer.give_up", 0.05) else None,
        is_forced=too("operator.force", 0.1),
        sells_out_at=own.uniform(0, 1.1) * window if too("merchant.sells_out", 0.01) else None,
        is_hasty=too("outside.hasty", 0.1),
        is_stopped=too("operator.stop", 0.02),
        is_deaf=too("people.deaf", 0.03),
        is_rescued=too("organizer.rescue", 0.05),
        is_forgetful=too("organizer.forgets", 0.4),
        profile=profile.name if profile else "",
    )
    if too("organizer.hasty", 0.0):
        plan = replace(plan, cancels_after=own.uniform(0.1, 30))
    if too("organizer.impatient", 0.0):
        plan = replace(plan, cancels_after=own.uniform(10, 100))
    least = least_payable(currency).minor
    if too("fare.tiny", 0.0):
        plan = replace(plan, fare=int(least * own.uniform(0.75, 1.6)) // 10 * 10)
    if too("merchant.cheaper", 0.0):
        # From a little more than a card may be asked for to a little less: the organizer pays for the others.
        plan = replace(plan, fare=least * 13 // 100 * 10, price_moves=((own.uniform(0, 0.3) * window, -30),))
    if too("people.prompt", 0.0):
        plan = replace(plan, people=tuple(replace(one, pays_after=own.uniform(0, 20)) for one in plan.people))
    return plan


def _swarm(random: Random, profile: Profile | None) -> dict[str, dict[str, float]]:
    """Each history has its own few troubles; one in twenty has none at all."""
    odds, others = (profile.rates, profile.others) if profile else ({}, 1.0)
    share = 0.0 if random.random() < 0.05 else random.choice((0.05, 0.15, 0.3, 0.5))
    rates: dict[str, dict[str, float]] = {}
    for site, kinds in FAULTS.items():
        chosen = {}
        for what, highest in kinds.items():
            is_on, strength = random.random() < share, random.random()
            rate = odds.get(f"{site}:{what}", (highest * strength**2 if is_on else 0.0) * others)
            if rate > 0.003:
                chosen[what] = rate
        if chosen:
            rates[site] = chosen
    return rates


def _own(seed: int, name: str) -> float:
    return Random(f"{seed} {name}").random()


def _add_more(rates: dict[str, dict[str, float]], seed: int, profile: Profile | None) -> None:
    odds, others = (profile.rates, profile.others) if profile else ({}, 1.0)
    random = Random(f"{seed} faults")
    share = random.choice((0.05, 0.15, 0.3, 0.5)) if rates else 0.0
    for site, kinds in MORE_FAULTS.items():
        for what, highest in kinds.items():
            is_on, strength = random.random() < share, random.random()
            rate = odds.get(f"{site}:{what}", (highest * strength**2 if is_on else 0.0) * others)
            if rate > 0.003:
                rates.setdefault(site, {})[what] = rate


def _person(random: Random, chance: Happens, index: int, size: int, window: float) -> PersonPlan:
    friend = random.randrange(size)
    when = random.random() ** 2 * window * 0.9
    if chance("people.late", 0.04):
        when = window * random.uniform(0.9, 1.2)
    return PersonPlan(
        pays_after=None if chance("people.silent", 0.04) else when,
        returns=not chance("people.gone", 0.3),
        is_double=chance("people.double", 0.1),
        asks=friend if friend != index and chance("people.ask", 0.08) else None,
        takes=friend if friend != index and chance("people.take", 0.05) else None,
        leaves_after=random.uniform(0, window) if chance("people.leave", 0.03) else None,
        retries=random.randint(0, 4),
    )


def _capabilities(random: Random, happens: Happens, window: float) -> dict[str, object]:
    """What this merchant's engine does: no places kept, all of them at once, or time that is earned."""
    longest = max(60, int(window * random.choice((0.7, 1.5, 4.0))))
    is_earning = happens("merchant.earning", 0.35)
    return {
        "holds": happens("merchant.holds", 0.75),
        "hold_seconds_max": longest,
        "hold_seconds_first": max(30, int(longest * random.uniform(0.1, 0.6))) if is_earning else None,
        "hold_seconds_per_portion": max(10, int(longest * random.uniform(0.1, 0.4))) if is_earning else 0,
        "tombstones": not happens("merchant.weak", 0.1),
    }


def _policy(random: Random, happens: Happens, window: float, size: int) -> dict[str, object]:
    quorum = random.randint(1, size) if happens("policy.quorum", 0.25) else None
    is_ahead = happens("policy.saves", 0.2)
    confirm, settle = random.choice((900.0, 2 * HOUR)), random.choice((6 * HOUR, DAY))
    recovery, amendment = random.choice((2 * HOUR, DAY)), random.choice((2 * HOUR, DAY))
    ahead = min(80 * HOUR, window * random.uniform(0.2, 0.7) if is_ahead else 80 * HOUR)
    # What bookings.check_settings allows: what is authorized first must outlast the wait, confirm and capture.
    extension_max = authorization_seconds_min - min(window, ahead) - confirm - settle - HOUR
    return {
        "collection_window_seconds": window,
        "confirm_budget_seconds": confirm,
        "settle_budget_seconds": settle,
        "recovery_budget_seconds": recovery,
        "amendment_window_seconds": amendment,
        "authorize_ahead_seconds": ahead,
        "extension_seconds": min(
            extension_max, window * random.uniform(0.1, 0.6) if happens("policy.extension", 0.15) else 0.0
        ),
        "payer_quorum": quorum,
        "shortfall": "receivable" if happens("policy.receivable", 0.3) else "unwind",
        "keeps_cards": happens("policy.keeps_cards", 0.3),
    }


def _amendments(random: Random, happens: Happens, size: int) -> tuple[AmendmentPlan, ...]:
    plans: list[AmendmentPlan] = []
    while len(plans) < 3 and happens("people.amend", 0.25):
        kind = random.choices(("cancel", "replace", "surcharge"), weights=(3, 2, 2))[0]
        plans.append(AmendmentPlan(random.uniform(30, 2 * DAY), kind, random.randrange(size)))
    return tuple(plans)


def _price_moves(random: Random, happens: Happens, window: float) -> tuple[tuple[float, int], ...]:
    moves: list[tuple[float, int]] = []
    while len(moves) < 2 and happens("merchant.price_moves", 0.12):
        moves.append((random.uniform(0, 1.1) * window, random.choice((-30, -10, 10, 30))))
    return tuple(moves)


def _away(random: Random, rates: dict[str, dict[str, float]], odds: Mapping[str, float]) -> tuple[Away, ...]:
    """Out of reach just when it is needed: of each side and state, as often as its odds say."""
    found = []
    for side, states in _NEEDED.items():
        for state in states:
            chance = odds.get(f"{side}.away:{state}", 0.002 if rates else 0.0)
            length = random.choices((2 * HOUR, 8 * HOUR, 30 * HOUR), weights=(2, 3, 1))[0]
            after = random.choice((0.0, random.uniform(0, 5), random.uniform(0, HOUR)))
            if random.random() < odds.get("away.for_days", 0.05):
                length = 70 * HOUR  # longer than any window and budget
            if random.random() < chance:
                found.append(Away(side, state, after, length))
    return tuple(found)


_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "provider": ("open", "freezing", "capturing", "recovering", "voiding", "refunding", "amending"),
    "merchant": ("placing", "freezing", "confirming", "tombstoning", "unwinding", "amending", "voiding"),
}


def _outages(random: Random, rates: dict[str, dict[str, float]], window: float) -> tuple[tuple[str, float, float], ...]:
    outages = []
    for side in ("provider", "merchant"):
        start, length = random.uniform(0, 1.5) * window, random.choices((600.0, 2 * HOUR, 30 * HOUR), (12, 5, 1))[0]
        if rates.pop(f"{side}.down", None):
            outages.append((side, start, length))
    return tuple(outages)
