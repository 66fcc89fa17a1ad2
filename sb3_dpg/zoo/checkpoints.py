"""Checkpoints from which a killed training continues: writing and finding them."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from stable_baselines3.common.callbacks import CheckpointCallback

from sb3_dpg.common.errors import ConfigurationError

#: Hyperparameters of one run in the form of a hyperparameter file
RUN_CONFIG = "hyperparams.yml"
#: The agent with the best evaluation, as EvalCallback names it
BEST_MODEL = "best_model.zip"
#: In a checkpoint: what a resumed run has to know of the callback that made it
CHECKPOINT_FILE = "checkpoint.json"
_CHECKPOINT_NAME = re.compile(r"checkpoint_(\d+)_steps")


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
        # rl-zoo3 calls this for a run that was broken off, too. What continues a finished one begins at its end
        finished = self.num_timesteps >= self.model._total_timesteps
        self._due = self._due or (finished and not self._folder.is_dir())
        self._save_if_due()

    @property
    def _folder(self) -> Path:
        return Path(self.save_path) / f"checkpoint_{self.num_timesteps}_steps"

    def _save_if_due(self) -> None:
        if self._due:
            self._due = False
            self.save_checkpoint()

    def save_checkpoint(self) -> Path:
        """
        :return: The folder of the checkpoint
        """
        folder = self._folder
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
