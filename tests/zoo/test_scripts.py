"""Each script as users run it: a command, installed from a wheel, in an empty directory, on a tiny budget."""

import os
import resource
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
def test_record_training(run: Run, tmp_path: Path, algo: str) -> None:
    train(run, tmp_path, algo)
    run("record-training", "--algo", algo, *ENV, "-f", "logs", "-n", "5")
    videos = {path.name.split(f"-{algo}")[0] for path in (tmp_path / f"logs/{algo}/{PENDULUM}_1/videos").glob("*.mp4")}
    assert videos == {"checkpoint-150", "checkpoint-300", "final-model", "best-model", "training.mp4"}


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
    for algo in ALGORITHMS:
        for seed in ("1", "2"):
            train(run, tmp_path, algo, "--seed", seed)
    table = run(
        "all-plots", "-a", *ALGORITHMS, "-e", PENDULUM, "-f", "logs", "-o", "all", "--no-million", "--figures", "figures"
    )
    assert all(algo.upper() in table.stdout for algo in ALGORITHMS)
    assert (tmp_path / "figures" / f"Results_{PENDULUM}.png").stat().st_size > 10_000
    run("plot-from-file", "-i", "all.pkl", "--figures", "more", "--no-million")
    assert {path.name for path in (tmp_path / "more").iterdir()} >= {f"Results_{PENDULUM}.png", "Sensitivity_plot.png"}
    for algo in ALGORITHMS:
        run("plot-train", "-a", algo, "-e", PENDULUM, "-f", "logs", "-w", "1", "--figures", f"training-{algo}")
        assert (tmp_path / f"training-{algo}" / "Training_Episodic_Reward.png").is_file()


@pytest.mark.slow
def test_benchmark_and_its_report(run: Run, tmp_path: Path) -> None:
    plan = {
        "name": "all",
        "seeds": [0, 1],
        "evaluation": {"points": 2, "episodes": 1},
        "environments": {PENDULUM: {"steps": 200, "threshold": -200}},
        "algorithms": {algo: {"file": "none", "hyperparameters": entry} for algo, entry in TINY.items()},
    }
    (tmp_path / "all.yml").write_text(yaml.safe_dump(plan))
    assert "8 of 8 runs complete" in run("benchmark", "all.yml", "--jobs", "2", "--results", "results").stdout
    run("benchmark", "report", "results")
    assert all(f"| {algo} |" in (tmp_path / "results" / "benchmark.md").read_text() for algo in ALGORITHMS)


@pytest.mark.slow
def test_python_m_is_the_same_command(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed / "site")}
    command = [sys.executable, "-m", "sb3_dpg", "--version"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sb3-dpg ")


def limit_address_space() -> None:
    """In the child: a replay buffer of 14 GB must not even be reserved (memory that is not touched is not counted as used)."""
    resource.setrlimit(resource.RLIMIT_AS, (10 * 2**30, 10 * 2**30))


@pytest.mark.slow
@pytest.mark.parametrize("script", ["enjoy", "record-video", "push-to-hub"])
def test_replaying_needs_no_memory_for_a_million_images(run: Run, installed: Path, tmp_path: Path, script: str) -> None:
    (tmp_path / "pixels.py").write_text((Path(__file__).parent / "pixels.py").read_text())
    changes = {"policy": "CnnPolicy", "buffer_size": 1_000_000, "batch_size": 4, "policy_kwargs": {}, "n_timesteps": 30}
    config = write_tiny_config(tmp_path, "bnddpg", env_id="Pixels-v0", **changes)
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join([str(installed / "site"), str(tmp_path)]), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    pixels = ("--algo", "bnddpg", "--env", "Pixels-v0")
    # rl-zoo3's record_video and push_to_hub have no --gym-packages
    start = [sys.executable, "-c", "import sys, pixels; from sb3_dpg.cli import main; sys.exit(main())"]
    train_command = [*start, "train", *pixels, "-conf", config, "--eval-freq", "-1"]
    subprocess.run(train_command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    options = {"enjoy": ["--no-render"], "record-video": [], "push-to-hub": ["-orga", "x", "--no-upload", "--no-render"]}[
        script
    ]
    command = [*start, script, *pixels, "-f", "logs", "-n", "20", *options]
    with open(tmp_path / "output", "w") as output:
        child = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT, preexec_fn=limit_address_space
        )
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, (tmp_path / "output").read_text()
    assert usage.ru_maxrss / 2**20 < 1.0, f"peak memory {usage.ru_maxrss / 2**20:.2f} GiB"
