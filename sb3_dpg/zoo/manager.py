"""rl-zoo3's experiment manager with our hyperparameters, noise, checkpoints, resuming and shared studies."""

import argparse
import contextlib
import itertools
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pprint import pprint
from typing import Any

import optuna
import yaml
from rl_zoo3 import exp_manager
from rl_zoo3.utils import ALGOS, get_latest_run_id
from sqlalchemy.exc import SQLAlchemyError
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback, ProgressBarCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_dpg.common.errors import DEBUG_VARIABLE, READING_ERRORS, ConfigurationError, missing_extra
from sb3_dpg.common.schedules import parse_schedule
from sb3_dpg.zoo import resume
from sb3_dpg.zoo.action_noise import NOISE_KEYS, check_noise, check_noise_keys, resolve_noise, superseded_noise_keys
from sb3_dpg.zoo.callbacks import InterruptCallback, PacedLogCallback, ResumableCheckpointCallback, ignoring_ctrl_c
from sb3_dpg.zoo.checkpoints import resumed_config, save_checkpoint, saved_timesteps, write_run_config
from sb3_dpg.zoo.hyperparameters import (
    ZOO_KEYS,
    check_hyperparameters,
    default_config,
    drop_empty,
    evaluated,
    nested_keys,
    read_entry,
    resolve_texts,
)
from sb3_dpg.zoo.patches import patched
from sb3_dpg.zoo.search import MERGED_KWARGS, SAMPLERS, merge_kwargs, sampler_of_entry
from sb3_dpg.zoo.studies import DEFAULT_HEARTBEAT, make_shared_study, read_trial, storage_url

#: The built-in algorithms whose noise rl-zoo3's search samples
SAMPLING_NOISE = ("ddpg", "td3")
_NOISE = {*NOISE_KEYS, "action_noise"}


