"""A database in memory: transactions, constraints and nudges, for the simulator's one thread.

    begin -> a session with its own objects of the rows it reads -> commit keeps what they hold, or a raise forgets them

A row is kept as a dict of column values that never changes: a commit puts another dict in its place. So a session's
object of a row may look into that very dict until something is set on it, and what was read in one transaction goes
stale when another changes it, exactly as in production. There are no locks, because one thread runs and changes actors
only where no transaction is open. What the machines rely on in PostgreSQL (unique keys, checks, the balance of a
journal) is enforced at commit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from types import TracebackType
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError

from groupbook.kit import database as kit_database
from groupbook.kit.database import Database, Nudger, SilentNudger
from groupbook.kit.errors import InvariantBroken

Values = dict[str, Any]
Keyed = Callable[[Values], Hashable | None]
RowT = TypeVar("RowT")
_STATE: Final = "_sa_instance_state"  # SQLAlchemy's bookkeeping of an object that production made
_set: Final = object.__setattr__
# What was first set on rows since the open transaction began: the values each held before, and the row.
_touched: Final[list[tuple[Values, Any]]] = []


def _part(row: Any, name: str, value: Any) -> None:
    """The first thing that is set on a row gives it values of its own."""
    before = row.__dict__
    _set(row, "__class__", row._own)
    row.__dict__ = {**before, name: value}
    _touched.append((before, row))


class Shape:
    """Of an ORM class: its version column, what a column holds that nobody set, and the classes of its rows here.

    Those have none of SQLAlchemy's descriptors: reading an attribute is one look into a dict. `light` looks into stored
    values, `own` has its own.
    """

    def __init__(self, kind: type) -> None:
        mapper: Any = inspect(kind)
        self.blank: Values = {}
        for attribute in mapper.column_attrs:
            default = attribute.columns[0].default
            self.blank[attribute.key] = default.arg if default is not None and default.is_scalar else None
        self.version: str | None = mapper.version_id_col.key if mapper.version_id_col is not None else None
        self.own = type(kind.__name__, (), {"_kind": kind})
        self.light = type(kind.__name__, (), {"_kind": kind, "_own": self.own, "__setattr__": _part})
        try:
            cast(
                "Any", object.__new__(kind)
            ).__class__ = self.own  # whether a row that production makes can become one of ours
            self.is_adopted = True
        except TypeError:  # a class that is laid out otherwise (no `TenantRow`)
            self.is_adopted = False


@cache
def shape_of(kind: type) -> Shape:
    return Shape(kind)


@contextmanager
def light_rows(kinds: Iterable[type]) -> Iterator[None]:
    """Until the end, a row that production makes is one of ours from the start: without all that SQLAlchemy does for an
    object that it may have to track. For whoever plays many histories and has no other database.
    """
    shapes = [(kind, shape_of(kind)) for kind in kinds]
    before = [(kind, kind.__init__) for kind, shape in shapes if shape.is_adopted]  # type: ignore[misc]  # ours alone

    def maker(shape: Shape) -> Callable[..., None]:
        def make(row: Any, **values: Any) -> None:
            row.__class__ = shape.own
            row.__dict__ = {**shape.blank, **values}

        return make

    try:
        for kind, shape in shapes:
            if shape.is_adopted:
                kind.__init__ = maker(shape)  # type: ignore[misc]
        yield
    finally:
        for kind, made in before:
            kind.__init__ = made  # type: ignore[misc]


class _Kinds(dict[type, Any]):
    """The ORM class of a row by the class of its object, whoever made that."""

    def __missing__(self, made: type) -> Any:
        kind = self[made] = getattr(made, "_kind", made)
        return kind


KINDS: Final = _Kinds()


def kind_of(row: Any) -> Any:
    """The ORM class of a row, whoever made the object. (Who asks it of each row that is written, uses `KINDS`.)"""
    return KINDS[type(row)]


class Table:
    """All rows of one class by primary key, with groups by columns a row keeps for life.

    A row stands in a cell, a list of one: its values are exchanged there for all who lead to it.

    Args:
        by: the columns of those groups.
        unique: name -> the key a new row takes for good (None: the rule does not apply to it).
        moving: the same, for keys that a changing row gives up and takes.
        checks: name -> what must hold of every row that is written.
        together: name -> what must hold of all rows that one transaction adds.
    """

    def __init__(
        self,
        kind: type,
        *,
        key: Callable[[Values], Hashable] = lambda values: values["id"],
        by: Iterable[str] = (),
        unique: dict[str, Keyed] | None = None,
        moving: dict[str, Keyed] | None = None,
        checks: dict[str, Callable[[Values], bool]] | None = None,
        together: dict[str, Callable[[list[Values]], bool]] | None = None,
    ) -> None:
        self.kind = kind
        self.key = key
        self.by = tuple(by)
        self.unique = unique or {}
        self.moving = moving or {}
        self.keys = {**self.unique, **self.moving}
        self.checks = checks or {}
        self.together = together or {}
        self.shape = shape_of(kind)
        self.cells: dict[Hashable, list[Values]] = {}
        self.groups: dict[str, dict[Any, list[list[Values]]]] = {column: {} for column in self.by}
        self.taken: dict[str, dict[Hashable, list[Values]]] = {name: {} for name in self.keys}


class MemorySession:
    """One transaction. Stands where production code says `Session`; offers what steps use, and `find`, `views`, `row`
    to those who answer queries.
    """

    __slots__ = ("_known", "_loaded", "_new", "_raised", "_tables", "database", "info")

    def __init__(self, database: MemoryDatabase, merchant_id: UUID | None) -> None:
        self.info: dict[str, Any] = {} if merchant_id is None else {"merchant_id": merchant_id}
        self.database = database
        self._tables = database.tables
        self._loaded: dict[int, Any] = {}  # id of stored values -> its row here
        self._known: dict[int, object] = {}  # id of a row's own values -> the row
        self._new: dict[type, list[Any]] = {}
        self._raised: dict[int, Values] = {}  # id of a row -> its values when its version was last raised

    # --- what steps use ---

    def add(self, row: Any) -> None:
        kind, values = kind_of(row), row.__dict__
        shape = self._tables[kind].shape
        if type(row) is shape.light or id(values) in self._known or any(row is one for _, one in _touched):
            return  # it was found, or added before
        if type(row) is kind:
            row.__dict__ = values = {**shape.blank, **values}
            if shape.is_adopted:
                del values[_STATE]
                row.__class__ = shape.own
        self._enter(kind, row, values)

    def add_all(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self.add(row)

    def flush(self) -> None:
        """Nothing is sent anywhere; versions rise as an UPDATE would raise them."""
        if self._new:
            for kind in self.database.versioned:
                counted = cast("str", self._tables[kind].shape.version)
                for row in self._new.get(kind, ()):
                    if row.__dict__[counted] is None:
                        row.__dict__[counted] = 1
        for before, row in _touched:
            column = self._tables[row._kind].shape.version
            if column is not None and self._loaded.get(id(before)) is row:
                own = row.__dict__
                if own != self._raised.get(id(row), before):
                    own[column] += 1
                    self._raised[id(row)] = own.copy()

    def expunge(self, row: Any) -> None:
        """Production lets go of rows that it will only read."""

    def expire_all(self) -> None:
        """A session here never holds anything older than its own changes."""

    # --- what queries use ---

    def put(self, kind: type, /, **values: Any) -> None:
        """Add a row without making an object first."""
        shape = self._tables[kind].shape
        row: Any = object.__new__(shape.own)
        row.__dict__ = values = {**shape.blank, **values}
        self._enter(kind, row, values)

    def find(self, kind: type[RowT], key: Hashable) -> RowT | None:
        """The row of this primary key: our own object of it."""
        table = self._tables[kind]
        cell = table.cells.get(key)
        found: RowT | None = None
        if cell is not None:
            values = cell[0]
            found = self._loaded.get(id(values))
            if found is None:
                found = self._load(table, values)
        elif kind in self._new:
            found = next((row for row in self._new[kind] if table.key(row.__dict__) == key), None)
        return found

    def views(self, kind: type, column: str, value: Any) -> list[Values]:
        """The values of each row of this group as this transaction sees them, in order of adding. To read only."""
        cells = self._tables[kind].groups[column].get(value, ())
        found = self._seen(cells) if _touched else [cell[0] for cell in cells]
        if kind in self._new:
            found += [row.__dict__ for row in self._new[kind] if row.__dict__[column] == value]
        return found

    def every(self, kind: type) -> list[Values]:
        """The same for a whole table."""
        cells = self._tables[kind].cells.values()
        found = self._seen(cells) if _touched else [cell[0] for cell in cells]
        if kind in self._new:
            found += [row.__dict__ for row in self._new[kind]]
        return found

    def row(self, kind: type[RowT], view: Values) -> RowT:
        """The object behind a view: what is set on it is written at commit."""
        mark = id(view)
        found: RowT | None = self._loaded.get(mark)
        if found is None:
            known: Any = self._known.get(mark)
            found = self._load(self._tables[kind], view) if known is None else known
        return cast("RowT", found)

    def rows(self, kind: type[RowT], views: Iterable[Values], *, order: str = "id") -> list[RowT]:
        """The objects behind views, by a column."""
        return [self.row(kind, view) for view in sorted(views, key=lambda values: values[order])]

    def holder(self, kind: type, name: str, key: Hashable) -> Values | None:
        """Who holds this unique key, added rows included."""
        table = self._tables[kind]
        cell = table.taken[name].get(key)
        if cell is not None:
            return cell[0]
        if kind in self._new:
            made = table.keys[name]
            for row in self._new[kind]:
                if made(row.__dict__) == key:
                    return cast("Values", row.__dict__)
        return None

    def _enter(self, kind: type, row: Any, values: Values) -> None:
        self._known[id(values)] = row
        rows = self._new.get(kind)
        if rows is None:
            self._new[kind] = [row]
        else:
            rows.append(row)

    def _load(self, table: Table, values: Values) -> Any:
        row: Any = object.__new__(table.shape.light)
        _set(row, "__dict__", values)
        self._loaded[id(values)] = row
        return row

    def _seen(self, cells: Iterable[list[Values]]) -> list[Values]:
        """What stands in these cells, or what this transaction has made of it."""
        loaded, found = self._loaded, []
        for (values,) in cells:
            row = loaded.get(id(values))
            if row is not None:
                own = row.__dict__
                if own is not values:
                    self._known[id(own)] = row
                    values = own
            found.append(values)
        return found

    # --- the end ---

    def __enter__(self) -> MemorySession:
        if getattr(kit_database._open, "depth", 0):
            raise InvariantBroken(what="a transaction inside a transaction")
        kit_database._open.depth = 1
        _touched.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        written: list[Any] = []
        try:
            if kind is None:
                for work in self.info.get("at_the_end", ()):
                    work(self)
                written = self.database.commit(self)
        finally:
            kit_database._open.depth = 0
        if kind is None:
            self.database.after(self, written)

    def tables_added_to(self) -> list[Table]:
        return [self._tables[kind] for kind in self._new]

    def changed(self) -> tuple[list[tuple[Table, Any]], list[tuple[Table, Values, Any]]]:
        """Rows to add, and stored values with the rows that differ from them."""
        if not _touched and not self._new:
            return [], []
        self.flush()
        tables, loaded = self._tables, self._loaded
        added = [(tables[kind], row) for kind, rows in self._new.items() for row in rows]
        changed = [
            (tables[KINDS[type(row)]], before, row)
            for before, row in _touched
            if before != row.__dict__ and row is loaded.get(id(before))
        ]
        return added, changed


class MemoryDatabase:
    """Stands where production code says `Database`.

    Args:
        tables: what there is.
        now: plain database time.
        nudger: told after a commit, as in production.
    """

    def __init__(self, tables: Iterable[Table], *, now: Callable[[], datetime], nudger: Nudger | None = None) -> None:
        self.tables: dict[type, Table] = {table.kind: table for table in tables}
        self.versioned = [kind for kind, table in self.tables.items() if table.shape.version is not None]
        self.now = now
        self.offset_seconds = 0
        self.nudger: Nudger = nudger or SilentNudger()
        self.settings: dict[str, Any] = {}  # what never changes in a history: the merchant, its offer
        self.before_commit: Callable[[MemorySession], None] = _nothing
        self.after_commit: Callable[[list[Any]], None] = _nothing
        self.commits = 0

    def begin(self, merchant_id: UUID) -> MemorySession:
        return MemorySession(self, merchant_id)

    def begin_unbound(self) -> MemorySession:
        return MemorySession(self, None)

    def close(self) -> None:
        """There is nothing to close."""

    def as_production(self) -> Database:
        """Itself, to production code's types."""
        return cast("Database", self)

    def values(self, kind: type) -> Iterator[Values]:
        """What is stored of this class. To read only."""
        return (cell[0] for cell in self.tables[kind].cells.values())

    def value(self, kind: type, key: Hashable) -> Values:
        """What is stored under this primary key. To read only."""
        return self.tables[kind].cells[key][0]

    def rows(self, kind: type[RowT]) -> list[RowT]:
        """The same as objects that are nobody else's."""
        made = []
        for values in self.values(kind):
            row = object.__new__(kind)
            row.__dict__ = values.copy()
            made.append(row)
        return made

    def commit(self, session: MemorySession) -> list[Any]:
        """Write everything or nothing; the rows that were written, as objects that look into what is stored now.

        Raises:
            IntegrityError: a rule of the tables would be broken; nothing was written.
        """
        added, changed = session.changed()
        self.before_commit(session)
        if not added and not changed:
            return []
        claims = self._claims(added, changed)
        for table, _, row in changed:
            if table.checks:
                _require(table, row.__dict__)
        if added:
            for table, row in added:
                if table.checks:
                    _require(table, row.__dict__)
            for table in session.tables_added_to():
                if table.together:
                    _require_together(table, added)
        self.commits += 1
        for table, values, row in changed:
            if table.moving:
                for name, key_of in table.moving.items():
                    old = key_of(values)
                    if old is not None and old != key_of(row.__dict__):
                        table.taken[name].pop(old, None)
            table.cells[table.key(values)][0] = row.__dict__
            row.__class__ = table.shape.light
        if not added and not claims:
            return [row for _, _, row in changed]
        for table, row in added:
            values = row.__dict__
            if type(row) is table.shape.own:
                row.__class__ = table.shape.light
            else:
                values = values.copy()
                del values[_STATE]
            cell = table.cells[table.key(values)] = [values]
            for column, groups in table.groups.items():
                group = groups.get(values[column])
                if group is None:
                    groups[values[column]] = [cell]
                else:
                    group.append(cell)
        for table, name, key, pk in claims:
            table.taken[name][key] = table.cells[pk]
        return [row for _, row in added] + [row for _, _, row in changed]

    def after(self, session: MemorySession, written: list[Any]) -> None:
        """Committed: those who watch hear of it, then the workers are woken."""
        if written:
            self.after_commit(written)
        for task, merchant_id, row_id in session.info.get("nudges", ()):
            self.nudger.nudge(task, merchant_id, row_id)

    def _claims(
        self, added: list[tuple[Table, Any]], changed: list[tuple[Table, Values, Any]]
    ) -> list[tuple[Table, str, Hashable, Hashable]]:
        """Every unique key this transaction takes, and the primary key of who takes it; nobody else holds one."""
        claims: list[tuple[Table, str, Hashable, Hashable]] = []
        freed: set[tuple[str, int]] = set()
        for table, values, row in changed:
            for name, key_of in table.moving.items() if table.moving else ():
                old, new = key_of(values), key_of(row.__dict__)
                if old != new:
                    freed.add((name, id(values)))
                    if new is not None:
                        claims.append((table, name, new, table.key(values)))
        for table, row in added:
            values = row.__dict__
            pk = table.key(values)
            if pk in table.cells:
                raise _refused(table, "primary key")
            if table.keys:
                for name, key_of in table.keys.items():
                    new = key_of(values)
                    if new is not None:
                        claims.append((table, name, new, pk))
        if not claims:
            return claims
        seen: set[tuple[int, str, Hashable]] = set()
        for table, name, key, _ in claims:
            holder = table.taken[name].get(key)
            mark = (id(table), name, key)
            if (holder is not None and (name, id(holder[0])) not in freed) or mark in seen:
                raise _refused(table, name)
            seen.add(mark)
        return claims


def _require(table: Table, values: Values) -> None:
    for name, holds in table.checks.items():
        if not holds(values):
            raise _refused(table, name)


def _require_together(table: Table, added: list[tuple[Table, Any]]) -> None:
    rows = [row.__dict__ for one, row in added if one is table]
    for name, holds in table.together.items():
        if not holds(rows):
            raise _refused(table, name)


def _refused(table: Table, rule: str) -> IntegrityError:
    return IntegrityError(f"{table.kind.__name__}: {rule}", {}, ValueError(rule))


def _nothing(_: Any) -> None:
    return None
