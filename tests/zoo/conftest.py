"""Fixtures of the zoo tests: a small hyperparameter file, managers, and an installed wheel to run commands from."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sb3_dpg.zoo.manager import ExperimentManager
from sb3_dpg.zoo.registration import register_algorithms

CLONE = Path(__file__).parents[2]


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


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel, built from the clone once."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", str(folder), str(CLONE)], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Run ``sb3-dpg`` as installed from the wheel, in an empty directory."""
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}

    def run_command(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(installed / "site" / "bin" / "sb3-dpg"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    return run_command
