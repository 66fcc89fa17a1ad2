"""Exported files give the actions of ``predict``, without sb3_dpg."""

import functools
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize, VecTransposeImage

from sb3_dpg import BNDDPG
from sb3_dpg.bnddpg import BNDDPGPolicy
from sb3_dpg.common.features import TileCoding
from sb3_dpg.export import export_policy
from tests.algorithms import make, same, weights
from tests.contract.scripts import Observed

TOLERANCE = 1e-5


def manifold() -> gym.Env:
    """Observations of more dimensions than COPDACQ gives every tile a weight for."""
    return Observed(spaces.Box(-1.0, 1.0, (6,)), spaces.Box(-1.0, 3.0, (2,)))


def pendulum() -> gym.Env:
    return gym.make("Pendulum-v1")


@functools.cache
def trained(name: str) -> OffPolicyAlgorithm:
    """A model that all tests share: none may train or change it."""
    if name == "images":
        env = FakeImageEnv(screen_height=36, screen_width=36, discrete=False)
        model = make("bnddpg", env, "CnnPolicy", buffer_size=50)
    elif name == "normalized":
        # The statistics of the first steps are far from zero mean and unit variance
        model = make("bnddpg", VecNormalize(DummyVecEnv([pendulum])))
    elif name == "hashed":
        model = make("copdacq", manifold())
        assert isinstance(model.policy.features_extractor, TileCoding)
        assert model.policy.features_extractor.hashed
        with th.no_grad():
            # 60 steps visit few of the tiles
            model.policy.theta.normal_(std=0.2)
    else:
        model = make(name)
    return model.learn(60)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The file of a trained model, exported once."""

    @functools.cache
    def export(name: str, format: Any) -> Path:
        # Without a suffix the format is onnx
        path = tmp_path_factory.mktemp("exported") / "policy"
        return export_policy(trained(name), path, format=None if format == "onnx" else format)

    return export


def observations(model: OffPolicyAlgorithm) -> np.ndarray:
    space = model.observation_space
    assert isinstance(space, spaces.Box)
    dtype = space.dtype if space.dtype == np.uint8 else np.float32
    return np.random.default_rng(0).uniform(space.low, space.high, (1000, *space.shape)).astype(dtype)


def predicted(model: OffPolicyAlgorithm, batch: np.ndarray) -> np.ndarray:
    normalization = model.get_vec_normalize_env()
    return model.predict(batch if normalization is None else normalization.normalize_obs(batch), deterministic=True)[0]


def run_onnx(path: Path, batch: np.ndarray) -> np.ndarray:
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["action"], {"observation": batch})[0]


@pytest.mark.parametrize(
    "name",
    [
        "bnddpg",
        "copdacq",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ["hashed", "td3", "sac"]),
        "normalized",
        "images",
    ],
)
@pytest.mark.parametrize("format", ["torchscript", "onnx"])
def test_same_actions_as_predict(name: str, format: str, exported: Callable[[str, str], Path]) -> None:
    if format == "onnx":
        pytest.importorskip("onnxscript")
    model = trained(name)
    batch = observations(model)
    expected = predicted(model, batch)
    path = exported(name, format)
    if format == "onnx":
        actions, first = run_onnx(path, batch), run_onnx(path, batch[:1])
    else:
        function = th.jit.load(str(path))
        actions, first = function(th.from_numpy(batch)).numpy(), function(th.from_numpy(batch[:1])).numpy()
    assert np.ptp(expected) > 1e-3, "a policy that always does the same would show nothing"
    np.testing.assert_allclose(actions, expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(first, expected[:1], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("format", ["torchscript", pytest.param("onnx", marks=pytest.mark.slow)])
def test_tiles_for_batches_of_any_size(format: str, tmp_path: Path) -> None:
    if format == "onnx":
        pytest.importorskip("onnxscript")
    policy_kwargs = dict(net_arch=[8], features_extractor_class=TileCoding, features_extractor_kwargs=dict(n_bins=3))
    model = make("bnddpg", policy_kwargs=policy_kwargs).learn(60)
    path = export_policy(model, tmp_path / "policy", format=format)
    for size in (1, 2, 5):
        batch = observations(model)[:size]
        actions = run_onnx(path, batch) if format == "onnx" else th.jit.load(str(path))(th.from_numpy(batch)).numpy()
        np.testing.assert_allclose(actions, predicted(model, batch), rtol=0, atol=TOLERANCE)


# A module that is None in sys.modules cannot be imported
WITHOUT_US = """
import json, sys
sys.modules.update(dict.fromkeys(["sb3_dpg", "stable_baselines3", "gymnasium"]))
path, observation = sys.argv[1], json.loads(sys.argv[2])
"""
RUNTIMES = {
    "torchscript": "import torch; action = torch.jit.load(path)(torch.tensor([observation]))",
    "onnx": """
