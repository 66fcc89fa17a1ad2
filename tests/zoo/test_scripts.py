"""Each script as users run it: a command, installed from a wheel, in an empty directory, on a tiny budget."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from sb3_dpg.cli import COMMANDS
from tests.zoo.entries import TINY, tiny_entry

Run = Callable[..., subprocess.CompletedProcess[str]]
ALGORITHMS = list(TINY)
ENV = ("--env", "Pendulum-v1")
PENDULUM = "Pendulum-v1"


def write_tiny_config(folder: Path, algo: str, env_id: str = PENDULUM, **changes: object) -> str:
    """A hyperparameter file in the directory of the commands."""
    path = folder / f"{algo}.yml"
    path.write_text(yaml.safe_dump({env_id: tiny_entry(algo, **changes)}))
    return str(path)


def train(run: Run, folder: Path, algo: str, *options: str, n_timesteps: int = 300) -> None:
    """Train a tiny agent with checkpoints and evaluations."""
    config = write_tiny_config(folder, algo)
    frequencies = ("--eval-freq", "100", "--eval-episodes", "2", "--save-freq", "150", "--num-threads", "1")
    run("train", "--algo", algo, *ENV, "-conf", config, "-n", str(n_timesteps), *frequencies, *options)


#: rl-zoo3's plot scripts do not name themselves in their help: an option that only this one has
OPTIONS = {"plot-train": "--episode-window", "all-plots": "--print-n-trials", "plot-from-file": "--boxplot"}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(run: Run, name: str) -> None:
    output = run(name, "--help").stdout
    assert OPTIONS.get(name, f"sb3-dpg {name}") in output
    assert ("--figures" in output) == (name in OPTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_train_enjoy_record_and_resume(run: Run, tmp_path: Path, algo: str) -> None:
    train(run, tmp_path, algo, "--seed", "1")
    log = tmp_path / "logs" / algo
    assert (log / f"{PENDULUM}_1" / f"{PENDULUM}.zip").is_file()
    at_home = ("--algo", algo, *ENV, "-f", "logs")
    assert "1 Episodes\nMean reward: -" in run("enjoy", *at_home, "--no-render", "-n", "200").stdout
    run("enjoy", *at_home, "--no-render", "-n", "10", "--load-best")
    run("record-video", *at_home, "-n", "5")
    videos = log / f"{PENDULUM}_1" / "videos"
    assert [path.name for path in videos.glob("*.mp4")] == [f"final-model-{algo}-{PENDULUM}-step-0-to-step-5.mp4"]
    resumed = run("train", "--algo", algo, *ENV, "--resume", "-n", "450", "--eval-freq", "100", "--eval-episodes", "2").stdout
    assert "Loading replay buffer" in resumed
    with np.load(log / f"{PENDULUM}_2" / "evaluations.npz") as evaluations:
        assert evaluations["timesteps"].tolist() == [100, 200, 300, 400]


@pytest.mark.slow
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_to_the_hub_and_back_without_a_network(run: Run, tmp_path: Path, algo: str) -> None:
    train(run, tmp_path, algo)
    run("push-to-hub", "--algo", algo, *ENV, "-f", "logs", "-orga", "someone", "-n", "5", "--no-upload")
    repository = tmp_path / "hub" / f"{algo}-{PENDULUM}"
    names = {path.name for path in repository.iterdir()}
    files = ("README.md", "config.yml", "args.yml", "env_kwargs.yml", "results.json", "replay.mp4", "train_eval_metrics.zip")
    assert names >= {*files, f"{algo}-{PENDULUM}.zip", ".gitattributes"}
    card = (repository / "README.md").read_text()
    assert f"**{algo.upper()}** Agent playing **{PENDULUM}**" in card
    assert ("sb3-dpg enjoy" in card) == (algo in ("bnddpg", "copdacq"))
    run("load-from-hub", "--algo", algo, *ENV, "-f", "copies", "--repository", str(repository))
    assert "1 Episodes" in run("enjoy", "--algo", algo, *ENV, "-f", "copies", "--no-render", "-n", "200").stdout


@pytest.mark.slow
def test_an_upload_that_fails_leaves_the_repository_and_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(run, tmp_path, "bnddpg")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = run("push-to-hub", "--algo", "bnddpg", *ENV, "-f", "logs", "-orga", "someone", "-n", "5", "--no-render", code=1)
    assert "is complete, but uploading it to someone/bnddpg-Pendulum-v1 failed" in done.stderr.splitlines()[-1]
    assert (tmp_path / "hub" / "bnddpg-Pendulum-v1" / "README.md").is_file()


@pytest.mark.slow
def test_plots_of_several_algorithms_and_seeds(run: Run, tmp_path: Path) -> None:
    algorithms = ("bnddpg", "td3")
    for algo in algorithms:
        for seed in ("1", "2"):
            train(run, tmp_path, algo, "--seed", seed)
    table = run(
        "all-plots", "-a", *algorithms, "-e", PENDULUM, "-f", "logs", "-o", "all", "--no-million", "--figures", "figures"
    )
    assert all(algo.upper() in table.stdout for algo in algorithms)
    assert (tmp_path / "figures" / f"Results_{PENDULUM}.png").stat().st_size > 10_000
    run("plot-from-file", "-i", "all.pkl", "--figures", "more", "--no-million")
    assert {path.name for path in (tmp_path / "more").iterdir()} >= {f"Results_{PENDULUM}.png", "Sensitivity_plot.png"}
    for algo in algorithms:
        run("plot-train", "-a", algo, "-e", PENDULUM, "-f", "logs", "-w", "1", "--figures", f"training-{algo}")
        assert (tmp_path / f"training-{algo}" / "Training_Episodic_Reward.png").is_file()


@pytest.mark.slow
def test_benchmark_and_its_report(run: Run, tmp_path: Path) -> None:
    plan = {
        "name": "all",
        "seeds": [0, 1],
        "evaluation": {"points": 2, "episodes": 1},
        "environments": {PENDULUM: {"steps": 200, "threshold": -200}},
        "algorithms": {algo: {"file": "none", "hyperparameters": TINY[algo]} for algo in ("bnddpg", "td3")},
    }
    (tmp_path / "all.yml").write_text(yaml.safe_dump(plan))
    assert "4 of 4 runs complete" in run("benchmark", "all.yml", "--jobs", "2", "--results", "results").stdout
    run("benchmark", "report", "results")
    assert all(f"| {algo} |" in (tmp_path / "results" / "benchmark.md").read_text() for algo in ("bnddpg", "td3"))


@pytest.mark.slow
def test_python_m_is_the_same_command(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed / "site")}
    command = [sys.executable, "-m", "sb3_dpg", "--version"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sb3-dpg ")
