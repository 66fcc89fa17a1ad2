"""Studies that several processes share: no trial is lost with one of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from sb3_dpg.zoo import studies
from sb3_dpg.zoo.studies import (
    MAX_RETRIES,
    HeartbeatJournalStorage,
    SharedStudy,
    last_sign_of_life,
    shared_storage,
    shared_studies,
)
from tests.zoo.entries import tiny_entry

# Trials are asked for by hand here, to be abandoned
pytestmark = pytest.mark.filterwarnings(
    "ignore:Heartbeat of storage is supposed to be used", "ignore:.*retry_history", "ignore:.*fail_stale"
)

STORAGES = ["journal.log", "sqlite:///database.db"]


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def new_study(storage: str, heartbeat: int = 1) -> SharedStudy:
    """A study in a storage, created or joined."""
    plain = optuna.create_study(
        storage=shared_storage(storage, heartbeat), study_name="s", direction="maximize", load_if_exists=True
    )
    return SharedStudy("s", plain._storage, sampler=optuna.samplers.RandomSampler(seed=0))


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


@pytest.mark.parametrize("storage", STORAGES)
def test_a_trial_whose_process_died_is_run_again(storage: str) -> None:
    study = new_study(storage)
    lost = abandoned_trial(study)
    study.optimize(objective, n_trials=2)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.COMPLETE) == 3
    assert states.count(TrialState.FAIL) == 1
    assert study.trials[lost].params
    assert_done_again(study.trials)


def test_a_trial_that_died_before_it_had_all_its_parameters() -> None:
    study = new_study("journal.log")
    lost = abandoned_trial(study)
    study.optimize(lambda trial: objective(trial) + trial.suggest_float("y", 0, 1), n_trials=1)
    assert set(study.trials[lost].params) == {"x"}
    assert [set(trial.params) for trial in study.trials if trial.state == TrialState.COMPLETE] == [{"x", "y"}] * 2
    assert_done_again(study.trials)


def test_a_trial_that_kills_its_processes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    study = new_study("journal.log")
    for _ in range(MAX_RETRIES + 1):
        abandoned_trial(study)
        with monkeypatch.context() as later:
            # As if nothing had left a sign of life for long
            later.setattr(study._storage, "_heartbeat_interval", -1000)
            fail_stale_trials(study)
    # The same parameters each time, and not once more
    failed = [TrialState.FAIL] * (MAX_RETRIES + 1)
    assert [trial.state for trial in study.trials] == failed
    assert len({trial.params["x"] for trial in study.trials}) == 1
    study.optimize(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == [*failed, TrialState.COMPLETE, TrialState.COMPLETE]


def test_a_queued_trial_that_another_process_takes_first_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    study, other = new_study("journal.log"), new_study("journal.log")
    study.enqueue_trial({"x": 0.5})
    pop = optuna.Study._pop_waiting_trial_id

    def late(self: optuna.Study) -> int | None:
        if self is study:
            other.tell(other.ask(), 1.0)
        return pop(self)

    monkeypatch.setattr(optuna.Study, "_pop_waiting_trial_id", late)
    study.finish_lost_trials(objective)
    assert [trial.value for trial in study.trials] == [1.0]


def test_a_living_trial_is_waited_for_and_not_run_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    study = new_study("journal.log", heartbeat=1000)
    running = abandoned_trial(study)
    waits = []

    def finish(seconds: float) -> None:
        waits.append(seconds)
        study.tell(running, 1.0)

    monkeypatch.setattr(studies.time, "sleep", finish)
    study.optimize(objective, n_trials=1)
    assert len(waits) == 1
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("reports", [False, True])
def test_a_process_that_was_taken_for_dead_goes_on(
    storage: str, reports: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was suspended, and another one has queued its trial again."""
    study, other = new_study(storage), new_study(storage)
    storage_of_other: Any = other._storage
    patience = "_heartbeat_interval"
    if not storage.endswith(".log"):
        storage_of_other, patience = storage_of_other._backend, "grace_period"
    calls = []

    def suspended_once(trial: optuna.Trial) -> float:
        value = objective(trial)
        calls.append(trial.number)
        if len(calls) == 1:
            study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
            with monkeypatch.context() as later:
                later.setattr(storage_of_other, patience, -1000)
                fail_stale_trials(other)
            study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
            if reports:
                trial.report(value, step=1)
        return value

    study.optimize(suspended_once, n_trials=3)
    assert "Trial 0 is not counted" in capsys.readouterr().out
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert calls == [0, 1, 2]
    assert_done_again(study.trials)


def test_interrupted_while_it_waits_a_process_leaves_the_trials_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned_trial(new_study("journal.log", heartbeat=1000))

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(studies.time, "sleep", interrupt)
    with shared_studies("journal.log", objective, 1000, max_total_trials=1):
        study = optuna.create_study(study_name="s", direction="maximize", load_if_exists=True)
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]


def test_the_heartbeat_of_a_journal() -> None:
    storage = HeartbeatJournalStorage("journal.log", heartbeat_interval=10)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    assert storage._get_stale_trial_ids(study._study_id) == []
    storage.set_trial_system_attr(trial._trial_id, "heartbeat", time.time() + 5)
    assert last_sign_of_life(study.trials[0]) > time.time()
    late = HeartbeatJournalStorage("journal.log", heartbeat_interval=10)
    late._heartbeat_interval = -10
    assert late._get_stale_trial_ids(study._study_id) == [trial._trial_id]


def search_command(config: Path, storage: str, n_trials: int) -> list[str]:
    options = ["--algo", "bnddpg", "--env", "Pendulum-v1", "-conf", str(config), "--optimize", "--storage", storage]
    more = ["--study-name", "s", "--max-total-trials", str(n_trials), "--n-evaluations", "2", "--eval-episodes", "1"]
    last = ["--no-optim-plots", "--heartbeat", "1", "--num-threads", "1", "--sampler", "random", "--pruner", "none"]
    return [*options, *more, *last]


@pytest.mark.slow
@pytest.mark.parametrize("storage", STORAGES)
def test_six_trials_of_two_processes_one_killed(
    installed: Path, tmp_path: Path, storage: str, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump({"Pendulum-v1": tiny_entry("bnddpg", n_timesteps=400)}))
    command = [sys.executable, "-m", "sb3_dpg", "train", *search_command(config, storage, 6)]
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "OMP_NUM_THREADS": "1"}
    victim = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_a_running_trial(storage)
    survivor = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for_a_running_trial(storage, finished=1)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    output = survivor.communicate()[0].decode()
    assert survivor.returncode == 0, output
    trials = new_study(storage).trials
    states = [trial.state for trial in trials]
    assert states.count(TrialState.COMPLETE) == 6
    assert TrialState.RUNNING not in states
    assert TrialState.WAITING not in states
    assert_done_again(trials)


def wait_for_a_running_trial(storage: str, finished: int = 0, seconds: float = 120) -> None:
    """Until the study has a running trial, and some that are complete."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            states = [trial.state for trial in optuna.load_study(study_name="s", storage=shared_storage(storage)).trials]
        except Exception:
            states = []
        if TrialState.RUNNING in states and states.count(TrialState.COMPLETE) >= finished:
            return
        time.sleep(0.1)
    raise TimeoutError(f"no running trial in {storage}")