class ExperimentManager(exp_manager.ExperimentManager):
    """
    rl-zoo3's ``ExperimentManager``, and beyond it:

    - the hyperparameters shipped with this package are the default for our algorithms and fill the gaps of rl-zoo3's files;
    - what a hyperparameter file says is checked before anything is built, and a start that fails leaves nothing behind;
    - learning rates and noise take schedule strings, noise also ``noise_theta``, ``noise_dt`` and one value per action;
    - training that continues from a saved agent (``-i``) carries its number of steps, schedules and noise on;
    - checkpoints (``--save-freq``, and at Ctrl-C) are complete;
    - a study in a database survives the death of one of its processes.

    Everything that rl-zoo3 already understands keeps its meaning.

    :param args: The arguments of rl-zoo3's ``ExperimentManager``, and so are the other three
    :param config: Hyperparameter file, None for the default one
    :param restart: Restart the number of steps, the schedules and the noise of a saved agent, as rl-zoo3 does
    :param heartbeat: Seconds between two signs of life of a trial
    :param kwargs: Its other keyword arguments
    """

    # rl-zoo3's attributes that are changed here
    args: argparse.Namespace
    config: str
    storage: str | None
    seed: int
    save_freq: int
    env_kwargs: dict[str, Any]
    eval_env_kwargs: dict[str, Any]
    save_path: str
    params_path: str
    # Whether this process has made the run's folder
    has_folder: bool

    def __init__(
        self,
        args: Any,
        algo: str,
        env_id: str,
        *rest: Any,
        config: str | None = None,
        restart: bool = False,
        heartbeat: int = DEFAULT_HEARTBEAT,
        **kwargs: Any,
    ) -> None:
        super().__init__(args, algo, env_id, *rest, config=config, **kwargs)
        # rl-zoo3's own file, wherever it keeps it, if none is given
        self.config = config or default_config(algo, env_id, self.config)
        if self.continue_training and self.optimize_hyperparameters:
            raise ConfigurationError(
                f"--optimize-hyperparameters with a saved agent ({self.trained_agent}): a search trains new agents. One that "
                "was broken off goes on by the same command without --resume or -i, if it has --storage and --study-name"
            )
        self.storage = storage_url(self.storage)
        self.heartbeat = heartbeat
        self.is_ours = algo in SAMPLERS
        self.has_eval_env_kwargs = self.eval_env_kwargs is not self.env_kwargs
        self.env_options = {
            f"--{name}": getattr(args, name.replace("-", "_"), None) for name in ("env-kwargs", "eval-env-kwargs")
        }
        self.given: dict[str, Any] = {}
        self.trial: dict[str, Any] = {}
        self.resolved: dict[str, Any] = {}
        self.noise: Mapping[str, Any] | None = None
        self.noise_keys: dict[str, Any] = {}
        self.is_interrupted = False
        self.carries_on = self.continue_training and not restart
        if self.carries_on:
            if algo == "ars":
                raise ConfigurationError(
                    "a saved agent of ars cannot go on, as ars counts its steps from 0 in every training: --restart begins "
                    "anew with its weights"
                )
            if self.trial_id is not None:
                raise ConfigurationError(
                    "--trial-id is for a new training, as a saved agent goes on with its own hyperparameters: leave it out, "
                    "or change some of them by -params"
                )
            if config is not None:
                print(
                    f"Of {config} the environment's settings alone are used, the agent's hyperparameters are its own: change "
                    "some of them by -params"
                )
            self.seed = resume.resumed_seed(self.seed, saved_timesteps(self.trained_agent))
            self.config = config or resumed_config(self.trained_agent) or self.config

    def blame(self, message: str) -> str:
        """Where the hyperparameter that an error is about was written: on the command line, in a trial or in the file."""
        words = set(re.findall(r"\w+", message))
        for option, kwargs in self.env_options.items():
            if words.intersection(kwargs or {}):
                return option
        if words.intersection(nested_keys(self.given)):
            return "-params"
        if words.intersection(nested_keys(self.trial)):
            return f"--trial-id {self.trial_id}"
        return f"{self.config}: {self.env_name.gym_id}"

    @contextlib.contextmanager
    def _naming_the_source(self, *kinds: type[Exception]) -> Iterator[None]:
        """Inside, an error about a hyperparameter becomes one that says where it was written."""
        try:
            yield
        except ConfigurationError:
            raise
        except kinds as error:
            if isinstance(error, ImportError) and missing_extra(error):
                raise
            # Others are mistakes in expressions, or in code of the user's own
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            hint = f" ({DEBUG_VARIABLE}=1 shows where)" if kind else ""
            raise ConfigurationError(f"{self.blame(str(error))}: {kind}{error}{hint}") from error

    # Reading and checking

    def read_hyperparameters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        # What a run wrote for those that continue it may hold Python objects
        own = resumed_config(self.trained_agent) if self.carries_on else None
        loader = yaml.UnsafeLoader if self.config == own else yaml.SafeLoader
        hyperparams = read_entry(self.config, self.env_name.gym_id, self.is_atari(self.env_name.gym_id), loader)
        if own not in (None, self.config):
            # Of a file that is given the environment's settings alone, as said above
            agents = read_entry(own, self.env_name.gym_id, False, yaml.UnsafeLoader)
            hyperparams = {key: value for key, value in hyperparams.items() if key in ZOO_KEYS}
            hyperparams |= {key: value for key, value in agents.items() if key not in ZOO_KEYS}
        if self.trial_id is not None:
            self.trial = read_trial(self.load_trial, self.algo, self.storage, self.study_name, self.trial_id)
        self.given = self._given_hyperparameters()
        with self._naming_the_source(ValueError):
            # Whoever decides about noise, be it for none, decides about all of it
            for override in (self.trial, self.given):
                superseded = superseded_noise_keys(override)
                hyperparams = {key: value for key, value in hyperparams.items() if key not in superseded}
                # What a search of ours did not sample of the entry's tables is as the search had it
                merged = MERGED_KWARGS & override.keys() if override is self.trial and self.is_ours else set()
                tables = {key: merge_kwargs(evaluated(key, hyperparams.get(key)), override[key]) for key in merged}
                hyperparams.update({**override, **tables})
            drop_empty(hyperparams)
            check_hyperparameters(hyperparams, ALGOS[self.algo])
            check_noise_keys(hyperparams)
            self._set_env_kwargs(hyperparams)
            saved_hyperparams = dict(sorted(hyperparams.items()))
            self.resolved = self._resolve(hyperparams)
        if self.verbose > 0:
            print(f"Hyperparameters from {self.config} (a search overrides those that it samples):")
            pprint(saved_hyperparams)
        return dict(self.resolved), saved_hyperparams

    def _given_hyperparameters(self) -> dict[str, Any]:
        """Those of the command line, without what a saved agent decides: rl-zoo3 ignores it, and would save it."""
        given = dict(self.custom_hyperparams or {})
        of_the_networks = {"policy", "policy_kwargs", *getattr(ALGOS[self.algo], "network_arguments", ())}
        decided = of_the_networks.intersection(given) if self.continue_training else set()
        if decided:
            print(f"Not used: {', '.join(sorted(decided))} of --hyperparams, the networks are those of {self.trained_agent}")
        return {key: value for key, value in given.items() if key not in decided}

    def _set_env_kwargs(self, hyperparams: dict[str, Any]) -> None:
        """Those of the command line count; rl-zoo3 forgets the entry's in evaluations, in videos and on the hub."""
        self.env_kwargs = self.env_kwargs or hyperparams.get("env_kwargs") or {}
        if "env_kwargs" in hyperparams:
            hyperparams["env_kwargs"] = self.env_kwargs
        if not self.has_eval_env_kwargs:
            self.eval_env_kwargs = self.env_kwargs
        self.args = argparse.Namespace(**{**vars(self.args), "env_kwargs": self.env_kwargs or None})

    def _resolve(self, hyperparams: Mapping[str, Any]) -> dict[str, Any]:
        """The entry as rl-zoo3 gets it: text evaluated, noise made ready, and of a saved agent's only what is to change."""
        resolved = dict(hyperparams)
        resolve_texts(resolved)
        if self.optimize_hyperparameters and self.algo in SAMPLING_NOISE:
            # Trials that sample none would have the entry's, and as a callback it replaces what others sample
            resolved = {key: value for key, value in resolved.items() if key not in _NOISE}
        if resolved.get("normalize") and "gamma" in resolved:
            options = resolved["normalize"] if isinstance(resolved["normalize"], dict) else {}
            resolved["normalize"] = {**options, "gamma": resolved["gamma"]}
        noise_is_given = not _NOISE.isdisjoint(self.given)
        self.noise_keys = {key: value for key, value in hyperparams.items() if key in _NOISE}
        self.noise = resolve_noise(resolved, self.is_ours, keeps_noise=self.carries_on and not noise_is_given)
        if self.carries_on:
            # The saved agent has its own hyperparameters and noise, with their state
            changed = ZOO_KEYS | self.given.keys() | {"policy"} | (_NOISE if noise_is_given else set())
            resolved = {key: value for key, value in resolved.items() if key in changed}
        return resolved

    @staticmethod
    def _preprocess_schedules(hyperparams: dict[str, Any]) -> dict[str, Any]:
        # Whatever the algorithm calls its learning rates. rl-zoo3's own form, lin_0.001, has one number
        texts = {
            key: hyperparams.pop(key)
            for key, value in list(hyperparams.items())
            if key.endswith("learning_rate") and isinstance(value, str)
            and not (key == "learning_rate" and value.startswith("lin_") and value.count("_") == 1)
        }  # fmt: skip
        schedules = {key: parse_schedule(text, key) for key, text in texts.items()}
        return {**exp_manager.ExperimentManager._preprocess_schedules(hyperparams), **schedules}

    # Building the agent

    def setup_experiment(self) -> tuple[BaseAlgorithm, dict[str, Any]] | None:
        has_agent = self.has_folder = False
        try:
            with self._naming_the_source(ImportError, *READING_ERRORS):
                experiment = super().setup_experiment()
                if experiment is not None:
                    self._complete_setup(*experiment)
                    has_agent = True
        finally:
            if self.has_folder and not has_agent:
                # It would be taken for the newest agent's
                shutil.rmtree(self.save_path, ignore_errors=True)
        return experiment

    def _complete_setup(self, model: BaseAlgorithm, saved_hyperparams: dict[str, Any]) -> None:
        """What follows the making of the agent, before its training."""
        if self.continue_training:
            resume.prepare_replay_buffer(model, self.trained_agent, self.carries_on)
        if self.carries_on:
            resume.check_statistics(model, self.trained_agent, self.env_name)
        write_run_config(self.save_path, self.env_name.gym_id, {**saved_hyperparams, "n_timesteps": self.n_timesteps})
        if self.algo == "bnddpg":
            print(hint_of_few_updates(model), end="")

    def create_log_folder(self) -> None:
        # The first thing that rl-zoo3 does when all is read
        if self.carries_on:
            resume.check_remaining(self.trained_agent, self.n_timesteps)
        for run_id in itertools.count(get_latest_run_id(self.log_path, self.env_name) + 1):
            try:
                os.makedirs(self.save_path)
                break
            except FileExistsError:
                # Another training has taken the number since
                self.save_path = os.path.join(self.log_path, f"{self.env_name}_{run_id}")
        self.has_folder = True
        self.params_path = f"{self.save_path}/{self.env_name}"
        super().create_log_folder()

    def create_envs(self, *args: Any, **kwargs: Any) -> VecEnv:
        with ignoring_ctrl_c() if self.vec_env_class is SubprocVecEnv else contextlib.nullcontext():
            env = super().create_envs(*args, **kwargs)
        if self.noise is not None:
            check_noise(self.noise, get_action_dim(env.action_space), self.noise_keys)
        return env

    def create_callbacks(self) -> None:
        # The entry's own callbacks are not rl-zoo3's, whatever their class
        first = len(self.callbacks)
        super().create_callbacks()
        for index, callback in enumerate(self.callbacks[first:], start=first):
            if isinstance(callback, CheckpointCallback):
                self.callbacks[index] = ResumableCheckpointCallback(
                    callback.save_freq, self.save_path, self.env_name, verbose=callback.verbose
                )
            elif isinstance(callback, EvalCallback):
                callback.verbose = min(callback.verbose, self.verbose)
                if self.carries_on:
                    resume.continue_evaluations(callback, self.trained_agent, self.env_name, self.n_envs)

    # Training

    def learn(self, model: BaseAlgorithm) -> None:
        if self.algo == "ars":
            # rl-zoo3 evaluates its candidates in parallel
            return super().learn(model)
        kwargs: dict[str, Any] = {}
        if self.log_interval != -1:
            # Below -1 nothing is logged
            kwargs["log_interval"] = self.log_interval if self.log_interval >= 0 else None
        elif self.is_ours and self.tensorboard_log is None:
            kwargs["log_interval"] = None
            self.callbacks.append(PacedLogCallback())
        steps = self.n_timesteps
        if self.carries_on:
            # Counted on from where the agent was saved, so that schedules of the progress do not jump
            steps -= model.num_timesteps
            kwargs["reset_num_timesteps"] = False
        interrupt = InterruptCallback()
        try:
            with interrupt.on_ctrl_c():
                model.learn(steps, callback=[interrupt, *self.callbacks], **kwargs)
        except BaseException as error:
            # Before a message or a traceback is drawn over. It has no bar before the training starts
            for callback in self.callbacks:
                if isinstance(callback, ProgressBarCallback) and hasattr(callback, "pbar"):
                    callback.on_training_end()
            if not isinstance(error, KeyboardInterrupt):
                raise
            self.is_interrupted = True
            self._save_interrupted(model, interrupt.has_stopped)
        finally:
            if model.env is not None:
                with contextlib.suppress(EOFError, OSError):
                    model.env.close()

    def _save_interrupted(self, model: BaseAlgorithm, is_whole: bool) -> None:
        """Save what a resumed run goes on from, unless something was half done, and say how."""
        print(f"Stopped after {model.num_timesteps} of {self.n_timesteps} steps")
        if not is_whole:
            print("No checkpoint is written, as something was half done: --resume goes on from the last one before")
            return
        try:
            folder = save_checkpoint(model, self.save_path, self.env_name)
        except OSError as error:
            # The agent alone, which is saved next, may still find room
            print(f"No checkpoint could be written: {error}")
            return
        # Not --resume: there may be a later run
        agent = str(folder / f"{self.env_name}.zip")
        options = ["--algo", self.algo, "--env", self.env_name.gym_id, "-f", self.log_folder, "-i", agent]
        packages = getattr(self.args, "gym_packages", [])
        command = shlex.join(["sb3-dpg", "train", *options, *(["--gym-packages", *packages] if packages else [])])
        print(f"Saved all of it in {folder}. To go on from there: {command}")

    def hyperparameters_optimization(self) -> None:
        if self.algo not in exp_manager.HYPERPARAMS_SAMPLER:
            raise ConfigurationError(f"--optimize-hyperparameters: there is no search for {self.algo}")
        samplers = dict(exp_manager.HYPERPARAMS_SAMPLER)
        replacements: dict[str, Any] = {"HYPERPARAMS_SAMPLER": samplers}
        if self.is_ours:
            env = self.create_envs(1, no_log=True)
            samplers[self.algo] = sampler_of_entry(samplers[self.algo], self.resolved, env.observation_space)
            env.close()
        if self.storage is not None and not self.storage.endswith(".log"):
            replacements["create_study"] = make_shared_study(
                self.objective, self.heartbeat, self.max_total_trials, {"algo": self.algo, "env": self.env_name.gym_id}
            )
        try:
            with patched(**replacements):
                super().hyperparameters_optimization()
        except ConfigurationError:
            raise
        except SQLAlchemyError as error:
            raise ConfigurationError(f"--storage {self.storage}: {error}") from error
        except ValueError as error:
            if not self.is_interrupted:
                message = "no trial was completed: those that have ended were pruned or failed"
                raise ConfigurationError(f"--optimize-hyperparameters: {message} ({error})") from error

    def objective(self, trial: optuna.Trial) -> float:
        try:
            with self._naming_the_source(TypeError, ValueError):
                return float(super().objective(trial))
        except KeyboardInterrupt:
            self.is_interrupted = True
            raise


def hint_of_few_updates(model: BaseAlgorithm) -> str:
    """A line where several environments share the updates that are meant for one, else nothing."""
    assert isinstance(model, OffPolicyAlgorithm)
    assert isinstance(model.train_freq, TrainFreq)
    rate, updates = model.train_freq, model.gradient_steps
    if model.n_envs == 1 or rate.unit != TrainFrequencyUnit.STEP or not 0 < updates <= rate.frequency:
        return ""
    return (
        f"Hint: gradient_steps={updates} with {model.n_envs} environments is {updates} update(s) for "
        f"{rate.frequency * model.n_envs} steps: faster, but less is learned from each. gradient_steps=-1 is one for each\n"
    )
