"""The outside calls of connecting an account: one step of one setup, asked and recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from sqlalchemy.orm import Session

from groupbook import merchants
from groupbook.kit.errors import Refused
from groupbook.kit.ids import AttemptId
from groupbook.kit.intents import Intent
from groupbook.payments import connecting, setup_repository
from groupbook.payments.connecting import (
    ACCOUNT,
    AUTHORIZATION,
    ENDPOINT,
    EXCHANGE,
    PAGE,
    TIDY,
    SetupState,
    StepDone,
    trial_amount,
)
from groupbook.payments.handlers import Providers
from groupbook.payments.models import AttemptRow, SetupRow
from groupbook.payments.ports import PaymentRef, Permission, ProviderSetup, Seen
from groupbook.payments.service import setting_up

log = structlog.get_logger(__name__)
# A no to these steps is told and hinders nothing: messages only make us quicker.
_NOT_IN_THE_WAY: Final = frozenset({ENDPOINT})


@dataclass(frozen=True, slots=True)
class Answer:
    """A step that was made, and what was learned for the configuration.

    `proven` is the connection in use when a payment of it was found with the new key.
    """

    done: StepDone
    learned: dict[str, Any] = field(default_factory=dict)
    proven: merchants.Connection | None = None


class SetUp:
    """One step; each is safe to ask again with its key, so a lost answer is simply asked for again."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._timeout_seconds = providers.timeout_seconds

    def call(self, intent: Intent) -> Answer:
        step = str(intent.payload["step"])
        with self._providers.database.begin(intent.merchant_id) as session:
            row = setup_repository.read_setup(session, intent.subject)
            merchant = merchants.read_merchant(session)
            if step == TIDY:
                connected = merchants.read_connection(session, self._providers.sealer, "payment_provider")
                configuration = dict(connected.configuration)
            elif row.sealed_configuration is None or row.state != SetupState.RUNNING or _is_done(row, step):
                raise Refused("wrong_state", what="superseded")
            else:
                configuration = setting_up.open_configuration(self._providers.sealer, row)
            session.expunge(row)
        look = self._providers.setups[row.adapter].look(configuration, livemode=merchant.livemode)
        try:
            return self._ask(look, step, intent.key, row, configuration, merchant)
        finally:
            look.close()

    def _ask(
        self,
        look: ProviderSetup,
        step: str,
        key: str,
        row: SetupRow,
        configuration: dict[str, Any],
        merchant: merchants.Merchant,
    ) -> Answer:
        seconds = self._timeout_seconds
        if step == EXCHANGE:
            account = look.exchange(configuration["code"], key=key, timeout_seconds=seconds)
            return Answer(StepDone(step, "ok", {"ref": account}), {"account": account, "code": None})
        if step == ACCOUNT:
            return self._account(look, row, configuration, merchant)
        if step == ENDPOINT:
            endpoint = look.add_endpoint(row.endpoint_url, key=key, timeout_seconds=seconds)
            learned = {"webhook_secret": endpoint.secret, "endpoint_ref": endpoint.ref}
            return Answer(StepDone(step, "ok", {"url": row.endpoint_url}), learned)
        if step == AUTHORIZATION:
            if merchant.livemode:
                return Answer(StepDone(step, "skipped"))
            amount = trial_amount(merchant.currency)
            seen = look.try_authorization(amount, key=key, timeout_seconds=seconds)
            said = {"amount": amount.minor, "currency": amount.currency}
            if seen.capture_before is not None:
                said["capture_before"] = seen.capture_before.isoformat()
            return Answer(StepDone(step, "ok", said))
        if step == PAGE:
            is_own = connecting.has_own_page(configuration)
            if is_own:
                look.try_page(key=key, timeout_seconds=seconds)
            return Answer(StepDone(step, "ok", {"is_own": is_own}))
        if step == TIDY:
            but = str(configuration.get("endpoint_ref"))
            look.remove_endpoints(row.endpoint_url, but=but, key=key, timeout_seconds=seconds)
            return Answer(StepDone(step, "ok"))
        permission = _permission(look, step)
        may = look.may(permission, key=key, timeout_seconds=seconds)
        return Answer(StepDone(step, "ok" if may else "missing"))

    def _account(
        self, look: ProviderSetup, row: SetupRow, configuration: dict[str, Any], merchant: merchants.Merchant
    ) -> Answer:
        account = look.read_account(timeout_seconds=self._timeout_seconds)
        with self._providers.database.begin(row.merchant_id) as session:
            before = setting_up.connection_in_use(session, self._providers.sealer)
            under_way = setup_repository.payment_under_way(session)
            if under_way is not None:
                session.expunge(under_way)
        ref, proven = account.ref, None
        if before is not None and under_way is not None:
            fresh = configuration | {"account_ref": account.ref}
            is_same = before.adapter == row.adapter and connecting.is_same_account(before.configuration, fresh)
            if is_same is None and self._finds(row.adapter, configuration, merchant, under_way):
                is_same, proven = True, before
                ref = ref or connecting.account_of(before.configuration)
            if not is_same:
                known = connecting.account_of(before.configuration)
                raise Refused("wrong_state", what=connecting.PaymentsUnderWay.code, account=known)
        if account.may_charge is False:
            raise Refused("credentials_rejected", what="may_not_charge")
        said = {"ref": ref, "name": account.name, "country": account.country}
        return Answer(StepDone(ACCOUNT, "ok", said), {"account_ref": ref, "account_name": account.name}, proven)

    def _finds(
        self, adapter: str, configuration: dict[str, Any], merchant: merchants.Merchant, under_way: AttemptRow
    ) -> bool:
        """Whether what was begun on the account in use is there for this key too: then it is the same account.

        It is looked for by our own id: of a provider's name that it does not know, a provider only says that it failed.
        """
        provider = self._providers.provider_of(
            merchant, merchants.Connection("payment_provider", adapter, configuration)
        )
        ref = PaymentRef(AttemptId(under_way.id), under_way.started_at)
        return provider.observe(ref, timeout_seconds=self._timeout_seconds).seen is not Seen.ABSENT

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: Answer) -> None:
        if answer.done.step == TIDY:
            return
        row, sealer = setup_repository.lock_setup(session, intent.subject), self._providers.sealer
        if answer.proven is not None and answer.learned["account_ref"]:
            setting_up.name_account_in_use(session, sealer, answer.proven, answer.learned["account_ref"])
        setting_up.record_step(session, sealer, row, answer.done, answer.learned)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        step = str(intent.payload["step"])
        row = setup_repository.lock_setup(session, intent.subject)
        if step == TIDY or row.state != SetupState.RUNNING:
            return
        outcome: connecting.Outcome = "warning" if step in _NOT_IN_THE_WAY and len(row.plan) > 1 else "failed"
        said = {"reason": refusal.reason, "what": refusal.params.get("what"), "code": refusal.params.get("code")}
        if step == EXCHANGE and intent.attempts > 1:
            said["is_asked_again"] = True  # an answer did not reach us: what it said nobody knows
        setting_up.record_step(session, self._providers.sealer, row, StepDone(step, outcome, said), {})


