"""Fixtures of the zoo tests: a small hyperparameter file, experiment managers."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sb3_dpg.zoo.manager import ExperimentManager
from sb3_dpg.zoo.registration import register_algorithms


@pytest.fixture(scope="session", autouse=True)
def _registered() -> None:
    register_algorithms()


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """Write an entry for Pendulum-v1, return the file."""

    def write(entry: dict[str, Any], env_id: str = "Pendulum-v1") -> Path:
        path = tmp_path / "config.yml"
        path.write_text(yaml.safe_dump({env_id: entry}))
        return path

    return write


@pytest.fixture
def make_manager(tmp_path: Path) -> Callable[..., ExperimentManager]:
    """Make an experiment manager as rl-zoo3's train does."""

    def make(algo: str, config: Path | None, env_id: str = "Pendulum-v1", **kwargs: Any) -> ExperimentManager:
        args = argparse.Namespace(env=env_id, seed=1, env_kwargs=None)
        settings: dict[str, Any] = {"eval_freq": -1, "seed": 1, "log_interval": -1, "verbose": 0, "device": "cpu", **kwargs}
        return ExperimentManager(
            args, algo, env_id, str(tmp_path / "logs"), config=None if config is None else str(config), **settings
        )

    return make
