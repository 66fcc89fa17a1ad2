import contextlib
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sb3_dpg.benchmark import engine
from sb3_dpg.benchmark.configuration import Configuration, EvaluationProtocol, Run
from sb3_dpg.benchmark.engine import Ended, LocalEngine, Started
from sb3_dpg.benchmark.training import train
from tests.benchmark import test_training
from tests.benchmark.test_training import SMALL, without_times

ENDLESS = 10_000_000


def make_run(**settings):
    # Of an environment that the workers, processes of their own, have too
    return test_training.make_run(env_id="Pendulum-v1", **settings)


def endless_run():
    return make_run(steps=ENDLESS, points=1)


def impossible_run():
    hyperparameters = {**SMALL, "n_timesteps": 100, "policy_kwargs": {"no_such_argument": 1}}
    return Run(Configuration("ddpg", "ddpg", "Pendulum-v1", 100, EvaluationProtocol(1, 1), hyperparameters), 0)


def test_runs_are_those_of_this_process_and_a_failure_leaves_the_others_alone():
    good, bad = make_run(), impossible_run()
    events = list(LocalEngine(jobs=2).execute([bad, good]))
    assert {event.run.id for event in events if isinstance(event, Started)} == {good.id, bad.id}
    ended = {event.run.id: event for event in events if isinstance(event, Ended)}
    assert without_times(ended[good.id].records) == without_times(train(good))
    assert ended[bad.id].records is None
    assert "Traceback" in ended[bad.id].error
    assert "Error" in ended[bad.id].error.splitlines()[-1]


def test_a_worker_killed_by_the_system_is_a_run_that_failed():
    victim, other = endless_run(), make_run()
    events = LocalEngine(jobs=1).execute([victim, other])
    assert next(events) == Started(victim)
    (worker,) = [process for process in multiprocessing.active_children() if process.name == str(victim)]
    os.kill(worker.pid, signal.SIGKILL)
    ended = next(events)
    assert ended.run == victim
    assert ended.records is None
    assert "SIGKILL" in ended.error
    assert next(events) == Started(other)
    assert next(events).records is not None


def half_a_message(run: Run, connection: Connection) -> None:
    """The length of a message, a few bytes of it, and the end."""
    os.write(connection.fileno(), struct.pack("!i", 1000) + b"half")
    signal.raise_signal(signal.SIGKILL)


def test_an_error_can_be_written_to_a_file_whatever_its_message(monkeypatch):
    def missing_file(run):
        raise FileNotFoundError(os.fsdecode(b"caf\xe9"))

    monkeypatch.setattr(engine, "train", missing_file)
    assert engine.attempt(make_run()).error.encode().endswith(rb"FileNotFoundError: caf\udce9" + b"\n")


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_worker_killed_while_it_sends_its_result_is_a_run_that_failed(monkeypatch):
    monkeypatch.setattr(engine, "_work", half_a_message)
    forking = LocalEngine(jobs=1)
    forking._context = multiprocessing.get_context("fork")
    _, ended = forking.execute([make_run()])
    assert ended.records is None
    assert "SIGKILL" in ended.error


@pytest.mark.slow
def test_no_more_workers_than_jobs_and_none_remains():
    runs = [make_run(seed=seed) for seed in range(3)]
    local = LocalEngine(jobs=2)
    running = largest = 0
    for event in local.execute(runs):
        running += 1 if isinstance(event, Started) else -1
        largest = max(largest, running)
    assert largest == 2
    events = local.execute([endless_run()])
    next(events)
    events.close()
    names = [process.name for process in multiprocessing.active_children()]
    assert str(endless_run()) not in names


def stubborn_attempt(run: Run) -> None:
    """A training that goes on whatever is raised, as one does if that happens in a destructor."""
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(0.1)


DRIVER = """
import multiprocessing, sys
from sb3_dpg.benchmark import engine
from sb3_dpg.benchmark.engine import LocalEngine
from tests.benchmark.test_engine import endless_run, stubborn_attempt

if __name__ == "__main__":
    run, local = endless_run(), LocalEngine(jobs=1)
    if sys.argv[1] == "stubborn":
        engine.attempt, engine.GRACE_PERIOD = stubborn_attempt, 1.0
        # A forked worker has them too
        local._context = multiprocessing.get_context("fork")
    for event in local.execute([run]):
        print(*[process.pid for process in multiprocessing.active_children() if process.name == str(run)], flush=True)
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("training", ["ordinary", "stubborn"])
def test_workers_follow_a_directing_process_that_was_killed(tmp_path, training):
    clone = Path(__file__).parents[2]
    (tmp_path / "driver.py").write_text(DRIVER)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py"), training],
        env={**os.environ, "PYTHONPATH": str(clone)},
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        assert driver.stdout is not None
        worker = int(driver.stdout.readline())
        assert is_alive(worker)
        driver.kill()
    deadline = time.monotonic() + 60
    while is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(worker)
