"""The law of the noise against its formulas, and how it lives: environments, episodes, copies, pickles, streams."""

import copy
import pickle

import cloudpickle
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise

from sb3_dpg.common.callbacks import ActionNoiseCallback
from sb3_dpg.common.noise import (
    GaussianNoise,
    HeldNoise,
    OrnsteinUhlenbeckNoise,
    ScaledNoise,
    ScheduledNoise,
    SummedNoise,
    make_noise,
)
from sb3_dpg.common.schedules import LinearAnnealing
from tests.contract.scripts import Observed

N_ENVS, N_STEPS = 100, 10_000  # a million draws
LAGS = (1, 5, 20)
# How many standard errors an estimate may be off: 4 are exceeded once in 16000
STANDARD_ERRORS = 4.0


def paths(noise: ScheduledNoise, n_steps: int) -> np.ndarray:
    """:return: Shape (n_steps, n_envs, action_dim)"""
    return np.stack([noise().reshape(noise.n_envs, noise.action_dim) for _ in range(n_steps)]).astype(np.float64)


def autocovariance_error(lambda_: float, lag: int, n: int) -> float:
    """
    Standard error of the mean of x_t x_{t+lag} of an AR(1) process of variance 1 (Bartlett 1946): the draws are correlated,
    so they count less than as many independent ones.
    """
    j = np.arange(-2000, 2001)
    return float(np.sqrt(np.sum(lambda_ ** (2 * np.abs(j)) + lambda_ ** np.abs(j + lag) * lambda_ ** np.abs(j - lag)) / n))


def assert_law(x: np.ndarray, mean: float, std: float, lambda_: float) -> None:
    """
    :param x: Paths of one action dimension that start stationary, shape (n_steps, n_envs)
    """
    n, deviation = x.size, (x - mean) / std
    errors = {"mean": np.sqrt((1 + lambda_) / (1 - lambda_) / n)}
    errors |= {lag: autocovariance_error(lambda_, lag, n) for lag in (0, *LAGS)}
    # The tolerance must not hide an error of 2 %
    assert STANDARD_ERRORS * max(errors.values()) < 0.02
    assert abs(deviation.mean()) < STANDARD_ERRORS * errors["mean"]
    # The variance is a second moment: its standard deviation has half the relative error
    assert abs(np.sqrt(np.mean(deviation**2)) - 1) < STANDARD_ERRORS * errors[0] / 2
    for lag in LAGS:
        assert abs(np.mean(deviation[:-lag] * deviation[lag:]) - lambda_**lag) < STANDARD_ERRORS * errors[lag]


@pytest.mark.parametrize(("theta", "dt"), [(0.15, 1.0), (1.0, 0.25), (3.0, 0.1)])
def test_law_scalar(theta, dt):
    sigma, mean = 0.2, 0.1
    noise = OrnsteinUhlenbeckNoise([mean], sigma, theta, dt, n_envs=N_ENVS, initial="stationary", seed=0)
    assert_law(paths(noise, N_STEPS)[..., 0], mean, sigma / np.sqrt(2 * theta), np.exp(-theta * dt))


@pytest.mark.parametrize("dt", [1.0, 0.5, 2.0])
def test_law_per_dimension(dt):
    mean, sigma, theta = [0.0, -0.3, 2.0], [0.2, 0.1, 1.0], [0.3, 0.5, 1.0]
    noise = OrnsteinUhlenbeckNoise(mean, sigma, theta, dt, n_envs=N_ENVS, initial="stationary", seed=1)
    x = paths(noise, N_STEPS)
    for i in range(3):
        assert_law(x[..., i], mean[i], sigma[i] / np.sqrt(2 * theta[i]), np.exp(-theta[i] * dt))
    # Dimensions and environments are independent
    flat = x.reshape(N_STEPS, -1)[::50, :60]
    correlations = np.corrcoef(flat.T)[np.triu_indices(60, 1)]
    assert np.abs(correlations).max() < 5.5 / np.sqrt(len(flat))


def test_autoregressive_form():
    lambda_, sigma = 0.9, 0.2
    noise = OrnsteinUhlenbeckNoise.from_autoregressive(lambda_, sigma, n_envs=N_ENVS, initial="stationary", seed=2)
    np.testing.assert_allclose(noise.lambda_, lambda_, rtol=1e-14)
    x = paths(noise, N_STEPS)[..., 0]
    assert_law(x, 0.0, sigma / np.sqrt(1 - lambda_**2), lambda_)
    # What enters in each step is white noise of standard deviation sigma
    entered = x[1:] - lambda_ * x[:-1]
    assert abs(entered.std() / sigma - 1) < STANDARD_ERRORS / np.sqrt(2 * entered.size)


