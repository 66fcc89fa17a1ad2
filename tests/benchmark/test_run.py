import multiprocessing
import os
import random
import signal
import sys
import time

import pandas as pd
import pytest
from filelock import FileLock
from rich.console import Console

from sb3_dpg.benchmark.engines.base import Ended
from sb3_dpg.benchmark.engines.local import LocalEngine
from sb3_dpg.benchmark.plan import load_plan
from sb3_dpg.benchmark.results import Results
from sb3_dpg.benchmark.run import LOCK_FILE, Summary, run_study
from sb3_dpg.zoo.errors import ConfigurationError
from tests.benchmark.studies import CIRCUMSTANCES, TINY_PLAN, FakeEngine, make_plan, make_records, write_study


@pytest.fixture
def console():
    return Console(quiet=True)


def test_a_study_runs_just_what_is_missing(tmp_path, console):
    plan = make_plan()
    write_study(tmp_path, plan, leave_out=lambda run: run.seed == 1)
    engine = FakeEngine()
    assert run_study(plan, tmp_path, engine, console) == Summary(before=8, completed=4)
    assert engine.executed == [run.id for run in plan.runs if run.seed == 1]
    assert not Results(tmp_path).missing(plan)


def test_a_run_that_fails_does_not_stop_the_others_and_is_tried_again(tmp_path, console):
    plan = make_plan()
    bad = plan.runs[1]

    def outcome(run):
        return Ended(run, error="Traceback\nValueError: bad luck") if run == bad else Ended(run, records=make_records(run))

    assert run_study(plan, tmp_path, FakeEngine(outcome), console) == Summary(before=0, completed=11, failed=1)
    assert Results(tmp_path).failures["error"].tolist() == ["ValueError: bad luck"]
    assert run_study(plan, tmp_path, FakeEngine(), console) == Summary(before=11, completed=1)
    assert Results(tmp_path).failures.empty


def test_ctrl_c_keeps_what_is_complete_and_stops_the_engine(tmp_path, console):
    plan = make_plan()
    stopped = []

    class Engine(FakeEngine):
        def execute(self, runs):
            try:
                yield from super().execute(runs)
            finally:
                stopped.append(True)

    def outcome(run):
        if run == plan.runs[3]:
            raise KeyboardInterrupt
        return Ended(run, records=make_records(run))

    assert run_study(plan, tmp_path, Engine(outcome), console) == Summary(before=0, completed=3, left=9)
    assert stopped == [True]
    assert Results(tmp_path).missing(plan) == plan.runs[3:]


def test_two_processes_do_not_share_a_results_folder(tmp_path, console):
    with FileLock(tmp_path / LOCK_FILE), pytest.raises(ConfigurationError, match="another process"):
        run_study(make_plan(), tmp_path, FakeEngine(), console)


def check_twenty_kills(plan, study, folder):
    """
    Kill a study twenty times, at moments at which an unbroken one would still be running; once complete, begin another.

    :param plan: The plan
    :param study: Runs it, from its results folder
    :param folder: Where the results folders are made
    """
    started = time.monotonic()
    study(folder / "unbroken")
    duration = time.monotonic() - started
    unbroken = Results(folder / "unbroken").evaluations.drop(columns=CIRCUMSTANCES)
    assert set(unbroken["run_id"]) == {run.id for run in plan.runs}
    moments = random.Random(0)
    kills = studies = 0
    while kills < 20:
        studies += 1
        killed = folder / f"killed-{studies}"
        while Results(killed).missing(plan):
            child = os.fork()
            if child == 0:
                study(killed)
                os._exit(0)
            time.sleep(moments.uniform(0.0, duration))
            os.kill(child, signal.SIGKILL)
            kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        pd.testing.assert_frame_equal(Results(killed).evaluations.drop(columns=CIRCUMSTANCES), unbroken)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_killed_while_results_are_written_the_table_equals_that_of_an_unbroken_study(tmp_path, console):
    plan = make_plan()
    check_twenty_kills(plan, lambda folder: run_study(plan, folder, FakeEngine(), console), tmp_path)


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_killed_while_training_the_table_equals_that_of_an_unbroken_study(tmp_path, console):
    (tmp_path / "plan.yml").write_text(TINY_PLAN)
    plan = load_plan(tmp_path / "plan.yml")

    def study(folder):
        engine = LocalEngine(jobs=2)
        # What is imported here need not be imported again in each worker
        engine._context = multiprocessing.get_context("fork")
        run_study(plan, folder, engine, console)

    check_twenty_kills(plan, study, tmp_path)
