"""Scheduled noise in algorithms that know none."""

import copy
import itertools
from functools import partial

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from rl_zoo3.utils import get_callback_list
from sb3_contrib import TQC, CrossQ
from stable_baselines3 import DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import VecNormalize

from sb3_dpg.common.callbacks import ActionNoiseCallback
from sb3_dpg.common.noise import GaussianNoise, OrnsteinUhlenbeckNoise, ScaledNoise, make_noise
from sb3_dpg.common.schedules import parse_schedule
from sb3_dpg.diagnostics import ValueEstimateCallback
from tests.common.recorded import remember_logs, settings
from tests.contract.scripts import Observed


def short_pendulum(n_envs: int):
    return make_vec_env("Pendulum-v1", n_envs, env_kwargs=dict(max_episode_steps=10))


def draws(model, n: int = 200) -> np.ndarray:
    """:return: Shape (n, n_envs * action_dim)"""
    return np.stack([model.action_noise().ravel() for _ in range(n)])


def assert_independent_columns(sample: np.ndarray) -> None:
    """No environment repeats another, at the same time or later; correlated in time, so compare the increments."""
    steps = np.diff(sample, axis=0)
    for i in range(sample.shape[1]):
        for j in range(i):
            # A repeated stretch of white noise has exactly equal values; two independent ones hardly any (float32)
            assert len(np.intersect1d(sample[:, i], sample[:, j])) <= 2
            assert abs(np.corrcoef(steps[:, i], steps[:, j])[0, 1]) < 5 / np.sqrt(len(steps) / 2)


