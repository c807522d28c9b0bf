"""The dashboard's page about the payment account: connected at Stripe or by a key, checked, and what is missing."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.orm import Session
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from groupbook import payments
from groupbook.house import House
from groupbook.kit.errors import NotFound
from groupbook.kit.i18n import Words
from groupbook.kit.ids import SetupId, from_wire, to_wire
from groupbook.payments import (
    HOSTED_PAGE,
    OWN_PAGE,
    KeyRejected,
    LinkProblem,
    PaymentsUnderWay,
    Permission,
    Platform,
    SetupNotAgain,
    SetupState,
    SetupView,
)
from groupbook.web.desk import Desk, DeskPages, Form, field_characters_max, read_form
from groupbook.web.payment_setup_words import (
    fee_words,
    key_problem,
    level_words,
    link_problem,
    need_words,
    said_words,
    step_words,
)
from groupbook.web.render import words_of

PAYMENTS: Final = "/dashboard/payments"
CONNECTED: Final = f"{PAYMENTS}/connected"  # where the provider sends people back to
ADAPTER: Final = "stripe"


class PaymentSetupPages(DeskPages):
    """The page, on one house."""

    def routes(self) -> list[Route]:
        return [
            Route(PAYMENTS, self._page(self.show), methods=["GET", "POST"]),
            Route(CONNECTED, self._page(self.come_back), methods=["GET"]),
        ]

    async def show(self, request: Request, desk: Desk) -> Response:
        """The account in use, the try under way or the last one, and the form for a key. A key is never shown."""
        say = words_of(request)
        error = page_error = page_key = ""
        if request.method == "POST":
            form = await read_form(request)
            if form["act"] == "link":
                return RedirectResponse(await self._step(desk, lambda session: self._link(session, desk)), 303)
            try:
                await self._step(desk, lambda session: self._act(session, form, desk))
                return RedirectResponse(PAYMENTS, 303)
            except KeyRejected as rejected:
                problem = key_problem(rejected.params.get("reason"), say)
                error, page_error = ("", problem) if form["act"] == "page" else (problem, "")
                page_key = form["publishable_key"]
            except PaymentsUnderWay:
                not_let_go = say(
                    "Nothing was changed: payments are under way on this account, and money can only be taken, "
                    "released or given back where it was reserved. Disconnect it when the groups that pay now are done."
                )
                return await self._shown(request, desk, not_linked=not_let_go, status=409)
            except SetupNotAgain:
                error = say("The key of that try is not kept any more. Paste it once more.")
        status = 422 if error or page_error else 200
        return await self._shown(request, desk, error=error, page_error=page_error, page_key=page_key, status=status)

    async def come_back(self, request: Request, desk: Desk) -> Response:
        """From the provider, with its holder's yes or no. A reload finds the `state` used up, and changes nothing."""
        given = request.query_params
        found = await self._step(desk, lambda session: self._finish(session, desk, given))
        if not isinstance(found, LinkProblem):
            return RedirectResponse(PAYMENTS, 303)
        status = {LinkProblem.OVER: 410, LinkProblem.FOREIGN: 403}.get(found, 200)
        return await self._shown(request, desk, not_linked=link_problem(found, words_of(request)), status=status)

    async def _shown(
        self,
        request: Request,
        desk: Desk,
        *,
        error: str = "",
        page_error: str = "",
        page_key: str = "",
        not_linked: str = "",
        status: int = 200,
    ) -> Response:
        say = words_of(request)
        context = await self._step(desk, lambda session: self._read(session, desk, say))
        asked_at = self._house.settings.connect_origin
        return self._render(
            request,
            desk,
            "payments",
            {**context, "error": error, "page_error": page_error, "page_key": page_key, "not_linked": not_linked},
            status=status,
            form_targets=[asked_at] if context["platform"] else [],
        )

    def _platform(self, desk: Desk) -> Platform | None:
        """The operator's, where this merchant can be asked: test accounts at a test platform, live at a live one."""
        platform = self._house.outside.setups[ADAPTER].platform
        is_theirs = platform is not None and platform.can_ask and platform.livemode is desk.merchant.livemode
        return platform if is_theirs else None

    def _link(self, session: Session, desk: Desk) -> str:
        platform, session_id = self._platform(desk), desk.caller.session_id
        if platform is None or session_id is None:
            raise NotFound()
        redirect_uri = f"{self._house.settings.public_url}{CONNECTED}"
        return payments.begin_link(session, platform, staff_session_id=session_id, redirect_uri=redirect_uri)

    def _finish(self, session: Session, desk: Desk, given: QueryParams) -> SetupId | LinkProblem:
        platform, session_id = self._platform(desk), desk.caller.session_id
        if platform is None or session_id is None:
            raise NotFound()
        return payments.finish_link(
            session,
            self._house.sealer,
            platform,
            adapter=ADAPTER,
            state=given.get("state", "")[:field_characters_max],
            code=given.get("code", "")[:field_characters_max],
            error=given.get("error", "")[:field_characters_max],
            staff_session_id=session_id,
        )

    def _act(self, session: Session, form: Form, desk: Desk) -> None:
        url = f"{self._house.settings.public_url}/in/{ADAPTER}/{to_wire('mch', desk.merchant.id)}"
        sealer = self._house.sealer
        match form["act"]:
            case "connect":
                configuration = {
                    "secret_key": form["key"].strip(),
                    "api_base": self._house.settings.stripe_api_base,
                }
                payments.begin_setup(
                    session,
                    sealer,
                    self._house.outside.setups[ADAPTER],
                    adapter=ADAPTER,
                    configuration=configuration,
                    endpoint_url=url,
                )
            case "page":
                if form["page"] not in (HOSTED_PAGE, OWN_PAGE):
                    raise NotFound()
                payments.begin_page(
                    session,
                    sealer,
                    self._house.outside.setups[ADAPTER],
                    is_own=form["page"] == OWN_PAGE,
                    publishable_key=form["publishable_key"].strip(),
                )
            case "again":
                payments.try_setup_again(session, SetupId(from_wire("stp", form["setup"])))
            case "disconnect":
                payments.disconnect_account(session, sealer)
            case "new_secret":
                payments.begin_new_secret(session, sealer, endpoint_url=url)
            case _:
                raise NotFound()

    def _read(self, session: Session, desk: Desk, say: Words) -> dict[str, Any]:
        setup = payments.last_setup(session)
        onboarding = self._house.outside.setups[ADAPTER]
        permissions = onboarding.permissions
        account = payments.connected_account(session, self._house.sealer)
        platform = self._platform(desk)
        hears = onboarding.platform is not None and onboarding.platform.hears
        return {
            "account": account,
            "has_messages": account is not None and (hears if account.is_platform else account.has_messages),
            "account_fee": fee_words(account.fee_basis_points, say) if account is not None else "",
            "own_page_offered": account is not None
            and (not account.is_platform or bool(onboarding.platform and onboarding.platform.publishable_key)),
            "platform": platform,
            "platform_fee": fee_words(platform.fee_basis_points, say) if platform is not None else "",
            "setup": None if setup is None else self._setup(setup, permissions, desk, say),
            "permissions": [_row(one, say) for one in permissions],
            "keys_page": onboarding.keys_page(self._house.settings.stripe_api_base, desk.merchant.livemode),
            "methods": {
                answer: [one.name for one in onboarding.methods if one.answer == answer]
                for answer in ("offered", "cannot_reserve", "other_terms")
            },
            "livemode": desk.merchant.livemode,
        }

    def _setup(self, setup: SetupView, permissions: tuple[Permission, ...], desk: Desk, say: Words) -> dict[str, Any]:
        done = {one.step: one for one in setup.done}
        of_page = self._house.outside.setups[ADAPTER].page_permissions
        rows = {one.code: one for one in (*permissions, *of_page)}
        steps, checks = [], []
        for step in setup.plan:
            came = done.get(step)
            line: dict[str, Any] = {
                "state": came.outcome if came else "now" if step == setup.current else "waiting",
                "said": said_words(came, say, desk.merchant.timezone) if came else "",
            }
            permission = rows.get(step.removeprefix("may:")) if step.startswith("may:") else None
            if permission is not None:
                checks.append(line | _row(permission, say))
            else:
                steps.append(line | {"step": step, "text": step_words(step, say)})
        missing = [one for one in checks if one["state"] == "missing"]
        return {
            "id": to_wire("stp", setup.id),
            "is_running": setup.state is SetupState.RUNNING,
            "is_failed": setup.state is SetupState.FAILED,
            "is_connected": setup.state is SetupState.CONNECTED,
            "key_hint": setup.key_hint,
            "first": [one for one in steps if one["step"] in ("exchange", "account")],
            "checks": checks,
            "rest": [one for one in steps if one["step"] not in ("exchange", "account")],
            "missing": missing,
            "made": len(setup.done),
            "total": len(setup.plan),
            "can_be_tried_again": setup.can_be_tried_again,
            "waits": setup.is_waiting,
            "changed_at": setup.changed_at,
        }


def _row(permission: Permission, say: Words) -> dict[str, Any]:
    resource = permission.code.removesuffix("_write")
    return {
        "code": permission.code,
        "section": permission.section,
        "row": permission.row,
        "level": level_words(permission, say),
        "rak": f"rak_{resource}_{permission.level}",
        "why": need_words(permission, say),
    }


def routes(house: House) -> list[Route]:
    return PaymentSetupPages(house).routes()
