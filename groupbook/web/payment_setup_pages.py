"""The dashboard's page about the payment account: paste a key, watch it being checked, read what is missing."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from groupbook import payments
from groupbook.house import House
from groupbook.kit.errors import NotFound
from groupbook.kit.i18n import Words
from groupbook.kit.ids import SetupId, from_wire, to_wire
from groupbook.payments import KeyRejected, Permission, SetupNotAgain, SetupState, SetupView
from groupbook.web.desk import Desk, DeskPages, Form, read_form
from groupbook.web.payment_setup_words import key_problem, level_words, need_words, said_words, step_words
from groupbook.web.render import words_of

PAYMENTS: Final = "/dashboard/payments"
ADAPTER: Final = "stripe"


class PaymentSetupPages(DeskPages):
    """The page, on one house."""

    def routes(self) -> list[Route]:
        return [Route(PAYMENTS, self._page(self.show), methods=["GET", "POST"])]

    async def show(self, request: Request, desk: Desk) -> Response:
        """The account in use, the try under way or the last one, and the form for a key. A key is never shown."""
        say = words_of(request)
        error = ""
        if request.method == "POST":
            form = await read_form(request)
            try:
                await self._step(desk, lambda session: self._act(session, form, desk))
                return RedirectResponse(PAYMENTS, 303)
            except KeyRejected as rejected:
                error = key_problem(rejected.params.get("reason"), say)
            except SetupNotAgain:
                error = say("The key of that try is not kept any more. Paste it once more.")
        context = await self._step(desk, lambda session: self._read(session, desk, say))
        return self._render(request, desk, "payments", {**context, "error": error}, status=422 if error else 200)

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
            case "again":
                payments.try_setup_again(session, SetupId(from_wire("stp", form["setup"])))
            case "new_secret":
                payments.begin_new_secret(session, sealer, endpoint_url=url)
            case _:
                raise NotFound()

    def _read(self, session: Session, desk: Desk, say: Words) -> dict[str, Any]:
        setup = payments.last_setup(session)
        onboarding = self._house.outside.setups[ADAPTER]
        permissions = onboarding.permissions
        return {
            "account": payments.connected_account(session, self._house.sealer),
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
        rows = {one.code: one for one in permissions}
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
            "first": [one for one in steps if one["step"] == "account"],
            "checks": checks,
            "rest": [one for one in steps if one["step"] != "account"],
            "missing": missing,
            "made": len(setup.done),
            "total": len(setup.plan),
            "can_be_tried_again": setup.can_be_tried_again,
            "waits": setup.is_waiting,
            "changed_at": setup.changed_at,
        }


def _row(permission: Permission, say: Words) -> dict[str, Any]:
    return {
        "code": permission.code,
        "section": permission.section,
        "row": permission.row,
        "level": level_words(permission, say),
        "rak": f"rak_{permission.code}_{permission.level}",
        "why": need_words(permission, say),
    }


def routes(house: House) -> list[Route]:
    return PaymentSetupPages(house).routes()
