"""
Each script as users run it, in an empty directory, on a tiny budget: of one algorithm as a command installed from a wheel, of
the others in this process.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from sb3_dpg.cli import COMMANDS, main
from tests.zoo.entries import tiny_entry

Call = Callable[..., str]
ALGORITHMS = ["bnddpg", "copdacq", "td3"]
ENV = ("--env", "Pendulum-v1")
PENDULUM = "Pendulum-v1"


def write_tiny_config(folder: Path, algo: str, env_id: str = PENDULUM, **changes: object) -> str:
    """A hyperparameter file in the directory of the commands."""
    path = folder / f"{algo}.yml"
    path.write_text(yaml.safe_dump({env_id: tiny_entry(algo, **changes)}))
    return str(path)


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """What a command prints, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])

    def call(*arguments: str, code: int = 0) -> str:
        assert main(arguments) == code
        output = capsys.readouterr()
        return output.err if code else output.out

    return call


@pytest.fixture
def call(algo: str, request: pytest.FixtureRequest) -> Call:
    """What a command prints: of BNDDPG as it is installed from the wheel."""
    if algo != "bnddpg":
        return request.getfixturevalue("in_process")
    run = request.getfixturevalue("run")
    return lambda *arguments: run(*arguments).stdout


def train(call: Call, folder: Path, algo: str, *options: str) -> None:
    """Train a tiny agent with checkpoints and evaluations."""
    config = write_tiny_config(folder, algo)
    frequencies = ("--eval-freq", "100", "--eval-episodes", "2", "--save-freq", "150", "--num-threads", "1")
    call("train", "--algo", algo, *ENV, "-conf", config, "-n", "300", *frequencies, *options)


#: rl-zoo3's plot scripts do not name themselves in their help: an option that only this one has
OPTIONS = {"plot-train": "--episode-window", "all-plots": "--print-n-trials", "plot-from-file": "--boxplot"}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["sb3-dpg"])
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code in (0, None)
    output = capsys.readouterr().out
    assert OPTIONS.get(name, f"sb3-dpg {name}") in output
    assert ("--figures" in output) == (name in OPTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_train_enjoy_record_and_resume(call: Call, tmp_path: Path, algo: str) -> None:
    train(call, tmp_path, algo, "--seed", "1")
    log = tmp_path / "logs" / algo
    assert (log / f"{PENDULUM}_1" / f"{PENDULUM}.zip").is_file()
    at_home = ("--algo", algo, *ENV, "-f", "logs")
    assert "1 Episodes\nMean reward: -" in call("enjoy", *at_home, "--no-render", "-n", "200")
    call("enjoy", *at_home, "--no-render", "-n", "10", "--load-best")
    call("record-video", *at_home, "-n", "5")
    videos = log / f"{PENDULUM}_1" / "videos"
    assert [path.name for path in videos.glob("*.mp4")] == [f"final-model-{algo}-{PENDULUM}-step-0-to-step-5.mp4"]
    resumed = call("train", "--algo", algo, *ENV, "--resume", "-n", "450", "--eval-freq", "100", "--eval-episodes", "2")
    assert "Loading replay buffer" in resumed
    with np.load(log / f"{PENDULUM}_2" / "evaluations.npz") as evaluations:
        assert evaluations["timesteps"].tolist() == [100, 200, 300, 400]


@pytest.mark.slow
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_to_the_hub_and_back_without_a_network(call: Call, tmp_path: Path, algo: str) -> None:
    train(call, tmp_path, algo)
    call("push-to-hub", "--algo", algo, *ENV, "-f", "logs", "-orga", "someone", "-n", "5", "--no-upload")
    repository = tmp_path / "hub" / f"{algo}-{PENDULUM}"
    names = {path.name for path in repository.iterdir()}
    files = ("README.md", "config.yml", "args.yml", "env_kwargs.yml", "results.json", "replay.mp4", "train_eval_metrics.zip")
    assert names >= {*files, f"{algo}-{PENDULUM}.zip", ".gitattributes"}
    card = (repository / "README.md").read_text()
    assert f"**{algo.upper()}** Agent playing **{PENDULUM}**" in card
    assert ("sb3-dpg enjoy" in card) == (algo in ("bnddpg", "copdacq"))
    call("load-from-hub", "--algo", algo, *ENV, "-f", "copies", "--repository", str(repository))
    assert "1 Episodes" in call("enjoy", "--algo", algo, *ENV, "-f", "copies", "--no-render", "-n", "200")


@pytest.mark.slow
def test_an_upload_that_fails_leaves_the_repository_and_one_line(
    in_process: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", fail)
    train(in_process, tmp_path, "bnddpg")
    push = ("push-to-hub", "--algo", "bnddpg", *ENV, "-f", "logs", "-orga", "someone", "-n", "5", "--no-render")
    error = in_process(*push, code=1).splitlines()[-1]
    assert "is complete, but uploading it to someone/bnddpg-Pendulum-v1 failed: ConnectionError: no network" in error
    assert (tmp_path / "hub" / "bnddpg-Pendulum-v1" / "README.md").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_plots_of_several_algorithms_and_seeds(in_process: Call, tmp_path: Path) -> None:
    algorithms = ("bnddpg", "td3")
    for algo in algorithms:
        train(in_process, tmp_path, algo)
        shutil.copytree(f"logs/{algo}/{PENDULUM}_1", f"logs/{algo}/{PENDULUM}_2")
    table = in_process(
        "all-plots", "-a", *algorithms, "-e", PENDULUM, "-f", "logs", "-o", "all", "--no-million", "--figures", "figures"
    )
    assert all(algo.upper() in table for algo in algorithms)
    assert (tmp_path / "figures" / f"Results_{PENDULUM}.png").stat().st_size > 10_000
    in_process("plot-from-file", "-i", "all.pkl", "--figures", "more", "--no-million")
    assert {path.name for path in (tmp_path / "more").iterdir()} >= {f"Results_{PENDULUM}.png", "Sensitivity_plot.png"}
    in_process("plot-train", "-a", "bnddpg", "-e", PENDULUM, "-f", "logs", "-w", "1", "--figures", "training")
    assert (tmp_path / "training" / "Training_Episodic_Reward.png").is_file()


@pytest.mark.slow
def test_python_m_is_the_same_command(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed / "site")}
    command = [sys.executable, "-m", "sb3_dpg", "--version"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sb3-dpg ")
