import pandas as pd
import pytest

from sb3_dpg.benchmark.results import (
    EVALUATIONS_FILE,
    PLAN_FILE,
    Results,
    error_line,
    plan_to_yaml,
    read_evaluations,
    read_plan,
)
from sb3_dpg.common.errors import ConfigurationError
from tests.benchmark.samples import make_plan, make_records, write_results


def test_what_is_read_is_what_was_added(tmp_path):
    plan = make_plan()
    write_results(tmp_path, plan)
    table = Results(tmp_path).evaluations
    assert len(table) == len(plan.runs) * 4
    for run in plan.runs:
        rows = table[table["run_id"] == run.id]
        records = make_records(run)
        assert rows["returns"].tolist() == [record["returns"] for record in records], "to the last digit"
        assert rows["step"].tolist() == [25, 50, 75, 100]
        assert rows["mean_return"].tolist() == pytest.approx([sum(record["returns"]) / 2 for record in records])
        assert set(rows["algorithm"]) == {run.configuration.algorithm}
        assert set(rows["git_commit"]) == {"123456789012"}, "a text, though it looks like a number"


def test_the_file_does_not_depend_on_the_order_of_completion(tmp_path):
    plan = make_plan(seeds=(2, 10))
    write_results(tmp_path / "a", plan)
    results = Results(tmp_path / "b")
    for run in reversed(plan.runs):
        results.add(run, make_records(run))
        results = Results(tmp_path / "b")
    assert (tmp_path / "a" / EVALUATIONS_FILE).read_bytes() == (tmp_path / "b" / EVALUATIONS_FILE).read_bytes()


def test_missing_runs(tmp_path):
    plan = make_plan()
    results = write_results(tmp_path, plan, leave_out=lambda run: run.seed == 1)
    assert results.missing(plan) == [run for run in plan.runs if run.seed == 1]


def test_a_run_is_never_there_twice(tmp_path):
    plan = make_plan()
    results = write_results(tmp_path, plan)
    with pytest.raises(AssertionError, match="is there already"):
        results.add(plan.runs[0], make_records(plan.runs[0]))
    path = tmp_path / EVALUATIONS_FILE
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[-1]]))
    with pytest.raises(ConfigurationError, match="twice"):
        read_evaluations(path)


def test_a_failure_is_kept_until_the_run_is_complete(tmp_path):
    plan = make_plan()
    run = plan.runs[0]
    results = Results(tmp_path)
    results.fail(run, "Traceback: \n  a line\nMemoryError: no memory, really\n")
    results.fail(run, 'Traceback: \n  "again", it said\nOSError: disk\n')
    (failure,) = Results(tmp_path).failures.to_dict("records")
    assert failure["run_id"] == run.id
    assert failure["error"] == "OSError: disk"
    assert failure["traceback"] == 'Traceback: \n  "again", it said\nOSError: disk'
    assert run in results.missing(plan)
    results.fail(run, "ValueError: a progress bar\rand what it said")
    assert Results(tmp_path).failures["traceback"].tolist() == ["ValueError: a progress bar\nand what it said"]
    results.add(run, make_records(run))
    assert Results(tmp_path).failures.empty


MULTILINE = """Traceback (most recent call last):
  File "a.py", line 1, in load
    raise KeyError("x")
KeyError: 'x'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    load()
RuntimeError: Error(s) in loading state_dict:
\tMissing key(s): "x"
Ask somebody.
"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MULTILINE, "RuntimeError: Error(s) in loading state_dict:"),
        ("ValueError: of another process:\nTraceback (most recent call last):\n  cut off", "  cut off"),
        ("the worker process was killed by SIGKILL", "the worker process was killed by SIGKILL"),
    ],
)
def test_the_line_that_names_an_error(error, line):
    assert error_line(error) == line


def test_runs_of_another_folder_are_reused_under_the_name_they_have_here(tmp_path):
    other = make_plan(algorithms=("bnddpg", "ddpg"))
    write_results(tmp_path / "other", other, leave_out=lambda run: run.seed == 2)
    plan = make_plan(algorithms=("ddpg", "td3"))
    results = write_results(
        tmp_path / "new", plan, leave_out=lambda run: run.configuration.algorithm == "ddpg" or run.seed > 0
    )
    assert results.reuse(Results(tmp_path / "other"), plan) == 4, "2 seeds in 2 environments"
    assert results.reuse(Results(tmp_path / "other"), plan) == 0
    table = Results(tmp_path / "new").evaluations
    reused = table[table["algorithm"] == "ddpg"]
    assert set(zip(reused["environment"], reused["seed"], strict=True)) == {
        (environment, seed) for environment in ("Pendulum-v1", "Hopper-v5") for seed in (0, 1)
    }


def test_runs_of_which_another_folder_has_a_part_are_not_reused(tmp_path):
    plan = make_plan()
    write_results(tmp_path / "other", plan)
    path = tmp_path / "other" / "evaluations.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    results = Results(tmp_path / "new")
    with pytest.raises(ConfigurationError, match=f"^{tmp_path / 'other'}: the results of .* do not fit"):
        results.reuse(Results(tmp_path / "other"), plan)
    assert len(results.missing(plan)) == len(plan.runs)


def test_the_plan_comes_back_from_the_results_folder(tmp_path):
    plan = make_plan()
    Results(tmp_path).write_plan(plan)
    assert read_plan(tmp_path) == plan


def test_errors_name_the_file(tmp_path):
    with pytest.raises(ConfigurationError, match=f"no results of a benchmark .{PLAN_FILE}"):
        read_plan(tmp_path)
    (tmp_path / PLAN_FILE).write_text("name: x")
    with pytest.raises(ConfigurationError, match=PLAN_FILE):
        read_plan(tmp_path)
    for content in (b"\xff", 1000 * b"["):
        (tmp_path / PLAN_FILE).write_bytes(content)
        with pytest.raises(ConfigurationError, match=PLAN_FILE):
            read_plan(tmp_path)
    for name, message in (("2026-11-28", "name=.* must be a text"), ("2026-99-28", "month must be in")):
        (tmp_path / PLAN_FILE).write_text(plan_to_yaml(make_plan()).replace("name: study", f"name: {name}"))
        with pytest.raises(ConfigurationError, match=f"{PLAN_FILE}: .*{message}"):
            read_plan(tmp_path)
    pd.DataFrame({"run_id": ["a"]}).to_csv(tmp_path / EVALUATIONS_FILE)
    with pytest.raises(ConfigurationError, match="columns algorithm, "):
        Results(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-80],
        lambda content: content.replace(b"200 200", b"200.0 200.0"),
        lambda content: content.replace(b",0.25,", b",?,", 1),
    ],
)
def test_a_file_that_was_cut_off_or_edited_is_named(tmp_path, damage):
    write_results(tmp_path, make_plan())
    path = tmp_path / EVALUATIONS_FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ConfigurationError, match=r"evaluations\.csv: cannot be read"):
        Results(tmp_path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    plan = make_plan()
    results = write_results(tmp_path, plan, leave_out=lambda run: run.seed > 0)
    before = (tmp_path / EVALUATIONS_FILE).read_bytes()

    def power_cut(*_: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr("os.replace", power_cut)
    run = results.missing(plan)[0]
    with pytest.raises(OSError, match="power cut"):
        results.add(run, make_records(run))
    assert (tmp_path / EVALUATIONS_FILE).read_bytes() == before
    assert run in Results(tmp_path).missing(plan)