sys.modules["torch"] = None
import numpy, onnxruntime
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
action = session.run(["action"], {"observation": numpy.array([observation], numpy.float32)})[0]
""",
}


@pytest.mark.parametrize("format", RUNTIMES)
@pytest.mark.parametrize("name", [pytest.param("copdacq", marks=pytest.mark.slow), "normalized"])
def test_files_need_neither_sb3_dpg_nor_sb3(
    name: str, format: str, exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    if format == "onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    path = exported(name, format)
    code = "\n".join([WITHOUT_US, RUNTIMES[format], "print(json.dumps(action.tolist()))"])
    batch = np.array([[0.6, -0.8, 1.5]], np.float32)
    command = [sys.executable, "-c", code, str(path), json.dumps(batch[0].tolist())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), predicted(trained(name), batch), rtol=0, atol=TOLERANCE)


def test_statistics_that_were_saved_with_a_model_are_included(tmp_path: Path) -> None:
    """As rl-zoo3 leaves them: the model and vecnormalize.pkl."""
    model = trained("normalized")
    batch = observations(model)
    expected = predicted(model, batch)
    model.save(tmp_path / "model")
    normalization = model.get_vec_normalize_env()
    assert normalization is not None
    normalization.save(str(tmp_path / "vecnormalize.pkl"))
    env = VecNormalize.load(str(tmp_path / "vecnormalize.pkl"), DummyVecEnv([pendulum]))
    loaded = BNDDPG.load(tmp_path / "model", env=env, device="cpu")
    path = export_policy(loaded, tmp_path / "policy.pt", format="torchscript")
    np.testing.assert_allclose(th.jit.load(str(path))(th.from_numpy(batch)).numpy(), expected, rtol=0, atol=TOLERANCE)


def test_the_path_of_the_file_is_told_where_a_folder_has_the_name(tmp_path: Path) -> None:
    (tmp_path / "policy.pt").mkdir()
    with pytest.warns(UserWarning, match="is a folder"):
        path = export_policy(trained("td3"), tmp_path / "policy", format="torchscript")
    assert path.is_file()


def test_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = trained("bnddpg")
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    export_policy(model, tmp_path / "policy.pt", format="torchscript")
    assert not model.policy.actor.training
    assert all(parameter.requires_grad for parameter in model.policy.actor.parameters())
    assert all(th.equal(tensor, before[name]) for name, tensor in model.policy.state_dict().items())


@pytest.mark.parametrize("format", ["torchscript", "onnx"])
def test_training_goes_on_as_without(format: Any, tmp_path: Path) -> None:
    if format == "onnx":
        pytest.importorskip("onnxscript")
    trained = []
    for exports in (False, True):
        # The noise of the target actions is PyTorch's
        model = make("bnddpg", manifold(), target_policy_noise=0.2)

        def export(locals_: dict[str, Any], globals_: dict[str, Any], exports: bool = exports) -> bool:
            if exports and locals_["self"].num_timesteps == 30:
                export_policy(locals_["self"], tmp_path / "policy", format=format)
            return True

        trained.append(weights(model.learn(50, callback=export)))
    assert same(*trained)
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [pytest.param(np.int64, marks=pytest.mark.slow), np.uint8])
def test_observations_of_integers_are_given_as_float32(dtype: Any, tmp_path: Path) -> None:
    env = Observed(spaces.Box(0, 5, (3,), dtype))
    model = make("bnddpg", env).learn(20)
    batch = np.random.default_rng(0).integers(0, 5, (20, 3))
    actions = run_onnx(export_policy(model, tmp_path / "policy"), batch.astype(np.float32))
    np.testing.assert_allclose(actions, predicted(model, batch.astype(dtype)), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("format", ["torchscript", "onnx"])
def test_actions_are_single_precision(format: Any, tmp_path: Path) -> None:
    env = gym.wrappers.RescaleAction(pendulum(), np.float64(-1.0), np.float64(1.0))
    env.action_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
    model = make("bnddpg", env).learn(20)
    batch = observations(model)
    path = export_policy(model, tmp_path / "policy", format=format)
    actions = run_onnx(path, batch) if format == "onnx" else th.jit.load(str(path))(th.from_numpy(batch)).numpy()
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, predicted(model, batch), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("format", ["torchscript", "onnx"])
def test_normalised_images_are_single_precision(format: Any, tmp_path: Path) -> None:
    env = DummyVecEnv([lambda: FakeImageEnv(screen_height=36, screen_width=36, discrete=False)])
    normalized = VecNormalize(VecTransposeImage(env))
    model = make("bnddpg", normalized, "CnnPolicy", buffer_size=50, policy_kwargs=dict(net_arch=[8], normalize_images=False))
    model.learn(20)
    batch = np.random.default_rng(0).integers(0, 255, (20, *model.observation_space.shape)).astype(np.float32)
    path = export_policy(model, tmp_path / "policy", format=format)
    actions = run_onnx(path, batch) if format == "onnx" else th.jit.load(str(path))(th.from_numpy(batch)).numpy()
    np.testing.assert_allclose(actions, predicted(model, batch), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "format"), [("p.pt", None), ("p.pt", "torchscript"), ("p.PT", None), ("p.bin", "torchscript")]
)
def test_the_suffix_decides_the_format(name: str, format: Any, tmp_path: Path) -> None:
    path = export_policy(make("copdacq"), tmp_path / name, format)
    assert path == tmp_path / name
    assert th.jit.load(str(path))(th.zeros(2, 3)).shape == (2, 1)


def test_a_name_without_suffix_is_onnx(exported: Callable[[str, str], Path]) -> None:
    pytest.importorskip("onnxscript")
    assert exported("copdacq", "onnx").name == "policy.onnx"


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("p.pt", "onnx", r"format='onnx' contradicts path='.*p\.pt': the suffix of onnx is \.onnx"),
        ("p.onnx", "torchscript", r"contradicts .*the suffix of torchscript is \.pt"),
        ("p.bin", None, r"p\.bin' does not tell the format: name it \.onnx or \.pt, or pass format, onnx or torchscript"),
    ],
)
def test_suffixes_that_are_not_the_formats(name: str, format: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        export_policy(make("copdacq"), tmp_path / name, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_exporter_says_nothing(tmp_path: Path) -> None:
    """It would say twice that torchvision is not installed."""
    pytest.importorskip("onnxscript")
    code = (
        "import gymnasium, sb3_dpg, sb3_dpg.export; model = sb3_dpg.COPDACQ('LinearPolicy', 'Pendulum-v1'); "
        "sb3_dpg.export.export_policy(model, 'policy.onnx')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "torchvision" not in done.stdout + done.stderr


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("format", ["torchscript", pytest.param("onnx", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["bnddpg", "copdacq"])
def test_actions_are_within_the_bounds(name: str, format: Any, dtype: Any, tmp_path: Path) -> None:
    """-0.7 + (0.1 - -0.7) is 0.10000002 in single precision, and 0.1 in single precision is above that in double."""
    if format == "onnx":
        pytest.importorskip("onnxscript")
    env = Observed(action_space=spaces.Box(-0.7, 0.1, (1,), dtype))
    model = make(name, env)
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter.fill_(1.0)
    batch = np.concatenate([observations(model)[:50], np.full((1, *model.observation_space.shape), 0.5, np.float32)])
    path = export_policy(model, tmp_path / "policy", format)
    actions = run_onnx(path, batch) if format == "onnx" else th.jit.load(str(path))(th.from_numpy(batch)).numpy()
    assert actions.max() > 0.09, "none is on the bound"
    assert all(model.action_space.contains(action) for action in actions)


class Clock(gym.Env[np.ndarray, np.ndarray]):
    """Observes the time of day in seconds since 1970."""

    def __init__(self, offset: float, dtype: Any) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,), dtype)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.offset = offset

    def look(self) -> np.ndarray:
        return (self.offset + self.np_random.normal(0.0, 10.0, 1)).astype(self.observation_space.dtype)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self.look(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.look(), -float(np.square(action).sum()), False, False, {}


@pytest.mark.parametrize(
    ("offset", "dtype", "warned"),
    # In float32 the environment itself has no more digits than the file
    [(1.7e9, np.float64, True), (0.0, np.float64, False), (1e3, np.float64, False), (1.7e9, np.float32, False)],
)
def test_observations_that_single_precision_does_not_hold(offset: float, dtype: Any, warned: bool, tmp_path: Path) -> None:
    env = VecNormalize(DummyVecEnv([lambda: Clock(offset, dtype)]), training=False)
    # Of a long training: SB3's begin at 0, and an offset of such a size stays in the variance for long
    env.obs_rms.mean[:], env.obs_rms.var[:] = offset, 100.0
    model = make("copdacq", env, "MlpPolicy").learn(50)
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter.mul_(20.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export_policy(model, tmp_path / "policy.pt")
    told = [str(warning.message) for warning in caught if "float32" in str(warning.message)]
    assert len(told) == warned
    if warned:
        assert re.search(
            r"float64 with digits that float32 does not have: its actions differ by up to \S+ .*means are", told[0]
        )


@pytest.mark.parametrize("name", ["bnddpg", "copdacq"])
def test_normalisation_below_stacked_frames(name: str, tmp_path: Path) -> None:
    """The order of rl-zoo3's frame_stack and normalize."""
    inside = VecFrameStack(VecNormalize(DummyVecEnv([pendulum])), 4)
    message = r"observations of the shape \(3,\), and the model gets \(12,\): .*VecNormalize\(VecFrameStack\(env\)\)"
    with pytest.raises(ValueError, match=message):
        make(name, inside)
    model = make(name, VecFrameStack(DummyVecEnv([pendulum]), 4))
    model.set_env(inside)
    with pytest.raises(ValueError, match=message):
        model.learn(20)
    with pytest.raises(ValueError, match=message):
        export_policy(make("td3", inside), tmp_path / "policy.pt")
    outside = make(name, VecNormalize(VecFrameStack(DummyVecEnv([pendulum]), 4)))
    assert export_policy(outside.learn(20), tmp_path / "policy.pt").is_file()


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="format='pickle' is unknown: it must be one of onnx, torchscript"):
        export_policy(make("bnddpg"), "policy", format="pickle")  # type: ignore[arg-type]


class Scaled(BNDDPGPolicy):
    """A policy with a state that its constructor does not know."""

    gain = 1.0

    def _predict(self, observation: Any, deterministic: bool = False) -> th.Tensor:
        return self.gain * super()._predict(observation, deterministic)


def test_what_a_policy_has_of_its_own_is_exported(tmp_path: Path) -> None:
    model = BNDDPG(Scaled, pendulum(), seed=0, buffer_size=10, policy_kwargs=dict(net_arch=[8]))
    model.policy.gain = 0.1
    path = export_policy(model, tmp_path / "policy.pt")
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    exported = th.jit.load(str(path))(th.from_numpy(observations)).numpy()
    np.testing.assert_allclose(exported, model.predict(observations)[0], rtol=1e-5)


def test_what_a_subclass_does_in_predict_is_not_left_out() -> None:
    class Limited(BNDDPG):
        def predict(self, *args: Any, **kwargs: Any) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
            actions, state = super().predict(*args, **kwargs)
            return np.clip(actions, -0.1, 0.1), state

    with pytest.raises(ValueError, match=r"Limited\.predict is overridden, .* override the policy's _predict"):
        export_policy(Limited("MlpPolicy", "Pendulum-v1", buffer_size=10), "never.onnx")
