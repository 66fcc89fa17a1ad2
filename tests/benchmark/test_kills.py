"""Studies killed again and again, by SIGKILL and SIGTERM: nothing is lost, nothing counted twice."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock
from rich.console import Console

from sb3_dpg.benchmark.configuration import Plan
from sb3_dpg.benchmark.engine import LocalEngine
from sb3_dpg.benchmark.plan import load_plan
from sb3_dpg.benchmark.results import Results
from sb3_dpg.benchmark.run import LOCK_FILE, run_plan
from tests.benchmark.samples import TINY_PLAN, FakeEngine, make_plan, results_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")
CLONE = Path(__file__).parents[2]
Study = Callable[[Path], object]


@pytest.fixture
def console() -> Console:
    return Console(quiet=True)


@pytest.fixture
def tiny_plan(tmp_path: Path) -> Plan:
    (tmp_path / "plan.yml").write_text(TINY_PLAN)
    return load_plan(tmp_path / "plan.yml")


def begin(study: Study, folder: Path) -> int:
    """Direct a study from a process of its own, forked: it need not import anything."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            study(folder)
            code = 0
        finally:
            os._exit(code)
    return child


def end_of(child: int) -> int | None:
    """The exit code of a child; None if it was killed."""
    status = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def check_kills(plan: Plan, study: Study, folder: Path, n_kills: int) -> None:
    """
    Kill a study at random moments at which an unbroken one would still be running; once complete, begin another.

    It takes no longer than ``n_kills + 2`` unbroken studies and the studies that were complete before they would be killed.

    :param plan: The plan
    :param study: Runs it, from its results folder
    :param folder: Where the results folders are made
    :param n_kills: How often it is killed
    """
    started = time.monotonic()
    assert end_of(begin(study, folder / "unbroken")) == 0
    duration = time.monotonic() - started
    unbroken = results_of(folder / "unbroken")
    assert set(unbroken["run_id"]) == {run.id for run in plan.runs}
    moments = random.Random(0)
    kills = studies = 0
    left = []
    while kills < n_kills:
        studies += 1
        killed = folder / f"killed-{studies}"
        while kills < n_kills and Results(killed).missing(plan):
            child = begin(study, killed)
            time.sleep(moments.uniform(0.0, duration))
            os.kill(child, moments.choice([signal.SIGKILL, signal.SIGTERM]))
            code = end_of(child)
            assert code in (None, 0)
            kills += code is None
            # A forked worker holds the lock as well: it follows the process that directed it
            with FileLock(killed / LOCK_FILE, timeout=60):
                left.append(len(Results(killed).missing(plan)))
        assert end_of(begin(study, killed)) == 0
        pd.testing.assert_frame_equal(results_of(killed), unbroken)
    assert any(0 < n_missing < len(plan.runs) for n_missing in left), "no kill fell into the middle of a study"


@pytest.mark.slow
def test_while_results_are_written(tmp_path: Path, console: Console) -> None:
    plan = make_plan()
    check_kills(plan, lambda folder: run_plan(plan, folder, FakeEngine(), console), tmp_path, n_kills=20)


@pytest.mark.slow
def test_while_local_processes_train(tmp_path: Path, console: Console, tiny_plan: Plan) -> None:
    def study(folder: Path) -> None:
        engine = LocalEngine(jobs=2)
        # What is imported here need not be imported again in each worker
        engine._context = multiprocessing.get_context("fork")
        run_plan(tiny_plan, folder, engine, console)

    check_kills(tiny_plan, study, tmp_path, n_kills=10)
