"""What executes runs: processes of this machine."""

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from sb3_dpg.benchmark.configuration import Run
from sb3_dpg.benchmark.training import train
from sb3_dpg.zoo.callbacks import ignoring_ctrl_c

#: Seconds that a worker has to end when it is told to stop
GRACE_PERIOD = 10.0


@dataclass(frozen=True)
class Started:
    """A run was started."""

    run: Run


@dataclass(frozen=True)
class Ended:
    """
    A run ended.

    :param run: Which
    :param records: Its evaluations; None if it failed
    :param error: Why it failed: a traceback or a message; empty if it did not
    """

    run: Run
    records: list[dict[str, Any]] | None = None
    error: str = ""


class LocalEngine:
    """
    Execute each run in a process of its own, one thread each.

    A worker that dies, be it by a signal, takes just its run with it; when the directing process dies, by SIGKILL even, its
    workers follow.

    :param jobs: Processes at a time; None for one on each core
    """

    def __init__(self, jobs: int | None = None) -> None:
        self.jobs = jobs or _usable_cores()
        methods = multiprocessing.get_all_start_methods()
        # Forked from a server that has imported everything once: a worker starts in milliseconds in place of seconds
        self._context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if self._context.get_start_method() == "forkserver":
            self._context.set_forkserver_preload([train.__module__])
        # Read by numerical libraries when they are loaded, which workers inherit
        os.environ.setdefault("OMP_NUM_THREADS", "1")

    def execute(self, runs: Sequence[Run]) -> Iterator[Started | Ended]:
        """
        Execute runs; when the iterator is closed, those that are not complete are stopped.

        :param runs: What to execute, in this order
        :return: What happens, when it happens: for each run that it was started, and later that it ended
        """
        if self._context.get_start_method() == "forkserver":
            # While it imports, Ctrl-C would end it with a traceback
            with ignoring_ctrl_c():
                multiprocessing.forkserver.ensure_running()
        waiting = deque(runs)
        workers: dict[Connection, _Worker] = {}
        try:
            while waiting or workers:
                while waiting and len(workers) < self.jobs:
                    worker = _Worker(waiting.popleft(), self._context)
                    workers[worker.connection] = worker
                    yield Started(worker.run)
                for connection in workers.keys() & wait(list(workers)):
                    ended = workers[connection].result()
                    del workers[connection]
                    yield ended
        finally:
            for worker in workers.values():
                worker.process.terminate()
            for worker in workers.values():
                worker.stop()


class _Worker:
    """A process that executes one run."""

    def __init__(self, run: Run, context: multiprocessing.context.BaseContext) -> None:
        self.run = run
        self.connection, other_end = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(run, other_end), name=str(run))  # type: ignore[attr-defined]
        self.process.start()
        # Were it open here too, the death of the worker would not end the connection
        other_end.close()

    def result(self) -> Ended:
        """How the run ended; waits for it."""
        try:
            ended: Ended = self.connection.recv()
        except (EOFError, OSError):
            # It died before it sent anything, or in the midst of it
            self.process.join()
            ended = Ended(self.run, error=_cause_of_death(self.process.exitcode))
        self.stop()
        return ended

    def stop(self) -> None:
        """End the process, by force if it does not end by itself."""
        self.process.join(GRACE_PERIOD)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()
        self.connection.close()


def _usable_cores() -> int:
    """Those that this process may run on, where the system says: a cluster gives a job some of a machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = " (the system sends it when memory runs out)" if name == "SIGKILL" else ""
        return f"the worker process was killed by {name}{hint}"
    return f"the worker process ended with exit code {exit_code} and without a result"


def _work(run: Run, connection: Connection) -> None:
    """What a worker process does."""
    # Ctrl-C reaches all processes of a terminal: which runs are stopped is for the directing process to say. rl-zoo3 would
    # end the training early, and the run would count as complete
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_follow_parent, daemon=True).start()
    connection.send(attempt(run))


def attempt(run: Run) -> Ended:
    """Execute a run, in the process of a worker: its evaluations or its error."""
    try:
        return Ended(run, records=train(run))
    except Exception:
        # Messages may have what files and consoles cannot: paths that are not UTF-8
        return Ended(run, error=traceback.format_exc().encode(errors="backslashreplace").decode())


def _exit(signum: int, frame: object) -> None:
    """An exception, other than the signal's own effect, lets temporary files be removed."""
    raise SystemExit(128 + signum)


def _follow_parent() -> None:
    """Stop when the directing process is gone, by force if need be: nobody else would do it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    # Python ignores the exception of the handler in destructors, and a callback may catch it
    time.sleep(GRACE_PERIOD)
    os.kill(os.getpid(), signal.SIGKILL)
