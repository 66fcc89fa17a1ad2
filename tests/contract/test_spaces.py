"""Every observation and action space that SB3 knows: it is learned from as DDPG does, or refused with a reason."""

import functools
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.torch_layers import NatureCNN

from sb3_dpg.bnddpg.bnddpg import DEFAULT_ACTION_NOISE
from sb3_dpg.common.noise import GaussianNoise, OrnsteinUhlenbeckNoise
from tests.algorithms import finite, same, weights
from tests.contract.scripts import BNDDPGS, COPDACQS, OURS, OURS_WITH_REPLAY, Observed, build

FLAT = {
    "box": spaces.Box(-1.0, 1.0, (3,)),
    "box-2d": spaces.Box(-1.0, 1.0, (2, 3)),
    "box-float64": spaces.Box(-1.0, 1.0, (3,), np.float64),
    "box-int": spaces.Box(-5, 5, (2,), np.int32),
    "discrete": spaces.Discrete(4),
    "multi-discrete": spaces.MultiDiscrete([3, 2]),
    "multi-binary": spaces.MultiBinary(3),
    "multi-binary-2d": spaces.MultiBinary([2, 3]),
}


class Native(Observed):
    """Observations in Python's own numbers, which SB3 converts, but for the last one of an episode."""

    def reset(self, **kwargs: Any) -> Any:
        observation, info = super().reset(**kwargs)
        return native(observation), info

    def step(self, action: np.ndarray) -> Any:
        observation, *rest = super().step(action)
        return native(observation), *rest


def native(observation: Any) -> Any:
    """An observation without NumPy."""
    if isinstance(observation, dict):
        return {key: native(value) for key, value in observation.items()}
    return observation.tolist()


IMAGES = {
    "channels-first": spaces.Box(0, 255, (1, 36, 36), np.uint8),
    "channels-last": spaces.Box(0, 255, (36, 36, 3), np.uint8),
}
DICTS = {
    "vectors": spaces.Dict({"a": FLAT["box"], "b": FLAT["box-2d"], "c": FLAT["discrete"]}),
    "image": spaces.Dict({"image": IMAGES["channels-first"], "bits": FLAT["multi-binary"]}),
}
ACTION_SPACES = {
    "one": spaces.Box(-1.0, 1.0, (1,)),
    "asymmetric": spaces.Box(np.array([-2.0, 0.0, 10.0], np.float32), np.array([3.0, 0.5, 11.0], np.float32)),
    "matrix": spaces.Box(-2.0, 1.0, (2, 2)),
}


# 8 features in place of 512
SMALL_CNN: dict[str, Any] = dict(net_arch=[8], features_extractor_kwargs=dict(features_dim=8))
SMALL_COMBINED: dict[str, Any] = dict(net_arch=[8], features_extractor_kwargs=dict(cnn_output_dim=8))


def script(name: str, env: Any, **kwargs: Any) -> dict[str, Any]:
    """Train, then act on one observation and on the environment's batch: what came of it."""
    model = build(name, env, **kwargs)
    before = weights(model)
    model.learn(15)
    space = model.get_env().observation_space
    actions = {}
    for key, observation in (("one", space.sample()), ("batch", model.get_env().reset())):
        action, state = model.predict(observation, deterministic=True)
        actions[key] = (action.shape, action.dtype, state)
        assert np.isfinite(action).all()
        assert (env.action_space.low <= action).all()
        assert (action <= env.action_space.high).all()
    return dict(actions=actions, learned=not same(weights(model), before), n_steps=model.num_timesteps, obs=space)


@functools.cache
def script_of_ddpg(space: str, kind: type[Observed] = Observed) -> dict[str, Any]:
    kwargs: dict[str, Any] = {}
    if space in IMAGES:
        kwargs = dict(policy="CnnPolicy", policy_kwargs=SMALL_CNN)
    elif space in DICTS:
        kwargs = dict(policy="MultiInputPolicy", policy_kwargs=SMALL_COMBINED)
    return script("ddpg", kind({**FLAT, **IMAGES, **DICTS}[space]), **kwargs)


@pytest.mark.parametrize("space", FLAT)
@pytest.mark.parametrize("name", OURS)
def test_observations_without_channels(name: str, space: str) -> None:
    assert script(name, Observed(FLAT[space])) == script_of_ddpg(space)


@pytest.mark.parametrize("space", ["discrete", "box"])
@pytest.mark.parametrize("name", OURS)
def test_observations_in_pythons_numbers(name: str, space: str) -> None:
    assert script(name, Native(FLAT[space])) == script_of_ddpg(space, Native)


@pytest.mark.parametrize("name", [name for name in OURS_WITH_REPLAY if name not in COPDACQS])
def test_dictionaries_of_pythons_numbers(name: str) -> None:
    space = DICTS["vectors"]
    assert script(name, Native(space), policy="MultiInputPolicy")["learned"]


@pytest.mark.parametrize("space", IMAGES)
@pytest.mark.parametrize("name", BNDDPGS)
def test_images(name: str, space: str) -> None:
    outcome = script(name, Observed(IMAGES[space]), policy="CnnPolicy", policy_kwargs=SMALL_CNN)
    assert outcome == script_of_ddpg(space)
    assert outcome["obs"].shape[0] in (1, 3), "channels come first"


