"""COPDACQ as an SB3 algorithm: saving, seeds, online learning, errors."""

import copy
import inspect
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import DDPG
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_dpg import COPDACQ
from sb3_dpg.common.divergence import DivergenceError
from sb3_dpg.common.features import FourierBasis, TileCoding
from sb3_dpg.copdacq.buffers import LatestTransitions
from sb3_dpg.copdacq.policies import LinearPolicy, MlpPolicy
from sb3_dpg.copdacq.updates import linearised, td_error
from tests.algorithms import same, weights

NOISE = {"type": "autoregressive", "lambda": 0.9, "std": "lin_0.7_0.3", "seed": 3}
POLICIES: dict[str, dict[str, Any]] = {
    "LinearPolicy": dict(),
    "MlpPolicy": dict(policy_kwargs=dict(net_arch=[8])),
}


def make(policy: str = "LinearPolicy", env: Any = "Pendulum-v1", **kwargs: Any) -> COPDACQ:
    return COPDACQ(policy, env, action_noise=NOISE, seed=0, **POLICIES[policy] | kwargs)


@pytest.mark.parametrize("policy", list(POLICIES))
@pytest.mark.parametrize("kwargs", [dict(), dict(gradient_q=True), dict(gradient_q="full", natural_gradient=True)])
def test_every_weight_that_should_learn_does(policy: str, kwargs: dict[str, Any]) -> None:
    model = make(policy, **kwargs)
    before = [[tensor.clone() for tensor in part] for part in model.policy.weights]
    model.learn(50)
    changed = [
        any(not th.equal(x, y) for x, y in zip(part, old, strict=True))
        for part, old in zip(model.policy.weights, before, strict=True)
    ]
    gradient_q = kwargs.get("gradient_q", False)
    assert changed == [True, True, True, bool(gradient_q), gradient_q == "full"]


@pytest.mark.parametrize("policy", list(POLICIES))
def test_saved_and_continued_training_is_that_without_a_break(policy: str, tmp_path: Path) -> None:
    def learn(model: COPDACQ, more: int) -> COPDACQ:
        return model.learn(more, reset_num_timesteps=False)

    unbroken = make(policy, gradient_q="full")
    learn(unbroken, 60)
    broken = make(policy, gradient_q="full")
    learn(broken, 60)
    assert broken.env is not None
    broken.save(tmp_path / "model.zip")
    loaded = COPDACQ.load(tmp_path / "model.zip", env=broken.env, force_reset=False)
    assert same(weights(loaded), weights(unbroken))
    assert same(weights(learn(loaded, 60)), weights(learn(unbroken, 60)))


@pytest.mark.parametrize("policy", list(POLICIES))
def test_loaded_models_and_policies_act_alike(policy: str, tmp_path: Path) -> None:
    model = make(policy).learn(100)
    model.save(tmp_path / "model.zip")
    model.policy.save(str(tmp_path / "policy.pth"))
    # Enough of them for some to lie in tiles that 100 steps have visited
    model.observation_space.seed(0)
    observations = np.stack([model.observation_space.sample() for _ in range(200)])
    expected, _ = model.predict(observations)
    assert np.abs(expected).max() > 0.0
    np.testing.assert_array_equal(COPDACQ.load(tmp_path / "model.zip").predict(observations)[0], expected)
    policy_class = {"LinearPolicy": LinearPolicy, "MlpPolicy": MlpPolicy}[policy]
    np.testing.assert_array_equal(policy_class.load(str(tmp_path / "policy.pth")).predict(observations)[0], expected)


def test_parameters_can_be_set_while_training() -> None:
    model, other = make(), make().learn(100)
    model.set_parameters(other.get_parameters())
    assert same(weights(model), weights(other))
    model.learn(20)
    assert not th.equal(model.policy.weights.v[0], other.policy.weights.v[0])


