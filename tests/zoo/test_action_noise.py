"""Noise keys of hyperparameter files: what existing files mean, and what they can say now."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise

from sb3_dpg.common.callbacks import ActionNoiseCallback
from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.common.noise import GaussianNoise, OrnsteinUhlenbeckNoise
from sb3_dpg.zoo.manager import ExperimentManager
from tests.zoo.entries import TINY, tiny_entry

WriteConfig = Callable[..., Path]
MakeManager = Callable[..., ExperimentManager]


def set_up(manager: ExperimentManager) -> Any:
    """The model that an experiment begins with."""
    result = manager.setup_experiment()
    assert result is not None
    return result[0]


@pytest.mark.parametrize(
    ("noise_type", "expected"), [("normal", NormalActionNoise), ("ornstein-uhlenbeck", OrnsteinUhlenbeckActionNoise)]
)
def test_a_plain_number_keeps_rl_zoo3s_meaning_for_builtin_algorithms(
    write_config: WriteConfig, make_manager: MakeManager, noise_type: str, expected: type
) -> None:
    manager = make_manager("td3", write_config(tiny_entry("td3", noise_type=noise_type, noise_std=0.3)))
    noise = set_up(manager).action_noise
    assert type(noise) is expected
    assert noise._sigma.tolist() == [0.3]
    assert getattr(noise, "_dt", 1e-2) == 1e-2
    assert manager.callbacks == []


@pytest.mark.parametrize("algo", ["td3", "ddpg", "sac"])
def test_a_schedule_reaches_a_builtin_algorithm(write_config: WriteConfig, make_manager: MakeManager, algo: str) -> None:
    entry = tiny_entry("td3", n_timesteps=100, n_envs=2, noise_std="lin_0.4_0.2", noise_type="normal")
    manager = make_manager(algo, write_config(entry))
    model = set_up(manager)
    manager.learn(model)
    assert isinstance(model.action_noise, GaussianNoise)
    assert model.action_noise.n_envs == 2
    # The last step is taken with the noise of the progress before it
    np.testing.assert_allclose(model.action_noise.std, [0.2], atol=0.2 * 2 / 100 + 1e-9)


@pytest.mark.parametrize("keys", [{"noise_theta": 0.5, "noise_dt": 0.2}, {"noise_std": [0.3]}, {"noise_theta": 0.5}])
def test_what_rl_zoo3_does_not_know_makes_our_noise(
    write_config: WriteConfig, make_manager: MakeManager, keys: dict[str, Any]
) -> None:
    entry = tiny_entry("td3", noise_type="ornstein-uhlenbeck", **{"noise_std": 0.3, **keys})
    manager = make_manager("td3", write_config(entry))
    model = set_up(manager)
    (callback,) = manager.callbacks
    assert isinstance(callback, ActionNoiseCallback)
    callback.init_callback(model)
    noise = callback.scheduled_noise
    assert isinstance(noise, OrnsteinUhlenbeckNoise)
    theta = keys.get("noise_theta", 0.15)
    np.testing.assert_allclose(noise.stationary_std, 0.3 / np.sqrt(2 * theta), rtol=1e-6)
    np.testing.assert_allclose(noise.theta * noise.dt, theta * keys.get("noise_dt", 1.0), rtol=1e-6)


@pytest.mark.parametrize("algo", ["bnddpg", "copdacq"])
def test_our_algorithms_have_our_noise_with_dt_1(write_config: WriteConfig, make_manager: MakeManager, algo: str) -> None:
    manager = make_manager(algo, write_config(tiny_entry(algo, noise_type="ornstein-uhlenbeck", noise_std=0.2)))
    noise = set_up(manager).action_noise
    assert isinstance(noise, OrnsteinUhlenbeckNoise)
    np.testing.assert_allclose(noise.theta * noise.dt, 0.15)


def test_one_value_per_action_dimension(write_config: WriteConfig, make_manager: MakeManager) -> None:
    pytest.importorskip("Box2D")
    entry = tiny_entry("bnddpg", noise_std=[0.1, "lin_0.4_0.2"])
    manager = make_manager("bnddpg", write_config(entry, env_id="LunarLanderContinuous-v3"), env_id="LunarLanderContinuous-v3")
    np.testing.assert_allclose(set_up(manager).action_noise.std, [0.1, 0.4])


def test_one_theta_per_action_dimension(write_config: WriteConfig, make_manager: MakeManager) -> None:
    pytest.importorskip("Box2D")
    entry = tiny_entry("bnddpg", noise_type="ornstein-uhlenbeck", noise_std=0.2, noise_theta=[0.15, 0.3])
    manager = make_manager("bnddpg", write_config(entry, env_id="LunarLanderContinuous-v3"), env_id="LunarLanderContinuous-v3")
    np.testing.assert_allclose(set_up(manager).action_noise.theta, [0.15, 0.3])


def test_no_noise_leaves_no_keys_for_the_constructor(write_config: WriteConfig, make_manager: MakeManager) -> None:
    for algo in ("td3", "bnddpg"):
        manager = make_manager(algo, write_config(tiny_entry(algo, noise_type=None)))
        assert set_up(manager).action_noise is None


def test_learning_rates_take_schedules(write_config: WriteConfig, make_manager: MakeManager) -> None:
    entry = tiny_entry("bnddpg", learning_rate="exp_0.01_0.0001", actor_learning_rate="lin_0.001")
    model = set_up(make_manager("bnddpg", write_config(entry)))
    np.testing.assert_allclose([model.lr_schedule(p) for p in (1.0, 0.5, 0.0)], [1e-2, 1e-3, 1e-4])
    np.testing.assert_allclose([model.actor_lr_schedule(p) for p in (1.0, 0.5, 0.0)], [1e-3, 5e-4, 0.0], atol=1e-12)


def test_rl_zoo3s_own_schedule_string_is_rl_zoo3s(write_config: WriteConfig, make_manager: MakeManager) -> None:
    model = set_up(make_manager("td3", write_config(tiny_entry("td3", learning_rate="lin_0.001"))))
    assert type(model.learning_rate).__name__ == "SimpleLinearSchedule"
    assert model.lr_schedule(0.25) == 0.25 * 0.001


def test_classes_are_named_in_policy_kwargs(write_config: WriteConfig, make_manager: MakeManager) -> None:
    policy_kwargs = {"features_extractor_class": "sb3_dpg.common.features.FourierBasis"}
    model = set_up(make_manager("copdacq", write_config(tiny_entry("copdacq", policy_kwargs=policy_kwargs))))
    assert type(model.policy.features_extractor).__name__ == "FourierBasis"


SPECIFICATION = {"type": "ornstein-uhlenbeck", "sigma": 0.7}


def noise_of(manager: ExperimentManager) -> Any:
    """The noise that an experiment trains with."""
    model = set_up(manager)
    for callback in manager.callbacks:
        callback.init_callback(model)
    scheduled = [callback.scheduled_noise for callback in manager.callbacks if isinstance(callback, ActionNoiseCallback)]
    return scheduled[0] if scheduled else model.action_noise


@pytest.mark.parametrize("algo", ["bnddpg", "td3"])
def test_the_command_lines_specification_replaces_the_files_keys(
    write_config: WriteConfig, make_manager: MakeManager, algo: str
) -> None:
    noise = noise_of(make_manager(algo, write_config(tiny_entry(algo)), hyperparams={"action_noise": SPECIFICATION}))
    assert isinstance(noise, OrnsteinUhlenbeckNoise)
    np.testing.assert_allclose(noise.std, OrnsteinUhlenbeckNoise([0.0], sigma=0.7).std)
    assert noise_of(make_manager(algo, write_config(tiny_entry(algo)), hyperparams={"action_noise": None})) is None


def test_the_command_lines_keys_replace_the_files_specification(write_config: WriteConfig, make_manager: MakeManager) -> None:
    config = write_config({"n_timesteps": 100, "policy": "LinearPolicy", "action_noise": SPECIFICATION})
    given = {"noise_type": "normal", "noise_std": 0.5}
    manager = make_manager("copdacq", config, hyperparams=given)
    noise = noise_of(manager)
    assert isinstance(noise, GaussianNoise)
    np.testing.assert_allclose(noise.std, [0.5])
    assert noise_of(make_manager("copdacq", config, hyperparams={"noise_type": None})) is None


@pytest.mark.parametrize(
    ("algo", "noise", "given", "expected"),
    [
        ("copdacq", {"action_noise": SPECIFICATION}, {"noise_std": 0.5}, "noise_std 0.5 needs the key 'noise_type': normal"),
        ("td3", {"noise_std": 0.5}, {}, r"Pendulum-v1: noise_std 0.5 needs the key 'noise_type'"),
        ("td3", {}, {"noise_theta": 0.2}, r"noise_theta 0.2 needs the key 'noise_type'"),
        ("bnddpg", {"action_noise": SPECIFICATION}, {"action_noise": SPECIFICATION, "noise_std": 0.5}, "noise_std 0.5 needs"),
        ("bnddpg", {"action_noise": SPECIFICATION, "noise_type": "normal", "noise_std": 1}, {}, "are both given"),
        ("td3", {"action_noise": {"type": "normall"}}, {}, "action_noise.* cannot be used: type='normall'"),
    ],
)  # fmt: skip
def test_noise_that_would_be_ignored_is_refused(
    write_config: WriteConfig,
    make_manager: MakeManager,
    algo: str,
    noise: dict[str, Any],
    given: dict[str, Any],
    expected: str,
) -> None:
    config = write_config({"n_timesteps": 100, **TINY[algo], **noise})
    with pytest.raises(ConfigurationError, match=expected):
        make_manager(algo, config, hyperparams=given).setup_experiment()


@pytest.mark.parametrize(("algo", "noise_std"), [("bnddpg", 0.3), ("td3", 0.3), ("td3", "lin_0.3_0.1")])
def test_a_resumed_training_can_be_told_to_have_no_noise(
    write_config: WriteConfig, make_manager: MakeManager, algo: str, noise_std: Any
) -> None:
    config = write_config(tiny_entry(algo, n_timesteps=30, noise_std=noise_std))
    first = make_manager(algo, config)
    model = set_up(first)
    first.learn(model)
    first.save_trained_model(model)
    agent = str(Path(first.save_path) / "Pendulum-v1.zip")
    assert noise_of(make_manager(algo, config, trained_agent=agent, n_timesteps=60)) is not None
    for given in ({"noise_type": None}, {"action_noise": None}):
        assert noise_of(make_manager(algo, config, trained_agent=agent, n_timesteps=60, hyperparams=given)) is None
