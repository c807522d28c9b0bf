"""The command line: run, prepare, import, price, operate. It, `main.py` and `worker.py` alone load integrations."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

if TYPE_CHECKING:
    from groupbook.bookings.domain import Operator
    from groupbook.house import House
    from groupbook.kit.ids import BookingId
    from groupbook.merchants.domain import Merchant

app = typer.Typer(help="groupbook: plan together, each their own price, all or nothing.", no_args_is_help=True)
imports = typer.Typer(help="Load a timetable into the demo merchant.", no_args_is_help=True)
app.add_typer(imports, name="import")
operator = typer.Typer(help="Look after bookings that need a person.", no_args_is_help=True)
app.add_typer(operator, name="bookings")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def demo(context: typer.Context) -> None:
    """Run everything on this machine with demo data, until Ctrl-C."""
    from integrations.demo import supervisor

    raise typer.Exit(supervisor.main(context.args))


@app.command()
def migrate() -> None:
    """Bring the database of GROUPBOOK_DATABASE_URL to the newest schema, and prepare the queue in it."""
    from groupbook.config import Settings
    from groupbook.kit import broker, database

    settings = Settings()
    database.migrate(settings.database_url)
    broker.prepare_broker(settings.database_url, settings.broker_url)
    typer.echo("migrated")


@app.command()
def seed(
    shop_origin: Annotated[str, typer.Option(help="where the demo shop runs, scheme and host")],
    network_origin: Annotated[str, typer.Option(help="where the demo network runs")] = "",
) -> None:
    """Make the demo merchant from the settings; seeding again brings it up to date."""
    from groupbook.config import Settings
    from groupbook.main import assemble
    from groupbook.seed import DemoPlan, seed_demo
    from integrations.demo.rail.rules import rule_catalogue

    settings = Settings()
    house = assemble(settings)
    merchant_id = seed_demo(
        house,
        DemoPlan(
            slug="kestrel",
            name="Kestrel Rail",
            staff_email="desk@kestrel.example",
            staff_password=settings.demo_staff_password.get_secret_value(),
            api_key=settings.demo_api_key.get_secret_value(),
            shop_origin=shop_origin,
            adapter_configuration={
                "base_url": f"{settings.demo_merchant_url}/api/v1",
                "token": settings.demo_merchant_token.get_secret_value(),
            },
            provider_configuration={
                "secret_key": settings.stripe_secret_key.get_secret_value(),
                "webhook_secret": settings.stripe_webhook_secret.get_secret_value(),
                "api_base": settings.stripe_api_base,
            },
            rules=rule_catalogue(),
        ),
    )
    house.close()
    typer.echo(f"merchant {merchant_id}")


@app.command()
def connect_account(
    merchant: Annotated[str, typer.Option(help="the merchant's slug")],
    account: Annotated[str, typer.Option(help="its account on your Stripe platform, acct_…")],
    fee_basis_points: Annotated[int, typer.Option(help="your part of each charge, in hundredths of a percent")] = 0,
    live: Annotated[bool, typer.Option(help="the live merchant of this slug")] = False,
) -> None:
    """Charge this merchant's payments on its own account of your platform, with your key and, if you like, your fee."""
    from groupbook import payments

    if not re.fullmatch(r"acct_\w+", account):
        raise typer.BadParameter("an account looks like acct_…")
    with _at_work(False) as (house, say):
        settings = house.settings
        configuration = {"account": account, "fee_basis_points": fee_basis_points}
        if not settings.stripe_secret_key.get_secret_value():
            raise typer.BadParameter("GROUPBOOK_STRIPE_SECRET_KEY is empty: the platform's key belongs there")
        house.outside.providers["stripe"](configuration, livemode=live)  # what cannot work is not stored
        with house.database.begin(_merchant(house, merchant, live).id) as session:
            payments.connect_account(session, house.sealer, adapter="stripe", configuration=configuration)
        say([f"{merchant} is paid on {account}"], {})


@imports.command("gtfs")
def import_gtfs(
    feed: Annotated[Path, typer.Argument(help="folder of a GTFS feed", exists=True, file_okay=False)],
    fares: Annotated[Path | None, typer.Option(help="published fare ranges, CSV", exists=True)] = None,
    state: Annotated[Path | None, typer.Option(help="the demo's state folder")] = None,
) -> None:
    """Replace the demo merchant's catalogue by a real timetable, shifted by whole weeks to start next Monday."""
    from integrations.demo import supervisor
    from integrations.demo.rail.importer import import_gtfs as load

    load(feed, fares, state or supervisor.default_state(), echo=typer.echo)


@app.command()
def price(
    cases: Annotated[Path, typer.Argument(help="cases, one JSON object per line", exists=True, dir_okay=False)],
    catalogue: Annotated[Path, typer.Option(help="the rule catalogue, JSON", exists=True, dir_okay=False)],
    check: Annotated[bool, typer.Option(help="compare with `expected` and count")] = False,
) -> None:
    """Price cases with a rule catalogue: one JSON answer per line."""
    from groupbook.discounts.command import price_cases

    raise typer.Exit(price_cases(catalogue, cases, sys.stdout, check=check))