def test_online_learning_uses_the_newest_transition_of_each_environment() -> None:
    space, actions = spaces.Box(-100.0, 100.0, (1,), np.float32), spaces.Box(-1.0, 1.0, (1,), np.float32)
    buffer = LatestTransitions(1, space, actions, device="cpu", n_envs=3)
    for step in range(3):
        observations = np.array([[0.0], [1.0], [2.0]]) + 10.0 * step
        infos: list[dict[str, Any]] = [{}, {"TimeLimit.truncated": True}, {}]
        buffer.add(observations, observations + 10, np.zeros((3, 1)), np.arange(3.0), np.array([0.0, 1.0, 1.0]), infos)
    sample = buffer.sample(64)
    assert sample.observations.flatten().tolist() == [20.0, 21.0, 22.0]
    assert sample.next_observations.flatten().tolist() == [30.0, 31.0, 32.0]
    assert sample.rewards.flatten().tolist() == [0.0, 1.0, 2.0]
    assert sample.dones.flatten().tolist() == [0.0, 0.0, 1.0], "running out of time is no end"


def test_choice_of_the_buffer() -> None:
    assert isinstance(make().replay_buffer, LatestTransitions)
    replay = make(buffer_size=100).replay_buffer
    assert isinstance(replay, ReplayBuffer)
    assert not isinstance(replay, LatestTransitions)


