"""Fixtures: seeds for all tests; for those that run commands a wheel, installed."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from gymnasium.utils import seeding
from hypothesis import settings
from stable_baselines3.common.utils import set_random_seed

CLONE = Path(__file__).parents[1]

# 100 examples in a normal run, 1000 in the nightly one
settings.register_profile("normal", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "normal"))

# Shells let background jobs, and what these start, ignore Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)

# A make that a test starts is not a part of the one that runs the tests
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test does not seed is the same in each run: weights, and what spaces and environments draw."""
    set_random_seed(0)
    seeds, np_random = itertools.count(), seeding.np_random
    monkeypatch.setattr(seeding, "np_random", lambda seed=None: np_random(next(seeds) if seed is None else seed))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder with the installed wheel, built from the clone once, for all of pytest-xdist's workers."""
    root = tmp_path_factory.getbasetemp()
    folder = (root if worker_id == "master" else root.parent) / "installed"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "site" / "bin").exists():
            subprocess.run([*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", str(folder), str(CLONE)], check=True)
            (wheel,) = folder.glob("*.whl")
            subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Run ``sb3-dpg`` as installed from the wheel, in an empty directory."""

    def run_command(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
        command = [sys.executable, str(installed / "site" / "bin" / "sb3-dpg"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    return run_command
