"""rl-zoo3's experiment manager with our hyperparameters, noise, checkpoints, resuming and shared studies."""

import argparse
import functools
from collections.abc import Mapping
from typing import Any

import yaml
from gymnasium import spaces
from rl_zoo3 import exp_manager
from rl_zoo3.exp_manager import ExperimentManager as ZooExperimentManager
from rl_zoo3.utils import ALGOS, get_class_by_name
from sqlalchemy.exc import SQLAlchemyError
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.vec_env import VecEnv

from sb3_dpg.common.callbacks import ActionNoiseCallback
from sb3_dpg.common.errors import READING_ERRORS, ConfigurationError, missing_extra
from sb3_dpg.common.noise import make_noise
from sb3_dpg.common.schedules import parse_schedule
from sb3_dpg.zoo.action_noise import (
    check_noise_keys,
    is_zoo_noise,
    noise_specification,
    superseded_noise_keys,
    take_noise_keys,
    used_keys,
)
from sb3_dpg.zoo.algorithms import OUR_ALGORITHMS
from sb3_dpg.zoo.checkpoints import ResumableCheckpointCallback, resumed_config, resumed_save_freq, write_run_config
from sb3_dpg.zoo.hyperparameters import (
    EVALUATED,
    NOISE_KEYS,
    check_hyperparameters,
    default_config,
    drop_empty,
    load_yaml,
)
from sb3_dpg.zoo.options import DEFAULT_HEARTBEAT
from sb3_dpg.zoo.resume import (
    ContinuedModel,
    check_environments,
    check_remaining,
    check_statistics,
    continue_evaluations,
    mark_interruption,
    resumed_seed,
)
from sb3_dpg.zoo.saved_agents import saved_timesteps
from sb3_dpg.zoo.search import MERGED_KWARGS, EntrySampler
from sb3_dpg.zoo.studies import shared_studies
from sb3_dpg.zoo.substitution import replaced
from sb3_dpg.zoo.trials import merge_trial_kwargs, read_trial

#: Learning rates beside SB3's own, for which rl-zoo3 has no schedule strings
OUR_LEARNING_RATES = (
    "actor_learning_rate",
    "advantage_learning_rate",
    "value_learning_rate",
    "correction_learning_rate",
)

#: The built-in algorithms whose noise rl-zoo3's search samples
SAMPLING_NOISE = ("ddpg", "td3")