def test_stationary_form():
    noise = OrnsteinUhlenbeckNoise.from_stationary("lin_1_0.5", theta=[0.2, 2.0], dt=0.5)
    np.testing.assert_allclose(noise.std, 1.0, rtol=1e-14)
    np.testing.assert_allclose(noise.lambda_, np.exp([-0.1, -1.0]), rtol=1e-14)
    noise.update(0.0)
    np.testing.assert_allclose(noise.std, 0.5, rtol=1e-14)


def test_euler_steps_converge_to_the_same_law():
    theta, sigma, n_chains, n_substeps = 0.15, 0.2, 200_000, 50
    # SB3's class takes Euler steps; its dimensions are independent chains. Both start at 0
    euler = OrnsteinUhlenbeckActionNoise(np.zeros(n_chains), sigma * np.ones(n_chains), theta, dt=1 / n_substeps)
    np.random.seed(3)
    path = [euler().astype(np.float64) for _ in range(2 * n_substeps)]
    exact = paths(OrnsteinUhlenbeckNoise([0.0], sigma, theta, dt=1.0, n_envs=n_chains, seed=4), 2)[..., 0]
    one, two = path[n_substeps - 1], path[-1]
    error = 1 / np.sqrt(n_chains)
    # Weak error of Euler steps: of the order theta / n_substeps
    tolerance = STANDARD_ERRORS * error + theta / n_substeps
    assert tolerance < 0.02
    assert abs(one.std() / exact[0].std() - 1) < tolerance
    assert abs(two.std() / exact[1].std() - 1) < tolerance
    assert abs(np.corrcoef(one, two)[0, 1] - np.corrcoef(exact)[0, 1]) < tolerance


def test_gaussian_law():
    x = paths(GaussianNoise([0.1, -1.0], [0.2, 0.5], n_envs=N_ENVS, seed=0), N_STEPS)
    error = STANDARD_ERRORS / np.sqrt(N_ENVS * N_STEPS)
    deviation = (x - [0.1, -1.0]) / [0.2, 0.5]
    assert np.abs(deviation.mean(axis=(0, 1))).max() < error
    assert np.abs(deviation.std(axis=(0, 1)) - 1).max() < error
    for lag in LAGS:
        assert np.abs(np.mean(deviation[:-lag] * deviation[lag:], axis=(0, 1))).max() < error


def test_recursion_step_by_step():
    """The draws are those of the written formula, from the same generator."""
    mean, sigma, theta, dt = np.array([0.5, -0.5]), 0.3, np.array([0.2, 0.7]), 0.5
    noise = OrnsteinUhlenbeckNoise(mean, sigma, theta, dt, n_envs=3, seed=7)
    generator, x = np.random.default_rng(np.random.SeedSequence(7)), np.zeros((3, 2))
    for _ in range(5):
        spread = sigma * np.sqrt((1 - np.exp(-2 * theta * dt)) / (2 * theta))
        x = mean + (x - mean) * np.exp(-theta * dt) + spread * generator.standard_normal((3, 2))
        np.testing.assert_allclose(noise(), x, rtol=1e-6, atol=1e-7)


def test_properties():
    noise = OrnsteinUhlenbeckNoise(np.zeros(2), [0.2, 0.4], theta=0.15, dt=0.5)
    np.testing.assert_allclose(noise.stationary_std, [0.2 / np.sqrt(0.3), 0.4 / np.sqrt(0.3)])
    np.testing.assert_allclose(noise.theta * noise.dt, 0.075)
    # The paper's process
    paper = OrnsteinUhlenbeckNoise(0.0, 0.2)
    assert paper.std == pytest.approx([0.365], abs=5e-4)
    assert 1 / paper.theta == pytest.approx([6.67], abs=5e-3)


MAKERS = {
    "gaussian": lambda **kwargs: GaussianNoise(np.zeros(2), "lin_0.5_0.1", **kwargs),
    "ornstein-uhlenbeck": lambda **kwargs: OrnsteinUhlenbeckNoise(np.zeros(2), "lin_0.5_0.1", **kwargs),
    "stationary start": lambda **kwargs: OrnsteinUhlenbeckNoise(np.zeros(2), 0.2, initial="stationary", **kwargs),
    "held": lambda **kwargs: HeldNoise(2, "lin_1_0.9", longest=2, **kwargs),
    "summed": lambda **kwargs: make_noise({"type": "normal", "sigma": 0.2, "hold": {"probability": 0.5}, **kwargs}, 2),
}
every_noise = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@every_noise
@pytest.mark.parametrize("n_envs", [1, 2, 5])
def test_shape_and_kind(make, n_envs):
    noise = make(n_envs=n_envs, seed=0)
    draw = noise()
    assert draw.dtype == np.float32
    assert draw.shape == ((2,) if n_envs == 1 else (n_envs, 2))
    assert noise.std.shape == (2,)