def test_scaling_rewards_is_scaling_the_actors_step_size() -> None:
    class Scaled(gym.RewardWrapper):
        def reward(self, reward: Any) -> float:
            return 0.25 * float(reward)

    scaled = make(env=Scaled(gym.make("Pendulum-v1")), actor_learning_rate=0.02).learn(300)
    plain = make(actor_learning_rate=0.005).learn(300)
    th.testing.assert_close(scaled.policy.weights.theta[0], plain.policy.weights.theta[0], rtol=1e-4, atol=1e-6)
    th.testing.assert_close(scaled.policy.weights.v[0], 0.25 * plain.policy.weights.v[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("max_td_error", [1e6, 1e9])
def test_large_rewards_need_a_larger_limit_of_the_td_error(max_td_error: float) -> None:
    class Scaled(gym.RewardWrapper):
        def reward(self, reward: Any) -> float:
            return 1e6 * float(reward)

    model = make(env=Scaled(gym.make("Pendulum-v1")), actor_learning_rate=1e-8, max_td_error=max_td_error)
    if max_td_error < 1e9:
        with pytest.raises(DivergenceError, match=r"max_td_error=1e\+06 \(raise it if rewards are of that size\)"):
            model.learn(300)
    else:
        plain = make().learn(300)
        th.testing.assert_close(model.learn(300).policy.weights.theta[0], plain.policy.weights.theta[0], rtol=1e-3, atol=1e-5)


def test_step_sizes_are_per_active_feature() -> None:
    """A value_learning_rate of 1 corrects the whole of one TD error, however many tilings there are."""
    for n_tilings in (1, 16):
        kwargs = dict(features_extractor_kwargs=dict(n_tilings=n_tilings))
        model = make(learning_rate=1.0, advantage_learning_rate=0.0, gamma=0.0, policy_kwargs=kwargs)
        model.learn(1)
        assert model.replay_buffer is not None
        data = model.replay_buffer.sample(1)
        th.testing.assert_close(model.policy.q_values(data.observations, data.actions), data.rewards)


def test_step_sizes_are_divided_by_their_own_active_features() -> None:
    kwargs = dict(features_extractor_kwargs=dict(n_tilings=4), value_features_extractor_kwargs=dict(n_tilings=16))
    rates = dict(actor_learning_rate=0.1, advantage_learning_rate=0.2, value_learning_rate=0.3, correction_learning_rate=0.4)
    model = make(**rates, policy_kwargs=kwargs)
    assert tuple(model.step_sizes()) == pytest.approx((0.1 / 4, 0.2 / 4, 0.3 / 16, 0.4 / 4, 0.4 / 16))


@pytest.mark.parametrize("buffer_size", [1, 100])
def test_vec_normalize_is_applied_to_what_is_learned_from(buffer_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    env = VecNormalize(make_vec_env("Pendulum-v1", seed=0))
    model = make(env=env, buffer_size=buffer_size).learn(30)
    seen: list[Any] = []
    monkeypatch.setattr(model, "update", lambda policy, data, step_sizes: seen.append(data))
    model.train(1)
    buffer = model.replay_buffer
    assert buffer is not None
    normalisers = dict(observations=env.normalize_obs, next_observations=env.normalize_obs, rewards=env.normalize_reward)
    for name, normalise in normalisers.items():
        known = normalise(getattr(buffer, name)[: buffer.size(), 0]).reshape(buffer.size(), -1)
        for row in np.asarray(getattr(seen[0], name)):
            assert np.isclose(known, row, atol=1e-5).all(axis=1).any(), name


def test_each_step_size_is_the_one_given() -> None:
    model = make(
        actor_learning_rate=0.1, advantage_learning_rate=0.2, value_learning_rate=0.3, correction_learning_rate="lin_0.4_0.1"
    )
    assert list(model.learning_rates().values()) == [0.1, 0.2, 0.3, 0.4]
    assert list(make(learning_rate=0.5).learning_rates().values()) == [0.01, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("policy", "rates"), [("LinearPolicy", [0.01, 0.2, 0.2, 0.2]), ("MlpPolicy", [1e-4, 1e-3, 1e-3, 1e-3])]
)
def test_each_policy_trains_with_step_sizes_of_its_own(policy: str, rates: list[float], tmp_path: Path) -> None:
    model = COPDACQ(policy, "Pendulum-v1", action_noise=NOISE, seed=0)
    assert list(model.learning_rates().values()) == rates
    # The tiles' step sizes let the networks diverge within 500 steps
    assert model.learn(500)._n_updates == 500
    model.save(tmp_path / "model.zip")
    assert COPDACQ.load(tmp_path / "model.zip").learning_rates() == model.learning_rates()


def test_the_device_is_the_cpu_unless_said_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """... also where SB3 or rl-zoo3 say "auto", which is a GPU where there is one."""
    make().save(tmp_path / "model.zip")
    asked: list[Any] = []

    def get_device(device: Any) -> th.device:
        asked.append(device)
        return th.device("cpu")

    monkeypatch.setattr("stable_baselines3.common.base_class.get_device", get_device)
    # Where the file's weights are brought to
    monkeypatch.setattr("stable_baselines3.common.save_util.get_device", get_device)
    make()
    make(device="auto")
    COPDACQ.load(tmp_path / "model.zip").set_parameters(str(tmp_path / "model.zip"))
    assert set(map(str, asked)) == {"cpu"}
    make(device="cuda")
    assert asked[-1] == "cuda"


def load_from_vector(model: COPDACQ) -> None:
    model.policy.load_from_vector(np.full_like(model.policy.parameters_to_vector(), 0.05))


def share_memory(model: COPDACQ) -> None:
    model.policy.share_memory()


def assign(model: COPDACQ) -> None:
    model.policy.load_state_dict(weights(model), assign=True)


def put_another_policy_in_its_place(model: COPDACQ) -> None:
    model.policy = make().learn(30).policy


@pytest.mark.parametrize("move", [load_from_vector, share_memory, assign, put_another_policy_in_its_place])
@pytest.mark.parametrize("in_training", [False, True])
def test_weights_that_got_other_memory_are_those_that_learn(move: Callable[[COPDACQ], None], in_training: bool) -> None:
    model = make().learn(60)

    class Move(BaseCallback):
        def _on_step(self) -> bool:
            if in_training and self.n_calls == 10:
                move(model)
            return True

    if not in_training:
        move(model)
    before = weights(model)
    model.learn(100, callback=Move(), reset_num_timesteps=False)
    for name in ("theta", "v", "w"):
        assert not th.equal(weights(model)[name], before[name])
    assert model._tiles is not None
    observations = np.stack([model.observation_space.sample() for _ in range(20)])
    ours = model.policy.unscale_action(model._tiles.actions(observations))
    np.testing.assert_allclose(ours, model.predict(observations, deterministic=True)[0], atol=1e-5)


def test_a_learning_rate_that_is_changed_holds_for_all_that_have_none_of_their_own() -> None:
    model = make().learn(20)
    model.learning_rate = 0.05
    model._setup_lr_schedule()
    assert list(model.learning_rates().values()) == [0.01, 0.05, 0.05, 0.05]


def test_an_online_model_that_is_given_a_replay_buffer_learns_from_it(tmp_path: Path) -> None:
    make(buffer_size=300).learn(50).save_replay_buffer(tmp_path / "buffer.pkl")
    model = make()
    model.load_replay_buffer(tmp_path / "buffer.pkl")
    before = weights(model)
    assert model.learn(20)._n_updates == 20
    assert not th.equal(weights(model)["v"], before["v"])


@pytest.mark.parametrize("policy", list(POLICIES))
def test_batches_of_any_size_learn(policy: str) -> None:
    model = make(policy, buffer_size=300, batch_size=64).learn(70)
    assert model._n_updates == 70
    model = make(policy, env=make_vec_env("Pendulum-v1", n_envs=40, seed=0)).learn(80)
    assert model._n_updates == 2


@pytest.mark.parametrize("policy", list(POLICIES))
@pytest.mark.parametrize("duplicated", [copy.deepcopy, lambda model: cloudpickle.loads(cloudpickle.dumps(model))])
def test_a_copy_learns_for_itself(policy: str, duplicated: Callable[[COPDACQ], COPDACQ]) -> None:
    model = make(policy).learn(30)
    duplicate, before = duplicated(model), weights(model)
    assert same(weights(duplicate), before)
    duplicate.learn(30)
    assert same(weights(model), before)
    assert not th.equal(duplicate.policy.weights.v[0], model.policy.weights.v[0])


@pytest.mark.parametrize("name", ["learning_rate", "actor_learning_rate", "value_learning_rate", "sigma"])
def test_schedules_of_ones_own_end_at_zero(name: str) -> None:
    """Also where the last rollout of several environments goes beyond the total."""
    rates: dict[str, Any] = {name: lambda progress: 0.1 * progress}
    noise = {"type": "normal", "sigma": rates.pop("sigma", 0.1)}
    model = COPDACQ("LinearPolicy", make_vec_env("Pendulum-v1", n_envs=3, seed=0), action_noise=noise, **rates).learn(100)
    assert model.num_timesteps == 102
    assert min(model.learning_rates().values()) >= 0.0


def test_several_environments_and_replay_options_learn() -> None:
    env = make_vec_env("Pendulum-v1", n_envs=3, seed=0)
    for kwargs in (dict(), dict(buffer_size=300, batch_size=8, n_steps=3), dict(gradient_steps=-1)):
        model = make(env=env, **kwargs).learn(60)
        assert model.num_timesteps == 60
        assert model._n_updates == (60 if kwargs.get("gradient_steps") == -1 else 20)


def test_n_step_returns_come_with_their_own_discounts() -> None:
    model = make(buffer_size=300, n_steps=3, gamma=0.9).learn(50)
    assert model.replay_buffer is not None
    data = model.replay_buffer.sample(20)
    assert data.discounts is not None
    th.testing.assert_close(linearised(model.policy, data, model.gamma).discounts, data.discounts * (1.0 - data.dones))
    assert data.discounts.min().item() == pytest.approx(0.9**3)


def test_features_of_v_alone_have_the_defaults_of_mus() -> None:
    """Tiles of eight dimensions would be hundreds of millions without hashing."""
    space = spaces.Box(-1, 1, (8,))
    policy = LinearPolicy(space, spaces.Box(-1, 1, (1,)), lambda _: 0.1, value_features_extractor_kwargs=dict(n_tilings=16))
    assert policy.value_features_extractor.features_dim == policy.features_extractor.features_dim
    assert policy.value_features_extractor.n_tilings == 16


def test_nothing_is_learned_from_a_transition_that_never_was() -> None:
    with pytest.raises(ValueError, match="no transition to learn from yet"):
        make().train(1)


@pytest.mark.parametrize("buffer_size", [1, 300])
def test_transitions_count_actions_from_the_policys_own(buffer_size: int) -> None:
    """... which are within their range, even where the linear function is beyond it."""
    model = make(env=make_vec_env("Pendulum-v1", n_envs=20, seed=0), buffer_size=buffer_size).learn(40)
    with th.no_grad():
        model.policy.weights.theta[0].normal_(0.0, 0.3)
        assert model.replay_buffer is not None
        if buffer_size == 1:
            assert isinstance(model.replay_buffer, LatestTransitions)
            assert model._tiles is not None
            data: Any = model.replay_buffer.latest()
            batch: Any = linearised(model._tiles, data, model.gamma)
        else:
            data = model.replay_buffer.sample(20)
            batch = linearised(model.policy, data, model.gamma)
    observations, actions, offset = (np.asarray(array) for array in (data.observations, data.actions, batch.offset))
    mu = model.policy.scale_action(model.predict(observations, deterministic=True)[0])
    assert (abs(mu) == 1.0).any(), "some are on the bound"
    assert (abs(mu) < 1.0).any(), "some are not"
    np.testing.assert_allclose(offset, actions - mu, atol=1e-6)


def test_terminal_states_have_no_value() -> None:
    model = make(buffer_size=300, gamma=0.9).learn(50)
    assert model.replay_buffer is not None
    data = model.replay_buffer.sample(2)._replace(dones=th.tensor([[0.0], [1.0]]))
    with th.no_grad():
        batch = linearised(model.policy, data, model.gamma)
        delta = td_error(batch, model.policy.weights)
        target = delta + model.policy.q_values(data.observations, data.actions)
    assert batch.next_value.value.abs().min() > 1e-3, "the test could not fail"
    th.testing.assert_close(target, data.rewards + th.tensor([[0.9], [0.0]]) * batch.next_value.value)


def test_discrete_observations_are_tabular() -> None:
    class Corridor(gym.Env[np.int64, np.ndarray]):
        observation_space = spaces.Discrete(3)
        action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.int64, dict[str, Any]]:
            super().reset(seed=seed)
            return np.int64(0), {}

        def step(self, action: np.ndarray) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
            return np.int64(2), -float((action[0] - 0.5) ** 2), True, False, {}

    model = make(env=Corridor(), learning_rate=0.2, actor_learning_rate=0.05).learn(1500)
    assert model.policy.weights.theta[0].shape == (3, 1)
    action, _ = model.predict(np.int64(0))
    assert action == pytest.approx([0.5], abs=0.1)


@pytest.mark.parametrize(
    ("space", "n_active"),
    [
        (spaces.Discrete(5), 1),
        (spaces.MultiDiscrete([3] * 12), 12),
        (spaces.MultiBinary(30), 30),
        (spaces.MultiBinary((5, 6)), 30),
    ],
    ids=str,
)
def test_observations_of_several_components_learn_by_the_defaults(space: spaces.Space, n_active: int) -> None:
    class Components(gym.Env[Any, np.ndarray]):
        observation_space = space
        action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            space.seed(0)
            return space.sample(), {}

        def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return space.sample(), -float(np.square(action).sum()), False, False, {}

    model = make(env=TimeLimit(Components(), 20))
    assert model.policy.actor_n_active == model.policy.value_n_active == n_active
    model.learn(300)
    # Rewards are within [-1, 0], values within [-1 / (1 - gamma), 0]
    observations = th.as_tensor(np.stack([space.sample() for _ in range(20)]))
    assert model.policy.q_values(observations, th.zeros(20, 1)).abs().max() < 200.0


class Unbounded(gym.ObservationWrapper):
    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)

    def observation(self, observation: Any) -> Any:
        return 100.0 * observation


def unbounded() -> DummyVecEnv:
    return DummyVecEnv([lambda: Unbounded(gym.make("Pendulum-v1"))])


def test_observations_normalised_by_vecnormalize_need_no_bounds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dimension\(s\) \[0, 1, 2\].*VecNormalize"):
        make(env=unbounded())
    model = make(env=VecNormalize(unbounded())).learn(50)
    features = model.policy.features_extractor
    assert isinstance(features, TileCoding)
    th.testing.assert_close(features.unit(th.tensor([[-3.0, 0.0, 3.0]])), th.tensor([[0.0, 0.5, 1.0]]))
    th.testing.assert_close(features.unit(th.tensor([[-9.0, 0.0, 9.0]])), th.tensor([[0.0, 0.5, 1.0]]))
    model.save(tmp_path / "model.zip")
    assert same(weights(COPDACQ.load(tmp_path / "model.zip")), weights(model))


@pytest.mark.parametrize("policy", list(POLICIES))
def test_features_of_observations_that_are_normalised_later_are_refused(policy: str, tmp_path: Path) -> None:
    tiles = dict(features_extractor_class="TileCoding")
    model = make(policy, make_vec_env("Pendulum-v1"), policy_kwargs=tiles).learn(10)
    model.save(tmp_path / "model.zip")
    model.set_env(VecNormalize(make_vec_env("Pendulum-v1")))
    for refused in (model, COPDACQ.load(tmp_path / "model.zip", env=VecNormalize(make_vec_env("Pendulum-v1")))):
        with pytest.raises(ValueError, match="features have the bounds of those before"):
            refused.learn(10)
    bounds = dict(features_extractor_kwargs=dict(low=-2.0, high=2.0))
    model = make(policy, make_vec_env("Pendulum-v1"), policy_kwargs=tiles | bounds)
    model.set_env(VecNormalize(make_vec_env("Pendulum-v1")))
    model.learn(10)


class Mirrored(TileCoding):
    """Tiles of the observation's absolute value."""

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return super().forward(observations.abs())


def test_features_of_ones_own_that_are_made_of_tiles() -> None:
    model = make(policy_kwargs=dict(features_extractor_class=Mirrored)).learn(300)
    observations = th.tensor([[0.6, -0.8, -2.0], [0.6, 0.8, 2.0]])
    first, second = model.predict(observations.numpy())[0]
    assert first == second != 0.0


@pytest.mark.parametrize("policy", list(POLICIES))
@pytest.mark.parametrize("env", [unbounded, lambda: make_vec_env("Pendulum-v1")], ids=["unbounded", "bounded"])
def test_features_of_normalised_observations(policy: str, env: Callable[[], Any]) -> None:
    """The space of a bounded environment says nothing about them: its speeds are within 8."""
    tiles = dict(policy_kwargs=dict(features_extractor_class="TileCoding"))
    model = make(policy, VecNormalize(env()), **tiles)
    networks = [model.policy.actor[0], model.policy.value[0]] if isinstance(model.policy, MlpPolicy) else []
    for features in networks or [model.policy.features_extractor]:
        assert isinstance(features, TileCoding)
        th.testing.assert_close(features.unit(th.tensor([[-3.0, 0.0, 3.0]])), th.tensor([[0.0, 0.5, 1.0]]))


@pytest.mark.parametrize(
    "policy_kwargs",
    [
        dict(features_extractor_kwargs=dict(n_bins=4)),
        dict(features_extractor_kwargs=dict(n_bins=4, low=-2.0)),
        dict(value_features_extractor_kwargs=dict(n_bins=4)),
        dict(features_extractor_class="FourierBasis", value_features_extractor_class="TileCoding"),
    ],
)
def test_bounds_of_normalised_observations_are_no_policy_kwargs(policy_kwargs: dict[str, Any], tmp_path: Path) -> None:
    """SB3 loads a model with the policy_kwargs only that were saved."""
    model = make(env=VecNormalize(unbounded()), policy_kwargs=policy_kwargs).learn(50)
    assert model.policy_kwargs == policy_kwargs
    model.save(tmp_path / "model.zip")
    for env in (VecNormalize(unbounded(), clip_obs=1.0), None):
        loaded = COPDACQ.load(tmp_path / "model.zip", env=env, policy_kwargs=policy_kwargs)
        assert loaded.policy_kwargs == policy_kwargs
        assert same(weights(loaded), weights(model))
        for one, other in zip(features_kwargs(loaded), features_kwargs(model), strict=True):
            assert one == other
            assert one["high"] == 3.0
            assert one["low"] == policy_kwargs.get("features_extractor_kwargs", {}).get("low", -3.0)
        if env is not None:
            loaded.learn(10)


def features_kwargs(model: COPDACQ) -> list[dict[str, Any]]:
    """The arguments of the features of mu, and of V where they are others."""
    policy = model.policy
    assert isinstance(policy, LinearPolicy)
    own = [policy.value_features_extractor_kwargs] if policy.value_features_extractor_class else []
    return [policy.features_extractor_kwargs, *own]


class Record(KVWriter):
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.values |= key_values

    def close(self) -> None:
        pass


def test_logged_values() -> None:
    record = Record()
    model = make(value_learning_rate="lin_0.4_0.0", gradient_q=True)
    model.set_logger(Logger(None, [record]))
    model.learn(400, log_interval=1)
    assert record.values["train/td_error"] > 0.0
    assert 0.0 <= record.values["train/action_saturation"] <= 1.0
    for name in ("theta", "w", "v", "u"):
        (weights,) = getattr(model.policy.weights, name)
        assert record.values[f"train/{name}_norm"] == pytest.approx(weights.norm().item(), rel=0.1)
    assert record.values["train/value_learning_rate"] == pytest.approx(0.0, abs=1e-3)
    assert record.values["train/actor_learning_rate"] == 0.01
    assert record.values["rollout/noise_std"] == pytest.approx(0.3, abs=1e-3)


def test_divergence_is_told_and_leaves_good_weights() -> None:
    model = make(value_learning_rate=20.0, max_td_error=1e4)
    with pytest.raises(DivergenceError, match=r"actor_learning_rate=0\.01.*value_learning_rate=20") as error:
        model.learn(3000)
    assert isinstance(error.value, ValueError), "rl-zoo3 prunes trials on ValueError"
    for part in model.policy.weights:
        for tensor in part:
            assert th.isfinite(tensor).all()
    model.save(io.BytesIO())


def test_guard_of_a_loaded_model_goes_back_to_what_was_loaded(tmp_path: Path) -> None:
    make().learn(200).save(tmp_path / "model.zip")
    loaded = COPDACQ.load(tmp_path / "model.zip", env=gym.make("Pendulum-v1"))
    before = weights(loaded)
    loaded.max_td_error = 1e-9
    with pytest.raises(DivergenceError):
        loaded.learn(10)
    assert same(weights(loaded), before)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(gradient_q="half"), "gradient_q='half'.*'full'"),
        (dict(learning_rate=-0.1), "learning_rate=-0.1"),
        (dict(actor_learning_rate=-1.0), "actor_learning_rate=-1.0"),
        (dict(value_learning_rate="linear_1"), "linear_1"),
        (dict(max_td_error=0.0), "max_td_error=0.0"),
        (dict(gamma=1.5), "gamma=1.5"),
        (dict(optimize_memory_usage=True), "optimize_memory_usage=True.*buffer_size"),
        (dict(buffer_size=0), "buffer_size=0"),
        (dict(policy_kwargs=dict(features_extractor_class="Tiles")), "features_extractor_class='Tiles'.*TileCoding"),
    ],
)
def test_bad_arguments_are_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(train_freq=4), "train_freq=4.*buffer_size"),
        (dict(n_steps=3), "n_steps=3.*buffer_size"),
        (dict(actor_learning_rate=-1.0), "actor_learning_rate=-1.0"),
        (dict(advantage_learning_rate=float("nan")), "advantage_learning_rate=nan"),
        (dict(gradient_q="half"), "gradient_q='half'"),
        (dict(max_td_error=0.0), "max_td_error=0.0"),
    ],
)
def test_arguments_of_load_are_checked_as_the_constructors(kwargs: dict[str, Any], message: str, tmp_path: Path) -> None:
    make().save(tmp_path / "model.zip")
    with pytest.raises(ValueError, match=message):
        COPDACQ.load(tmp_path / "model.zip", **kwargs)


