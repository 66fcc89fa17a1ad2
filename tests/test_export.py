"""Exported files give the actions of ``predict``, without sb3_dpg."""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import TD3
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_dpg.export import export_policy
from tests.algorithms import make

TOLERANCE = 1e-5


def pendulum() -> gym.Env:
    return gym.make("Pendulum-v1")


def trained(name: str) -> OffPolicyAlgorithm:
    if name == "td3":
        model = TD3("MlpPolicy", "Pendulum-v1", learning_starts=10, policy_kwargs=dict(net_arch=[8]), seed=0, device="cpu")
    elif name == "normalized":
        # The statistics of the first steps are far from zero mean and unit variance
        model = make("bnddpg", VecNormalize(DummyVecEnv([pendulum])))
    else:
        model = make(name)
    return model.learn(60)


def observations(model: OffPolicyAlgorithm) -> np.ndarray:
    space = model.observation_space
    assert isinstance(space, spaces.Box)
    return np.random.default_rng(0).uniform(space.low, space.high, (1000, *space.shape)).astype(np.float32)


def predicted(model: OffPolicyAlgorithm, batch: np.ndarray) -> np.ndarray:
    normalization = model.get_vec_normalize_env()
    return model.predict(batch if normalization is None else normalization.normalize_obs(batch), deterministic=True)[0]


def run_onnx(path: Path, batch: np.ndarray) -> np.ndarray:
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["action"], {"observation": batch})[0]


@pytest.mark.parametrize("name", ["bnddpg", "copdacq", "td3", "normalized"])
@pytest.mark.parametrize("format", ["torchscript", "onnx"])
def test_same_actions_as_predict(name: str, format: str, tmp_path: Path) -> None:
    if format == "onnx":
        pytest.importorskip("onnxscript")
    model = trained(name)
    batch = observations(model)
    expected = predicted(model, batch)
    path = export_policy(model, tmp_path / "policy", format=format)
    if format == "onnx":
        actions, first = run_onnx(path, batch), run_onnx(path, batch[:1])
    else:
        function = th.jit.load(str(path))
        actions, first = function(th.from_numpy(batch)).numpy(), function(th.from_numpy(batch[:1])).numpy()
    assert np.ptp(expected) > 1e-3, "a policy that always does the same would show nothing"
    np.testing.assert_allclose(actions, expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(first, expected[:1], rtol=0, atol=TOLERANCE)


def test_torchscript_file_needs_no_sb3(tmp_path: Path) -> None:
    path = export_policy(trained("bnddpg"), tmp_path / "policy.pt", format="torchscript")
    code = (
        "import sys, torch; action = torch.jit.load(sys.argv[1])(torch.zeros(3, 3)); "
        "assert not [name for name in sys.modules if name.startswith(('sb3_dpg', 'stable_baselines3'))]; "
        "print(tuple(action.shape))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.strip() == "(3, 1)", done.stderr


def test_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = trained("bnddpg")
    model.policy.set_training_mode(True)
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    export_policy(model, tmp_path / "policy.pt", format="torchscript")
    assert model.policy.actor.training
    assert all(parameter.requires_grad for parameter in model.policy.actor.parameters())
    assert all(th.equal(tensor, before[name]) for name, tensor in model.policy.state_dict().items())


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="format='pickle' is unknown: it must be one of onnx, torchscript"):
        export_policy(make("bnddpg"), "policy", format="pickle")  # type: ignore[arg-type]