@every_noise
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_pickle_continues_the_same_path(make, n_envs, pickler):
    noise = make(n_envs=n_envs, seed=0)
    paths(noise, 3)
    noise.update(0.3)
    restored = pickler.loads(pickler.dumps(noise))
    assert type(restored) is type(noise)
    np.testing.assert_array_equal(paths(restored, 5), paths(noise, 5))
    for each in (noise, restored):
        each.reset()
        each.update(0.1)
        each.resize(4)
    np.testing.assert_array_equal(restored(), noise())


def test_a_deep_copy_serves_one_environment():
    """SB3 makes one for each, whatever the noise was made for."""
    noise = OrnsteinUhlenbeckNoise(np.zeros(2), 0.2, n_envs=3, seed=0)
    paths(noise, 3)
    assert copy.deepcopy(noise)().shape == (2,)
    assert noise().shape == (3, 2)


@every_noise
@pytest.mark.parametrize("seed", [0, None])
def test_deep_copies_have_streams_of_their_own(make, seed):
    noise = make(seed=seed)
    if seed is not None:
        twin = make(seed=seed)
    copies = [copy.deepcopy(noise) for _ in range(3)] + [copy.deepcopy(copy.deepcopy(noise))]
    draws = np.stack([each() for each in [noise, *copies]])
    assert len(np.unique(draws)) == draws.size
    if seed is not None:
        # Being copied does not change a path, and a seed fixes that of the copies
        np.testing.assert_array_equal(draws[0], twin())
        np.testing.assert_array_equal(draws[1], copy.deepcopy(make(seed=seed))())


def test_a_loaded_noise_is_not_copied_into_the_streams_that_exist_already():
    noise = GaussianNoise(0.0, 1.0, seed=0)
    copies = [copy.deepcopy(noise) for _ in range(2)]
    loaded = pickle.loads(pickle.dumps(noise))
    draws = [float(each()[0]) for each in [*copies, copy.deepcopy(loaded)]]
    assert len(set(draws)) == 3


@every_noise
def test_own_generator_leaves_numpys_alone(make):
    np.random.seed(0)
    before = np.random.get_state()[2]
    noise = make(seed=0)
    paths(noise, 3)
    assert np.random.get_state()[2] == before


@every_noise
def test_without_a_seed_numpys_global_one_is_followed(make):
    draws = []
    for seed in (0, 0, 1):
        noise = make()  # built before the seed is set, as the noise of an SB3 model is
        np.random.seed(seed)
        draws.append(paths(noise, 4))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@every_noise
def test_seed_starts_anew(make):
    noise = make(n_envs=2, seed=5)
    first = paths(noise, 3)
    noise.reset()
    noise.seed(5)
    np.testing.assert_array_equal(paths(noise, 3), first)


def test_held_law():
    probability, longest, size = 0.02, 9, [0.5, 2.0]
    noise = HeldNoise(2, probability, size, longest, n_envs=N_ENVS, seed=0)
    x = paths(noise, N_STEPS)
    is_held = x[..., 0] != 0
    # A cycle: (1 - p) / p steps without an offset, then an offset of (1 + longest) / 2 steps
    idle, held = (1 - probability) / probability, (1 + longest) / 2
    assert is_held.mean() == pytest.approx(held / (idle + held), rel=0.02)
    assert x[is_held].min(axis=0) == pytest.approx([-0.5, -2.0], rel=0.01)
    assert x[is_held].max(axis=0) == pytest.approx([0.5, 2.0], rel=0.01)
    np.testing.assert_allclose(x[is_held].std(axis=0), np.array(size) / np.sqrt(3), rtol=0.02)
    np.testing.assert_allclose(x.std(axis=(0, 1)), noise.std, rtol=0.02)
    # How long each is held: 1 to 9 steps, all equally likely
    starts = np.flatnonzero(np.diff(x[..., 0].T.ravel()) != 0) + 1
    lengths = np.diff(starts)[x[..., 0].T.ravel()[starts[:-1]] != 0]
    assert set(lengths) == set(range(1, longest + 1))
    counts = np.bincount(lengths)[1:]
    assert np.abs(counts / counts.mean() - 1).max() < STANDARD_ERRORS * np.sqrt(longest / counts.sum())


def test_held_offsets_end_with_the_episode_of_their_environment():
    noise = HeldNoise(1, lambda progress: float(progress == 1.0), longest=10**6, n_envs=2, seed=0)
    first = noise()
    noise.update(0.5)
    noise.reset(indices=[0])
    np.testing.assert_array_equal(noise(), [[0.0], first[1]])
    noise.resize(3)
    np.testing.assert_array_equal(noise(), [[0.0], first[1], [0.0]])
    noise.reset()
    np.testing.assert_array_equal(noise(), np.zeros((3, 1)))


def test_held_offsets_are_smaller_in_more_dimensions():
    np.testing.assert_array_equal(HeldNoise(1, 1.0).size, [1.5])
    np.testing.assert_array_equal(HeldNoise((2, 3), 1.0).size, [0.25] * 6)


