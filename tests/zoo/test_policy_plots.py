"""``sb3-dpg plot-policy``."""

from pathlib import Path

import numpy as np
import pytest
import torch as th

from sb3_dpg.zoo import policy_plots
from sb3_dpg.zoo.errors import ConfigurationError
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
@pytest.mark.parametrize(("options", "expected"), [(["mu"], 0.4), (["v"], 8.0), (["q", "--action", "0.9"], 9.0)])
def test_values_that_are_drawn(saved: Path, options: list[str], expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(policy_plots, "draw", lambda x, y, values, options: drawn.append(values))
    policy_plots.main([str(saved), "--algo", "copdacq", "--resolution", "5", "--quantity", *options])
    np.testing.assert_allclose(drawn[0], np.full((5, 5), expected), rtol=1e-5)


def test_picture_is_written(saved: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figures" / "mu.png"
    policy_plots.main([str(saved), "--algo", "copdacq", "--resolution", "5", "--figure", str(figure)])
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dims", "0", "2"], "--dims 2 is out of range: observations have the dimensions 0 to 1"),
        (["--at", "1"], "--at has 1 number"),
        (["--low", "1", "1", "--high", "0", "0"], "give --low and --high"),
        (["--action-dim", "1"], "--action-dim 1 is out of range"),
    ],
)
def test_errors(saved: Path, options: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        policy_plots.main([str(saved), "--algo", "copdacq", *options])