@pytest.mark.parametrize("space", IMAGES)
@pytest.mark.parametrize("name", COPDACQS)
def test_images_of_copdacq(name: str, space: str) -> None:
    kwargs: dict[str, Any] = dict(features_extractor_class=NatureCNN, features_extractor_kwargs=dict(features_dim=8))
    if "mlp" in name:
        kwargs["net_arch"] = [8]
    assert script(name, Observed(IMAGES[space]), policy_kwargs=kwargs) == script_of_ddpg(space)


@pytest.mark.parametrize("name", ["copdacq", "copdacq-replay"])
def test_tiles_of_images_tell_bright_from_dark(name: str) -> None:
    model = build(name, Observed(IMAGES["channels-first"]))
    extractor = model.policy.features_extractor
    dark, bright = (
        extractor(model.policy.preprocess(model.policy.obs_to_tensor(np.full((1, 36, 36), level, np.uint8))[0]))
        for level in (0, 250)
    )
    assert not (dark == bright).all()


@pytest.mark.parametrize("space", DICTS)
@pytest.mark.parametrize("name", BNDDPGS)
def test_dictionaries(name: str, space: str) -> None:
    kwargs: dict[str, Any] = dict(policy="MultiInputPolicy", policy_kwargs=SMALL_COMBINED)
    assert script(name, Observed(DICTS[space]), **kwargs) == script_of_ddpg(space)


@pytest.mark.parametrize("space", DICTS.values(), ids=DICTS)
@pytest.mark.parametrize("name", COPDACQS)
def test_copdacq_refuses_dictionaries(name: str, space: spaces.Dict) -> None:
    with pytest.raises(ValueError, match=r"observation_space=Dict.*not supported by COPDACQ.*FlattenObservation"):
        build(name, Observed(space))


@pytest.mark.parametrize("name", ["ddpg", "bnddpg"])
def test_a_dictionary_needs_its_policy(name: str) -> None:
    with pytest.raises(ValueError, match="MultiInputPolicy"):
        build(name, Observed(DICTS["vectors"]), policy="MlpPolicy")


@pytest.mark.parametrize("name", COPDACQS)
def test_unbounded_observations(name: str) -> None:
    env = Observed(spaces.Box(-np.inf, np.inf, (3,)))
    if "mlp" in name:
        assert script(name, env) == script("ddpg", Observed(spaces.Box(-np.inf, np.inf, (3,))))
        return
    with pytest.raises(ValueError, match=r"dimension\(s\) \[0, 1, 2\] of the observation are unbounded"):
        build(name, env)


@functools.cache
def script_of_actions(name: str, space: str) -> dict[str, Any]:
    return script(name, Observed(action_space=ACTION_SPACES[space]))


@pytest.mark.parametrize("space", ACTION_SPACES)
@pytest.mark.parametrize("name", OURS)
def test_actions(name: str, space: str) -> None:
    assert script_of_actions(name, space) == script_of_actions("ddpg", space)


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("name", OURS)
def test_scheduled_noise_for_actions_of_several_axes(name: str, n_envs: int) -> None:
    env = make_vec_env(Observed, n_envs, env_kwargs=dict(action_space=ACTION_SPACES["matrix"]))
    assert finite(build(name, env, action_noise=dict(DEFAULT_ACTION_NOISE)).learn(30))


@pytest.mark.parametrize("name", OURS)
def test_noise_of_one_dimension_is_not_for_several(name: str) -> None:
    env = Observed(action_space=ACTION_SPACES["asymmetric"])
    with pytest.raises(ValueError, match=r"action_noise=.* has shape \(1,\): .* \(3,\); give it a mean of that shape"):
        build(name, env, action_noise=OrnsteinUhlenbeckNoise(0.0, 0.5))


@pytest.mark.parametrize("name", OURS)
def test_noise_must_have_the_shape_of_the_actions(name: str) -> None:
    for noise in (GaussianNoise(np.zeros(4), 0.1), NormalActionNoise(np.zeros(4), np.ones(4))):
        with pytest.raises(ValueError, match=r"action_noise=.* has shape \(4,\): .* actions have shape \(2, 2\)"):
            build(name, Observed(action_space=ACTION_SPACES["matrix"]), action_noise=noise)


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.MultiBinary(2), spaces.MultiDiscrete([2, 2])], ids=repr)
@pytest.mark.parametrize("name", OURS)
def test_discrete_actions_are_refused(name: str, space: Any) -> None:
    with pytest.raises(ValueError, match=r"action_space=.* is not supported: \w+ learns a deterministic policy"):
        build(name, Observed(action_space=space))


@pytest.mark.parametrize("name", OURS)
def test_unbounded_actions_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"action_space=.* infinite bounds"):
        build(name, Observed(action_space=spaces.Box(-np.inf, np.inf, (2,))))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
@pytest.mark.parametrize("name", OURS)
def test_integer_actions_are_refused(name: str, dtype: type) -> None:
    with pytest.raises(ValueError, match=r"action_space=.* is of integers: .* declare a Box of floats"):
        build(name, Observed(action_space=spaces.Box(0, 100, (2,), dtype)))


@pytest.mark.parametrize("name", OURS)
def test_unknown_policies_are_refused(name: str) -> None:
    with pytest.raises(
        ValueError, match="Policy NoPolicy unknown" if name == "ddpg" else "policy='NoPolicy' is unknown: it must be"
    ):
        build(name, policy="NoPolicy")


@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_memory_efficient_buffer(name: str) -> None:
    kwargs: dict[str, Any] = dict(optimize_memory_usage=True, replay_buffer_kwargs=dict(handle_timeout_termination=False))
    assert script(name, Observed(), **kwargs) == script("ddpg", Observed(), **kwargs)