def test_sum_of_noises():
    def parts():
        return GaussianNoise(np.zeros(2), 0.3, n_envs=2, seed=0), HeldNoise(2, "lin_0.5_0", n_envs=2, seed=1)

    summed, (gaussian, held) = SummedNoise(parts(), n_envs=2), parts()
    for progress in (1.0, 0.5, 0.0):
        for noise in (summed, gaussian, held):
            noise.update(progress)
            noise.reset([1])
        np.testing.assert_allclose(summed.std, np.hypot(gaussian.std, held.std))
        np.testing.assert_array_equal(summed(), gaussian() + held())
    other = SummedNoise([GaussianNoise(np.zeros(2), 0.3), HeldNoise(2, 1.0)], n_envs=2)
    other.continue_stream_of(summed)
    np.testing.assert_array_equal(other.noises[0](), gaussian())


def test_a_sum_starts_an_episode_of_each_of_its_noises():
    def starts(progress):
        return float(progress == 1.0)

    summed = SummedNoise([HeldNoise(1, starts, longest=10**6, seed=seed) for seed in (0, 1)], n_envs=2)
    assert (summed() != 0).all()
    summed.update(0.5)
    summed.reset(iter([0]))
    assert [row.item() != 0 for row in summed()] == [False, True]


def test_noise_of_a_file_from_before_a_parameter_had_a_highest_value():
    noise = GaussianNoise(np.zeros(2), "lin_0.5_0.1", seed=0)
    del noise._sigma.high
    restored = pickle.loads(pickle.dumps(noise))
    restored.update(0.5)
    np.testing.assert_allclose(restored.std, 0.3)


@pytest.mark.parametrize("n_envs", [1, 4])
def test_reset_to_zero(n_envs):
    noise = OrnsteinUhlenbeckNoise([10.0], 0.0, theta=1.0, n_envs=n_envs)
    assert paths(noise, 20)[-1] == pytest.approx(10.0)
    noise.reset(indices=[0])
    expected = np.full((n_envs, 1), 10.0)
    expected[0] = 10 * (1 - np.exp(-1.0))
    np.testing.assert_allclose(noise().reshape(n_envs, 1), expected, rtol=1e-6)
    noise.reset()
    np.testing.assert_allclose(noise().reshape(n_envs, 1), 10 * (1 - np.exp(-1.0)), rtol=1e-6)


def test_first_draw_of_an_episode():
    n_envs, theta = 100_000, 0.15
    tolerance = STANDARD_ERRORS / np.sqrt(2 * n_envs)
    stationary, zero = (
        OrnsteinUhlenbeckNoise([0.0], 0.2, theta, n_envs=n_envs, initial=i, seed=0) for i in ("stationary", "zero")
    )
    for _ in range(2):
        assert abs(stationary().std() / stationary.std - 1) < tolerance
        # One step of the paper's process explores at half of its final level
        assert abs(zero().std() / (zero.std * np.sqrt(1 - np.exp(-2 * theta))) - 1) < tolerance
        for noise in (stationary, zero):
            paths(noise, 2)
            noise.reset()


def test_stationary_reset_forgets_the_last_episode():
    noise = OrnsteinUhlenbeckNoise([0.0], 0.2, 0.01, n_envs=20_000, initial="stationary", seed=0)
    before = noise()
    noise.reset(indices=range(10_000))
    after = noise()
    assert abs(np.corrcoef(before[:10_000, 0], after[:10_000, 0])[0, 1]) < STANDARD_ERRORS / 100
    assert np.corrcoef(before[10_000:, 0], after[10_000:, 0])[0, 1] > 0.98


def test_resize_keeps_the_state_of_those_that_remain():
    noise = OrnsteinUhlenbeckNoise([0.0, 1.0], "lin_0.3_0", theta=0.1, n_envs=4, seed=0)
    state = paths(noise, 10)[-1]
    noise.update(0.0)  # no noise from here on: only the decay is left
    for n_envs in (2, 1, 3):
        noise.resize(n_envs)
        state = np.vstack([state, np.zeros((3, 2))])[:n_envs] if n_envs > len(state) else state[:n_envs]
        state = noise.mean + (state - noise.mean) * np.exp(-0.1)
        np.testing.assert_allclose(noise().reshape(n_envs, 2), state, rtol=1e-5, atol=1e-6)


def test_update_follows_the_schedules():
    noise = OrnsteinUhlenbeckNoise(np.zeros(2), ["lin_0.5_0.1", 0.3], theta=LinearAnnealing(0.1, 0.4, 0.5), dt=2.0)
    for progress, sigma, theta in ((1.0, 0.5, 0.1), (0.75, 0.4, 0.25), (0.5, 0.3, 0.4), (0.0, 0.1, 0.4)):
        noise.update(progress)
        np.testing.assert_allclose(noise.std, np.array([sigma, 0.3]) / np.sqrt(2 * theta), rtol=1e-14)
        np.testing.assert_allclose(noise.lambda_, np.exp(-2 * theta), rtol=1e-14)
    gaussian = GaussianNoise(np.zeros(2), "exp_0.5_0.05")
    gaussian.update(0.5)
    np.testing.assert_allclose(gaussian.std, 0.5 * 0.1**0.5, rtol=1e-14)


