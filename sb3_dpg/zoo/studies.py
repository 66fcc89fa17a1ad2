"""Optuna studies: in a database that several processes share, any of which may die, and their trials (``--trial-id``)."""

import random
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import TrialState
from rl_zoo3.exp_manager import HYPERPARAMS_CONVERTER
from rl_zoo3.utils import ALGOS
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.zoo.action_noise import NOISE_KEYS
from sb3_dpg.zoo.hyperparameters import constructor_keys

Objective = Callable[[optuna.Trial], float]

#: Seconds between two signs of life of a trial
DEFAULT_HEARTBEAT = 60
#: A trial without a sign of life for that many intervals belongs to a dead process
GRACE_INTERVALS = 3
#: How often a trial is run again. One that kills its processes (out of memory) would otherwise kill them all
MAX_RETRIES = 3
#: How often a new database is tried to be opened
MAX_ATTEMPTS = 10


def storage_url(storage: str | None) -> str | None:
    """What was given as ``--storage``, as a URL if it is the path of an SQLite file, ending in ``.db``."""
    if storage is None or "://" in storage or not storage.endswith(".db"):
        return storage
    return f"sqlite:///{storage}"


def heartbeat_storage(url: str, heartbeat_interval: int = DEFAULT_HEARTBEAT) -> RDBStorage:
    """A database where a running trial that fell silent is failed, and queued again up to ``MAX_RETRIES`` times."""
    database = make_url(url).database
    if url.startswith("sqlite:") and database and not Path(database).exists():
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    for _ in range(MAX_ATTEMPTS - 1):
        # Optuna makes the tables of a new database without a lock: of processes that start together all but one fail
        with suppress(IntegrityError, OperationalError):
            return _open_storage(url, heartbeat_interval)
        time.sleep(random.uniform(0.05, 0.25))
    return _open_storage(url, heartbeat_interval)


def _open_storage(url: str, heartbeat_interval: int) -> RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RDBStorage(
            url,
            heartbeat_interval=heartbeat_interval,
            grace_period=GRACE_INTERVALS * heartbeat_interval,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES),
        )


class SharedStudy(optuna.Study):
    """A study whose optimisation ends when the trials that were running then have ended too, or been run again here."""

    def __init__(self, study_name: str, database: RDBStorage, **kwargs: Any) -> None:
        super().__init__(study_name, database, **kwargs)
        self.database = database

    def optimize(self, func: Objective, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        super().optimize(func, *args, **kwargs)
        self.finish_lost_trials(func)

    def finish_lost_trials(self, func: Objective) -> None:
        """Wait for the trials of other processes, and run those whose process dies meanwhile."""
        pending = self._numbers(TrialState.RUNNING)
        if not pending:
            return
        print(f"Waiting for trials {sorted(pending)} of other processes (Ctrl-C to leave them)")
        self._fail_stale_trials()
        study_id = self.database.get_study_id_from_name(self.study_name)
        for number in self._numbers(TrialState.RUNNING):
            # Optuna never fails a trial without any sign of life, whose process was killed before the first
            self.database.record_heartbeat(self.database.get_trial_id_from_study_id_trial_number(study_id, number))
        while pending & self._numbers(TrialState.RUNNING) or self._numbers(TrialState.WAITING):
            if self._numbers(TrialState.WAITING):
                super().optimize(func, n_trials=1, gc_after_trial=True)
            else:
                time.sleep(1)
            self._fail_stale_trials()

    def _fail_stale_trials(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(self)

    def _numbers(self, state: TrialState) -> set[int]:
        return {trial.number for trial in self.get_trials(deepcopy=False, states=(state,))}


def make_shared_study(
    objective: Objective, heartbeat_interval: int, max_total_trials: int | None, subject: Mapping[str, str]
) -> Callable[..., SharedStudy]:
    """
    What takes the arguments of ``optuna.create_study``, with the URL of a database as the storage; ``subject``, the
    algorithm and the environment, must be that of the study's other trials.
    """
    create_study = optuna.create_study

    def make(storage: str, **kwargs: Any) -> SharedStudy:
        try:
            database = heartbeat_storage(storage, heartbeat_interval)
        except ImportError as error:
            raise ConfigurationError(f"--storage {storage}: it needs a driver that is not installed ({error})") from error
        plain = create_study(storage=database, **kwargs)
        for name, value in subject.items():
            of_study = plain.user_attrs.get(name, value)
            if of_study != value:
                raise ConfigurationError(
                    f"the study {plain.study_name!r} in {storage} is of --{name} {of_study}, not of {value}: take another "
                    "--study-name"
                )
            plain.set_user_attr(name, value)
        study = SharedStudy(plain.study_name, database, sampler=plain.sampler, pruner=plain.pruner)
        # rl-zoo3 counts a running trial as done and may not optimise at all, even if its process is dead
        counted = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING, TrialState.PRUNED))
        if max_total_trials is not None and len(counted) >= max_total_trials:
            with suppress(KeyboardInterrupt):
                study.finish_lost_trials(objective)
        return study

    return make


def read_trial(
    load_trial: Callable[..., dict[str, Any]], algo: str, storage: str | None, study_name: str | None, trial_id: int
) -> dict[str, Any]:
    """The hyperparameters of a trial; ``load_trial`` is rl-zoo3's way to what it sampled."""
    if not storage or not study_name:
        raise ConfigurationError(f"--trial-id {trial_id}: needs the study that it is of: --storage and --study-name")
    try:
        # Optuna would begin a file that is not there
        path = storage if storage.endswith(".log") else make_url(storage).database
        if (storage.endswith(".log") or storage.startswith("sqlite:")) and not Path(path or "").is_file():
            raise ConfigurationError(f"--storage {storage}: there is no such file")
        sampled = load_trial(storage, study_name, trial_id, convert=False)
    except (KeyError, IndexError) as error:
        raise ConfigurationError(
            f"{storage}: no trial {trial_id} in a study {study_name!r} ({type(error).__name__}: {error})"
        ) from error
    except SQLAlchemyError as error:
        raise ConfigurationError(f"--storage {storage}: {error}") from error
    source = f"{storage}: trial {trial_id} of the study {study_name!r}"
    try:
        trial = dict(HYPERPARAMS_CONVERTER[algo](sampled))
    except KeyError as error:
        raise ConfigurationError(f"{source} has no {error}: it failed early, or is not of {algo}") from error
    unknown = trial.keys() - constructor_keys(ALGOS[algo]) - set(NOISE_KEYS)
    if unknown:
        raise ConfigurationError(f"{source} is not of {algo}, which has no {', '.join(sorted(unknown))}")
    return trial
