import dataclasses
import io

import pandas as pd
import pytest
from filelock import FileLock
from rich.console import Console

from sb3_dpg.benchmark.engine import Ended
from sb3_dpg.benchmark.results import EVALUATIONS_FILE, Results
from sb3_dpg.benchmark.run import LOCK_FILE, Summary, run_plan
from sb3_dpg.common.errors import ConfigurationError
from tests.benchmark.samples import FakeEngine, make_plan, make_records, write_results


@pytest.fixture
def console():
    return Console(quiet=True)


def test_a_study_runs_just_what_is_missing(tmp_path, console):
    plan = make_plan()
    write_results(tmp_path, plan, leave_out=lambda run: run.seed == 1)
    engine = FakeEngine()
    assert run_plan(plan, tmp_path, engine, console) == Summary(before=8, completed=4)
    assert engine.executed == [run.id for run in plan.runs if run.seed == 1]
    assert not Results(tmp_path).missing(plan)


def test_a_run_that_fails_does_not_stop_the_others_and_is_tried_again(tmp_path, console):
    plan = make_plan()
    bad = plan.runs[1]

    def outcome(run):
        return Ended(run, error="Traceback\nValueError: bad luck") if run == bad else Ended(run, records=make_records(run))

    assert run_plan(plan, tmp_path, FakeEngine(outcome), console) == Summary(before=0, completed=11, failed=1)
    assert Results(tmp_path).failures["error"].tolist() == ["ValueError: bad luck"]
    assert run_plan(plan, tmp_path, FakeEngine(), console) == Summary(before=11, completed=1)
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

    assert run_plan(plan, tmp_path, Engine(outcome), console) == Summary(before=0, completed=3, left=9)
    assert stopped == [True]
    assert Results(tmp_path).missing(plan) == plan.runs[3:]


def test_ctrl_c_while_the_last_run_is_written_does_not_count_it(tmp_path, console, monkeypatch):
    plan = make_plan(algorithms=["ddpg"], environments=["Pendulum-v1"], seeds=[0])

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Results, "add", interrupted)
    assert run_plan(plan, tmp_path, FakeEngine(), console) == Summary(before=0, left=1)


def test_what_a_killed_process_left_half_written_is_removed(tmp_path, console):
    (tmp_path / ".evaluations.csv.123.tmp").write_text("half")
    run_plan(make_plan(), tmp_path, FakeEngine(), console)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_renamed_algorithm_has_one_name_in_all_its_results(tmp_path, console):
    plan = make_plan(algorithms=["old", "other"], seeds=[0])
    write_results(tmp_path, plan)
    renamed = [
        dataclasses.replace(configuration, algorithm={"old": "z", "other": "other"}[configuration.algorithm])
        for configuration in plan.configurations
    ]
    plan = dataclasses.replace(plan, configurations=tuple(renamed), seeds=(0, 1))
    assert run_plan(plan, tmp_path, FakeEngine(), console) == Summary(before=4, completed=4)
    write_results(tmp_path / "from the start", plan)
    pd.testing.assert_frame_equal(Results(tmp_path).evaluations, Results(tmp_path / "from the start").evaluations)


def test_a_failure_is_forgotten_when_its_run_is_adopted_or_was_completed_before_a_kill(tmp_path, console):
    plan = make_plan(seeds=[0])
    write_results(tmp_path / "other", plan)
    results = write_results(tmp_path / "new", plan, leave_out=lambda run: run != plan.runs[0])
    for run in plan.runs[:2]:
        results.fail(run, "MemoryError")
    run_plan(plan, tmp_path / "new", FakeEngine(), console, [tmp_path / "other"])
    assert Results(tmp_path / "new").failures.empty


def test_results_of_another_plan_are_not_mixed_with(tmp_path, console):
    run_plan(make_plan(), tmp_path, FakeEngine(), console)
    before = (tmp_path / "study.yml").read_text()
    other = dataclasses.replace(make_plan(), name="other")
    with pytest.raises(ConfigurationError, match=r"it has the results of the plan '.*', not of 'other'; take another folder"):
        run_plan(other, tmp_path, FakeEngine(), console)
    assert (tmp_path / "study.yml").read_text() == before


def test_a_run_whose_evaluations_are_cut_off_is_named(tmp_path, console):
    plan = make_plan()
    run_plan(plan, tmp_path, FakeEngine(), console)
    table = tmp_path / "evaluations.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(
        ConfigurationError, match=r"of .*, seed 2 do not fit .*: delete the lines of evaluations\.csv that begin"
    ):
        run_plan(plan, tmp_path, FakeEngine(), console)


def test_a_folder_that_cannot_be_used_is_refused_before_anything_is_run(tmp_path, console):
    plan = make_plan()
    engine = FakeEngine()
    with pytest.raises(ConfigurationError, match=r"--reuse .*misspelt: no results of a benchmark"):
        run_plan(plan, tmp_path / "new", engine, console, [tmp_path / "misspelt"])
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file: no results can be written here"):
        run_plan(plan, tmp_path / "file", engine, console)
    assert engine.executed == []


def test_brackets_in_names_and_paths_are_text(tmp_path):
    plan = dataclasses.replace(make_plan(seeds=[0]), name="name [/b]")
    write_results(tmp_path / "path [/c]", plan, leave_out=lambda run: run != plan.runs[0])
    console = Console(file=io.StringIO(), force_terminal=True, width=300)
    run_plan(plan, tmp_path / "new", FakeEngine(), console, [tmp_path / "path [/c]"])
    output = console.file.getvalue()
    assert "name [/b]" in output
    assert "path [/c]" in output


def test_a_study_that_failed_leaves_its_folder_to_the_next(tmp_path, console):
    (tmp_path / EVALUATIONS_FILE).write_text("damaged")
    # As in a notebook, the first error is still at hand
    with pytest.raises(ConfigurationError, match="no table of results") as error:
        run_plan(make_plan(), tmp_path, FakeEngine(), console)
    (tmp_path / EVALUATIONS_FILE).unlink()
    plan = make_plan(seeds=[0])
    assert run_plan(plan, tmp_path, FakeEngine(), console).completed == len(plan.runs)
    assert error.tb is not None


def test_two_processes_do_not_share_a_results_folder(tmp_path, console):
    with FileLock(tmp_path / LOCK_FILE), pytest.raises(ConfigurationError, match="another process"):
        run_plan(make_plan(), tmp_path, FakeEngine(), console)