def test_updated_noise_reaches_its_new_law():
    n_envs, noise = (
        100_000,
        OrnsteinUhlenbeckNoise([0.0], "lin_1_0.1", theta=0.5, n_envs=100_000, initial="stationary", seed=0),
    )
    noise()
    noise.update(0.0)
    # The state is left alone: after n steps the old variance is left with weight exp(-2 n theta)
    for step in range(1, 8):
        variance = 0.01 + (1.0 - 0.01) * np.exp(-step)
        assert abs(np.var(noise()) / variance - 1) < STANDARD_ERRORS * np.sqrt(2 / n_envs)


@pytest.mark.parametrize("algorithm", [TD3, SAC])
@pytest.mark.parametrize("given_n_envs", [1, 4])
@pytest.mark.parametrize("noise_class", [GaussianNoise, OrnsteinUhlenbeckNoise])
def test_streams_of_sb3s_environments_are_independent(algorithm, given_n_envs, noise_class):
    n_envs = 4
    env = make_vec_env("Pendulum-v1", n_envs)
    noise = noise_class([0.0], 0.2, n_envs=given_n_envs, seed=0)
    model = algorithm(
        "MlpPolicy", env, action_noise=noise, learning_starts=1000, policy_kwargs=dict(net_arch=[4]), device="cpu"
    )
    model.learn(2 * n_envs)
    draws = np.stack([model.action_noise() for _ in range(300)]).reshape(300, n_envs)
    correlations = np.corrcoef(np.diff(draws, axis=0).T).reshape(n_envs, n_envs)[np.triu_indices(n_envs, 1)]
    assert (np.abs(correlations) < 5 / np.sqrt(300)).all()


