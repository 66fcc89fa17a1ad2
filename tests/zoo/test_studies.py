"""Studies that several processes share: no trial is lost with one of them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.zoo import studies
from sb3_dpg.zoo.studies import MAX_RETRIES, SharedStudy, heartbeat_storage, make_shared_study, storage_url
from tests.zoo.entries import tiny_entry

# Trials are asked for by hand here, to be abandoned
pytestmark = pytest.mark.filterwarnings(
    "ignore:Heartbeat of storage is supposed to be used", "ignore:.*retry_history", "ignore:.*fail_stale"
)

STORAGE = "sqlite:///study.db"


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def new_study(heartbeat: int = 1) -> SharedStudy:
    """A study in a database, created or joined."""
    make = make_shared_study(objective, heartbeat, None, {})
    sampler = optuna.samplers.RandomSampler(seed=0)
    return make(storage=STORAGE, study_name="s", direction="maximize", load_if_exists=True, sampler=sampler)


def abandoned_trial(study: SharedStudy) -> int:
    """A trial of a process that died at work."""
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
    return trial.number


def objective(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 0, 1)


def assert_done_again(trials: list[FrozenTrial]) -> None:
    """What was given up with a process has been completed by another, with the parameters that it had by then."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    for lost in (trial for trial in trials if trial.state == TrialState.FAIL):
        heirs = [trial for trial in complete if lost.number in RetryHeartbeatStaleTrialCallback.retry_history(trial)]
        assert len(heirs) == 1
        assert lost.params.items() <= heirs[0].params.items()


def test_a_trial_whose_process_died_is_run_again() -> None:
    study = new_study()
    lost = abandoned_trial(study)
    study.optimize(objective, n_trials=2)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.COMPLETE) == 3
    assert states.count(TrialState.FAIL) == 1
    assert study.trials[lost].params
    assert_done_again(study.trials)


@pytest.mark.slow
def test_a_trial_that_died_before_it_had_all_its_parameters() -> None:
    study = new_study()
    lost = abandoned_trial(study)
    study.optimize(lambda trial: objective(trial) + trial.suggest_float("y", 0, 1), n_trials=1)
    assert set(study.trials[lost].params) == {"x"}
    assert [set(trial.params) for trial in study.trials if trial.state == TrialState.COMPLETE] == [{"x", "y"}] * 2
    assert_done_again(study.trials)