def test_natural_gradient_is_yes_or_no() -> None:
    with pytest.raises(TypeError, match="natural_gradient must be bool, not 'no'"):
        make(natural_gradient="no")


def test_a_loaded_model_takes_other_arguments(tmp_path: Path) -> None:
    make().save(tmp_path / "model.zip")
    env = gym.make("Pendulum-v1")
    rates = dict(learning_rate="lin_0.2_0.02", value_learning_rate="lin_0.3_0.03")
    loaded = COPDACQ.load(tmp_path / "model.zip", env=env, **rates)
    assert list(loaded.learning_rates().values()) == [0.01, 0.2, 0.3, 0.2]
    replaying = COPDACQ.load(tmp_path / "model.zip", env=env, buffer_size=100, train_freq=4)
    assert type(replaying.replay_buffer) is ReplayBuffer
    assert replaying.learn(20, reset_num_timesteps=False)._n_updates == 5


@pytest.mark.parametrize("policy", list(POLICIES))
@pytest.mark.parametrize("name", ["FlattenExtractor", None])
def test_features_by_name(policy: str, name: str | None) -> None:
    kwargs = dict(features_extractor_class=name)
    model = COPDACQ(policy, "Pendulum-v1", policy_kwargs=kwargs, seed=0)
    expected = {("LinearPolicy", None): "TileCoding"}.get((policy, name), "FlattenExtractor")
    assert model.policy.features_extractor_class.__name__ == expected