MEAN = np.zeros(2)
BAD = [
    (lambda: OrnsteinUhlenbeckNoise(MEAN, -0.2), ValueError, r"sigma=\[-0\.2\].*at least 0, such as 0\.2"),
    (lambda: GaussianNoise(MEAN, [0.1, -0.3]), ValueError, r"sigma=\[0\.1, -0\.3\].*at least 0"),
    (lambda: GaussianNoise(MEAN, np.nan), ValueError, "sigma=nan is out of range"),
    (lambda: GaussianNoise(MEAN, "lin_0.5_-0.1"), ValueError, r"sigma=.*at progress_remaining=0\.16 is out of range"),
    (lambda: GaussianNoise(MEAN, lambda progress: progress - 0.5), ValueError, r"sigma=.*at progress_remaining=0\.49"),
    (lambda: OrnsteinUhlenbeckNoise(MEAN, 0.2, theta=0.0), ValueError, r"theta=\[0\.0\].*greater than 0, such as 0\.15"),
    (lambda: OrnsteinUhlenbeckNoise(MEAN, 0.2, theta=[0.1, -1]), ValueError, r"theta=\[0\.1, -1\.0\].*greater than 0"),
    (lambda: OrnsteinUhlenbeckNoise(MEAN, 0.2, theta="lin_0.1_0"), ValueError, r"theta=\[0\.0\] at progress_remaining=0 "),
    (lambda: OrnsteinUhlenbeckNoise(MEAN, 0.2, dt=0.0), ValueError, r"dt=0\.0 is out of range: it must lie in \(0, inf\)"),
    (lambda: OrnsteinUhlenbeckNoise(MEAN, 0.2, dt=-1), ValueError, "dt=-1 "),
    (lambda: OrnsteinUhlenbeckNoise(MEAN, 0.2, dt="1"), TypeError, "dt must be a number, not '1'"),
    (
        lambda: OrnsteinUhlenbeckNoise(MEAN, [0.1, 0.2, 0.3]),
        ValueError,
        r"sigma=\[0\.1, 0\.2, 0\.3\] has the wrong length for 2",
    ),
    (lambda: GaussianNoise(MEAN, [0.1]), ValueError, r"sigma=\[0\.1\] has the wrong length.*such as \[0\.2, 0\.2\]"),
    (lambda: OrnsteinUhlenbeckNoise(MEAN, 0.2, theta=[0.1]), ValueError, r"theta=\[0\.1\] has the wrong length"),
    (lambda: GaussianNoise(MEAN, np.ones((2, 2))), ValueError, "wrong length"),
    (lambda: GaussianNoise(MEAN, "lin_a_b"), ValueError, "sigma: schedule 'lin_a_b' is not valid.*'lin_0.5_0.05'"),
    (lambda: GaussianNoise(MEAN, None), TypeError, "sigma: .*not None"),
    (lambda: GaussianNoise(np.zeros((2, 0)), 0.1), ValueError, r"(?s)mean=.*one per action dimension"),
    (lambda: GaussianNoise("x", 0.1), ValueError, "mean='x' must be finite numbers"),
    (lambda: GaussianNoise([], 0.1), ValueError, "mean="),
    (lambda: GaussianNoise([np.inf], 0.1), ValueError, "mean="),
    (lambda: GaussianNoise(MEAN, 0.1, n_envs=0), ValueError, "n_envs=0 is too small"),
    (lambda: GaussianNoise(MEAN, 0.1, n_envs=1.5), TypeError, "n_envs must be an integer"),
    (lambda: GaussianNoise(MEAN, 0.1, seed=-1), ValueError, "seed=-1"),
    (lambda: GaussianNoise(MEAN, 0.1).resize(0), ValueError, "n_envs=0"),
    (lambda: OrnsteinUhlenbeckNoise(MEAN, 0.1, initial="random"), ValueError, "initial='random'.*'zero', 'stationary'"),
    (lambda: OrnsteinUhlenbeckNoise.from_autoregressive(1.0, 0.1), ValueError, r"lambda=1\.0 .*\(0, 1\), such as 0\.9"),
    (lambda: OrnsteinUhlenbeckNoise.from_autoregressive(0.0, 0.1), ValueError, r"lambda=0\.0 .*use GaussianNoise"),
    (lambda: OrnsteinUhlenbeckNoise.from_autoregressive("lin_1_0", 0.1), TypeError, "lambda='lin_1_0' must be a number"),
    (lambda: OrnsteinUhlenbeckNoise.from_autoregressive([0.9, 0.8], [0.1] * 3), ValueError, "wrong length"),
    (lambda: OrnsteinUhlenbeckNoise.from_stationary(-1.0), ValueError, r"std=\[-1\.0\].*at least 0"),
    (lambda: OrnsteinUhlenbeckNoise.from_stationary(1.0, theta=-1.0), ValueError, r"theta=-1\.0 is out of range"),
    (lambda: OrnsteinUhlenbeckNoise.from_stationary(1.0, theta=True), TypeError, "theta=True must be a number"),
    (lambda: OrnsteinUhlenbeckNoise.from_stationary(1.0, [0.1, True]), TypeError, r"theta=\[0\.1, True\] must be a number"),
    (lambda: OrnsteinUhlenbeckNoise.from_stationary(1.0, [0.1, np.True_]), TypeError, "must be a number"),
    (lambda: OrnsteinUhlenbeckNoise(MEAN, 0.2, theta=True), TypeError, "theta: .*not True"),
    (lambda: ScaledNoise(GaussianNoise(MEAN, 0.1)), TypeError, "schedules of its own"),
    (lambda: HeldNoise(2, 1.5), ValueError, r"probability=\[1\.5\] is out of range.*at least 0.*at most 1"),
    (lambda: HeldNoise(2, "lin_0.1_-0.1"), ValueError, r"probability=\[-.*at progress_remaining=0\."),
    (lambda: HeldNoise(2, [0.1, 0.2]), ValueError, r"probability=\[0\.1, 0\.2\] must be one number"),
    (lambda: HeldNoise(0, 0.1), ValueError, "action_shape=0 is too small"),
    (lambda: HeldNoise((2, "a"), 0.1), TypeError, "action_shape must be an integer, not 'a'"),
    (lambda: SummedNoise([HeldNoise(2, 0.1)]).seed(-1), ValueError, "seed=-1 is too small"),
    (lambda: ScaledNoise(NormalActionNoise(MEAN, MEAN)).seed(-1), ValueError, "seed=-1 is too small"),
    (lambda: SummedNoise([GaussianNoise(MEAN, 1)] * 2), ValueError, "one of them is there twice"),
    (lambda: HeldNoise(2, 0.1, size=-1.0), ValueError, r"size=\[-1\.0\] is out of range"),
    (lambda: HeldNoise(2, 0.1, longest=0), ValueError, "longest=0 is too small"),
    (lambda: SummedNoise([NormalActionNoise(MEAN, MEAN)]), TypeError, "must all be noise of this package"),
    (lambda: SummedNoise([]), ValueError, "must be one or more"),
    (lambda: SummedNoise([GaussianNoise(MEAN, 1), HeldNoise(3, 1)]), ValueError, "actions of the same shape"),
    (lambda: ScaledNoise(3), TypeError, "ActionNoise of one environment or a function.*not 3"),
    (lambda: ScaledNoise(NormalActionNoise(MEAN, MEAN), -1), ValueError, "scale="),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


SB3_NORMAL = "stable_baselines3.common.noise.NormalActionNoise"
SPECIFICATIONS = [
    ({"type": "normal", "sigma": "lin_0.5_0.1"}, GaussianNoise, [0.5, 0.5]),
    ({"type": "gaussian", "std": [0.1, 0.2]}, GaussianNoise, [0.1, 0.2]),
    ({"type": "ornstein-uhlenbeck", "sigma": 0.2, "theta": 0.5, "dt": 0.1}, OrnsteinUhlenbeckNoise, [0.2, 0.2]),
    ({"type": "ornstein-uhlenbeck", "std": "exp_0.3_0.1", "theta": 2}, OrnsteinUhlenbeckNoise, [0.3, 0.3]),
    ({"type": "autoregressive", "lambda": 0.6, "sigma": 0.4}, OrnsteinUhlenbeckNoise, [0.5, 0.5]),
    ({"type": "autoregressive", "lambda": [0.6, 0.9], "std": "lin_1_0.5"}, OrnsteinUhlenbeckNoise, [1.0, 1.0]),
    # A third of the steps is held, with a variance of 0.75^2 / 3
    (
        {"type": "normal", "sigma": 0.0, "hold": {"probability": 1 / 3, "longest": 1}},
        SummedNoise,
        [0.25] * 2,
    ),
]


@pytest.mark.parametrize(("spec", "noise_class", "std"), SPECIFICATIONS)
def test_specification(spec, noise_class, std):
    given = copy.deepcopy(spec)
    noise = make_noise(spec, 2)
    assert spec == given
    assert isinstance(noise, noise_class)
    assert noise.action_dim == 2
    np.testing.assert_allclose(noise.std, std, rtol=1e-12)


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize(("spec", "noise_class", "std"), SPECIFICATIONS)
def test_actions_of_several_axes(spec, noise_class, std, n_envs):
    """The same draws as for the flattened action."""
    flat, shaped = (make_noise(spec | dict(seed=0, n_envs=n_envs, mean=[0.1, 0.3]), shape) for shape in (2, (2, 1)))
    np.testing.assert_array_equal(shaped.std, flat.std)
    for _ in range(3):
        draw = shaped()
        assert draw.shape == ((2, 1) if n_envs == 1 else (n_envs, 2, 1))
        np.testing.assert_array_equal(draw.ravel(), flat().ravel())
        flat.reset()
        shaped.reset()
    inside = NormalActionNoise(np.zeros((2, 1)), np.zeros((2, 1)))
    assert ScaledNoise(inside, [1.0, 2.0], n_envs)().shape == draw.shape


@pytest.mark.parametrize("n_envs", [1, 2])
def test_actions_of_several_axes_in_sb3s_algorithms(n_envs):
    env = make_vec_env(Observed, n_envs, env_kwargs=dict(action_space=spaces.Box(-1, 1, (2, 3))))
    noise = OrnsteinUhlenbeckNoise(np.zeros((2, 3)), 0.2)
    settings = dict(learning_starts=0, buffer_size=100, policy_kwargs=dict(net_arch=[4]), device="cpu")
    assert TD3("MlpPolicy", env, action_noise=noise, **settings).learn(10).replay_buffer.pos == 10 // n_envs
    callback = ActionNoiseCallback(dict(type="normal", sigma=0.2))
    assert TD3("MlpPolicy", env, **settings).learn(10, callback).replay_buffer.pos == 10 // n_envs


def test_specification_passes_everything_on():
    spec = {"type": "autoregressive", "lambda": 0.8, "std": 1.0, "initial": "stationary", "mean": 0.1, "n_envs": 3, "seed": 4}
    noise = make_noise(spec, 2)
    twin = OrnsteinUhlenbeckNoise([0.1, 0.1], np.sqrt(-2 * np.log(0.8)), -np.log(0.8), 1.0, 3, "stationary", 4)
    np.testing.assert_allclose(paths(noise, 4), paths(twin, 4), rtol=1e-6)


def test_specification_of_what_needs_none():
    noise = GaussianNoise(MEAN, 0.1)
    assert make_noise(noise, 2) is noise
    assert make_noise(None, 2) is None
    assert isinstance(make_noise({"type": "normal", "sigma": 0.1, "hold": None}, 2), GaussianNoise)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ({"type": "pinkish", "sigma": 1}, ValueError, "type='pinkish'.*'autoregressive', 'gaussian', 'normal'"),
        ({"sigma": 1}, ValueError, "type=None"),
        ({"type": "normal"}, ValueError, "exactly one of sigma and std.*{type: normal, sigma: lin_0.5_0.05}"),
        ({"type": "normal", "sigma": 1, "std": 1}, ValueError, "exactly one of sigma and std"),
        ({"type": "normal", "sigma": 1, "theta": 1}, ValueError, "'theta': 1.* is not valid: 'theta' is unknown.*hold, mean"),
        ({"type": "autoregressive", "std": 1}, ValueError, "it needs lambda, exactly one"),
        ({"type": "ornstein-uhlenbeck", "sigma": [0.1]}, ValueError, "wrong length"),
        ({"type": "normal", "sigma": 0.1, "mean": [0, 0, 0]}, ValueError, r"mean=\[0, 0, 0\] has the wrong length for 2"),
        ({"type": "no.such.Noise"}, ValueError, "'no.such.Noise'.*cannot be imported"),
        ({"type": "collections.OrderedDict"}, ValueError, "not an SB3 ActionNoise class"),
        ({"type": ".Noise"}, ValueError, "type='.Noise' .* cannot be imported"),
        ({"type": "sb3_dpg.common.noise.GaussianNoise"}, ValueError, "GaussianNoise' .* use one of .*'normal'"),
        ({"type": SB3_NORMAL, "mean": 0, "sigma": 1, "seed": 3}, TypeError, "'seed': 3} of the noise type=.*argument 'seed'"),
        ({"type": SB3_NORMAL, "mean": 0, "sigma": 1}, ValueError, "'sigma': 1} of the noise type=.*has no attribute"),
        ({"type": SB3_NORMAL, "mean": 0}, TypeError, "{'mean': 0} of the noise type=.*missing .* 'sigma'"),
        ({"type": SB3_NORMAL, "mean": 0, "sigma": -1}, ValueError, "'sigma': -1} of the noise type="),
        ({"type": SB3_NORMAL, "mean": [0, 0], "sigma": 1, "scale": -1}, ValueError, r"'scale': -1} .*: scale=\[-1"),
        ({"type": "normal", "std": -0.5}, ValueError, r"^std=\[-0\.5\]"),
        ({"type": "ornstein-uhlenbeck", "std": -0.5}, ValueError, r"^std=\[-0\.5\]"),
        ({"type": "autoregressive", "lambda": 0.5, "std": "lin_0.5_-0.5"}, ValueError, r"^std=\["),
        ({"type": "normal", "std": 0.1, "hold": 0.01}, ValueError, "hold=0.01 .* needs probability and may have size"),
        ({"type": "normal", "std": 0.1, "hold": {"size": 1}}, ValueError, "hold={'size': 1} .* needs probability"),
        ({"type": "normal", "std": 0.1, "hold": {"probability": 2}}, ValueError, r"^probability=\[2\.0\]"),
        ({"hold": {"probability": 0.01}}, ValueError, "type=None in the noise specification {'hold': {'probability': 0.01}"),
        ({"type": "normal", "hold": {"probability": 0.01}}, ValueError, "exactly one of sigma and std"),
        ("normal", TypeError, "not 'normal'"),
    ],
)
def test_bad_specification(spec, error, message):
    with pytest.raises(error, match=message):
        make_noise(spec, 2)


