"""Optuna studies that several processes share, any of which may die."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend
from optuna.study import _optimize
from optuna.study._tell import _tell_with_warning
from optuna.trial import TrialState
from sqlalchemy import make_url

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.zoo.options import DEFAULT_HEARTBEAT, GRACE_INTERVALS
from sb3_dpg.zoo.substitution import replaced

Objective = Callable[[optuna.Trial], float]

#: How often a trial is run again. One that kills its processes (out of memory) would otherwise kill them all
MAX_RETRIES = 3
_HEARTBEAT_KEY = "heartbeat"


class HeartbeatJournalStorage(JournalStorage, BaseHeartbeat):
    """
    Optuna's journal with the heartbeat that Optuna gives to databases only: a running trial leaves a sign of life at
    intervals; those that fell silent are failed, and queued again up to ``MAX_RETRIES`` times.

    The clocks of the machines that share a journal must agree to within the grace period.

    :param path: The journal file
    :param heartbeat_interval: Seconds between two signs of life
    """

    def __init__(self, path: str, heartbeat_interval: int) -> None:
        super().__init__(JournalFileBackend(path))
        self._heartbeat_interval = heartbeat_interval
        self._stale_callback = retry_callback()

    def record_heartbeat(self, trial_id: int) -> None:
        # Taken for dead by another process the trial is failed, and takes no sign of life any more
        with suppress(UpdateFinishedTrialError):
            self.set_trial_system_attr(trial_id, _HEARTBEAT_KEY, time.time())

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        oldest = time.time() - GRACE_INTERVALS * self._heartbeat_interval
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        return [trial._trial_id for trial in running if last_sign_of_life(trial) < oldest]

    def get_heartbeat_interval(self) -> int:
        return self._heartbeat_interval

    def get_heartbeat_stale_trial_callback(self) -> RetryHeartbeatStaleTrialCallback:
        return self._stale_callback


def retry_callback() -> RetryHeartbeatStaleTrialCallback:
    """
    :return: Optuna's own way to queue a stale trial again; after the last time it stays failed
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES)


def last_sign_of_life(trial: optuna.trial.FrozenTrial) -> float:
    """
    :param trial: A running trial of a journal
    :return: Seconds since the epoch
    """
    assert trial.datetime_start is not None
    # A retried trial inherits the heartbeat of the one that died
    return max(trial.system_attrs.get(_HEARTBEAT_KEY, 0.0), trial.datetime_start.timestamp())


def shared_storage(storage: str, heartbeat_interval: int = DEFAULT_HEARTBEAT) -> BaseStorage:
    """
    :param storage: Path of a journal file (ending in .log) or URL of a database, as rl-zoo3's ``--storage``
    :param heartbeat_interval: Seconds between two signs of life of a trial
    :return: The storage
    """
    if storage.endswith(".log"):
        return HeartbeatJournalStorage(storage, heartbeat_interval)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RDBStorage(
            storage,
            heartbeat_interval=heartbeat_interval,
            grace_period=GRACE_INTERVALS * heartbeat_interval,
            heartbeat_stale_trial_callback=retry_callback(),
        )


def check_storage(storage: str) -> None:
    """
    :param storage: rl-zoo3's ``--storage``, of which something is to be read
    :raises ConfigurationError: if it is a file that is not there: Optuna would begin one
    """
    if storage.endswith(".log"):
        path: str | None = storage
    else:
        url = make_url(storage)
        path = url.database if url.get_backend_name() == "sqlite" else None
    if path is not None and not Path(path).is_file():
        raise ConfigurationError(f"--storage {storage}: there is no such file")


class SharedStudy(optuna.Study):
    """
    A study whose optimisation ends when the trials that were running then have ended too, by themselves or, where their
    process died, by being run again here or given up after ``MAX_RETRIES``. A process that was taken for dead, because it was
    suspended for too long, leaves its trial to the others and goes on with the next.
    """

    #: A trial that was taken from the queue for the next run
    _taken: int | None = None

    def optimize(self, func: Objective, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        self._run(func, *args, **kwargs)
        self.finish_lost_trials(func)

    def _run(self, func: Objective, *args: Any, **kwargs: Any) -> None:
        def objective(trial: optuna.Trial) -> float:
            try:
                return func(trial)
            except UpdateFinishedTrialError as error:
                raise optuna.TrialPruned from error

        with replaced(_optimize, "_tell_with_warning", tell_if_running):
            super().optimize(objective, *args, **kwargs)

    def finish_lost_trials(self, func: Objective) -> None:
        """
        :param func: The objective
        """
        pending = {trial.number for trial in self.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}
        if pending:
            print(f"Waiting for trials {sorted(pending)} of other processes (Ctrl-C to leave them)")
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                fail_stale_trials(self)
            # Where another process is faster there is none left, and none to be made either
            self._taken = self._pop_waiting_trial_id()
            if self._taken is not None:
                self._run(func, n_trials=1, gc_after_trial=True)
                continue
            running = {trial.number for trial in self.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}
            if not pending & running:
                return
            time.sleep(1)

    def _pop_waiting_trial_id(self) -> int | None:
        taken, self._taken = self._taken, None
        return super()._pop_waiting_trial_id() if taken is None else taken


def tell_if_running(study: optuna.Study, trial: optuna.Trial, state: TrialState | None, **kwargs: Any) -> Any:
    """
    What takes the place of Optuna's ``_tell_with_warning``, which refuses a trial that has ended already.

    :param study: The study
    :param trial: A trial that this process has run
    :param state: How it ended, None if it has a value
    :param kwargs: Passed on
    :return: State, values and warning, for Optuna's log
    """
    if not study._storage.get_trial(trial._trial_id).state.is_finished():
        return _tell_with_warning(study=study, trial=trial, state=state, **kwargs)
    print(f"Trial {trial.number} is not counted: without a sign of life for too long, it was left to other processes")
    # Ctrl-C in the objective is a failure to Optuna, and goes on its way
    return TrialState.FAIL if state == TrialState.FAIL else TrialState.PRUNED, None, None


@contextmanager
def shared_studies(
    storage: str | None, objective: Objective, heartbeat_interval: int, max_total_trials: int | None
) -> Iterator[None]:
    """
    Inside, ``optuna.create_study`` makes studies that survive the death of one of the processes that share them.

    :param storage: rl-zoo3's ``--storage``, None for a study in memory
    :param objective: The objective
    :param heartbeat_interval: Seconds between two signs of life of a trial
    :param max_total_trials: rl-zoo3's ``--max-total-trials``
    """
    create_study = optuna.create_study

    def create_shared_study(**kwargs: Any) -> optuna.Study:
        assert storage is not None
        kwargs["storage"] = shared_storage(storage, heartbeat_interval)
        plain = create_study(**kwargs)
        study = SharedStudy(plain.study_name, plain._storage, sampler=plain.sampler, pruner=plain.pruner)
        # rl-zoo3 counts a running trial as done and may not optimise at all, even if its process is dead
        counted = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING, TrialState.PRUNED))
        if max_total_trials is not None and len(counted) >= max_total_trials:
            with suppress(KeyboardInterrupt):
                study.finish_lost_trials(objective)
        return study

    if storage is None:
        yield
        return
    with replaced(optuna, "create_study", create_shared_study):
        yield
