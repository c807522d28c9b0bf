"""A solver in a process of its own: programmes come in as JSON lines, totals and times go out.

Started as a file in the peers' environment, so it knows nothing of groupbook. highspy and ortools cannot be loaded
into one process (google/or-tools issue 5246). What is timed is building the solver's model from arrays and solving it;
reading the JSON is not. `python solvers.py highs|cpsat`
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from time import perf_counter, process_time
from typing import Any

Answer = tuple[float, bool, int]  # total, proven, nodes


def highs() -> tuple[str, Callable[[dict[str, Any], float], Callable[[], Answer]]]:
    import numpy as np

    highspy: Any = import_module("highspy")  # half of it is typed

    def prepare(program: dict[str, Any], seconds_max: float) -> Callable[[], Answer]:
        cost = np.array(program["cost"], dtype=np.double)
        most = np.array(program["most"], dtype=np.double)
        lower = np.array([-np.inf if one is None else one for one in program["lower"]], dtype=np.double)
        upper = np.array([np.inf if one is None else one for one in program["upper"]], dtype=np.double)
        starts = np.array(program["starts"], dtype=np.int32)
        columns = np.array(program["columns"], dtype=np.int32)
        values = np.array(program["values"], dtype=np.double)
        whole = np.ones(len(cost), dtype=np.int32)

        def solve() -> Answer:
            solver = highspy.Highs()
            for name, value in (("output_flag", False), ("time_limit", seconds_max), ("mip_rel_gap", 0.0)):
                solver.setOptionValue(name, value)
            solver.setOptionValue("mip_abs_gap", 0.99)  # all totals are whole: less than one apart is equal
            solver.passModel(
                len(cost), len(lower), len(values), int(highspy.MatrixFormat.kRowwise),
                int(highspy.ObjSense.kMinimize), 0.0, cost, np.zeros(len(cost)), most, lower, upper,
                starts[:-1], columns, values, whole,
            )  # fmt: skip
            solver.run()
            info = solver.getInfo()
            proven = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
            return info.objective_function_value, proven, int(info.mip_node_count)

        return solve

    return f"HiGHS {highspy.Highs().version()}", prepare


def cpsat() -> tuple[str, Callable[[dict[str, Any], float], Callable[[], Answer]]]:
    import ortools
    from ortools.sat.python import cp_model

    def prepare(program: dict[str, Any], seconds_max: float) -> Callable[[], Answer]:
        starts, columns, values = program["starts"], program["columns"], program["values"]

        def solve() -> Answer:
            model = cp_model.CpModel()
            counts = [model.new_int_var(0, most, "") for most in program["most"]]
            for at, (lower, upper) in enumerate(zip(program["lower"], program["upper"], strict=True)):
                row = range(starts[at], starts[at + 1])
                terms = cp_model.LinearExpr.weighted_sum(
                    [counts[columns[one]] for one in row], [values[one] for one in row]
                )
                least = cp_model.INT32_MIN if lower is None else lower
                model.add_linear_constraint(terms, least, cp_model.INT32_MAX if upper is None else upper)
            model.minimize(cp_model.LinearExpr.weighted_sum(counts, program["cost"]))
            solver = cp_model.CpSolver()
            solver.parameters.num_workers = 1
            solver.parameters.max_time_in_seconds = seconds_max
            status = solver.solve(model)
            return solver.objective_value, status == cp_model.OPTIMAL, solver.num_branches

        return solve

    return f"CP-SAT {ortools.__version__}", prepare


def main() -> None:
    name, prepare = {"highs": highs, "cpsat": cpsat}[sys.argv[1]]()
    print(json.dumps({"name": name}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        solve = prepare(asked["program"], asked["seconds_max"])
        seconds: list[float] = []
        cpu: list[float] = []
        while not seconds or (len(seconds) < asked["runs"] and sum(seconds) < asked["patience"]):
            started, used = perf_counter(), process_time()
            total, proven, nodes = solve()
            seconds.append(perf_counter() - started)
            cpu.append(process_time() - used)
        answer = {"total": round(total), "proven": proven, "nodes": nodes, "seconds": seconds, "cpu": cpu}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
