"""Logging in at a network's page, and being opened inside a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import HandoffId, MerchantId, new_id
from groupbook.people import domain, repository
from groupbook.people.domain import (
    LIFETIMES,
    LaunchReason,
    LaunchRejected,
    Lifetimes,
    LoggedIn,
    LoginExpired,
    LoginMismatch,
    LoginRequest,
    LoginStart,
    NetworkNotFound,
)
from groupbook.people.models import LoginStateRow
from groupbook.people.ports import SocialNetwork
from groupbook.people.service.guests import Adopt, adopt_guest, adopt_presented
from groupbook.people.service.persons import person_for
from groupbook.people.service.sessions import mint_session


def begin_login(
    database: Database,
    network: SocialNetwork,
    *,
    merchant_id: MerchantId,
    redirect_uri: str,
    return_to: str | None = None,
    handoff_id: HandoffId | None = None,
    browser_secret: str | None = None,
    timeout_seconds: float = 10,
) -> LoginStart:
    """Prepare one login: what must come back is kept here, what the browser must show again is its cookie.

    `browser_secret` is the cookie of an earlier login that this browser has not finished; both can then finish.

    Raises:
        NetworkNotFound: this network has no login page.
        Unavailable: the network does not answer.
    """
    if network.login is None:
        raise NetworkNotFound()
    browser_secret = browser_secret or domain.mint_token()
    request = LoginRequest(
        redirect_uri=redirect_uri, state=domain.mint_token(), nonce=domain.mint_token(), verifier=domain.mint_token()
    )
    url = network.login.begin(request, timeout_seconds=timeout_seconds)
    with database.begin(merchant_id) as session:
        now = clock.system_now(session)
        expires_at = now + timedelta(seconds=domain.login_seconds)
        session.add(
            LoginStateRow(
                merchant_id=merchant_id,
                id=new_id(),
                state_hash=domain.digest(request.state),
                browser_hash=domain.digest(browser_secret),
                network=network.name,
                nonce=request.nonce,
                verifier=request.verifier,
                redirect_uri=redirect_uri,
                return_to=domain.safe_return(return_to),
                handoff_id=handoff_id,
                created_at=now,
                expires_at=expires_at,
            )
        )
    return LoginStart(url, browser_secret, expires_at)


def finish_login(
    database: Database,
    network: SocialNetwork,
    params: Mapping[str, str],
    *,
    browser_secret: str | None,
    current: Caller | None = None,
    guest_tokens: Sequence[str] = (),
    adopt: Adopt = adopt_guest,
    lifetimes: Lifetimes = LIFETIMES,
    timeout_seconds: float = 10,
) -> LoggedIn:
    """Read the network's answer, once, in the browser that asked; open a fresh cookie session.

    A session the browser already had (`current`) ends, so that a planted one is worth nothing. Seats held by
    `guest_tokens` become the person's through `adopt`, in the same transaction.

    Raises:
        LoginExpired: the state is unknown, used or older than 10 minutes.
        LoginMismatch: another browser or another network than the one that asked.
        LoginRefused: the network or the person said no, or the answer proves nothing.
        Unavailable: the network does not answer.
    """
    if network.login is None:
        raise NetworkNotFound()
    state = params.get("state", "")
    state_hash = domain.digest(state)
    with database.begin_unbound() as session:
        merchant_id = repository.login_state_merchant(session, state_hash)
    if merchant_id is None:
        raise LoginExpired()
    with database.begin(merchant_id) as session:
        row = repository.take_login_state(session, state_hash)
        now = clock.system_now(session)
    if row is None or row.expires_at <= now:
        raise LoginExpired()
    if row.network != network.name or browser_secret is None or not domain.is_same(browser_secret, row.browser_hash):
        raise LoginMismatch()
    request = LoginRequest(redirect_uri=row.redirect_uri, state=state, nonce=row.nonce, verifier=row.verifier)
    identity = network.login.finish(params, request, now=now, timeout_seconds=timeout_seconds)
    with database.begin(merchant_id) as session:
        now = clock.system_now(session)
        person, is_new = person_for(session, identity, now=now)
        if current is not None and current.kind == "person" and current.session_id is not None:
            # Of another merchant: row-level security shows nothing to revoke, and nothing should be.
            repository.revoke_session(session, current.session_id, now)
        adopt_presented(session, guest_tokens, person.id, adopt=adopt, now=now)
        minted = mint_session(session, "cookie", now=now, person_id=person.id, lifetimes=lifetimes)
    return LoggedIn(
        merchant_id=merchant_id,
        person=person,
        session=minted,
        is_new=is_new,
        return_to=row.return_to,
        handoff_id=None if row.handoff_id is None else HandoffId(row.handoff_id),
    )


def launch(
    database: Database,
    network: SocialNetwork,
    payload: str,
    *,
    merchant_id: MerchantId,
    merchant_slug: str,
    guest_tokens: Sequence[str] = (),
    adopt: Adopt = adopt_guest,
    lifetimes: Lifetimes = LIFETIMES,
) -> LoggedIn:
    """Open a bearer session from a signed launch payload, at most once per payload.

    Raises:
        NetworkNotFound: this network does not open us inside itself.
        LaunchRejected: with its reason; `wrong_audience` when it was signed for another merchant.
    """
    if network.launch is None:
        raise NetworkNotFound()
    if len(payload) > domain.payload_characters_max:
        raise LaunchRejected(LaunchReason.MALFORMED)
    with database.begin(merchant_id) as session:
        now = clock.system_now(session)
    verified = network.launch.verify(payload, now=now)
    domain.check_fresh(verified.signed_at, now)
    if verified.merchant_slug != merchant_slug:
        raise LaunchRejected(LaunchReason.WRONG_AUDIENCE)
    # A payload lives from 60 s before its date to 300 s after it; the row outlives both ends.
    keep = timedelta(seconds=domain.launch_seconds_max + domain.launch_skew_seconds + 60)
    with database.begin(merchant_id) as session:
        now = clock.system_now(session)
        signature_hash = domain.digest_bytes(verified.signature)
        if not repository.use_launch(
            session, network.name, signature_hash, used_at=now, expires_at=verified.signed_at + keep
        ):
            raise LaunchRejected(LaunchReason.REPLAYED)
        person, is_new = person_for(session, verified.identity, now=now)
        adopt_presented(session, guest_tokens, person.id, adopt=adopt, now=now)
        minted = mint_session(
            session, "bearer", now=now, person_id=person.id, embed_origin=network.origin, lifetimes=lifetimes
        )
    return LoggedIn(merchant_id=merchant_id, person=person, session=minted, is_new=is_new, start=verified.start)
