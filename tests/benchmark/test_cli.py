import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from sb3_dpg.benchmark.cli import main
from sb3_dpg.benchmark.plan import load_plan
from sb3_dpg.benchmark.results import EVALUATIONS_FILE, Results
from sb3_dpg.common.errors import DEBUG_VARIABLE, ConfigurationError
from tests.benchmark.samples import TINY_PLAN, make_plan, results_of, write_results

CLONE = Path(__file__).parents[2]
Start = Callable[[Path, Path], "subprocess.Popen[str]"]


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "small.yml"
    path.write_text(TINY_PLAN)
    return path


def test_dry_run_shows_the_runs_and_runs_none(plan, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert main([str(plan), "--dry-run", "--jobs", "2", "--results", str(tmp_path / "results")]) == 0
    output = capsys.readouterr().out
    assert "4 runs, 4 missing; about 0:00:12 on one core, 0:00:06 with --jobs 2" in " ".join(output.split())
    assert "a guess" in output
    assert not (tmp_path / "results").exists()


def test_more_jobs_than_runs_take_as_long_as_a_run(plan, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    plan.write_text(plan.read_text().replace("steps: 200", "steps: 12000"))
    main([str(plan), "--dry-run", "--jobs", "64", "--results", str(tmp_path / "results")])
    assert "about 0:11:40 on one core, 0:03:20 with --jobs 64" in " ".join(capsys.readouterr().out.split())


def test_dry_run_counts_the_runs_that_would_be_reused(plan, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    small = load_plan(plan)
    write_results(tmp_path / "other", small, leave_out=lambda run: run.seed == 1)
    assert main([str(plan), "--dry-run", "--results", str(tmp_path / "new"), "--reuse", str(tmp_path / "other")]) == 0
    assert "4 runs, 2 missing" in capsys.readouterr().out


def test_dry_run_refuses_what_the_run_refuses(plan, tmp_path, capsys):
    write_results(tmp_path, load_plan(plan))
    lines = (tmp_path / EVALUATIONS_FILE).read_text().splitlines(keepends=True)
    (tmp_path / EVALUATIONS_FILE).write_text("".join(lines[:-1]))
    assert main([str(plan), "--dry-run", "--results", str(tmp_path)]) == 2
    assert "do not fit" in capsys.readouterr().err
    (tmp_path / EVALUATIONS_FILE).write_text("".join(lines))
    other = plan.with_name("other.yml")
    other.write_text(plan.read_text().replace("name: ", "name: other-", 1))
    assert main([str(other), "--dry-run", "--results", str(tmp_path)]) == 2
    assert "take another folder" in capsys.readouterr().err


def test_a_report_on_several_studies_leaves_theirs_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sb3_dpg.benchmark.analysis.statistics.REPETITIONS", 20)
    folders = [str(tmp_path / algorithm) for algorithm in ("ddpg", "td3")]
    for folder in folders:
        write_results(Path(folder), make_plan(algorithms=[Path(folder).name], environments=["Pendulum-v1"]))
    assert main(["report", *folders]) == 2
    assert "--output" in capsys.readouterr().err
    assert main(["report", *folders, "--output", str(tmp_path / "both.md")]) == 0
    assert "](both_figures/learning_curves.png)" in (tmp_path / "both.md").read_text()
    assert not list(tmp_path.glob("*/benchmark.md"))
    assert not list(tmp_path.glob("*/figures"))


def test_report_of_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sb3_dpg.benchmark.analysis.statistics.REPETITIONS", 20)
    write_results(tmp_path, make_plan(environments=["Pendulum-v1"]))
    assert main(["report", str(tmp_path), "--output", str(tmp_path / "out.md")]) == 0
    assert (tmp_path / "out.md").read_text().startswith("# study\n")
    assert "out.md" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.yml"], "no plan 'absent.yml'"),
        (["tiny", "--reuse", "absent", "--dry-run"], "--reuse absent: no results of a benchmark"),
        (["report", "absent"], "absent: no results of a benchmark"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    with pytest.raises(ConfigurationError, match="no plan"):
        main(["absent.yml"])


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_jobs_are_counted_from_1(capsys, jobs):
    with pytest.raises(SystemExit):
        main(["tiny", "--jobs", jobs])
    assert "must be an integer of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["tiny", "--job", "2", "--dryrun"], ["report", "folder", "--outputs", "x"]])
def test_an_unknown_option_is_answered_with_the_nearest_in_one_line(capsys, arguments):
    with pytest.raises(SystemExit):
        main(arguments)
    error = capsys.readouterr().err
    assert f"{arguments[-1] if arguments[0] == 'tiny' else arguments[2]} is unknown, did you mean '--" in error
    assert error.count("\n") == 1


@pytest.fixture
def start() -> Iterator[Start]:
    """Run a plan in a session of its own, as a terminal does; a test that fails leaves none behind."""
    processes: list[subprocess.Popen[str]] = []

    def begin(plan: Path, folder: Path) -> "subprocess.Popen[str]":
        processes.append(_process(plan, folder))
        return processes[-1]

    yield begin
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _process(plan: Path, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "sb3_dpg", "benchmark", str(plan), "--results", str(folder), "--jobs", "2"],
        env={**os.environ, "PYTHONPATH": str(CLONE), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell starts its background jobs with the signal ignored, which children inherit
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    output, _ = process.communicate(timeout=600)
    return process.returncode, output


@pytest.mark.slow
def test_a_study_from_start_to_end_with_a_run_that_fails(plan, tmp_path, start):
    wrapper = "env_wrapper: {gymnasium.wrappers.TimeLimit: {max_episode_steps: 50}}"
    bad = f"  bad: {{algo: ddpg, file: none, hyperparameters: {{policy: MlpPolicy, {wrapper}}}}}\n"
    plan.write_text(plan.read_text() + bad)
    code, output = end(start(plan, tmp_path / "results"))
    assert code == 1
    assert "4 of 6 runs complete (4 now), 2 failed, 0 not run" in output
    results = Results(tmp_path / "results")
    assert set(results.failures["algorithm"]) == {"bad"}
    assert len(results.evaluations) == 8


@pytest.mark.slow
def test_the_same_command_continues_an_interrupted_study(plan, tmp_path, start):
    """Studies that are killed: test_kills."""
    folder = tmp_path / "results"
    plan.write_text(plan.read_text().replace("steps: 200", "steps: 1000"))
    process = start(plan, folder)
    while not (folder / EVALUATIONS_FILE).is_file():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    # Ctrl-C: to all processes, as a terminal does
    os.killpg(process.pid, signal.SIGINT)
    code, output = end(process)
    assert code == 130, output
    assert "Interrupted: the same command continues." in output
    before = results_of(folder)
    assert 0 < before["run_id"].nunique() < 4
    code, output = end(start(plan, folder))
    assert code == 0, output
    after = results_of(folder)
    assert after["run_id"].nunique() == 4
    kept = after[after["run_id"].isin(before["run_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)
