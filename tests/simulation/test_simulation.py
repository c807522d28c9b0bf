"""A short run of the simulator, its determinism, the regressions it found, and mutants that it must notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simulation import coverage, playing
from tests.simulation.hunting import hunt
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.plan import Profile, draw
from tests.simulation.profiles import PROFILES
from tests.simulation.promises import ELSEWHERE, INVARIANTS
from tests.simulation.regressions import REGRESSIONS, Regression

ROOT = Path(__file__).resolve().parents[2]
# Half of the tests' cores; a history is some thirty milliseconds.
histories = int(os.environ.get("GROUPBOOK_SIMULATED_HISTORIES", "400"))


@pytest.mark.slow
def test_hundreds_of_histories_keep_every_promise() -> None:
    """As `./run simulate` plays them: exactly one line of JSON on stdout, and nothing red."""
    words = ["--histories", str(histories), "--seed", "100001", "--jobs", "1"]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    (line,) = ran.stdout.splitlines()
    said = json.loads(line)
    assert (ran.returncode, said["histories"], said["violations"], said["first_violation"]) == (0, histories, 0, None)
    assert said["impossible_taken"] == []
    assert set(said) >= {"seconds", "transitions_uncovered"}


def test_the_same_seed_tells_the_same_story() -> None:
    playing.quiet()
    first, _, _ = playing.play(11, is_telling=True)
    again, _, _ = playing.play(11, is_telling=True)
    assert len(first.log) > 50
    assert first.log == again.log


def test_another_seed_tells_another() -> None:
    playing.quiet()
    assert playing.play(11, is_telling=True)[0].log != playing.play(12, is_telling=True)[0].log


def test_a_muted_fault_leaves_the_others_as_they_fell() -> None:
    """Shrinking depends on it: up to the first fault that is muted, the history is the same."""
    playing.quiet()
    seed = next(seed for seed in range(1, 50) if len(playing.play(seed)[0].faults) > 5)
    whole, _, _ = playing.play(seed, is_telling=True)
    third = whole.faults[2]
    less, _, _ = playing.play(seed, muted=frozenset({third.name}), is_telling=True)
    assert [fault.name for fault in less.faults[:2]] == [fault.name for fault in whole.faults[:2]]
    assert third.name not in {fault.name for fault in less.faults}
    assert [line for line in less.log if line.at < third.at] == [line for line in whole.log if line.at < third.at]


@pytest.mark.parametrize("found", REGRESSIONS, ids=lambda found: found.what)
def test_what_was_found_stays_mended(found: Regression) -> None:
    """And would be found again: with its bug brought back, the same history breaks the promise it broke."""
    playing.quiet()
    _, _, violation = playing.play(found.seed, profile=found.profile)
    assert violation is None, str(violation)
    with found.brought_back():
        _, _, violation = playing.play(found.seed, profile=found.profile)
    assert violation is not None
    assert violation.invariant == found.promise


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_rule_is_noticed(mutant: Mutant) -> None:
    """All of them, each aimed at its rule: most within ten histories, none past its limit. Then all is as it was."""
    before = {name: getattr(module, table) for name, (module, table) in coverage.MACHINES.items()}
    assert hunt(mutant).promise in INVARIANTS
    assert all(getattr(module, table) is before[name] for name, (module, table) in coverage.MACHINES.items())


class Asked(dict[str, float]):
    """Odds that remember which names were looked up."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return default


def test_odds_are_odds_that_a_plan_looks_up() -> None:
    """A misspelt name would leave a mutant, a corner or a pinned history to chance."""
    asked = Asked()
    for seed in range(1, 30):
        draw(seed, Profile("asking", asked))
    used = {name for mutant in MUTANTS for name, _ in mutant.rates}
    used |= {name for profile in (*PROFILES, *(one.profile for one in REGRESSIONS)) for name in profile.rates}
    assert used - asked.names == set()


def test_there_are_enough_mutants() -> None:
    """The sixteen of the reference and at least fourteen more, each with the rule it leaves out."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert sum("4.4 #" in mutant.rule for mutant in MUTANTS) == 16
    assert len(MUTANTS) >= 30
    assert all(mutant.rule for mutant in MUTANTS)


def test_every_promise_is_watched_or_said_to_be_elsewhere() -> None:
    watched = " ".join(INVARIANTS)
    for promise in ("P1", "P2", "P3", "P4", "P5", *(f"I{n}" for n in range(1, 14)), "I17"):
        assert promise in watched
    assert {"C3", "C4", "C5", "C8", "I15", "I16"} <= set(ELSEWHERE)


def test_counting_transitions_changes_no_machine() -> None:
    before = {name: dict(getattr(module, table)) for name, (module, table) in coverage.MACHINES.items()}
    coverage.install()
    assert before == {name: dict(getattr(module, table)) for name, (module, table) in coverage.MACHINES.items()}
