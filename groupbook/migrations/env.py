"""Alembic's environment: online only, one transaction, short lock timeout, roles made first.

An upgrade reads the scripts only; whoever compares models with tables imports `groupbook.migrations.tables` first.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from groupbook.kit.database import Base
from groupbook.migrations.tenancy import ensure_roles

_MIGRATION_LOCK = 7_246_001  # any constant: two processes that start together migrate one after the other


def run() -> None:
    engine = create_engine(context.config.attributes["url"], poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
        connection.commit()
        ensure_roles(connection)
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
        with context.begin_transaction():
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            context.run_migrations()
    engine.dispose()


run()
