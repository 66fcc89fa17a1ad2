"""One run: training through rl-zoo3's experiment manager, evaluated on the way."""

import argparse
import contextlib
import importlib
import io
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch as th
import yaml
from stable_baselines3.common.utils import set_random_seed

from sb3_dpg.benchmark.configuration import Run
from sb3_dpg.benchmark.evaluation import EvaluationCallback
from sb3_dpg.benchmark.provenance import provenance
from sb3_dpg.common.errors import ConfigurationError, one_line, unknown_name
from sb3_dpg.zoo.manager import ExperimentManager
from sb3_dpg.zoo.registration import register_algorithms

#: Found out when the code is loaded: on disk it may have changed by the end of a run
PROVENANCE = provenance()


class RunManager(ExperimentManager):
    """The experiment manager; in errors it leaves it to the plan to name itself, whatever file it writes for a run."""

    def blame(self, message: str) -> str:
        return str(self.env_name.gym_id)


def resolve_hyperparameters(algo: str, environment: str, file: str | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """
    Read the hyperparameters of an agent, and build it once.

    :param algo: rl-zoo3's name of an algorithm
    :param environment: Id of an environment
    :param file: Hyperparameter file, "none" to start from an empty entry, None for the default file
    :param overrides: Hyperparameters that replace those of the file
    :return: The hyperparameters with which the experiment manager trains
    :raises ConfigurationError: if algorithm, environment or file are unknown, a hyperparameter cannot be used, or the agent
        cannot be built, as where an extra is missing or the actions are not of a kind that the algorithm takes
    """
    known = register_algorithms()
    if algo not in known:
        raise ConfigurationError(f"algorithm {unknown_name(algo, sorted(known))}")
    try:
        gym.spec(environment)
    except gym.error.Error as error:
        raise ConfigurationError(f"environment {environment!r}: {error}") from error
    with tempfile.TemporaryDirectory() as folder, _quiet(), warnings.catch_warnings():
        # The run itself gives them
        warnings.simplefilter("ignore")
        if file == "none":
            file = _write_hyperparameters(folder, environment, {})
        manager = _make_manager(algo, environment, folder, config=file, hyperparams=dict(overrides))
        hyperparameters = dict(manager.read_hyperparameters()[1])
        try:
            experiment = manager.setup_experiment()
        except ConfigurationError:
            raise
        except Exception as error:
            reason = one_line(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigurationError(f"{environment}: {reason}") from error
        if experiment is not None and experiment[0].env is not None:
            experiment[0].env.close()
    return hyperparameters


def train(run: Run) -> list[dict[str, Any]]:
    """
    Train and evaluate. The result depends on the run alone, not on where or beside what it is trained, except for the times.

    :param run: What to train
    :return: A record of each evaluation, by column of the table of results
    :raises RuntimeError: if training ended before its last evaluation
    """
    th.set_num_threads(1)
    register_algorithms()
    configuration = run.configuration
    for package in (configuration.package, configuration.algorithm_package):
        if package is not None:
            importlib.import_module(package)
    protocol = configuration.evaluation
    with tempfile.TemporaryDirectory(prefix="sb3-dpg-benchmark-") as folder, _quiet():
        config = _write_hyperparameters(folder, configuration.environment, configuration.hyperparameters)
        # Nobody reads the log
        options = dict(n_timesteps=configuration.steps, eval_freq=-1, log_interval=-2, seed=run.seed)
        manager = _make_manager(configuration.algo, configuration.environment, folder, config=config, **options)
        set_random_seed(run.seed)
        experiment = manager.setup_experiment()
        assert experiment is not None, "a hyperparameter search has no model"
        model = experiment[0]

        evaluation_env = manager.create_envs(1, eval_env=True, no_log=True)
        callback = EvaluationCallback(evaluation_env, protocol, configuration.steps, run.seed)
        manager.callbacks.append(callback)
        manager.learn(model)
        evaluation_env.close()
    if len(callback.records) != protocol.points:
        raise RuntimeError(f"training ended after {model.num_timesteps} of {configuration.steps} steps")
    return [{**record, **PROVENANCE} for record in callback.records]


def _quiet() -> contextlib.AbstractContextManager[object]:
    """rl-zoo3 prints what it does."""
    return contextlib.redirect_stdout(io.StringIO())


def _make_manager(algo: str, environment: str, folder: str, **kwargs: Any) -> RunManager:
    arguments = argparse.Namespace(algo=algo, env=environment)
    return RunManager(arguments, algo, environment, folder, verbose=0, device="cpu", **kwargs)


def _write_hyperparameters(folder: str, environment: str, hyperparameters: Mapping[str, Any]) -> str:
    path = Path(folder) / "hyperparameters.yml"
    path.write_text(yaml.safe_dump({environment: dict(hyperparameters)}))
    return str(path)
