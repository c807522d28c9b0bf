"""Eight friends and their booking, with everything between them and their money in processes of its own (`rig`).

They act over the web as people do: who sees an error clicks again. What is held for them at the gate is theirs alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from groupbook import bookings, merchants, offers, people, trips
from groupbook.bookings import BookingState, BookingView
from groupbook.kit import outbound
from groupbook.kit.callers import Caller
from groupbook.kit.ids import BookingId, MemberId, MerchantId, TripId, to_wire
from groupbook.merchants.domain import Capabilities
from groupbook.trips import StartTrip
from groupbook.trips.service.plan import NewOption
from tests.support import kestrel as agencies
from tests.support import payments as sandboxes
from tests.support import rig as rigs
from tests.support.gate import Hold
from tests.support.rig import Rig, wait_until

FRIENDS = ("ada", "bo", "cy", "dee", "eli", "fay", "gus", "hal")


@dataclass
class Party:
    """Eight friends and their booking, and the state in which `victim` dies."""

    rig: Rig
    merchant_id: MerchantId
    victim: str
    meets_in: BookingState
    trip_id: TripId
    members: dict[str, MemberId]
    tokens: dict[str, str]
    friends: dict[str, Caller]
    sessions: dict[str, str] = field(default_factory=dict)  # whose hosted page is which at the provider
    insisting: list[threading.Thread] = field(default_factory=list)

    @property
    def story(self) -> str:
        """Its name at the gate."""
        return f"{self.victim}{self.meets_in}"

    # --- looking: with one statement each, for it is done often ---

    def column(self, asked: str, **params: Any) -> list[Any]:
        give_up_at = time.monotonic() + rigs.patience_seconds
        while True:
            try:
                with self.rig.house.database.begin(self.merchant_id) as session:
                    return list(session.scalars(text(asked), {"trip": self.trip_id} | params))
            except OperationalError:  # the database is the victim
                if time.monotonic() > give_up_at:
                    raise
            time.sleep(0.3)

    @property
    def state(self) -> BookingState:
        (state,) = self.column("SELECT state FROM booking WHERE trip_id = :trip")
        return BookingState(state)

    @property
    def booking_id(self) -> BookingId:
        (id,) = self.column("SELECT id FROM booking WHERE trip_id = :trip")
        return BookingId(id)

    @property
    def booking(self) -> BookingView:
        found = bookings.booking_of_trip(self.rig.house.database, self.friends["ada"], self.trip_id)
        assert found is not None
        return found

    def until(self, *states: BookingState) -> None:
        wait_until(
            lambda: self.state in states,
            lambda: f"{self.story} is {self.state}, awaited {states}",
        )

    def are_authorized(self, count: int) -> bool:
        asked = "SELECT count(*) FROM portion WHERE reference = :id AND state = 'authorized'"
        return bool(self.column(asked, id=self.booking_id) >= [count])

    def intent_of(self, name: str) -> str:
        """The provider's payment of this friend."""
        session = provider(self.rig, f"checkout/sessions/{self.sessions[name]}")
        return str(session["payment_intent"])

    # --- acting: like people, who try again when something broke ---

    def ask(self, method: str, path: str, name: str, key: str, body: Any = None) -> Any:
        """What the web answered; somebody who saw an error clicks again, and a new click has a new key."""
        give_up_at = time.monotonic() + rigs.patience_seconds
        said = ""
        for click in count():
            assert time.monotonic() < give_up_at, f"{self.story}: {method} {path}: {said}"
            headers = {
                "Authorization": f"Bearer {self.tokens[name]}",
                "Idempotency-Key": f"{self.story}-{name}-{key}-{click}",
            }
            try:
                answer = rigs.client().request(method, self.rig.web_url + path, json=body, headers=headers)
            except httpx2.HTTPError as error:
                said = repr(error)
            else:
                if answer.status_code < 300:
                    return answer.json() if answer.content else None
                said = f"{answer.status_code} {answer.text}"
                assert answer.status_code in (409, 500, 503), said
            time.sleep(0.3)
        raise AssertionError("unreachable")

    def open(self) -> None:
        self.ask("POST", f"/v1/trips/{to_wire('trip', self.trip_id)}/bookings", "ada", "open")

    def cancel(self) -> None:
        self.ask(
            "POST",
            f"/v1/bookings/{to_wire('bkg', self.booking_id)}/cancel",
            "ada",
            "cancel",
        )

    def pay(self, name: str) -> None:
        """Through the web to the hosted page, type a good card; the provider's message does the rest."""
        asked = "SELECT id FROM portion WHERE reference = :id AND payer = :payer"
        (portion_id,) = self.column(asked, id=self.booking_id, payer=self.members[name])
        path = f"/v1/portions/{to_wire('por', portion_id)}/payments"
        url = str(self.ask("POST", path, name, "pay", {"locale": "en"})["url"])
        self.sessions[name] = url.rpartition("/")[2]
        wait_until(lambda: self._type_card(url), f"{name} of {self.story} types a card")

    def _type_card(self, url: str) -> bool:
        card = {"number": sandboxes.OK, "expiry": "12/39", "cvc": "123"}
        try:
            return rigs.client().post(url, data=card).status_code < 500
        except httpx2.HTTPError:  # the provider is the victim
            return False

    def pay_all(self, *names: str) -> None:
        for name in names:
            self.pay(name)

    def insist(self, do: Callable[[], None]) -> None:
        """Do it in the background, until it is done: the victim may die meanwhile."""
        thread = threading.Thread(target=do, name=f"{self.story} insists", daemon=True)
        thread.start()
        self.insisting.append(thread)

    def book(self) -> None:
        self.open()
        self.until(BookingState.OPEN)
        self.pay_all(*FRIENDS)

    def finish(self) -> None:
        for thread in self.insisting:
            thread.join(rigs.patience_seconds)
            assert not thread.is_alive(), f"{self.story}: somebody is still trying"

    def hold(self, pattern: str, *, back: bool = False) -> Hold:
        return self.rig.gate.hold(self.story, pattern, is_on_the_way_back=back)

    def lapse(self, name: str) -> None:
        """The bank lets this friend's authorization go."""
        given = {"payment_intent": self.intent_of(name)}
        rigs.client().post(f"{self.rig.sandbox_url}/_lapse", json=given).raise_for_status()