class ExperimentManager(ZooExperimentManager):
    """
    rl-zoo3's ``ExperimentManager``, and beyond it:

    - the hyperparameters shipped with this package are the default for our algorithms and fill the gaps of rl-zoo3's files;
    - what a hyperparameter file says is checked before anything is built;
    - learning rates and noise take schedule strings, noise also ``noise_theta``, ``noise_dt`` and one value per action;
    - training that continues from a saved agent (``-i``) carries its number of steps, schedules and noise on;
    - checkpoints (``--save-freq``) are complete: agent, replay buffer, ``VecNormalize`` statistics and hyperparameters;
    - a study in a storage survives the death of one of its processes.

    Everything that rl-zoo3 already understands keeps its meaning.

    :param args: The parsed command line
    :param algo: Name of the algorithm
    :param env_id: Id of the environment
    :param rest: The other arguments of rl-zoo3's ``ExperimentManager``
    :param config: Hyperparameter file, None for the default one
    :param kwargs: Its other keyword arguments
    """

    # rl-zoo3's attributes that are changed here
    args: argparse.Namespace
    config: str
    save_freq: int
    custom_hyperparams: dict[str, Any] | None
    env_kwargs: dict[str, Any]
    eval_env_kwargs: dict[str, Any]
    specified_callbacks: Any
    seed: int
    trial_id: int | None

    #: Restart the number of steps, the schedules and the noise of a saved agent, as rl-zoo3 does
    restart = False
    #: Seconds between two signs of life of a trial
    heartbeat = DEFAULT_HEARTBEAT

    def __init__(self, args: Any, algo: str, env_id: str, *rest: Any, config: str | None = None, **kwargs: Any) -> None:
        super().__init__(args, algo, env_id, *rest, config=config or default_config(algo, env_id), **kwargs)
        if self.optimize_hyperparameters and self.n_evaluations is not None and self.n_evaluations < 1:
            raise ConfigurationError(f"--n-evaluations {self.n_evaluations}: must be at least 1")
        self._observation_space: spaces.Space | None = None
        self.carries_on = self.continue_training and not self.restart
        if self.carries_on:
            self.seed = resumed_seed(self.seed, saved_timesteps(self.trained_agent))
            self.config = config or resumed_config(self.trained_agent) or self.config
            if self.save_freq <= 0:
                self.save_freq = resumed_save_freq(self.trained_agent)

    @property
    def _source(self) -> str:
        changed = " (changed by --hyperparams or --trial-id)" if self.custom_hyperparams else ""
        return f"{self.config}{changed}: {self.env_name.gym_id}"

    # Reading and checking

    def read_hyperparameters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        # What a run wrote for those that continue it may hold Python objects
        is_of_a_run = self.carries_on and self.config == resumed_config(self.trained_agent)
        loader = yaml.UnsafeLoader if is_of_a_run else yaml.SafeLoader
        if self.config.endswith((".yml", ".yaml")):
            entries = load_yaml(self.config, loader)
            if self.env_name.gym_id not in entries and "default" not in entries and not self._is_atari:
                raise ConfigurationError(
                    f"{self.config}: no entry for {self.env_name.gym_id} and no 'default'. It has: {', '.join(entries)}"
                )
        # rl-zoo3 takes trial 0 for "none given"
        trial_id, self.trial_id = self.trial_id, None
        trial = {} if trial_id is None else read_trial(self.load_trial, self.algo, self.storage, self.study_name, trial_id)
        given = self._given_hyperparameters()
        # Whoever decides about noise, be it for none, decides about all of it: trial over file, command line over both
        by_given, by_trial = superseded_noise_keys(given), superseded_noise_keys(trial)
        merged = MERGED_KWARGS & trial.keys() if self.algo in OUR_ALGORITHMS else set()
        trial_kwargs = {key: trial.pop(key) for key in merged}
        self.custom_hyperparams = {**{key: value for key, value in trial.items() if key not in by_given}, **given}
        with replaced(yaml, "safe_load", functools.partial(yaml.load, Loader=loader)):
            try:
                hyperparams, saved_hyperparams = super().read_hyperparameters()
            except KeyError as error:
                raise ConfigurationError(f"{self.config}: it has no {error}") from error
            except OSError as error:
                raise ConfigurationError(f"{self.config}: cannot be read ({error.strerror})") from error
        for key in (by_given | by_trial) - set(self.custom_hyperparams):
            hyperparams.pop(key, None)
            saved_hyperparams.pop(key, None)
        for key in merged - given.keys():
            hyperparams[key] = merge_trial_kwargs(key, hyperparams.get(key), trial_kwargs[key], self._source)
            saved_hyperparams[key] = hyperparams[key]
        for entry in (hyperparams, saved_hyperparams):
            drop_empty(entry)
        check_hyperparameters(hyperparams, ALGOS[self.algo], self._source)
        check_noise_keys(hyperparams, self._source)
        return hyperparams, saved_hyperparams

    def _given_hyperparameters(self) -> dict[str, Any]:
        """
        :return: Those of the command line, without what a saved agent decides: rl-zoo3 ignores it, and would save it
        """
        given = dict(self.custom_hyperparams or {})
        decided = {"policy", "policy_kwargs"}.intersection(given) if self.carries_on else set()
        if decided:
            print(f"Not used: {', '.join(sorted(decided))} of --hyperparams, the networks are those of {self.trained_agent}")
        return {key: value for key, value in given.items() if key not in decided}

    @staticmethod
    def _preprocess_schedules(hyperparams: dict[str, Any]) -> dict[str, Any]:
        schedules: dict[str, Schedule] = {}
        for key in ("learning_rate", *OUR_LEARNING_RATES):
            value = hyperparams.get(key)
            # rl-zoo3's own form, lin_0.001, has one number
            if isinstance(value, str) and not (key == "learning_rate" and value.startswith("lin_") and value.count("_") == 1):
                try:
                    schedules[key] = parse_schedule(hyperparams.pop(key))
                except ValueError as error:
                    raise ValueError(f"{key}: {error}") from error
        return {**ZooExperimentManager._preprocess_schedules(hyperparams), **schedules}

    def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
        policy, policy_kwargs = hyperparams.get("policy"), hyperparams.get("policy_kwargs")
        if isinstance(policy, str) and "." in policy:
            # rl-zoo3 imports it itself, and does not say which key was wrong
            self._find_class("policy", policy)
        if isinstance(policy_kwargs, dict):
            hyperparams["policy_kwargs"] = {
                key: self._find_class(f"policy_kwargs: {key}", value) if isinstance(value, str) and "." in value else value
                for key, value in policy_kwargs.items()
            }
        texts = ", ".join(key for key in EVALUATED if isinstance(hyperparams.get(key), str))
        try:
            preprocessed = super()._preprocess_hyperparams(hyperparams)
        except READING_ERRORS as error:
            if not texts:
                raise
            raise ConfigurationError(f"{self._source}: {error} (expressions: {texts})") from error
        if self._eval_env_kwargs_args is None:
            # rl-zoo3 evaluates in the environment that the command line describes, and forgets the entry's env_kwargs
            self.eval_env_kwargs = self.env_kwargs
        for key in ("monitor_kwargs", "normalize_kwargs"):
            if not isinstance(getattr(self, key), dict):
                raise ConfigurationError(f"{self._source}: {key.removesuffix('_kwargs')}: {getattr(self, key)!r} is no table")
        if self.carries_on:
            check_remaining(self.trained_agent, self.n_timesteps)
        return preprocessed

    def _find_class(self, key: str, name: str) -> type:
        """
        :param key: Key of the entry, for the error
        :param name: Full name of a class
        :return: The class
        :raises ConfigurationError: if there is none of that name
        """
        try:
            return get_class_by_name(name)
        except (AttributeError, ImportError, ValueError) as error:
            raise ConfigurationError(f"{self._source}: {key}={name!r} names no class ({error})") from error

    # Action noise

    @property
    def _noise_is_given(self) -> bool:
        """Whether the command line or a trial says anything about noise."""
        return not set(self.custom_hyperparams or {}).isdisjoint((*NOISE_KEYS, "action_noise"))

    def _preprocess_action_noise(
        self, hyperparams: dict[str, Any], saved_hyperparams: dict[str, Any], env: VecEnv
    ) -> dict[str, Any]:
        keys = take_noise_keys(hyperparams)
        specification = noise_specification(keys)
        if specification is not None and self.algo not in OUR_ALGORITHMS and is_zoo_noise(keys):
            hyperparams.update({key: keys[key] for key in ("noise_type", "noise_std")})
            specification = None
        elif self.algo not in OUR_ALGORITHMS and isinstance(hyperparams.get("action_noise"), Mapping):
            # No constructor of SB3's makes noise of a specification
            keys = {"action_noise": hyperparams.pop("action_noise")}
            specification = keys["action_noise"]
        elif specification is None and "noise_type" in keys:
            # Said explicitly: a saved agent must not keep its noise
            hyperparams.setdefault("action_noise", None)
        self._observation_space = env.observation_space
        # Also counts the actions, for the samplers
        hyperparams = super()._preprocess_action_noise(hyperparams, saved_hyperparams, env)
        if self.optimize_hyperparameters and self.algo in SAMPLING_NOISE:
            # Otherwise trials that sample none have the entry's
            hyperparams.pop("action_noise", None)
        elif specification is not None:
            print(f"Applying noise {specification}")
            self._apply_noise(keys, specification, hyperparams, env)
        return hyperparams

    def _apply_noise(
        self, keys: Mapping[str, Any], specification: dict[str, Any], hyperparams: dict[str, Any], env: VecEnv
    ) -> None:
        """
        :param keys: The noise keys, for errors
        :param specification: Which noise
        :param hyperparams: Arguments for the constructor, which of our algorithms takes a specification
        :param env: The environment
        """
        try:
            make_noise(specification, get_action_dim(env.action_space))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{self._source}: the noise keys ({used_keys(keys)}) cannot be used: {error}") from error
        if self.algo in OUR_ALGORITHMS:
            hyperparams["action_noise"] = specification
        elif self.optimize_hyperparameters:
            # Each trial makes its callbacks by name
            name = f"{ActionNoiseCallback.__module__}.{ActionNoiseCallback.__qualname__}"
            given = self.specified_callbacks if isinstance(self.specified_callbacks, list) else [self.specified_callbacks]
            self.specified_callbacks = [*given, {name: {"noise": specification}}]
        else:
            # A saved agent goes on with the noise that it has
            keeps_noise = self.carries_on and not self._noise_is_given
            self.callbacks.append(ActionNoiseCallback(None if keeps_noise else specification))

    # Building the agent

    def setup_experiment(self) -> tuple[BaseAlgorithm, dict[str, Any]] | None:
        if self.continue_training and self.optimize_hyperparameters:
            raise ConfigurationError(
                f"--optimize-hyperparameters with a saved agent ({self.trained_agent}): a search trains new agents. One that "
                "was broken off goes on by the same command without --resume or -i, if it has --storage and --study-name"
            )
        try:
            return super().setup_experiment()
        except ConfigurationError:
            raise
        except ImportError as error:
            if missing_extra(error):
                raise
            raise ConfigurationError(f"{self._source}: {error}") from error
        except READING_ERRORS as error:
            raise ConfigurationError(f"{self._source}: {error}") from error

    def create_callbacks(self) -> None:
        # The entry's own callbacks are not rl-zoo3's, whatever their class
        first = len(self.callbacks)
        super().create_callbacks()
        for index, callback in enumerate(self.callbacks[first:], start=first):
            if isinstance(callback, CheckpointCallback):
                self.callbacks[index] = ResumableCheckpointCallback(
                    callback.save_freq, self.save_path, self.env_name, verbose=callback.verbose
                )
            elif isinstance(callback, EvalCallback) and self.carries_on:
                continue_evaluations(callback, self.trained_agent, self.n_envs)

    def _load_pretrained_agent(self, hyperparams: dict[str, Any], env: VecEnv) -> BaseAlgorithm:
        if not self.carries_on:
            model = super()._load_pretrained_agent(hyperparams, env)
            check_environments(model, self.trained_agent)
            return model
        # The saved agent has its own hyperparameters and noise, with their state: only the command line overrides them
        given = set(self.custom_hyperparams or {})
        if self._noise_is_given:
            given.add("action_noise")
        overrides = {key: value for key, value in hyperparams.items() if key in given or key == "policy"}
        model = super()._load_pretrained_agent(overrides, env)
        check_environments(model, self.trained_agent)
        mark_interruption(model, self.trained_agent)
        check_statistics(model, self.trained_agent, self.env_name)
        return model

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        # Where record-video and push-to-hub look for them: the entry's, too
        self.args = argparse.Namespace(**{**vars(self.args), "env_kwargs": self.env_kwargs or None})
        super()._save_config(saved_hyperparams)
        write_run_config(self.save_path, self.env_name.gym_id, {**saved_hyperparams, "n_timesteps": self.n_timesteps})

    # Training

    def learn(self, model: BaseAlgorithm) -> None:
        super().learn(ContinuedModel(model) if self.carries_on else model)

    def hyperparameters_optimization(self) -> None:
        if self.algo not in exp_manager.HYPERPARAMS_SAMPLER:
            raise ConfigurationError(f"--optimize-hyperparameters: there is no search for {self.algo}")
        try:
            with (
                replaced(exp_manager, "HYPERPARAMS_SAMPLER", self._samplers()),
                shared_studies(self.storage, self.objective, self.heartbeat, self.max_total_trials),
            ):
                super().hyperparameters_optimization()
        except ConfigurationError:
            raise
        except (TypeError, ValueError) as error:
            # An agent that cannot be made, or no trial with a result
            raise ConfigurationError(f"{self._source}: {error}") from error
        except SQLAlchemyError as error:
            raise ConfigurationError(f"--storage {self.storage}: {error}") from error

    def _samplers(self) -> dict[str, Any]:
        """
        :return: rl-zoo3's samplers, of which ours know the entry
        """
        samplers = dict(exp_manager.HYPERPARAMS_SAMPLER)
        if self.algo in OUR_ALGORITHMS:
            samplers[self.algo] = EntrySampler(samplers[self.algo], self._hyperparams, self._observation_space)
        return samplers
