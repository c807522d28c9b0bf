"""Every script's way back: down to an empty database and up again, on a real PostgreSQL."""

from __future__ import annotations

import psycopg
from alembic import command

from groupbook.kit.database import alembic_config, libpq_url, migrate

_SHAPE = """
SELECT 'column', table_name || '.' || column_name, concat(data_type, ' ', is_nullable, ' ', column_default)
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'policy', tablename || ' ' || policyname, roles::text || coalesce(qual, '') || coalesce(with_check, '')
  FROM pg_policies WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', tgrelid::regclass || ' ' || tgname, pg_get_triggerdef(oid)
  FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, pg_get_functiondef(oid) || proacl::text
  FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1, 2, 3
"""


def shape(url: str) -> list[tuple[str, str, str]]:
    """Everything that the scripts make in the database, in words."""
    with psycopg.connect(libpq_url(url)) as connection:
        return connection.execute(_SHAPE).fetchall()


def test_every_migration_goes_back_and_up_again(empty_database_url: str) -> None:
    """Nothing of it is left behind on the way down, and the second time up comes to the same."""
    migrate(empty_database_url)
    first = shape(empty_database_url)
    command.downgrade(alembic_config(empty_database_url), "base")
    left = [(kind, name) for kind, name, _ in shape(empty_database_url) if "alembic_version" not in name]
    assert left == []
    migrate(empty_database_url)
    assert shape(empty_database_url) == first
