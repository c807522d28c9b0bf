"""The command line: run, prepare, import, price. It, `main.py` and `worker.py` alone load integrations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

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


@operator.command("parked")
def bookings_parked(merchant: Annotated[str, typer.Argument(help="the merchant's slug")]) -> None:
    """List bookings that wait for a person."""
    from groupbook import bookings
    from groupbook.config import Settings
    from groupbook.kit.ids import to_wire
    from groupbook.main import assemble

    house = assemble(Settings())
    for id, reason, was in bookings.parked_bookings(house.database, house.find_merchant(merchant)):
        typer.echo(f"{to_wire('bkg', id)}  {reason}  (was {was})")
    house.close()


@operator.command("resume")
def bookings_resume(
    merchant: Annotated[str, typer.Argument(help="the merchant's slug")],
    booking: Annotated[str, typer.Argument(help="bkg_…")],
) -> None:
    """Put a parked booking back where it was, once what stopped it is mended. Safe to repeat."""
    from groupbook import bookings
    from groupbook.config import Settings
    from groupbook.kit.ids import from_wire
    from groupbook.main import assemble

    house = assemble(Settings())
    state = bookings.resume_booking(house.database, house.find_merchant(merchant), from_wire("bkg", booking))
    house.close()
    typer.echo(state.value)


def main() -> None:
    from groupbook.kit import logs

    logs.configure()
    app()
