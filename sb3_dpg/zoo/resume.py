"""Checkpoints from which a killed training continues, and the continuing."""

import json
import os
import re
import shutil
import zipfile
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
#: In a checkpoint: what a resumed run has to know of the callback that made it
CHECKPOINT_FILE = "checkpoint.json"
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
        text = yaml.safe_dump({env_id: hyperparams})
    except yaml.representer.RepresenterError:
        print(f"The hyperparameters hold Python objects: to resume from {folder}, give the same options again")
        return
    (Path(folder) / RUN_CONFIG).write_text(text)


def resumed_config(trained_agent: str | Path) -> str | None:
    """
    :param trained_agent: A saved agent
    :return: The hyperparameters of the run that saved it, as a file; None if there is none beside it
    """
    path = Path(trained_agent).parent / RUN_CONFIG
    return str(path) if path.is_file() else None


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
            "best_model.zip",
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
        if match and checkpoints(run):
            runs.append((int(match[1]), run))
    if not runs:
        raise ConfigurationError(
            f"--resume: no checkpoint of {algo} on {env_name} in {log_folder} (checkpoints are written with --save-freq)"
        )
    return checkpoints(max(runs)[1])[-1] / f"{env_name}.zip"


def resolve_trained_agent(path: str) -> str:
    """
    :param path: What was given as ``-i``
    :return: The same agent inside its complete checkpoint, if there is one
    """
    agent = Path(path)
    match = re.fullmatch(r"rl_model_(\d+)_steps\.zip", agent.name)
    if match:
        env_name = agent.absolute().parent.name.rsplit("_", 1)[0]
        complete = agent.parent / f"checkpoint_{match[1]}_steps" / f"{env_name}.zip"
        if complete.is_file():
            return str(complete)
    return path


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
    buffer.dones[last] = True
    if buffer.handle_timeout_termination:
        # Cut, not ended: its value is still bootstrapped
        buffer.timeouts[last] = True


def continue_evaluations(callback: EvalCallback, source: Path) -> None:
    """
    Let the evaluations of the new run begin with those of the run that it continues.

    :param callback: The callback that evaluates the new run
    :param source: Folder of the saved agent
    """
    if callback.log_path is None or not (source / "evaluations.npz").is_file():
        return
    with np.load(source / "evaluations.npz") as log:
        if log["results"].shape[1] != callback.n_eval_episodes:
            print(f"Evaluations begin anew: {source} has {log['results'].shape[1]} episodes in each")
            return
        callback.evaluations_timesteps = log["timesteps"].tolist()
        callback.evaluations_results = log["results"].tolist()
        callback.evaluations_length = log["ep_lengths"].tolist()
        if "successes" in log:
            callback.evaluations_successes = log["successes"].tolist()
    best_model = source / "best_model.zip"
    if best_model.is_file() and callback.best_model_save_path is not None:
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
