"""``sb3-dpg plot-policy``."""

from pathlib import Path

import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.diagnostics.policy_maps import grid_observations
from sb3_dpg.zoo import policy_plots
from tests.algorithms import make


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = make("copdacq", "MountainCarContinuous-v0")
    with th.no_grad():
        model.policy.theta.fill_(0.05)
        model.policy.w.fill_(0.25)
        model.policy.v.fill_(1.0)
    model.save(tmp_path / "model.zip")
    return tmp_path / "model.zip"


# Eight tiles are active everywhere: mu = 0.4, A = 2 (a - mu), V = 8
def test_values_that_are_drawn(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, np.ndarray] = {}
    monkeypatch.setattr(policy_plots, "draw_maps", lambda x, y, panels, *rest: drawn.update(panels))
    policy_plots.main([str(saved), "--algo", "copdacq", "--resolution", "5", "--quantity", "mu", "v", "q", "--action", "0.9"])
    for quantity, expected in {"mu(s)": 0.4, "V(s) = Q(s, mu(s))": 8.0, "Q(s, a), a = 0.9": 9.0}.items():
        np.testing.assert_allclose(drawn[quantity], np.full((5, 5), expected), rtol=1e-5)


def test_observations_over_an_angle() -> None:
    x, y = np.array([0.0, np.pi / 2]), np.array([-3.0, 5.0])
    expected = [[1, 0, -3], [0, 1, -3], [1, 0, 5], [0, 1, 5]]
    np.testing.assert_allclose(grid_observations(x, y, (0, 2), 1, np.zeros(3)), expected, atol=1e-6)


def test_an_angle_goes_once_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make("copdacq").save(tmp_path / "pendulum.zip")
    ends: list[float] = []
    monkeypatch.setattr(policy_plots, "draw_maps", lambda x, y, *rest: ends.extend([x[0], x[-1], y[0], y[-1]]))
    policy_plots.main([str(tmp_path / "pendulum.zip"), "--algo", "copdacq", "--dims", "0", "2", "--sine", "1"])
    np.testing.assert_allclose(ends, [-np.pi, np.pi, -8, 8], rtol=1e-6)


def test_picture_is_written(saved: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figures" / "mu.png"
    policy_plots.main(
        [str(saved), "--algo", "copdacq", "--resolution", "5", "--quantity", "mu", "v", "q", "--figure", str(figure)]
    )
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dims", "0", "2"], "--dims 2 is out of range: observations have the dimensions 0 to 1"),
        (["--at", "1"], "--at has 1 number"),
        (["--low", "1", "1", "--high", "0", "0"], "give --low and --high"),
        (["--sine", "3"], "--sine 3 is out of range"),
        (["--sine", "1"], "--dims and --sine must name different dimensions"),
        (["--action-dim", "1"], "--action-dim 1 is out of range"),
    ],
)
def test_errors(saved: Path, options: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        policy_plots.main([str(saved), "--algo", "copdacq", *options])


def test_no_model_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_text("no model")
    with pytest.raises(ConfigurationError, match=r"model\.zip is no whole zip file"):
        policy_plots.main([str(tmp_path / "model.zip"), "--algo", "copdacq"])
    with pytest.raises(ConfigurationError, match=r"there is no saved model .* \(a \.zip file\)"):
        policy_plots.main([str(tmp_path), "--algo", "copdacq"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--algo", "copdac"], "--algo 'copdac' is unknown, did you mean 'copdacq'"),
        (["--algo", "ppo"], "is no model of ppo"),
        (["--algo", "copdacq", "--figure", "policy.pgn"], r"--figure policy\.pgn: the name must end in one of .*\.png"),
    ],
)
def test_the_wrong_algorithm_or_kind_of_picture(saved: Path, options: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        policy_plots.main([str(saved), *options])


@pytest.mark.parametrize(
    ("algorithm", "env_id", "message"),
    [
        (PPO, "Pendulum-v1", "--quantity v: PPO has no critic"),
        (DQN, "CartPole-v1", r"actions must be vectors, .* Discrete\(2\)"),
    ],
)
def test_models_without_mu_and_q(tmp_path: Path, algorithm: type[BaseAlgorithm], env_id: str, message: str) -> None:
    algorithm("MlpPolicy", env_id, policy_kwargs={"net_arch": [4]}).save(tmp_path / "model.zip")
    ends = ["--low", "0", "0", "--high", "1", "1"]
    with pytest.raises(ConfigurationError, match=message):
        policy_plots.main([str(tmp_path / "model.zip"), "--algo", algorithm.__name__.lower(), "--quantity", "v", *ends])
