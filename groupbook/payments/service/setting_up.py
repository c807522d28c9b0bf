"""Connecting an account: begun by a merchant, carried out call by call, and only then in use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from groupbook import merchants
from groupbook.kit import intents
from groupbook.kit.clock import system_now
from groupbook.kit.database import merchant_of
from groupbook.kit.ids import MerchantId, SetupId
from groupbook.kit.sealing import Sealer
from groupbook.merchants.domain import ConnectionNotFound
from groupbook.payments import connecting, setup_repository
from groupbook.payments.connecting import (
    ConnectedAccount,
    PaymentsUnderWay,
    SetupNotAgain,
    SetupState,
    SetupView,
    StepDone,
    key_hint,
    next_step,
)
from groupbook.payments.models import SetupRow
from groupbook.payments.moving import SET_UP
from groupbook.payments.ports import Onboarding


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

    Raises:
        KeyRejected: it can be seen without asking anybody that this is no key for us.
    """
    merchant = merchants.read_merchant(session)
    onboarding.look(configuration, livemode=merchant.livemode).close()
    steps = connecting.plan([permission.code for permission in onboarding.permissions])
    hint = key_hint(str(configuration["secret_key"]))
    return _begin(session, sealer, adapter, configuration, endpoint_url, steps, hint)


def begin_new_secret(session: Session, sealer: Sealer, *, endpoint_url: str) -> SetupId:
    """Start giving the messages of the connected account a new secret; the old one counts for another day. A step.

    Raises:
        ConnectionNotFound: nothing is connected.
    """
    connected = merchants.read_connection(session, sealer, "payment_provider")
    steps, hint = connecting.plan_of_new_secret(), key_hint(str(connected.configuration.get("secret_key", "")))
    return _begin(session, sealer, connected.adapter, connected.configuration, endpoint_url, steps, hint)


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
        configuration = {**before.configuration, **configuration}
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
    row.state, row.done, row.changed_at = SetupState.RUNNING.value, [], system_now(session)
    _owe(session, row, row.plan[0])


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

    `learned` joins the sealed configuration: the endpoint's secret, the account's name.
    """
    if row.state != SetupState.RUNNING or any(one.step == done.step for one in done_of(row)):
        return
    configuration = {**open_configuration(sealer, row), **learned}
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


def _connect(session: Session, sealer: Sealer, row: SetupRow, configuration: Mapping[str, Any]) -> None:
    """The steps took their time: whether payments are under way on another account is looked at once more."""
    try:
        _put_in_use(session, sealer, row.adapter, configuration)
    except PaymentsUnderWay as error:
        said = {"reason": "wrong_state", "what": error.code}
        row.state = SetupState.FAILED.value
        row.done = [{"step": row.plan[0], "outcome": "failed", "said": said}, *row.done[1:]]
        return
    row.state, row.sealed_configuration = SetupState.CONNECTED.value, None
    if configuration.get("endpoint_ref"):
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
    stored["connected_at"] = at.isoformat()
    merchants.connect(session, sealer, kind="payment_provider", adapter=adapter, configuration=stored)


def _owe(session: Session, row: SetupRow, step: str) -> None:
    intents.owe(session, SET_UP, row.id, {"step": step})


def _place(merchant_id: MerchantId, setup_id: object) -> str:
    return f"payment_setup:{merchant_id}:{setup_id}"


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
