"""What every migration says about tenancy, said once.

Two roles besides the owner: `gb_app` reads and writes one merchant's rows at a time, and cannot bypass row-level
security; `gb_lookup` owns the narrow functions that find the merchant of a key before one is known, and may read just
the columns each of those functions names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import UUID

APP_ROLE = "gb_app"
LOOKUP_ROLE = "gb_lookup"
CURRENT_MERCHANT = "nullif(current_setting('app.merchant_id', true), '')::uuid"


def ensure_roles(connection: Connection) -> None:
    """Create both roles if this server has not got them (roles belong to the server, not to the database)."""
    for role in (APP_ROLE, LOOKUP_ROLE):
        connection.execute(
            sa.text(
                f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN NOBYPASSRLS; "
                "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            )
        )
        connection.execute(sa.text(f"GRANT {role} TO CURRENT_USER"))
    connection.execute(sa.text(f"GRANT USAGE ON SCHEMA public TO {APP_ROLE}, {LOOKUP_ROLE}"))


def tenant_table(name: str, *items: sa.schema.SchemaItem, append_only: bool = False) -> None:
    """Create a table of one merchant's rows: key (merchant_id, id), row-level security enabled and forced.

    Args:
        items: further columns and constraints. A column `id` is added unless a primary key is among them.
        append_only: the application may insert and read, never change or delete.
    """
    columns: list[sa.schema.SchemaItem] = [sa.Column("merchant_id", UUID(), nullable=False), *items]
    if not any(isinstance(item, sa.PrimaryKeyConstraint) for item in items):
        columns.insert(1, sa.Column("id", UUID(), nullable=False))
        columns.append(sa.PrimaryKeyConstraint("merchant_id", "id", name=f"pk_{name}"))
    op.create_table(name, *columns)
    protect(name, append_only=append_only)


def protect(name: str, *, append_only: bool = False, key: str = "merchant_id") -> None:
    """Row-level security and grants for a table that holds merchants' rows."""
    op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY one_merchant ON {name} TO {APP_ROLE} "
        f"USING ({key} = {CURRENT_MERCHANT}) WITH CHECK ({key} = {CURRENT_MERCHANT})"
    )
    rights = "SELECT, INSERT" if append_only else "SELECT, INSERT, UPDATE, DELETE"
    op.execute(f"GRANT {rights} ON {name} TO {APP_ROLE}")


def drop_tenant_table(*names: str) -> None:
    for name in names:
        op.drop_table(name)


def tenant_key(table: str, column: str, target: str, *, on_delete: str | None = None) -> sa.ForeignKeyConstraint:
    """A foreign key that can only point at a row of the same merchant."""
    return sa.ForeignKeyConstraint(
        ["merchant_id", column],
        [f"{target}.merchant_id", f"{target}.id"],
        name=f"fk_{table}_{column}_{target}",
        ondelete=on_delete,
    )


def lookup_function(name: str, arguments: str, returns: str, query: str, *, reads: Mapping[str, Sequence[str]]) -> None:
    """One narrow way to find something before the merchant is known.

    Args:
        arguments, returns, query: as in `CREATE FUNCTION name(arguments) RETURNS returns … AS query`.
        reads: per table the columns the query needs; nothing else becomes readable.
    """
    for table, columns in reads.items():
        op.execute(f"GRANT SELECT ({', '.join(columns)}) ON {table} TO {LOOKUP_ROLE}")
        op.execute(
            f"DO $$ BEGIN CREATE POLICY looked_up ON {table} FOR SELECT TO {LOOKUP_ROLE} USING (true); "
            "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
    op.execute(
        f"CREATE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE sql STABLE SECURITY DEFINER "
        f"SET search_path = public AS $body$ {query} $body$"
    )
    op.execute(f"GRANT CREATE ON SCHEMA public TO {LOOKUP_ROLE}")
    signature = ", ".join(part.split()[-1] for part in arguments.split(",")) if arguments else ""
    op.execute(f"ALTER FUNCTION {name}({signature}) OWNER TO {LOOKUP_ROLE}")
    op.execute(f"REVOKE CREATE ON SCHEMA public FROM {LOOKUP_ROLE}")
    op.execute(f"REVOKE ALL ON FUNCTION {name}({signature}) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {name}({signature}) TO {APP_ROLE}")


def drop_lookup_function(name: str, arguments: str) -> None:
    signature = ", ".join(part.split()[-1] for part in arguments.split(",")) if arguments else ""
    op.execute(f"DROP FUNCTION {name}({signature})")