@pytest.mark.parametrize("n_envs", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("algorithm", [DDPG, TD3, SAC, TQC, CrossQ])
def test_logged_std_follows_the_schedule(algorithm, n_envs):
    schedule, total = parse_schedule("lin_0.5_0.05_0.8"), 200
    # No updates, here and below where they change nothing
    model = algorithm("MlpPolicy", short_pendulum(n_envs), **settings(gradient_steps=0))
    writer = remember_logs(model)
    noise = OrnsteinUhlenbeckNoise([0.0], schedule, theta=0.15)
    model.learn(total, callback=ActionNoiseCallback(noise), log_interval=1)
    logged = writer.values("rollout/noise_std")
    assert len(logged) == total // 10 / n_envs
    for step, std in logged.items():
        assert std == pytest.approx(schedule(1 - step / total) / np.sqrt(0.3), rel=1e-14)
    assert model.action_noise is noise
    assert noise.n_envs == n_envs
    # What is drawn has the last level, and each environment its own
    np.testing.assert_allclose(noise.std, 0.05 / np.sqrt(0.3))
    assert_independent_columns(draws(model))


@pytest.mark.parametrize("algorithm", [TD3, SAC])
@pytest.mark.parametrize(("n_saved", "n_loaded"), [(1, 4), (4, 1), (4, 2), (2, 4)])
@pytest.mark.parametrize("given", ["again", "none"])
def test_save_and_load_with_another_number_of_environments(tmp_path, algorithm, n_saved, n_loaded, given):
    spec = {"type": "normal", "sigma": "lin_0.5_0.1", "seed": 3}
    model = algorithm("MlpPolicy", short_pendulum(n_saved), **settings(gradient_steps=0))
    model.learn(80, callback=ActionNoiseCallback(spec))
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model", env=short_pendulum(n_loaded), device="cpu")
    writer = remember_logs(loaded)
    callback = ActionNoiseCallback(spec if given == "again" else None)
    loaded.learn(80, callback=callback, reset_num_timesteps=False, log_interval=1)
    assert loaded.num_timesteps == 160
    logged = writer.values("rollout/noise_std")
    assert logged
    for step, std in logged.items():
        # 80 of now 160 steps were done: the schedule goes on from the middle
        assert step > 80
        assert std == pytest.approx(0.5 - 0.4 * step / 160, rel=1e-14)
    assert draws(loaded).shape == (200, n_loaded)


@pytest.mark.parametrize("seed", [3, None])
@pytest.mark.parametrize("given", ["again", "none"])
def test_resumed_noise_goes_on_with_its_stream(tmp_path, seed, given):
    spec = {"type": "normal", "sigma": 0.3, "seed": seed}
    model = TD3("MlpPolicy", short_pendulum(1), **settings())
    model.learn(40, callback=ActionNoiseCallback(spec))
    model.save(tmp_path / "model")
    loaded = TD3.load(tmp_path / "model", env=short_pendulum(1), device="cpu")
    loaded.learn(40, callback=ActionNoiseCallback(spec if given == "again" else None), reset_num_timesteps=False)
    for _ in range(40):
        model.action_noise()
    np.testing.assert_array_equal(draws(loaded), draws(model))


def test_new_learn_restarts_the_schedule():
    model = TD3("MlpPolicy", short_pendulum(1), **settings())
    writer = remember_logs(model)
    callback = ActionNoiseCallback({"type": "normal", "sigma": "lin_0.5_0.1"})
    for _ in range(2):
        writer.records.clear()
        model.learn(40, callback=callback, log_interval=1)
        assert writer.values("rollout/noise_std") == pytest.approx({10: 0.4, 20: 0.3, 30: 0.2, 40: 0.1}, rel=1e-14)


def test_first_draw_of_a_resumed_training_has_the_scheduled_level():
    model = TD3("MlpPolicy", short_pendulum(1), **settings())
    seen = []

    class Recorder(GaussianNoise):
        def __call__(self):
            seen.append(float(self.std[0]))
            return super().__call__()

    callback = ActionNoiseCallback(Recorder([0.0], "lin_1_0"))
    model.learn(50, callback=callback)
    model.learn(50, callback=callback, reset_num_timesteps=False)
    expected = [1 - n / 50 for n in range(50)] + [1 - n / 100 for n in range(50, 100)]
    assert seen == pytest.approx(expected, rel=1e-12)


def test_same_seed_same_training():
    def weights():
        model = TD3("MlpPolicy", short_pendulum(2), **settings())
        model.learn(100, callback=ActionNoiseCallback({"type": "ornstein-uhlenbeck", "sigma": "lin_0.5_0.05"}))
        return th.cat([parameter.flatten() for parameter in model.policy.parameters()])

    assert th.equal(weights(), weights())


@pytest.mark.parametrize("noise", [{"type": "ornstein-uhlenbeck", "sigma": 0.5}, NormalActionNoise(np.zeros(1), np.ones(1))])
def test_one_callback_for_several_models(noise):
    def weights(callback, seed):
        model = TD3("MlpPolicy", short_pendulum(2), **settings(seed=seed))
        model.learn(60, callback=callback)
        return th.cat([parameter.flatten() for parameter in model.policy.parameters()])

    alone = weights(ActionNoiseCallback(noise), seed=1)
    callback = ActionNoiseCallback(noise)
    weights(callback, seed=0)
    assert th.equal(weights(callback, seed=1), alone)


def test_training_for_no_steps():
    model = TD3("MlpPolicy", short_pendulum(1), **settings())
    model.learn(0, callback=ActionNoiseCallback({"type": "normal", "sigma": "lin_0.1_0.05"}))
    assert model.num_timesteps == 0
    np.testing.assert_allclose(model.action_noise.std, 0.1)


class BufferedNoise(ActionNoise):
    """Like the noise of pink-noise-rl: the process inside has drawn in advance, by its own generator if it got one."""

    class Process:
        def __init__(self, sigma, rng):
            self.sigma, self.rng = sigma, rng
            self.reset()

        def reset(self):
            self.buffer = list((self.rng or np.random.default_rng()).normal(0.0, self.sigma, size=(100, 1)))

        def sample(self):
            if not self.buffer:
                self.reset()
            return self.buffer.pop()

    def __init__(self, sigma, rng=None):
        super().__init__()
        self.sigma = np.array([sigma])
        self.gen = self.Process(sigma, rng)

    def __call__(self):
        return self.gen.sample()


def pink_noise(sigma, rng=None):
    return pytest.importorskip("pink").PinkActionNoise(sigma, seq_len=50, action_dim=1, rng=rng)


# Noise, or a function that is called for each environment
FOREIGN = {
    "sb3 normal": lambda: NormalActionNoise(np.zeros(1), 0.4 * np.ones(1)),
    "buffered": lambda: partial(BufferedNoise, 0.4),
    "buffered, unseeded": lambda: lambda: BufferedNoise(0.4),
    "pink": lambda: partial(pink_noise, 0.4),
    "pink, unseeded": lambda: lambda: pink_noise(0.4),
    "pink, by its name": lambda: {"type": "pink.PinkActionNoise", "sigma": 0.4, "seq_len": 50, "scale": "lin_1_0.5"},
}
FOLLOWING_SEEDS = [name for name in FOREIGN if "unseeded" not in name]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("n_envs", [1, 3])
def test_any_noise_inside(name, n_envs):
    if name.startswith("pink"):
        pytest.importorskip("pink")
    noise = FOREIGN[name]()
    model = SAC("MlpPolicy", short_pendulum(n_envs), **settings(gradient_steps=0))
    writer = remember_logs(model)
    callback = ActionNoiseCallback(noise, scale=None if isinstance(noise, dict) else "lin_1_0.5")
    model.learn(60, callback=callback, log_interval=1)
    logged = writer.values("rollout/noise_std")
    assert logged
    assert logged == pytest.approx({step: 0.4 * (1 - 0.5 * step / 60) for step in logged}, rel=1e-14)
    sample = draws(model, 400)
    assert_independent_columns(sample)


@pytest.mark.parametrize("name", FOLLOWING_SEEDS)
@pytest.mark.parametrize("n_envs", [1, 2])
def test_noise_of_other_packages_follows_the_seed(name, n_envs):
    """... as it gets a generator, in place of an unseeded one."""

    def actions(seed):
        noise = FOREIGN[name]()
        model = TD3("MlpPolicy", short_pendulum(n_envs), **settings(learning_starts=100, seed=seed))
        # The actions before learning starts are random ones
        model.learn(20, callback=ActionNoiseCallback(noise))
        return draws(model, 20)

    np.testing.assert_array_equal(actions(1), actions(1))
    assert not np.array_equal(actions(1), actions(2))


@pytest.mark.parametrize("name", [name for name in FOLLOWING_SEEDS if not name.startswith("sb3")])
def test_seed_of_noise_of_other_packages(name):
    def sample(seed):
        noise = FOREIGN[name]()
        noise = make_noise(noise, 1) if isinstance(noise, dict) else ScaledNoise(noise)
        noise.seed(seed)
        # Environments that come later, too
        noise.resize(3)
        return np.stack([noise().ravel() for _ in range(150)])

    np.testing.assert_array_equal(sample(5), sample(5))
    assert_independent_columns(sample(5))
    assert not np.array_equal(sample(5), sample(6))


@pytest.mark.parametrize("n_envs", [1, 2])
def test_resumed_noise_of_other_packages_goes_on_with_its_stream(tmp_path, n_envs):
    """... also where the callback is given it anew, although SB3 sets NumPy's seed again when it loads a model."""
    noise = partial(partial, BufferedNoise, 0.4)
    model = TD3("MlpPolicy", short_pendulum(n_envs), **settings())
    model.learn(40, callback=ActionNoiseCallback(noise()))
    model.save(tmp_path / "model")
    first = draws(model, 100)
    loaded = TD3.load(tmp_path / "model", env=short_pendulum(n_envs), device="cpu")
    loaded.learn(40, callback=ActionNoiseCallback(noise()), reset_num_timesteps=False)
    for before, after in itertools.product(first.T, draws(loaded, 100).T):
        assert abs(np.corrcoef(before, after)[0, 1]) < 0.4


def test_each_environment_has_a_copy_and_a_generator_of_its_own():
    noise = ScaledNoise(partial(BufferedNoise, 0.4), n_envs=3)
    noise()
    assert len({id(copy) for copy in noise.noises}) == 3
    assert len({id(copy.gen.rng) for copy in noise.noises}) == 3


def test_the_end_of_an_episode_resets_that_environments_copy():
    noise = ScaledNoise(OrnsteinUhlenbeckActionNoise(np.zeros(1), np.ones(1)), n_envs=3)
    for _ in range(5):
        noise()
    noise.reset([1])
    assert [bool(copy.noise_prev.any()) for copy in noise.noises] == [True, False, True]
    noise.reset()
    assert not any(copy.noise_prev.any() for copy in noise.noises)


def test_standard_deviation_of_sb3s_ornstein_uhlenbeck_noise():
    np.random.seed(0)
    n = 20_000
    inside = OrnsteinUhlenbeckActionNoise(np.zeros(n), 0.2 * np.ones(n), theta=0.5, dt=0.5)
    noise = ScaledNoise(inside, 2.0)
    for _ in range(40):
        draw = noise()
    # Of its Euler steps, not of the process: 0.2 / sqrt(2 * 0.5) would be 6 % too small
    assert abs(draw.std() / noise.std[0] - 1) < 4 / np.sqrt(2 * n)


class UnknownNoise(ActionNoise):
    def __call__(self):
        return np.random.choice([-0.3, 0.3], size=2)


def test_standard_deviation_of_an_unknown_class_is_that_of_the_draws():
    noise = ScaledNoise(UnknownNoise(), "lin_1_0.5", n_envs=2)
    assert np.isnan(noise.std).all()
    noise()
    np.testing.assert_allclose(noise.std, 0.3)
    noise.update(0.0)
    np.testing.assert_allclose(noise.std, 0.15)


class ClockNoise(ActionNoise):
    """Every copy gives the same."""

    time = 0.0

    def __call__(self):
        self.time += 1.0
        return np.array([self.time])


@pytest.mark.parametrize("noise", [ClockNoise(), BufferedNoise(0.4), BufferedNoise(0.4, np.random.default_rng(0))])
def test_copies_that_explore_alike_are_warned_about(noise):
    model = TD3("MlpPolicy", short_pendulum(2), **settings(learning_starts=0))
    with pytest.warns(UserWarning, match="the same noise: pass a function"):
        model.learn(2, callback=ActionNoiseCallback(noise))


def test_noise_without_a_function_serves_one_environment_as_it_is():
    noise = BufferedNoise(0.4, np.random.default_rng(0))
    twin = copy.deepcopy(noise)
    np.testing.assert_allclose(ScaledNoise(noise, 0.5)(), 0.5 * twin(), rtol=1e-6)


def test_scaled_noise_survives_saving(tmp_path):
    model = TD3("MlpPolicy", short_pendulum(2), **settings())
    model.learn(40, callback=ActionNoiseCallback(partial(BufferedNoise, 0.4), scale="lin_1_0.5"))
    model.save(tmp_path / "model")
    loaded = TD3.load(tmp_path / "model", env=short_pendulum(3), device="cpu")
    np.testing.assert_array_equal(draws(loaded, 5), draws(model, 5))
    loaded.learn(40, callback=ActionNoiseCallback(), reset_num_timesteps=False)
    sample = draws(loaded, 300)
    assert sample.shape == (300, 3)
    assert_independent_columns(sample)


@pytest.mark.parametrize("loaded", [False, True])
def test_scale_of_noise_that_was_scaled_before(tmp_path, loaded):
    model = TD3("MlpPolicy", short_pendulum(1), action_noise=NormalActionNoise(np.zeros(1), np.full(1, 0.4)), **settings())
    model.learn(40, callback=ActionNoiseCallback(scale="lin_1_0.5"))
    if loaded:
        model.save(tmp_path / "model")
        model = TD3.load(tmp_path / "model", env=short_pendulum(1), device="cpu")
    writer = remember_logs(model)
    model.learn(40, callback=ActionNoiseCallback(scale="const_0.25"), log_interval=1)
    assert set(writer.values("rollout/noise_std").values()) == {0.1}


def test_schedules_of_ones_own_end_at_zero():
    """Also where the last rollout goes beyond the total."""
    model = TD3("MlpPolicy", short_pendulum(3), **settings(train_freq=4))
    model.learn(50, callback=ActionNoiseCallback(GaussianNoise([0.0], lambda progress: 0.5 * progress)))
    assert model.num_timesteps == 60
    assert model.action_noise.std == pytest.approx([0.0])


def test_noise_that_the_algorithm_was_given_is_scheduled_without_copies():
    noise = OrnsteinUhlenbeckNoise([0.0], "lin_1_0.1", seed=0)
    model = TD3("MlpPolicy", short_pendulum(4), action_noise=noise, **settings())
    model.learn(40, callback=ActionNoiseCallback())
    assert model.action_noise is noise
    np.testing.assert_allclose(noise.std, 0.1 / np.sqrt(0.3))


def test_zoo_yaml_entry():
    spec = {"type": "ornstein-uhlenbeck", "sigma": "lin_0.5_0.05"}
    entry = {"sb3_dpg.common.callbacks.ActionNoiseCallback": {"noise": spec}}
    estimate = {"sb3_dpg.diagnostics.ValueEstimateCallback": {"max_bootstrap_weight": 1.0}}
    callbacks = get_callback_list({"callback": [entry, estimate]})
    model = TD3("MlpPolicy", short_pendulum(2), **settings())
    model.learn(40, callback=callbacks)
    assert isinstance(model.action_noise, OrnsteinUhlenbeckNoise)
    np.testing.assert_allclose(model.action_noise.std, 0.05 / np.sqrt(0.3))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ActionNoiseCallback("normal"), TypeError, "noise='normal' must be .* a specification"),
        (lambda: ActionNoiseCallback(GaussianNoise(0.0, 0.1), scale=0.5), ValueError, r"scale=0\.5 does not go with"),
        (lambda: ActionNoiseCallback({"type": "normal", "sigma": 1}, scale="lin_1_0"), ValueError, "scale='lin_1_0'"),
        (lambda: ActionNoiseCallback({"type": "pink.Noise"}, scale=0.5), ValueError, "put it into the specification"),
        (lambda: ValueEstimateCallback(eval_freq=0), ValueError, "eval_freq=0"),
        (lambda: ValueEstimateCallback(n_episodes=0), ValueError, "n_episodes=0"),
        (lambda: ValueEstimateCallback(max_bootstrap_weight=1.5), ValueError, r"max_bootstrap_weight=1\.5"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def td3(n_envs=1):
    return TD3("MlpPolicy", short_pendulum(n_envs), **settings())


def matrix_td3():
    return TD3("MlpPolicy", Observed(action_space=spaces.Box(-1.0, 1.0, (2, 2))), **settings())


@pytest.mark.parametrize(
    ("make_model", "callback", "error", "message"),
    [
        (td3, ActionNoiseCallback(), ValueError, "action_noise is None"),
        (td3, ActionNoiseCallback({"type": "brown"}), ValueError, "type='brown'"),
        (
            td3,
            ActionNoiseCallback(GaussianNoise(np.zeros(2), 0.1)),
            ValueError,
            r"has shape \(2,\): the environment's actions have shape \(1,\); give it a mean of that shape",
        ),
        (
            matrix_td3,
            ActionNoiseCallback(GaussianNoise(np.zeros(4), 0.1)),
            ValueError,
            r"has shape \(4,\): the environment's actions have shape \(2, 2\)",
        ),
        (td3, ActionNoiseCallback(lambda: 3), TypeError, "not 3"),
        (lambda: DQN("MlpPolicy", "CartPole-v1"), ActionNoiseCallback({}), TypeError, "DQN with action space Discrete"),
        (lambda: PPO("MlpPolicy", "Pendulum-v1"), ActionNoiseCallback({}), TypeError, "PPO .* takes no action noise"),
        (lambda: PPO("MlpPolicy", "Pendulum-v1"), ValueEstimateCallback(), TypeError, "PPO has no critic"),
        (lambda: DQN("MlpPolicy", "CartPole-v1"), ValueEstimateCallback(), TypeError, "DQN has no critic"),
        (td3, ValueEstimateCallback(VecNormalize(short_pendulum(1))), ValueError, "VecNormalize"),
        (
            lambda: TD3("MlpPolicy", short_pendulum(1), action_noise=GaussianNoise([0.0], 0.1), **settings()),
            ActionNoiseCallback(scale="lin_1_0.1"),
            ValueError,
            "scale='lin_1_0.1' does not go with .* schedule its sigma instead",
        ),
    ],
)
def test_callback_does_not_fit_the_algorithm(make_model, callback, error, message):
    with pytest.raises(error, match=message):
        make_model().learn(10, callback=callback)
