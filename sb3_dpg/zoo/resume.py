"""Checkpoints from which a killed training continues, and the continuing."""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback

from sb3_dpg.zoo.errors import ConfigurationError

#: Hyperparameters of one run in the form of a hyperparameter file
RUN_CONFIG = "hyperparams.yml"
#: The agent with the best evaluation, as EvalCallback names it
BEST_MODEL = "best_model.zip"
#: In a checkpoint: what a resumed run has to know of the callback that made it
CHECKPOINT_FILE = "checkpoint.json"
#: Options of ``train`` that say in which environment an agent learns and how it is evaluated; no hyperparameter file has them
CARRIED_OPTIONS = ("env_kwargs", "eval_env_kwargs", "eval_freq", "eval_episodes", "n_eval_envs")
_CHECKPOINT_NAME = re.compile(r"checkpoint_(\d+)_steps")


def saved_attribute(path: str | Path, name: str) -> Any:
    """
    Read one plain attribute without loading the agent.

    :param path: A saved agent, a .zip file
    :param name: Name of an attribute that is a number, a text or None
    :return: Its value
    :raises ConfigurationError: if the file is no saved agent
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("data"))[name]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path}: not a saved agent ({error})") from error


def saved_timesteps(path: str | Path) -> int:
    """
    :param path: A saved agent, a .zip file
    :return: How many steps it was trained for
    """
    return int(saved_attribute(path, "num_timesteps"))


def check_saved_algorithm(path: str | Path, algo: str) -> None:
    """
    SB3 loads an agent of another algorithm where the constructors allow it, and its networks with it.

    :param path: A saved agent, a .zip file
    :param algo: Name of the algorithm that is to go on with it
    :raises ConfigurationError: if its policy is one that comes with other algorithms only
    """
    from rl_zoo3.utils import ALGOS

    policy = saved_attribute(path, "policy_class")
    module = policy.get("__module__") if isinstance(policy, dict) else None
    owners = [
        name
        for name, algorithm in ALGOS.items()
        if module in {alias.__module__ for alias in algorithm.policy_aliases.values()}
    ]
    if owners and algo not in owners:
        raise ConfigurationError(f"{path}: an agent of {' or '.join(owners)}, with which {algo} cannot go on")


def resumed_seed(seed: int, num_timesteps: int) -> int:
    """
    A training that continues must not live through the random numbers of its beginning again.

    :param seed: The seed asked for
    :param num_timesteps: How many steps the agent was trained for
    :return: A seed made from both
    """
    return int(np.random.SeedSequence([seed, num_timesteps]).generate_state(1)[0])


def write_run_config(folder: str | Path, env_id: str, hyperparams: dict[str, Any]) -> None:
    """
    :param folder: Folder of a run
    :param env_id: Id of the environment
    :param hyperparams: As read from hyperparameter file, trial and command line
    """
    try:
        # Not safe_dump: policy_kwargs of the command line hold classes (read by UnsafeLoader, as rl-zoo3 reads its config.yml)
        text = yaml.dump({env_id: hyperparams})
        # A class of a Python file that rl-zoo3 has run, which no module holds
        yaml.load(text, yaml.UnsafeLoader)
    except (TypeError, yaml.YAMLError):
        print(f"The hyperparameters hold objects that cannot be saved: to resume from {folder}, give the same options again")
        return
    (Path(folder) / RUN_CONFIG).write_text(text)


def resumed_config(trained_agent: str | Path) -> str | None:
    """
    :param trained_agent: A saved agent
    :return: The hyperparameters of the run that saved it, as a file; None if there is none beside it
    """
    path = Path(trained_agent).parent / RUN_CONFIG
    return str(path) if path.is_file() else None


def earlier_options(trained_agent: str | Path, env_name: str, arguments: Sequence[str]) -> list[str]:
    """
    What the command line of a run said about the environment and the evaluations, for the run that continues it.

    :param trained_agent: A saved agent
    :param env_name: Name of the environment
    :param arguments: The new command line; what it gives is left out
    :return: Options to put in front of the new ones
    :raises ConfigurationError: if the arguments of the run cannot be read
    """
    path = Path(trained_agent).parent / env_name / "args.yml"
    if not path.is_file():
        return []
    try:
        earlier = dict(yaml.load(path.read_text(), Loader=yaml.UnsafeLoader))
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: not the arguments of a run ({error})") from error
    options = []
    for name in CARRIED_OPTIONS:
        option, value = f"--{name.replace('_', '-')}", earlier.get(name)
        given = option in arguments or any(argument.startswith(f"{name}:") for argument in arguments)
        if value is None or given:
            continue
        if isinstance(value, dict):
            options += [option, *(f"{key}:{item!r}" for key, item in value.items())]
        else:
            options.append(f"{option}={value}")
    return options


def resumed_save_freq(trained_agent: str | Path) -> int:
    """
    :param trained_agent: A saved agent
    :return: After how many steps the run that saved it saved the next checkpoint; -1 if it is not one of a checkpoint
    """
    path = Path(trained_agent).parent / CHECKPOINT_FILE
    return int(json.loads(path.read_text())["save_freq"]) if path.is_file() else -1


class ResumableCheckpointCallback(CheckpointCallback):
    """
    Beside the agents ``rl_model_<n>_steps.zip`` that rl-zoo3 knows, keep the latest state from which training really
    continues: a folder ``checkpoint_<n>_steps`` with agent, replay buffer, ``VecNormalize`` statistics and hyperparameters,
    laid out like the log folder of a finished run. It is renamed into place when complete, so that a process killed at any
    moment leaves a whole one; older ones are removed then.

    :param save_freq: Steps of the (vectorised) environment between two checkpoints
    :param save_path: Log folder of the run
    :param env_name: Name of the environment, the name of the agent's file
    :param verbose: Verbosity level: 2 to print where checkpoints are saved
    """

    def __init__(self, save_freq: int, save_path: str, env_name: str, verbose: int = 0) -> None:
        super().__init__(save_freq, save_path, name_prefix="rl_model", verbose=verbose)
        self.env_name = env_name
        self._due = False

    def _on_step(self) -> bool:
        self._due = self._due or self.n_calls % self.save_freq == 0
        return super()._on_step()

    def _on_rollout_start(self) -> None:
        # Not in _on_step: there the transition of this step is not in the replay buffer yet, nor learned from
        self._save_if_due()

    def _on_training_end(self) -> None:
        self._save_if_due()

    def _save_if_due(self) -> None:
        if self._due:
            self._due = False
            self.save_checkpoint()

    def save_checkpoint(self) -> Path:
        """
        :return: The folder of the checkpoint
        """
        folder = Path(self.save_path) / f"checkpoint_{self.num_timesteps}_steps"
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        params_folder = partial / self.env_name
        params_folder.mkdir(parents=True)
        self.model.save(partial / f"{self.env_name}.zip")
        if getattr(self.model, "replay_buffer", None) is not None:
            self.model.save_replay_buffer(partial / "replay_buffer.pkl")  # type: ignore[attr-defined]
        vec_normalize = self.model.get_vec_normalize_env()
        if vec_normalize is not None:
            vec_normalize.save(str(params_folder / "vecnormalize.pkl"))
        (partial / CHECKPOINT_FILE).write_text(json.dumps({"save_freq": self.save_freq * self.training_env.num_envs}))
        self._copy_run_files(partial)
        previous = [path for path in checkpoints(self.save_path) if path != folder]
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
        for path in previous:
            shutil.rmtree(path)
        return folder

    def _copy_run_files(self, partial: Path) -> None:
        """
        :param partial: The folder that becomes the checkpoint
        """
        run = Path(self.save_path)
        for name in (
            RUN_CONFIG,
            "evaluations.npz",
            BEST_MODEL,
            f"{self.env_name}/config.yml",
            f"{self.env_name}/args.yml",
        ):
            if (run / name).is_file():
                shutil.copy(run / name, partial / name)


def checkpoints(run_folder: str | Path) -> list[Path]:
    """
    :param run_folder: Log folder of a run
    :return: Its complete checkpoints, the latest last
    """
    found = [(int(match[1]), path) for path in Path(run_folder).iterdir() if (match := _CHECKPOINT_NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def latest_checkpoint(log_folder: str | Path, algo: str, env_name: str) -> Path:
    """
    :param log_folder: Where runs are logged
    :param algo: Name of the algorithm
    :param env_name: Name of the environment, as in the folders' names
    :return: The agent in the latest checkpoint of the latest run that has one
    :raises ConfigurationError: if there is none
    """
    runs = []
    for run in Path(log_folder, algo).glob(f"{env_name}_*"):
        # With --uuid the number is followed by one
        match = re.fullmatch(r"(\d+)(?:_[0-9a-f-]+)?", run.name.removeprefix(f"{env_name}_"))
        if match and (found := checkpoints(run)):
            runs.append((int(match[1]), found[-1]))
    if not runs:
        raise ConfigurationError(
            f"--resume: no checkpoint of {algo} on {env_name} in {log_folder} (checkpoints are written with --save-freq)"
        )
    # rl-zoo3 does not count runs with a UUID, so that many have the same number: then the one that saved last
    _, checkpoint = max(runs, key=lambda run: (run[0], run[1].stat().st_mtime_ns))
    return checkpoint / f"{env_name}.zip"


def resolve_trained_agent(path: str) -> str:
    """
    :param path: What was given as ``-i``
    :return: The same agent inside its complete checkpoint, if there is one
    """
    agent = Path(path)
    match = re.fullmatch(r"rl_model_(\d+)_steps\.zip", agent.name)
    if match:
        # The name of the environment cannot be told from the run's: both may hold underscores
        for complete in (agent.parent / f"checkpoint_{match[1]}_steps").glob("*.zip"):
            if complete.name != BEST_MODEL:
                return str(complete)
    return path


def check_environments(model: BaseAlgorithm, trained_agent: str) -> None:
    """
    :param model: The loaded agent
    :param trained_agent: Where it was loaded from
    :raises ConfigurationError: if the replay buffer is of another number of environments: a row has a place for each
    """
    buffer = getattr(model, "replay_buffer", None)
    if isinstance(buffer, ReplayBuffer) and buffer.n_envs != model.n_envs:
        raise ConfigurationError(
            f"the replay buffer beside {trained_agent} was filled by {buffer.n_envs} environment(s) and cannot be by "
            f"{model.n_envs}: give -params n_envs:{buffer.n_envs}, or begin with an empty one by moving it away"
        )


def mark_interruption(model: BaseAlgorithm, trained_agent: str) -> None:
    """
    Training continues in a new episode: the last transition of the replay buffer has no successor there.

    :param model: The loaded agent
    :param trained_agent: Where it was loaded from
    """
    buffer = getattr(model, "replay_buffer", None)
    if not isinstance(buffer, ReplayBuffer):
        return
    if buffer.size() == 0:
        print(
            f"Warning: no replay buffer beside {trained_agent}: training continues with an empty one, and the return may "
            "fall. Save it with --save-replay-buffer, or resume from a checkpoint (--save-freq)."
        )
        return
    last = (buffer.pos - 1) % buffer.buffer_size
    if buffer.handle_timeout_termination:
        # Cut, not ended: its value is still bootstrapped. An episode that had ended before has no value to bootstrap
        buffer.timeouts[last, buffer.dones[last] == 0] = True
    buffer.dones[last] = True


def check_statistics(model: BaseAlgorithm, trained_agent: str, env_name: str) -> None:
    """
    Warn where the agent goes on with other ``VecNormalize`` statistics than it was saved with.

    :param model: The loaded agent
    :param trained_agent: Where it was loaded from
    :param env_name: Name of the environment
    """
    normalize = model.get_vec_normalize_env()
    if normalize is None:
        return
    path = Path(trained_agent).parent / env_name / "vecnormalize.pkl"
    # Unlike those of the observations, the statistics of the returns count just the steps
    steps = round(normalize.ret_rms.count)
    if not path.is_file():
        problem = f"there is no {path}: training continues with VecNormalize statistics that begin anew"
    elif Path(trained_agent).stem != env_name and steps != model.num_timesteps:
        # Saved for the best agent so far, or for the final one
        problem = f"training continues with the VecNormalize statistics in {path}, which are of step {steps}"
    else:
        return
    print(
        f"Warning: {trained_agent} is of step {model.num_timesteps}, but {problem}. The agent sees observations and rewards "
        "on another scale than it learned them, and the return may fall. Resume from a checkpoint (--resume)."
    )


def continue_evaluations(callback: EvalCallback, trained_agent: str, n_envs: int) -> None:
    """
    Let the evaluations of the new run begin with those of the run that it continues, and go on at the steps at which that
    would have had them.

    :param callback: The callback that evaluates the new run
    :param trained_agent: The saved agent
    :param n_envs: Number of environments in training
    """
    source, done = Path(trained_agent).parent, saved_timesteps(trained_agent)
    callback.n_calls = done // n_envs
    if callback.log_path is None or not (source / "evaluations.npz").is_file():
        return
    with np.load(source / "evaluations.npz") as log:
        if log["results"].shape[1] != callback.n_eval_episodes:
            print(f"Evaluations begin anew: {source} has {log['results'].shape[1]} episodes in each")
            return
        # Those after the agent was saved are of a training that is not continued
        kept = int(np.sum(log["timesteps"] <= done))
        callback.evaluations_timesteps = log["timesteps"][:kept].tolist()
        callback.evaluations_results = log["results"][:kept].tolist()
        callback.evaluations_length = log["ep_lengths"][:kept].tolist()
        if "successes" in log:
            callback.evaluations_successes = log["successes"][:kept].tolist()
    best_model = source / BEST_MODEL
    if callback.best_model_save_path is None or not callback.evaluations_results or not best_model.is_file():
        return
    if saved_timesteps(best_model) <= done:
        callback.best_mean_reward = max(float(np.mean(results)) for results in callback.evaluations_results)
        shutil.copy(best_model, callback.best_model_save_path)


class ContinuedModel:
    """
    An agent whose ``learn`` counts on from where it was saved, so that schedules of the progress do not jump.

    :param model: The loaded agent
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def learn(self, total_timesteps: int, **kwargs: Any) -> BaseAlgorithm:
        """
        :param total_timesteps: Number of steps from the beginning of the first training
        :param kwargs: Passed on
        :return: The agent
        """
        remaining = total_timesteps - self._model.num_timesteps
        return self._model.learn(remaining, reset_num_timesteps=False, **kwargs)


def check_remaining(trained_agent: str, n_timesteps: int) -> None:
    """
    :param trained_agent: The saved agent
    :param n_timesteps: Number of steps from the beginning
    :raises ConfigurationError: if there is nothing left to do
    """
    done = saved_timesteps(trained_agent)
    if done >= n_timesteps:
        raise ConfigurationError(
            f"{trained_agent} was trained for {done} steps already and n_timesteps={n_timesteps} counts from its beginning: "
            "ask for more with -n, or use --restart to begin anew with its weights"
        )