_JSON = Annotated[bool, typer.Option("--json", help="one JSON document instead of text")]
_BOOKING = Annotated[str, typer.Argument(help="bkg_…")]
_BY = Annotated[
    str, typer.Option("--by", envvar="GROUPBOOK_OPERATOR", help="who you are; your login here when left out")
]
_WHY = Annotated[str, typer.Option("--why", help="why, in your own words; kept in the booking's story")]
_MERCHANT = Annotated[str, typer.Option(help="the merchant's slug; looked for among all when left out")]


@operator.command("parked")
def bookings_parked(
    merchant: Annotated[str, typer.Argument(help="the merchant's slug; all when left out")] = "", json: _JSON = False
) -> None:
    """List what waits for a person, merchant by merchant: why, since when, and what may safely be done."""
    from groupbook import bookings
    from groupbook.web.operating_text import parked_document, parked_lines

    with _at_work(json) as (house, say):
        found = [(one, bookings.list_parked(house.database, one.id)) for one in _merchants(house, merchant)]
        say(parked_lines(found), parked_document(found))


@operator.command("show")
def bookings_show(booking: _BOOKING, merchant: _MERCHANT = "", json: _JSON = False) -> None:
    """Tell the whole story of one booking: steps, calls, answers, places, order, money."""
    from groupbook import bookings
    from groupbook.bookings.timeline_schemas import TimelineOut
    from groupbook.web.operating_text import call_document, story_lines

    with _at_work(json) as (house, say):
        owner, id = _find(house, booking, merchant)
        story = bookings.read_story(house.database, owner.id, id)
        document = {
            **TimelineOut.of(story).model_dump(mode="json"),
            "merchant": owner.slug,
            "livemode": owner.livemode,
            "calls": [call_document(call) for call in story.calls],
        }
        say(story_lines(owner, story), document)


@operator.command("resume")
def bookings_resume(
    booking: _BOOKING, merchant: _MERCHANT = "", by: _BY = "", why: _WHY = "", json: _JSON = False
) -> None:
    """Put a parked booking back where it was, once what stopped it is mended. Safe to repeat."""
    from groupbook import bookings
    from groupbook.web.operating_text import resumed_document, resumed_line

    with _at_work(json) as (house, say):
        owner, id = _find(house, booking, merchant)
        done = bookings.resume_booking(house.database, owner.id, id, _operator(by, why))
        say([resumed_line(id, done)], resumed_document(id, done))
        if done.stopped is not None:
            raise typer.Exit(1)


@operator.command("cancel")
def bookings_cancel(
    booking: _BOOKING,
    merchant: _MERCHANT = "",
    yes: Annotated[bool, typer.Option("--yes", help="do it; without this it is only told")] = False,
    by: _BY = "",
    why: _WHY = "",
    json: _JSON = False,
) -> None:
    """End a booking by force, in the one safe way its state allows. Safe to repeat.

    Where much is given back, a second operator has to say the same within a day.
    """
    from groupbook import bookings
    from groupbook.web.operating_text import canceled_document, canceled_lines

    with _at_work(json) as (house, say):
        owner, id = _find(house, booking, merchant)
        if yes:
            alone_max = house.settings.operator_alone_max
            plan = bookings.force_cancel(house.database, owner.id, id, _operator(by, why), alone_max=alone_max)
        else:
            plan = bookings.plan_cancel(house.database, owner.id, id)
        say(canceled_lines(id, plan), canceled_document(id, plan))
        if not plan.is_done:
            raise typer.Exit(2)


_SLUG = Annotated[str, typer.Argument(help="the merchant's slug")]
_LIVE = Annotated[bool, typer.Option("--live", help="the live merchant of this slug, not the one for tests")]
_DAY = Annotated[str, typer.Option(help="YYYY-MM-DD")]


@app.command("statement")
def statement(
    merchant: _SLUG,
    booking: Annotated[str, typer.Option(help="bkg_…: the whole life of one booking instead of days")] = "",
    first: Annotated[str, typer.Option("--from", help="YYYY-MM-DD, included")] = "",
    last: Annotated[str, typer.Option("--to", help="YYYY-MM-DD, included")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="RFC 4180 instead of text")] = False,
    json: _JSON = False,
    live: _LIVE = False,
) -> None:
    """State what moved: opening balance, movements, closing balance, per currency."""
    from groupbook import payments
    from groupbook.kit.ids import from_wire
    from groupbook.web.money_text import statement_document, statement_lines

    with _at_work(json) as (house, say):
        owner = _merchant(house, merchant, live)
        with house.database.begin(owner.id) as session:
            if booking:
                told = payments.statement_of_reference(session, from_wire("bkg", booking))
            else:
                days = payments.statement_days(session, _day(first), _day(last))
                told = payments.statement_of_days(session, *days)
        if as_csv:
            typer.echo(payments.csv_text(told).encode(), nl=False)
        else:
            say(statement_lines(told), statement_document(told, owner))