def decided(rig: Rig, victims: Sequence[str], states: Sequence[BookingState]) -> dict[str, list[Party]]:
    """By victim, a decided trip of eight for each state; every one of them on a train of its own."""
    merchant_id = open_shop(rig)
    refs = iter(train_refs(rig))
    return {victim: [_party(rig, merchant_id, victim, state, next(refs)) for state in states] for victim in victims}


def open_shop(rig: Rig) -> MerchantId:
    """The one merchant of a rig that is up: it keeps places for an hour, and takes money at the sandbox."""
    wait_until(
        lambda: all(process.is_healthy for process in rig.processes.values()),
        "all processes are up",
    )
    rig.subscribe()
    database, sealer = rig.house.database, rig.house.sealer
    merchant = merchants.create_merchant(
        database,
        slug="kestrel",
        name="Kestrel Rail",
        livemode=False,
        capabilities=Capabilities(holds=True, hold_seconds_max=3600),
    )
    rail = {"base_url": f"{rig.gate.url}/agency/api/v1", "token": agencies.TOKEN}
    money = {
        "secret_key": sandboxes.API_KEY,
        "webhook_secret": rig.webhook_secret,
        "api_base": f"{rig.gate.url}/stripe",
    }
    with database.begin(merchant.id) as session:
        merchants.connect(session, sealer, kind="merchant_adapter", adapter="http", configuration=rail)
        merchants.connect(
            session,
            sealer,
            kind="payment_provider",
            adapter="stripe",
            configuration=money,
        )
    return merchant.id


def train_refs(rig: Rig) -> list[str]:
    """Trains of the agency, soonest first."""
    with outbound.client(rig.agency.url, headers={"Authorization": f"Bearer {agencies.TOKEN}"}) as client:
        found = client.get(
            "/api/v1/offers",
            params={"origin": "Berlin", "destination": "Hamburg", "limit": 100},
        ).json()
    return [offer["ref"] for offer in found["data"]]


def keep_cards(party: Party) -> None:
    """Only this booking asks its payers whether their cards may be charged once more; the policy is its own."""
    house, desk = (
        party.rig.house,
        Caller(kind="merchant", merchant_id=party.merchant_id, subject=party.merchant_id),
    )
    bookings.change_policy(house.database, desk, house.policy, {"keeps_cards": True})
    party.open()
    bookings.change_policy(house.database, desk, house.policy, {})


def _party(rig: Rig, merchant_id: MerchantId, victim: str, state: BookingState, ref: str) -> Party:
    database, sealer = rig.house.database, rig.house.sealer
    story = f"{victim}{state}"
    title = f"story_{story}"
    rig.gate.tell(title, story)
    rig.gate.tell(ref, story)
    offer = offers.import_offer(database, merchant_id, ref, rig.house.adapter_of)
    desk = Caller(kind="merchant", merchant_id=merchant_id, subject=merchant_id)
    asked = StartTrip(title=title, organizer_name=FRIENDS[0], options=[NewOption(offer_id=offer.id)])
    started = trips.start_trip(database, sealer, desk, asked)
    members, tokens = (
        {FRIENDS[0]: started.member.id},
        {FRIENDS[0]: started.guest_token or ""},
    )
    for name in FRIENDS[1:]:
        seat = trips.join_by_invite(database, None, started.invite_token, name=name)
        members[name], tokens[name] = seat.member.id, seat.guest_token or ""
    friends = {name: caller_of(rig, token) for name, token in tokens.items()}
    with database.begin(merchant_id) as session:
        (option,) = trips.options(session, started.trip_id)
    trips.decide(database, friends[FRIENDS[0]], started.trip_id, option.id)
    return Party(rig, merchant_id, victim, state, started.trip_id, members, tokens, friends)


def caller_of(rig: Rig, token: str) -> Caller:
    caller = people.authenticate(rig.house.database, token)
    assert caller is not None
    return caller


def provider(rig: Rig, path: str, **params: str) -> Any:
    headers = {"Authorization": f"Bearer {sandboxes.API_KEY}"}
    answer = rigs.client().get(f"{rig.sandbox_url}/v1/{path}", params=params, headers=headers)
    return answer.raise_for_status().json()