class LookAtAccount:
    """Whether the platform may still act for a merchant's account: a message said no, or a call of ours was refused."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    def call(self, intent: Intent) -> bool:
        with self._providers.database.begin(intent.merchant_id) as session:
            merchant = merchants.read_merchant(session)
            connection = setting_up.connection_in_use(session, self._providers.sealer)
        if connection is None or connection.configuration.get("account") != intent.payload["account"]:
            raise Refused("wrong_state", what="superseded")
        onboarding = self._providers.setups[connection.adapter]
        look = onboarding.look(connection.configuration, livemode=merchant.livemode)
        try:
            look.read_account(timeout_seconds=self._providers.timeout_seconds)
        except Refused as refusal:
            if refusal.reason != "credentials_rejected":
                raise
            return False
        finally:
            look.close()
        return True

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: bool) -> None:
        setting_up.note_access(session, self._providers.sealer, str(intent.payload["account"]), is_there=answer)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        return None


class LetGo:
    """What is left of an account that is in use no longer: the address for its messages, our platform's right to it.

    A no changes nothing for us any more: the account is not in use, and its holder can end the rest at the provider.
    """

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    def call(self, intent: Intent) -> None:
        with self._providers.database.begin(intent.merchant_id) as session:
            merchant = merchants.read_merchant(session)
            adapter, configuration = setting_up.open_left(session, self._providers.sealer, intent.payload)
        look = self._providers.setups[adapter].look(configuration, livemode=merchant.livemode)
        seconds = self._providers.timeout_seconds
        try:
            if configuration.get("endpoint_ref"):
                look.remove_endpoint(str(configuration["endpoint_ref"]), key=intent.key, timeout_seconds=seconds)
            if configuration.get("account"):
                look.let_go(str(configuration["account"]), key=intent.key, timeout_seconds=seconds)
        finally:
            look.close()

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: None) -> None:
        return None

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        log.warning("account_not_let_go", reason=refusal.reason, what=refusal.params.get("what"))


def _is_done(row: SetupRow, step: str) -> bool:
    return any(one.step == step for one in setting_up.done_of(row))


def _permission(look: ProviderSetup, step: str) -> Permission:
    wanted = StepDone(step, "ok").permission
    return next(one for one in look.permissions if one.code == wanted)