def test_own_features_of_the_value_and_callers_dictionaries_left_alone() -> None:
    features = dict(n_tilings=4)
    kwargs = dict(features_extractor_kwargs=features, value_features_extractor_class=FourierBasis)
    model = make(policy_kwargs=kwargs).learn(20)
    assert isinstance(model.policy, LinearPolicy)
    assert isinstance(model.policy.value_features_extractor, FourierBasis)
    assert features == dict(n_tilings=4)
    assert kwargs == dict(features_extractor_kwargs=features, value_features_extractor_class=FourierBasis)


def test_signature_has_what_sb3s_has() -> None:
    sb3 = set(inspect.signature(DDPG.__init__).parameters)
    # There are no target networks to update
    assert sb3 - set(inspect.signature(COPDACQ.__init__).parameters) == {"tau"}


class Limited(COPDACQ):
    """Actions with a limit for safety."""

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        actions, state = super().predict(*args, **kwargs)
        return np.clip(actions, -0.2, 0.2), state


def test_what_a_subclass_does_to_actions_it_does_to_those_that_explore() -> None:
    model = Limited("LinearPolicy", "Pendulum-v1", seed=0, learning_starts=0)
    with th.no_grad():
        model.policy.theta.fill_(3.0)
    actions: list[float] = []
    callback = lambda local_variables, _: actions.append(float(abs(local_variables["actions"]).max())) or True  # noqa: E731
    with pytest.warns(UserWarning, match="without action_noise"):
        model.learn(5, callback=callback)
    assert max(actions) == pytest.approx(0.2)