@app.command("reconcile")
def reconcile(merchant: _SLUG, day: _DAY = "", json: _JSON = False, live: _LIVE = False) -> None:
    """Compare our books with the provider's account, both ways: today and days with open differences, or one day.

    Exit code 2 when there is a difference. Asking again changes nothing.
    """
    from groupbook import payments
    from groupbook.web.money_text import report_document, report_lines

    with _at_work(json) as (house, say):
        owner = _merchant(house, merchant, live)
        wanted = _day(day)
        with house.database.begin(owner.id) as session:
            open_days = {one.day for one in payments.differences(session)}
            days = sorted({payments.today_of(session), *open_days}) if wanted is None else [wanted]
        made = [payments.reconcile_day(house.providers, owner.id, one) for one in days]
        reports = [one for one in made if one is not None]
        say(report_lines(reports), report_document(reports, owner))
        if any(report.differences for report in reports):
            raise typer.Exit(2)


@operator.command("refund")
def bookings_refund(
    refund: Annotated[str, typer.Argument(help="ref_…, a refund that came back from the bank")],
    again: Annotated[bool, typer.Option("--again", help="ask for it once more")] = False,
    paid_elsewhere: Annotated[str, typer.Option(help="how the merchant paid it: the number of a transfer")] = "",
    merchant: _MERCHANT = "",
    by: _BY = "",
    why: _WHY = "",
    json: _JSON = False,
) -> None:
    """Make a refund good that came back: ask again, or say that it was paid by other means. Safe to repeat."""
    from groupbook import bookings
    from groupbook.kit.ids import RefundId, from_wire
    from groupbook.payments.domain import RefundNotFound
    from groupbook.web.operating_text import mended_document, mended_line

    if again == bool(paid_elsewhere):
        raise typer.BadParameter("say either --again or --paid-elsewhere NOTE")
    with _at_work(json) as (house, say):
        id = RefundId(from_wire("ref", refund))
        operator, alone_max = _operator(by, why), house.settings.operator_alone_max
        for owner in _merchants(house, merchant):
            try:
                mended = bookings.mend_refund(
                    house.database, owner.id, id, operator, paid_elsewhere=paid_elsewhere or None, alone_max=alone_max
                )
            except RefundNotFound:
                continue
            say([mended_line(id, mended)], mended_document(id, mended))
            if mended.needs_second:
                raise typer.Exit(2)
            return
        raise RefundNotFound()


Say = Callable[[Iterable[str], dict[str, Any]], None]


@contextmanager
def _at_work(as_json: bool) -> Iterator[tuple[House, Say]]:
    """The house, and how to answer; what goes wrong is a sentence (or a code, in JSON) and exit code 1."""
    from sqlalchemy.exc import SQLAlchemyError

    from groupbook.config import Settings
    from groupbook.kit.errors import GroupbookError
    from groupbook.main import assemble
    from groupbook.web.operating_words import operator_error

    def say(lines: Iterable[str], document: dict[str, Any]) -> None:
        typer.echo(dumps(document, ensure_ascii=False) if as_json else "\n".join(lines))

    try:
        house = assemble(Settings())
        try:
            yield house, say
        finally:
            house.close()
    except (GroupbookError, SQLAlchemyError, ValidationError) as error:
        code, sentence = operator_error(error)
        typer.echo(dumps({"error": code, "detail": sentence}) if as_json else sentence, err=not as_json)
        raise typer.Exit(1) from None


def _operator(by: str, why: str) -> Operator:
    from getpass import getuser

    from groupbook.bookings.domain import Operator

    try:
        name = by.strip() or getuser()
    except (KeyError, OSError):
        raise typer.BadParameter("say who you are: --by NAME") from None
    if not why.strip():
        raise typer.BadParameter("say why: --why TEXT")
    return Operator(name[:200], why.strip()[:500])


def _merchant(house: House, slug: str, live: bool) -> Merchant:
    from groupbook import merchants

    return merchants.merchant_by_slug(house.database, slug, livemode=live)


def _day(text: str) -> date | None:
    from groupbook.payments import StatementPeriodInvalid

    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise StatementPeriodInvalid(day=text[:40]) from None


def _merchants(house: House, slug: str) -> list[Merchant]:
    """All of them, or those of one slug: a merchant is there twice, live and for tests."""
    from groupbook import merchants
    from groupbook.merchants.domain import MerchantNotFound

    found = [one for one in merchants.all_merchants(house.database) if slug in ("", one.slug)]
    if slug and not found:
        raise MerchantNotFound()
    return found


def _find(house: House, booking: str, slug: str) -> tuple[Merchant, BookingId]:
    """Whose booking it is. No lookup crosses merchants: each is asked in turn, as itself."""
    from groupbook import bookings
    from groupbook.kit.ids import BookingId, from_wire

    id = BookingId(from_wire("bkg", booking))
    for merchant in _merchants(house, slug):
        with house.database.begin(merchant.id) as session:
            try:
                bookings.trip_of_booking(session, id)
            except bookings.BookingNotFound:
                continue
        return merchant, id
    raise bookings.BookingNotFound()


def main() -> None:
    from groupbook.kit import logs

    logs.configure()
    app()
