"""Connecting an account: begun by a merchant, carried out call by call, and only then in use."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import merchants
from groupbook.kit import facts, intents
from groupbook.kit.clock import system_now
from groupbook.kit.database import merchant_of
from groupbook.kit.ids import MerchantId, SetupId, new_id
from groupbook.kit.sealing import Sealer
from groupbook.merchants.domain import ConnectionNotFound
from groupbook.payments import connecting, setup_repository
from groupbook.payments.connecting import (
    ACCOUNT,
    EXCHANGE,
    ConnectedAccount,
    LinkProblem,
    PaymentsUnderWay,
    SetupNotAgain,
    SetupState,
    SetupView,
    StepDone,
    key_hint,
    next_step,
)
from groupbook.payments.models import SetupRow
from groupbook.payments.moving import LET_GO, SET_UP
from groupbook.payments.ports import Onboarding, Platform


def begin_setup(
    session: Session,
    sealer: Sealer,
    onboarding: Onboarding,
    *,
    adapter: str,
    configuration: Mapping[str, Any],
    endpoint_url: str,
) -> SetupId:
    """Start connecting with this configuration; the account in use stays in use until the new one works. A step.

    Where payers stay on our page now, they do with the new key, too, and it is looked at whether it may.

    Raises:
        KeyRejected: it can be seen without asking anybody that this is no key for us.
    """
    merchant, before = merchants.read_merchant(session), connection_in_use(session, sealer)
    if before is not None and before.configuration.get("secret_key"):
        configuration = {**configuration, **connecting.page_choice(before.configuration)}
    onboarding.look(configuration, livemode=merchant.livemode).close()
    has_own_page = connecting.has_own_page(configuration)
    permissions = onboarding.permissions + (onboarding.page_permissions if has_own_page else ())
    steps = connecting.plan([permission.code for permission in permissions], has_own_page=has_own_page)
    hint = key_hint(str(configuration["secret_key"]))
    return _begin(session, sealer, adapter, configuration, endpoint_url, steps, hint)


def begin_link(session: Session, platform: Platform, *, staff_session_id: UUID, redirect_uri: str) -> str:
    """Where to send somebody of the merchant, to let our platform act for their account at the provider. A step.

    They are known again by `state` (RFC 6749, section 10.12): it counts once, for an hour, in this session.
    """
    at, state = system_now(session), token_urlsafe(32)
    setup_repository.delete_links_before(session, at)
    setup_repository.insert_link(
        session,
        state_sha256=_digest(state),
        staff_session_id=staff_session_id,
        expires_at=at + timedelta(seconds=connecting.link_seconds),
    )
    return platform.authorize_url(state=state, redirect_uri=redirect_uri)


def finish_link(
    session: Session,
    sealer: Sealer,
    platform: Platform,
    *,
    adapter: str,
    state: str,
    code: str,
    error: str,
    staff_session_id: UUID,
) -> SetupId | LinkProblem:
    """Start connecting with what somebody came back with; their `state` is used up, whatever comes of it. A step."""
    taken = setup_repository.take_link(session, _digest(state))
    if taken is None or taken[1] <= system_now(session):
        return LinkProblem.OVER
    if taken[0] != staff_session_id:
        return LinkProblem.FOREIGN
    if error or not code:
        return LinkProblem.DENIED if error == "access_denied" else LinkProblem.BROKEN
    configuration = {"code": code, "fee_basis_points": platform.fee_basis_points}
    return _begin(session, sealer, adapter, configuration, "", connecting.plan_of_link(), "")


def begin_new_secret(session: Session, sealer: Sealer, *, endpoint_url: str) -> SetupId:
    """Start giving the messages of the connected account a new secret; the old one counts for another day. A step.

    Raises:
        ConnectionNotFound: nothing is connected.
    """
    connected = merchants.read_connection(session, sealer, "payment_provider")
    steps, hint = connecting.plan_of_new_secret(), key_hint(str(connected.configuration.get("secret_key", "")))
    return _begin(session, sealer, connected.adapter, connected.configuration, endpoint_url, steps, hint)


def begin_page(
    session: Session, sealer: Sealer, onboarding: Onboarding, *, is_own: bool, publishable_key: str
) -> SetupId:
    """Start moving the payment page of the connected account to our pages, or back to the provider's. A step.

    What payers have open stays open where it is. Every choice is a setup of its own, with its time and its outcome.

    Args:
        publishable_key: the account's key for browsers; of a platform's account the platform's is used.
    Raises:
        ConnectionNotFound: nothing is connected.
        KeyRejected: it can be seen without asking anybody that this is no key for browsers.
        OwnPageNotOffered: the platform has none.
    """
    connected = merchants.read_connection(session, sealer, "payment_provider")
    configuration = {**connected.configuration, "page": connecting.OWN_PAGE if is_own else connecting.HOSTED_PAGE}
    steps = connecting.plan_of_page(())
    if is_own and configuration.get("secret_key"):
        onboarding.check_publishable(publishable_key, merchants.read_merchant(session).livemode)
        configuration["publishable_key"] = publishable_key
        steps = connecting.plan_of_page([permission.code for permission in onboarding.page_permissions])
    elif is_own and (onboarding.platform is None or not onboarding.platform.publishable_key):
        raise connecting.OwnPageNotOffered()
    hint = key_hint(str(configuration.get("secret_key", "")))
    return _begin(session, sealer, connected.adapter, configuration, "", steps, hint)


def _begin(
    session: Session,
    sealer: Sealer,
    adapter: str,
    configuration: Mapping[str, Any],
    endpoint_url: str,
    steps: tuple[str, ...],
    hint: str,
) -> SetupId:
    at = system_now(session)
    _supersede(session, at)
    row = setup_repository.insert_setup(
        session,
        adapter=adapter,
        state=SetupState.RUNNING.value,
        key_hint=hint,
        endpoint_url=endpoint_url,
        sealed_configuration=None,
        plan=list(steps),
        done=[],
        started_at=at,
        changed_at=at,
    )
    row.sealed_configuration = sealer.seal_document(_place(merchant_of(session), row.id), configuration)
    session.flush()
    _owe(session, row, steps[0])
    return SetupId(row.id)


def _supersede(session: Session, at: datetime) -> None:
    for old in setup_repository.lock_setups_with_keys(session):
        old.state, old.sealed_configuration, old.changed_at = SetupState.SUPERSEDED.value, None, at


def connect_account(session: Session, sealer: Sealer, *, adapter: str, configuration: Mapping[str, Any]) -> None:
    """Put an account in use that the operator vouches for, without asking the provider. A step.

    What is known of the same account and not said anew stays: its messages, its name.

    Raises:
        PaymentsUnderWay: it is, or may be, another one than payments are under way on. Nothing was changed.
    """
    before = connection_in_use(session, sealer)
    is_same = before is not None and before.adapter == adapter
    if before is not None and is_same and connecting.is_same_account(before.configuration, configuration):
        configuration = connecting.with_known(configuration, before.configuration)
    _put_in_use(session, sealer, adapter, configuration)
    _supersede(session, system_now(session))


def try_setup_again(session: Session, setup_id: SetupId) -> None:
    """Look again with the key that is kept, after the merchant changed something at the provider. A step.

    Raises:
        SetupNotFound: no such setup at this merchant.
        SetupNotAgain: it is not one that failed, or its key is gone.
    """
    row = setup_repository.lock_setup(session, setup_id)
    if row.state != SetupState.FAILED or row.sealed_configuration is None:
        raise SetupNotAgain()
    # A code is worth one exchange: what it brought is kept.
    kept = [one for one in row.done if one["step"] == EXCHANGE]
    row.state, row.done, row.changed_at = SetupState.RUNNING.value, kept, system_now(session)
    _owe(session, row, row.plan[len(kept)])


def last_setup(session: Session) -> SetupView | None:
    """The latest try to connect an account. A step."""
    row = setup_repository.last_setup(session)
    if row is None:
        return None
    return SetupView(
        id=SetupId(row.id),
        state=SetupState(row.state),
        adapter=row.adapter,
        key_hint=row.key_hint,
        plan=tuple(row.plan),
        done=done_of(row),
        started_at=row.started_at,
        changed_at=row.changed_at,
        is_waiting=row.state == SetupState.RUNNING and setup_repository.is_asked_again(session, row.id),
        can_be_tried_again=row.state == SetupState.FAILED and row.sealed_configuration is not None,
    )


def connected_account(session: Session, sealer: Sealer) -> ConnectedAccount | None:
    """The account in use, without its secrets. A step."""
    connection = connection_in_use(session, sealer)
    if connection is None:
        return None
    kept = connection.configuration
    until = _instant(kept.get("webhook_secret_previous_until"))
    return ConnectedAccount(
        adapter=connection.adapter,
        key_hint=key_hint(str(kept.get("secret_key", ""))),
        account_ref=connecting.account_of(kept),
        account_name=kept.get("account_name"),
        is_platform=bool(kept.get("account")),
        has_messages=bool(kept.get("webhook_secret")),
        connected_at=_instant(kept.get("connected_at")),
        previous_secret_until=until if until is not None and until > system_now(session) else None,
        fee_basis_points=int(kept.get("fee_basis_points") or 0),
        withdrawn_at=_instant(kept.get("withdrawn_at")),
        has_own_page=connecting.has_own_page(kept),
        publishable_key=str(kept.get("publishable_key", "")),
    )


# --- what the handler writes ------------------------------------------------------------------------------------------


def done_of(row: SetupRow) -> tuple[StepDone, ...]:
    return tuple(StepDone(one["step"], one["outcome"], one.get("said", {})) for one in row.done)


def connection_in_use(session: Session, sealer: Sealer) -> merchants.Connection | None:
    try:
        return merchants.read_connection(session, sealer, "payment_provider")
    except ConnectionNotFound:
        return None


def name_account_in_use(session: Session, sealer: Sealer, known: merchants.Connection, ref: str) -> None:
    """Write down which account is in use, as its provider showed; nothing where another was put in use since."""
    if connection_in_use(session, sealer) == known and connecting.account_of(known.configuration) is None:
        named = {**known.configuration, "account_ref": ref}
        merchants.connect(session, sealer, kind="payment_provider", adapter=known.adapter, configuration=named)


def open_configuration(sealer: Sealer, row: SetupRow) -> dict[str, Any]:
    """The sealed configuration of a setup.

    Raises:
        SetupNotAgain: nothing is kept of it any more.
    """
    if row.sealed_configuration is None:
        raise SetupNotAgain()
    return sealer.open_document(_place(MerchantId(row.merchant_id), row.id), row.sealed_configuration)


def record_step(session: Session, sealer: Sealer, row: SetupRow, done: StepDone, learned: Mapping[str, Any]) -> None:
    """Write what came of a step and owe the next; after the last one the account is in use.

    `learned` joins the sealed configuration: the endpoint's secret, the account's name; what is None is forgotten.
    """
    if row.state != SetupState.RUNNING or any(one.step == done.step for one in done_of(row)):
        return
    merged = {**open_configuration(sealer, row), **learned}
    configuration = {name: value for name, value in merged.items() if value is not None}
    row.done = [*row.done, {"step": done.step, "outcome": done.outcome, "said": dict(done.said)}]
    row.sealed_configuration = sealer.seal_document(_place(MerchantId(row.merchant_id), row.id), configuration)
    row.changed_at = system_now(session)
    following = next_step(row.plan, done_of(row))
    if following is not None:
        _owe(session, row, following)
    elif connecting.is_sound(row.plan, done_of(row)):
        _connect(session, sealer, row, configuration)
    else:
        row.state = SetupState.FAILED.value
        if done.step == EXCHANGE:
            row.sealed_configuration = None  # a code that was refused is of no more use


def _connect(session: Session, sealer: Sealer, row: SetupRow, configuration: Mapping[str, Any]) -> None:
    """The steps took their time: whether payments are under way on another account is looked at once more."""
    try:
        _put_in_use(session, sealer, row.adapter, configuration)
    except PaymentsUnderWay as error:
        said = {"reason": "wrong_state", "what": error.code}
        row.state = SetupState.FAILED.value
        blamed = ACCOUNT if ACCOUNT in row.plan else row.plan[0]
        failed = {"step": blamed, "outcome": "failed", "said": said}
        row.done = [failed if one["step"] == blamed else one for one in row.done]
        return
    row.state, row.sealed_configuration = SetupState.CONNECTED.value, None
    if configuration.get("endpoint_ref") and row.endpoint_url:
        _owe(session, row, connecting.TIDY)


def _put_in_use(session: Session, sealer: Sealer, adapter: str, configuration: Mapping[str, Any]) -> None:
    """Every way to an account in use ends here.

    Raises:
        PaymentsUnderWay: they are on another account, or on one that may be another.
    """
    at, before = system_now(session), connection_in_use(session, sealer)
    stored = dict(configuration)
    if before is not None:
        is_same = before.adapter == adapter and connecting.is_same_account(before.configuration, configuration)
        if not is_same and setup_repository.payment_under_way(session) is not None:
            raise PaymentsUnderWay(account=connecting.account_of(before.configuration))
        if is_same is not False:
            stored = connecting.with_secrets(configuration, before.configuration, now=at)
    if before is not None and _leaves_an_address(before.configuration, stored):
        # Our platform's right to an account that is now reached by a key is its holder's to end.
        kept = {name: value for name, value in before.configuration.items() if name != "account"}
        _owe_let_go(session, sealer, merchants.Connection(before.kind, before.adapter, kept))
    stored["connected_at"] = at.isoformat()
    merchants.connect(session, sealer, kind="payment_provider", adapter=adapter, configuration=stored)
    setup_repository.save_linked_account(session, adapter, stored.get("account"))


def _leaves_an_address(before: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    """Whether an address for messages is left at the account in use before, which nobody tidies up: from a key to the
    platform, or to another account.
    """
    if not before.get("endpoint_ref") or not before.get("secret_key"):
        return False
    return not then.get("secret_key") or connecting.is_same_account(before, then) is False


def disconnect_account(session: Session, sealer: Sealer) -> None:
    """The account is in use no longer, and nobody can pay until another is connected. A step; twice is once.

    Its key is forgotten here; at the provider our address for messages and our platform's right to it are ended next.

    Raises:
        PaymentsUnderWay: money is reserved on it, or being asked for, taken or given back. Nothing was changed.
    """
    before = connection_in_use(session, sealer)
    if before is None:
        return
    if setup_repository.payment_under_way(session) is not None:
        raise PaymentsUnderWay(account=connecting.account_of(before.configuration))
    _supersede(session, system_now(session))
    merchants.disconnect(session, "payment_provider")
    setup_repository.save_linked_account(session, before.adapter, None)
    _owe_let_go(session, sealer, before)


def _owe_let_go(session: Session, sealer: Sealer, left: merchants.Connection) -> None:
    if not (left.configuration.get("endpoint_ref") or left.configuration.get("account")):
        return
    sealed = sealer.seal_document(_left_place(session), left.configuration)
    intents.owe(
        session,
        LET_GO,
        new_id(),
        {"adapter": left.adapter, "sealed": b64encode(sealed).decode()},
    )


def open_left(session: Session, sealer: Sealer, payload: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The provider, and what was known of an account that is in use no longer. A step."""
    sealed = b64decode(payload["sealed"])
    return str(payload["adapter"]), sealer.open_document(_left_place(session), sealed)


def _left_place(session: Session) -> str:
    return f"payment_left:{merchant_of(session)}"


def note_access(session: Session, sealer: Sealer, account: str, *, is_there: bool) -> None:
    """Write down whether the platform may still act for this account; nothing where another is in use by now."""
    connection = connection_in_use(session, sealer)
    if connection is None or connection.configuration.get("account") != account:
        return
    known = connection.configuration
    if is_there is ("withdrawn_at" not in known):
        return
    noted = {name: value for name, value in known.items() if name != "withdrawn_at"}
    if not is_there:
        noted["withdrawn_at"] = system_now(session).isoformat()
        facts.record(session, "account.withdrawn", subject=merchant_of(session), payload={"account": account})
    merchants.connect(session, sealer, kind="payment_provider", adapter=connection.adapter, configuration=noted)


def _digest(state: str) -> bytes:
    return sha256(state.encode()).digest()


def _owe(session: Session, row: SetupRow, step: str) -> None:
    intents.owe(session, SET_UP, row.id, {"step": step})


def _place(merchant_id: MerchantId, setup_id: object) -> str:
    return f"payment_setup:{merchant_id}:{setup_id}"


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
