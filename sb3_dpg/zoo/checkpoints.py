"""Checkpoints from which a killed training continues, and what a saved agent says of itself."""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from rl_zoo3.utils import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg.common.errors import ConfigurationError

#: Hyperparameters of one run in the form of a hyperparameter file
RUN_CONFIG = "hyperparams.yml"
#: The agent with the best evaluation, as EvalCallback names it
BEST_MODEL = "best_model.zip"
_CHECKPOINT_NAME = re.compile(r"checkpoint_(\d+)_steps")
#: What tells a whole file from one that is empty or was cut off, however large: a pickle ends in a full stop
_IS_WHOLE: dict[str, Callable[[BinaryIO], bool]] = {
    ".csv": lambda file: file.readline().endswith(b"\n") and file.readline().endswith(b"\n"),
    ".npz": zipfile.is_zipfile,
    ".pkl": lambda file: file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read() == b".",
    # Of the rest of it YAML's own errors tell, with its name
    ".yml": lambda file: file.read(1) != b"",
}


def check_whole(path: Path) -> None:
    """Name a file that is not whole, if it is there: what rl-zoo3 and SB3 raise over it does not say which it is."""
    if path.is_file():
        with path.open("rb") as file:
            if not _IS_WHOLE[path.suffix](file):
                raise ConfigurationError(f"{path} is empty or was cut off: put a whole copy in its place, or move it away")


def write_run_config(folder: str | Path, env_id: str, hyperparams: dict[str, Any]) -> None:
    """Write the hyperparameters as read from file, trial and command line, for the run that continues this one."""
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
    """The hyperparameters of the run that saved an agent, as a file; None if there is none beside it."""
    path = Path(trained_agent).parent / RUN_CONFIG
    return str(path) if path.is_file() else None


def save_checkpoint(model: BaseAlgorithm, run_folder: str | Path, env_name: str) -> Path:
    """
    Save the state from which training really continues: a folder ``checkpoint_<n>_steps`` with agent, replay buffer,
    ``VecNormalize`` statistics and hyperparameters, laid out like the log folder of a finished run. It is renamed into place
    when complete, so that a process killed at any moment leaves a whole one; older ones are removed then.

    :param model: The agent, between two rollouts
    :param run_folder: Log folder of its run
    :param env_name: Name of the environment, the name of the agent's file
    :return: The folder of the checkpoint
    """
    run = Path(run_folder)
    folder = run / f"checkpoint_{model.num_timesteps}_steps"
    partial = folder.with_name(f".{folder.name}.partial")
    # Those of checkpoints that failed, too: each may hold a replay buffer
    for leftover in run.glob(".checkpoint_*_steps.partial"):
        shutil.rmtree(leftover)
    (partial / env_name).mkdir(parents=True)
    model.save(partial / f"{env_name}.zip")
    if isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        model.save_replay_buffer(partial / "replay_buffer.pkl")
    vec_normalize = model.get_vec_normalize_env()
    if vec_normalize is not None:
        vec_normalize.save(str(partial / env_name / "vecnormalize.pkl"))
    for name in (RUN_CONFIG, "evaluations.npz", BEST_MODEL, f"{env_name}/config.yml", f"{env_name}/args.yml"):
        if (run / name).is_file():
            shutil.copy(run / name, partial / name)
    previous = [path for path in checkpoints(run) if path != folder]
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    for path in previous:
        shutil.rmtree(path)
    return folder


def checkpoints(run_folder: str | Path) -> list[Path]:
    """The complete checkpoints of a run, the latest last."""
    found = [(int(match[1]), path) for path in Path(run_folder).iterdir() if (match := _CHECKPOINT_NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def latest_checkpoint(log_folder: str | Path, algo: str, env_name: str) -> Path:
    """The agent in the latest checkpoint of the latest run that has one."""
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
    """The same agent inside its complete checkpoint, if there is one."""
    agent = Path(path)
    match = re.fullmatch(r"rl_model_(\d+)_steps\.zip", agent.name)
    if match:
        # The name of the environment cannot be told from the run's: both may hold underscores
        for complete in (agent.parent / f"checkpoint_{match[1]}_steps").glob("*.zip"):
            if complete.name != BEST_MODEL:
                return str(complete)
    return path


def saved_attribute(path: str | Path, name: str) -> Any:
    """A plain attribute (a number, a text or None) of a saved agent, without loading it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("data"))[name]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path}: not a saved agent ({error})") from error


def saved_timesteps(path: str | Path) -> int:
    """How many steps a saved agent was trained for."""
    return int(saved_attribute(path, "num_timesteps"))


def check_saved_algorithm(path: str | Path, algo: str) -> None:
    """Refuse an agent whose policy comes with other algorithms only: SB3 would load it where the constructors allow it."""
    policy = saved_attribute(path, "policy_class")
    module = policy.get("__module__") if isinstance(policy, dict) else None
    owners = [
        name
        for name, algorithm in ALGOS.items()
        if module in {alias.__module__ for alias in algorithm.policy_aliases.values()}
    ]
    if owners and algo not in owners:
        raise ConfigurationError(f"{path}: an agent of {' or '.join(owners)}, with which {algo} cannot go on")
