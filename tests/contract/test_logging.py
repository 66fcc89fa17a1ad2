"""What is logged, in all of SB3's formats: DDPG's own keys under the same names."""

import csv
import functools
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from tests.algorithms import VARIANTS
from tests.contract.scripts import BNDDPGS, OURS, Observed, build

NOT_OF_ALL = {"train/actor_loss", "train/critic_loss", "train/learning_rate"}
TRAINING = {"train/td_error", "train/action_saturation"} | {
    f"train/{name}_{what}"
    for what, names in (("norm", "theta w v u u_v".split()), ("learning_rate", "actor advantage value correction".split()))
    for name in names
}


def monitored() -> Any:
    """Made here, so that nothing is wrapped and said so."""
    return make_vec_env(Observed)


def logged(name: str, folder: Path, *formats: str, **kwargs: Any) -> OffPolicyAlgorithm:
    model = build(name, monitored(), **kwargs)
    model.set_logger(configure(str(folder), list(formats)))
    return model.learn(60, log_interval=1)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@functools.cache
def rows_of(name: str) -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        logged(name, Path(folder), "csv")
        return read_csv(Path(folder) / "progress.csv")


@pytest.mark.parametrize("name", BNDDPGS)
def test_keys_are_those_of_ddpg(name: str) -> None:
    rows = [rows_of(algorithm) for algorithm in ("ddpg", name)]
    assert set(rows[1][0]) == set(rows[0][0]) | {"train/actor_learning_rate"}
    for key in ("time/total_timesteps", "time/episodes", "train/n_updates", "rollout/ep_len_mean"):
        assert [row[key] for row in rows[0]] == [row[key] for row in rows[1]]


@pytest.mark.parametrize("name", [name for name in OURS if name not in BNDDPGS])
def test_keys_of_copdacq(name: str) -> None:
    keys = [set(rows_of(algorithm)[0]) for algorithm in ("ddpg", name)]
    assert keys[1] == keys[0] - NOT_OF_ALL | TRAINING


@pytest.mark.parametrize("name", OURS)
def test_scheduled_noise_is_logged(name: str, tmp_path: Path) -> None:
    logged(name, tmp_path, "csv", action_noise=dict(type="normal", sigma="lin_0.6_0.0"))
    levels = [float(row["rollout/noise_std"]) for row in read_csv(tmp_path / "progress.csv")]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == pytest.approx(0.5)


@pytest.mark.parametrize("name", OURS)
def test_formats_agree(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged(name, tmp_path, "csv", "json", "stdout", "log")
    table = read_csv(tmp_path / "progress.csv")
    lines = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    assert len(table) == len(lines) == 6
    for row, line in zip(table, lines, strict=True):
        assert {key: float(value) for key, value in row.items() if value} == pytest.approx(line)
        assert all(math.isfinite(value) for value in line.values())
    printed, text = capsys.readouterr().out, (tmp_path / "log.txt").read_text()
    for key in lines[-1]:
        assert key.split("/")[1] in printed
        assert key.split("/")[1] in text


@pytest.mark.parametrize("name", OURS)
def test_verbosity(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for algorithm in ("ddpg", name):
        # Not a VecEnv: SB3 says that it wraps it
        build(algorithm, Observed(), verbose=1)
        lines.append(capsys.readouterr().out.splitlines())
    assert lines[0] == lines[1]
    build(name, monitored(), verbose=0).learn(30, log_interval=1)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", OURS)
def test_tensorboard(name: str, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = build(name, monitored(), tensorboard_log=str(tmp_path))
    model.learn(40, log_interval=1)
    model.learn(20, log_interval=1, reset_num_timesteps=False)
    model.learn(15, log_interval=1)
    model.learn(15, log_interval=1, tb_log_name="other")
    algorithm = VARIANTS[name].algorithm.__name__
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{algorithm}_1", f"{algorithm}_2", "other_1"]
    events = accumulator.EventAccumulator(str(tmp_path / f"{algorithm}_1")).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"rollout/ep_rew_mean", "time/fps"} <= tags
    assert any(tag.startswith("train/") for tag in tags)
    assert "train/n_updates" not in tags, "as with DDPG"
    assert [event.step for event in events.Scalars("rollout/ep_rew_mean")] == [10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize("name", OURS)
def test_log_interval(name: str, tmp_path: Path) -> None:
    # At each episode: test_formats_agree
    for interval, rows in ((2, 3), (4, 1), (None, 0)):
        model = build(name, monitored())
        model.set_logger(configure(str(tmp_path / str(interval)), ["csv"]))
        model.learn(60, log_interval=interval)
        assert len(read_csv(tmp_path / str(interval) / "progress.csv")) == rows