def test_specification_of_another_class():
    noise = make_noise({"type": SB3_NORMAL, "mean": [0, 0], "sigma": [0.1, 0.3], "scale": "lin_1_0.5", "n_envs": 2}, 2)
    noise.update(0.5)
    np.testing.assert_allclose(noise.std, [0.075, 0.225])
    assert noise().shape == (2, 2)


def test_a_number_may_be_an_array_without_axes():
    assert GaussianNoise(np.zeros(2), np.array(0.3)).std.tolist() == [0.3, 0.3]


def test_what_replaces_a_sum_goes_on_with_its_first_stream():
    summed = make_noise({"type": "normal", "sigma": 0.1, "seed": 3, "hold": {"probability": 0.0}}, 2)
    plain = make_noise({"type": "normal", "sigma": 0.1, "seed": 5}, 2)
    first = summed()
    plain.continue_stream_of(summed)
    expected = copy.deepcopy(summed.noises[0]._generator).standard_normal(2) * 0.1
    np.testing.assert_allclose(plain(), expected, rtol=1e-6)
    assert not np.array_equal(first, plain())
    # Not of the same kind, and has not drawn
    plain.continue_stream_of(ScaledNoise(NormalActionNoise(np.zeros(2), np.ones(2))))


@pytest.mark.parametrize("sigma", [np.full((2, 3), 0.1), np.full(3, 0.1)])
def test_scaled_noise_of_several_axes(sigma):
    noise = ScaledNoise(NormalActionNoise(np.zeros((2, 3)), sigma), "lin_1_0.5")
    noise.update(0.0)
    assert noise.std == pytest.approx(np.full(6, 0.05))


class Clipped(NormalActionNoise):
    def __call__(self):
        return super().__call__().clip(-0.1, 0.1)


def test_standard_deviation_of_noise_that_is_not_quite_sb3s():
    noise = ScaledNoise(Clipped(np.zeros(2), np.ones(2)))
    for _ in range(200):
        noise()
    assert noise.std == pytest.approx([0.1, 0.1], rel=0.1)
    # Euler steps that grow without end
    noise = ScaledNoise(OrnsteinUhlenbeckActionNoise(np.zeros(1), np.ones(1), theta=3.0, dt=1.0))
    noise()
    assert np.isfinite(noise.std).all()


def test_standard_deviation_follows_a_sigma_that_is_changed():
    given = NormalActionNoise(np.zeros(1), np.ones(1))
    noise = ScaledNoise(given)
    given._sigma = np.array([0.5])
    assert noise.std == [0.5]