def test_a_trial_that_kills_its_processes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    study = new_study()
    for _ in range(MAX_RETRIES + 1):
        abandoned_trial(study)
        with monkeypatch.context() as later:
            # As if nothing had left a sign of life for long
            later.setattr(study._storage._backend, "grace_period", -1000)  # type: ignore[attr-defined]
            fail_stale_trials(study)
    # The same parameters each time, and not once more
    failed = [TrialState.FAIL] * (MAX_RETRIES + 1)
    assert [trial.state for trial in study.trials] == failed
    assert len({trial.params["x"] for trial in study.trials}) == 1
    study.optimize(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == [*failed, TrialState.COMPLETE, TrialState.COMPLETE]


def test_a_living_trial_is_waited_for_and_not_run_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    study = new_study(heartbeat=1000)
    running = abandoned_trial(study)
    waits = []

    def finish(seconds: float) -> None:
        waits.append(seconds)
        study.tell(running, 1.0)

    monkeypatch.setattr(studies.time, "sleep", finish)
    study.optimize(objective, n_trials=1)
    assert len(waits) == 1
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2


def test_a_trial_whose_process_died_before_its_first_sign_of_life_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    study = new_study()
    lost = study.ask().number
    waits = []

    def pass_time(seconds: float) -> None:
        waits.append(seconds)
        assert len(waits) < 3, "it waits for ever"
        monkeypatch.setattr(study._storage._backend, "grace_period", -1000)  # type: ignore[attr-defined]

    monkeypatch.setattr(studies.time, "sleep", pass_time)
    study.optimize(objective, n_trials=1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert RetryHeartbeatStaleTrialCallback.retry_history(study.trials[2]) == [lost]


def test_interrupted_while_it_waits_a_process_leaves_the_trials_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned_trial(new_study(heartbeat=1000))

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(studies.time, "sleep", interrupt)
    make = make_shared_study(objective, 1000, max_total_trials=1, subject={})
    study = make(storage=STORAGE, study_name="s", direction="maximize", load_if_exists=True)
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]


def test_a_study_is_of_one_algorithm_and_environment() -> None:
    subject = {"algo": "bnddpg", "env": "Pendulum-v1"}
    arguments = {"storage": STORAGE, "study_name": "s", "load_if_exists": True}
    for _ in range(2):
        make_shared_study(objective, 1, None, subject)(**arguments)
    for other, message in (({"algo": "td3"}, "is of --algo bnddpg, not of td3"), ({"env": "Hopper-v5"}, "--env Pendulum-v1")):
        with pytest.raises(ConfigurationError, match=message):
            make_shared_study(objective, 1, None, {**subject, **other})(**arguments)


def test_processes_may_begin_a_study_at_the_same_moment(tmp_path: Path) -> None:
    """Optuna makes the tables of a new database without a lock."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [context.Process(target=_open_storage, args=(barrier, f"sqlite:///{tmp_path}/new.db")) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]


def _open_storage(barrier: Any, url: str) -> None:
    barrier.wait(60)
    heartbeat_storage(url)


def test_a_database_without_its_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ImportError("No module named 'psycopg2'")

    monkeypatch.setattr(studies, "heartbeat_storage", fail)
    with pytest.raises(ConfigurationError, match=r"--storage postgresql://.*driver .*psycopg2"):
        make_shared_study(objective, 1, None, {})(storage="postgresql://me@host/base")


@pytest.mark.slow
def test_all_trials_counted_but_one_of_a_dead_process_is_run_again() -> None:
    """rl-zoo3 does not optimise at all then."""
    lost = abandoned_trial(new_study())
    study = make_shared_study(objective, 1, max_total_trials=1, subject={})(
        storage=STORAGE, study_name="s", load_if_exists=True
    )
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert study.trials[lost].params == study.trials[1].params


def test_an_sqlite_file_may_be_named_by_its_path() -> None:
    assert storage_url("logs/hopper.db") == "sqlite:///logs/hopper.db"
    assert storage_url("/data/hopper.db") == "sqlite:////data/hopper.db"
    for storage in (None, "study.log", "mysql://somewhere/hopper.db"):
        assert storage_url(storage) == storage
    heartbeat_storage("sqlite:///new/folder/hopper.db")
    assert Path("new/folder/hopper.db").is_file()


def search_command(config: Path, n_trials: int) -> list[str]:
    options = ["--algo", "bnddpg", "--env", "Pendulum-v1", "-conf", str(config), "--optimize", "--storage", "study.db"]
    more = ["--study-name", "s", "--max-total-trials", str(n_trials), "--n-evaluations", "2", "--eval-episodes", "1"]
    last = ["--no-optim-plots", "--heartbeat", "1", "--num-threads", "1", "--sampler", "random", "--pruner", "none"]
    return [*options, *more, *last]


@pytest.mark.slow
def test_six_trials_of_two_processes_one_killed(installed: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump({"Pendulum-v1": tiny_entry("bnddpg", n_timesteps=400)}))
    command = [sys.executable, "-m", "sb3_dpg", "train", *search_command(config, 6)]
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "OMP_NUM_THREADS": "1"}
    victim = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_a_running_trial()
    survivor = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for_a_running_trial(finished=1)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    output = survivor.communicate()[0].decode()
    assert survivor.returncode == 0, output
    trials = new_study().trials
    states = [trial.state for trial in trials]
    # A process may take a new trial while another takes the one that was queued again
    assert states.count(TrialState.COMPLETE) in (6, 7)
    assert TrialState.RUNNING not in states
    assert TrialState.WAITING not in states
    assert_done_again(trials)


def wait_for_a_running_trial(finished: int = 0, seconds: float = 120) -> None:
    """Until the study has a running trial, and some that are complete."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            states = [trial.state for trial in optuna.load_study(study_name="s", storage=STORAGE).trials]
        except Exception:
            states = []
        if TrialState.RUNNING in states and states.count(TrialState.COMPLETE) >= finished:
            return
        time.sleep(0.1)
    raise TimeoutError(f"no running trial in {STORAGE}")
