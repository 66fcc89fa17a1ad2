"""A Ray cluster: this machine's cores, or other machines' as well."""

from collections import deque
from collections.abc import Iterator, Sequence

import ray

from sb3_dpg.benchmark.configuration import Run
from sb3_dpg.benchmark.engines.base import Ended, Started, attempt


class RayEngine:
    """
    Execute runs as Ray tasks of one core each. The package must be installed on all machines of the cluster.

    Results come back to the directing process, which alone writes: the machines need no common file system.

    :param address: Address of a running cluster; None for one of this machine, which ends with this process
    :param jobs: Runs at a time, and the number of cores of this machine's own cluster; None for all that there are
    """

    def __init__(self, address: str | None = None, jobs: int | None = None) -> None:
        if not ray.is_initialized():
            own_cluster = {} if address else {"num_cpus": jobs, "include_dashboard": False}
            # Without an address Ray looks for a cluster that somebody else has started
            ray.init(address=address or "local", log_to_driver=False, **own_cluster)
        n_cores = int(ray.cluster_resources().get("CPU", 1))
        self.jobs = min(jobs or n_cores, n_cores)
        # A task that died is a run that failed, as with local processes. One task a process: nothing remains of the last run
        self._attempt = ray.remote(num_cpus=1, max_retries=0, max_calls=1)(attempt)

    def execute(self, runs: Sequence[Run]) -> Iterator[Started | Ended]:
        """
        :param runs: What to execute, in this order
        :return: What happens, when it happens
        """
        waiting = deque(runs)
        tasks: dict[ray.ObjectRef, Run] = {}
        try:
            while waiting or tasks:
                while waiting and len(tasks) < self.jobs:
                    run = waiting.popleft()
                    tasks[self._attempt.remote(run)] = run
                    yield Started(run)
                done, _ = ray.wait(list(tasks))
                for task in done:
                    yield _result(task, tasks.pop(task))
        finally:
            for task in tasks:
                ray.cancel(task, force=True)


def _result(task: "ray.ObjectRef", run: Run) -> Ended:
    """
    :param task: A task that is done
    :param run: The run it executed
    :return: How the run ended
    """
    try:
        ended: Ended = ray.get(task)
    except ray.exceptions.RayError as error:
        return Ended(run, error=f"{type(error).__name__}: {' '.join(str(error).split())}")
    return ended
