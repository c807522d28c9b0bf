"""The peers in processes of their own, in an environment of their own: numbers in, totals and times out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.discounts.programs import Program
from groupbook.kit.errors import InvariantBroken

ENVIRONMENT: Final = Path(sys.prefix) / "peers"  # made by `./run bench discounts` from requirements/bench.lock
SECONDS_MAX: Final = 10.0
RUNS: Final = 3
PATIENCE_SECONDS: Final = 0.1  # a solver that takes longer is run once


@dataclass(frozen=True)
class Run:
    """One solver's answer to one party, and the median of its runs."""

    total: int | None
    proven: bool
    seconds: float
    cpu_seconds: float

    @classmethod
    def of(cls, total: int | None, proven: bool, seconds: list[float], cpu: list[float]) -> Run:
        return cls(total, proven, median(seconds), median(cpu))


class Solver:
    """A peer's process: started with `with`, asked one programme at a time."""

    def __init__(self, kind: str) -> None:
        python = ENVIRONMENT / "bin/python"
        if not python.exists():
            raise SystemExit("the peers are not installed: start this with ./run bench discounts")
        script = Path(__file__).with_name("solvers.py")
        self._process = subprocess.Popen(
            [str(python), str(script), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        asked, answers = self._process.stdin, self._process.stdout
        if asked is None or answers is None:
            raise InvariantBroken(peer=kind)
        self._asked, self._answers = asked, answers
        self.name: str = self._read()["name"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()

    def solve(self, program: Program) -> Run:
        asked = {"program": asdict(program), "seconds_max": SECONDS_MAX, "runs": RUNS, "patience": PATIENCE_SECONDS}
        self._asked.write(json.dumps(asked) + "\n")
        self._asked.flush()
        answer = self._read()
        return Run.of(answer["total"], answer["proven"], answer["seconds"], answer["cpu"])

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise InvariantBroken(ended=self._process.poll())
        read: dict[str, Any] = json.loads(line)
        return read
