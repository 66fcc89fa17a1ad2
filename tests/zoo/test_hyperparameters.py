"""The shipped hyperparameter files, and which file serves an experiment."""

import shutil
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import pytest
import rl_zoo3
import yaml
from rl_zoo3.utils import ALGOS

from sb3_dpg.zoo.action_noise import check_noise_keys
from sb3_dpg.zoo.hyperparameters import (
    check_hyperparameters,
    constructor_keys,
    default_config,
    load_yaml,
    shipped_hyperparameters,
)
from sb3_dpg.zoo.manager import ExperimentManager

ZOO_FILES = Path(rl_zoo3.__file__).parent / "hyperparams"
MUJOCO = [
    f"{name}-v5"
    for name in (
        "HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid", "Swimmer", "Reacher", "InvertedPendulum",
        "InvertedDoublePendulum", "Pusher", "HumanoidStandup",
    )
]  # fmt: skip
OTHERS = ["default", "Pendulum-v1", "MountainCarContinuous-v0", "LunarLanderContinuous-v3", "BipedalWalker-v3"]
SHIPPED = ["bnddpg", "ddpg", "td3"]


def shipped(algo: str) -> Path:
    """Our file for an algorithm, which must exist."""
    path = shipped_hyperparameters(algo)
    assert path is not None
    return path


@pytest.mark.parametrize(("algo", "env_ids"), [("bnddpg", OTHERS + MUJOCO), ("ddpg", MUJOCO), ("td3", MUJOCO)])
def test_the_promised_environments_have_entries(algo: str, env_ids: list[str]) -> None:
    assert set(env_ids) <= set(load_yaml(shipped(algo)))


@pytest.mark.parametrize("algo", [*SHIPPED, "copdacq"])
def test_shipped_entries_can_be_used(algo: str) -> None:
    for env_id, entry in load_yaml(shipped(algo)).items():
        assert env_id == "default" or env_id in gym.registry
        check_hyperparameters(entry, ALGOS[algo])
        check_noise_keys(entry)


@pytest.mark.parametrize("algo", sorted(path.stem for path in ZOO_FILES.glob("*.yml") if path.stem in ALGOS))
def test_all_of_rl_zoo3s_own_entries_pass_the_check(algo: str) -> None:
    entries = yaml.safe_load((ZOO_FILES / f"{algo}.yml").read_text())
    if algo == "ppo_lstm":
        # Cannot be used: RecurrentPPO has no MlpPolicy
        del entries["default"]
    for entry in entries.values():
        check_hyperparameters(entry, ALGOS[algo])
        check_noise_keys(entry)


def test_which_file_serves_an_experiment() -> None:
    for algo, env_id, expected in (
        ("bnddpg", "Pendulum-v1", shipped("bnddpg")),
        ("bnddpg", "Unheard-v0", shipped("bnddpg")),
        # A built-in algorithm: rl-zoo3's entry, then ours, then rl-zoo3's default
        ("td3", "Pendulum-v1", ZOO_FILES / "td3.yml"),
        ("td3", "HalfCheetah-v5", shipped("td3")),
        ("td3", "Unheard-v0", ZOO_FILES / "td3.yml"),
        ("ppo", "Pendulum-v1", ZOO_FILES / "ppo.yml"),
    ):
        assert default_config(algo, env_id, str(ZOO_FILES / f"{algo}.yml")) == str(expected)


def test_in_a_clone_of_rl_zoo3_its_files_are_beside_the_package(
    monkeypatch: pytest.MonkeyPatch, make_manager: Callable[..., ExperimentManager], tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(ZOO_FILES, clone / "hyperparams")
    monkeypatch.setattr("rl_zoo3.exp_manager.__file__", str(clone / "rl_zoo3" / "exp_manager.py"))
    assert make_manager("td3", None).config == str(clone / "hyperparams/td3.yml")


def test_the_files_for_builtin_algorithms_only_fill_gaps() -> None:
    for algo in ("ddpg", "td3"):
        assert not set(load_yaml(shipped(algo))) & set(yaml.safe_load((ZOO_FILES / f"{algo}.yml").read_text()))


def test_constructor_keys() -> None:
    keys = constructor_keys(ALGOS["bnddpg"])
    assert {"policy", "batch_norm", "action_noise", "stats_window_size"} <= keys
    assert not keys & {"self", "env", "_init_setup_model"}


def test_noise_keys_belong_to_algorithms_with_action_noise() -> None:
    entry = {"policy": "MlpPolicy", "n_timesteps": 10, "noise_std": 0.1}
    check_hyperparameters(entry, ALGOS["sac"])
    with pytest.raises(ValueError, match="unknown key 'noise_std' for PPO"):
        check_hyperparameters(entry, ALGOS["ppo"])
