"""A trial of a study as hyperparameters of a run (``--trial-id``)."""

from collections.abc import Callable, Mapping
from typing import Any

from rl_zoo3 import exp_manager
from rl_zoo3.utils import ALGOS
from sqlalchemy.exc import SQLAlchemyError

from sb3_dpg.common.errors import READING_ERRORS, ConfigurationError
from sb3_dpg.zoo.hyperparameters import NOISE_KEYS, constructor_keys
from sb3_dpg.zoo.search import merge_kwargs
from sb3_dpg.zoo.studies import check_storage


def read_trial(
    load_trial: Callable[..., dict[str, Any]], algo: str, storage: str | None, study_name: str | None, trial_id: int
) -> dict[str, Any]:
    """
    :param load_trial: rl-zoo3's way to what a trial sampled
    :param algo: Name of the algorithm
    :param storage: Where the study is kept
    :param study_name: Name of the study
    :param trial_id: Number of the trial, from 0
    :return: Its hyperparameters
    :raises ConfigurationError: if there is no such trial, it is of another algorithm or ended before it had all its parameters
    """
    if not storage or not study_name:
        raise ConfigurationError(f"--trial-id {trial_id}: needs the study that it is of: --storage and --study-name")
    try:
        check_storage(storage)
        sampled = load_trial(storage, study_name, trial_id, convert=False)
    except (KeyError, IndexError) as error:
        raise ConfigurationError(
            f"{storage}: no trial {trial_id} in a study {study_name!r} ({type(error).__name__}: {error})"
        ) from error
    except SQLAlchemyError as error:
        raise ConfigurationError(f"--storage {storage}: {error}") from error
    return _convert(sampled, algo, f"{storage}: trial {trial_id} of the study {study_name!r}")


def _convert(sampled: dict[str, Any], algo: str, source: str) -> dict[str, Any]:
    """
    :param sampled: What a trial sampled, as Optuna stores it
    :param algo: Name of the algorithm
    :param source: Which trial, for the error
    :return: The hyperparameters
    :raises ConfigurationError: if it is of another algorithm, or has ended before it had all its parameters
    """
    try:
        trial = dict(exp_manager.HYPERPARAMS_CONVERTER[algo](sampled))
        unknown = trial.keys() - constructor_keys(ALGOS[algo]) - set(NOISE_KEYS)
    except KeyError as error:
        raise ConfigurationError(f"{source} has no {error}: it failed early, or is not of {algo}") from error
    if unknown:
        raise ConfigurationError(f"{source} is not of {algo}, which has no {', '.join(sorted(unknown))}")
    return trial


def merge_trial_kwargs(key: str, entry: Any, sampled: Mapping[str, Any], source: str) -> dict[str, Any]:
    """
    :param key: ``policy_kwargs`` or ``replay_buffer_kwargs``
    :param entry: The entry's: a table, an expression or None
    :param sampled: Those of a trial
    :param source: File and entry, for the error
    :return: Both, as the search had them
    :raises ConfigurationError: if the expression cannot be evaluated
    """
    if isinstance(entry, str):
        try:
            # rl-zoo3 would do so later, with these names
            entry = eval(entry, dict(vars(exp_manager)))
        except READING_ERRORS as error:
            raise ConfigurationError(f"{source}: {error} (expressions: {key})") from error
    return merge_kwargs(entry, sampled)
