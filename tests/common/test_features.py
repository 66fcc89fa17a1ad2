"""The features against independent computations, and inside algorithms of SB3 that are not ours."""

import itertools

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO

from sb3_dpg.common.features import BoundedFeatures, FourierBasis, PolynomialBasis, RadialBasis, TileCoding
from sb3_dpg.common.features.tile_coding import upper_half_of_sum
from sb3_dpg.copdacq.policies import CompatiblePolicy, LinearPolicy, MlpPolicy

SPACE = spaces.Box(np.array([-1.0, 0.0, -3.0]), np.array([1.0, 5.0, 3.0]), dtype=np.float32)
BASES: list[type[BoundedFeatures]] = [TileCoding, FourierBasis, RadialBasis, PolynomialBasis]


def sample(space: spaces.Box, size: int, seed: int = 0) -> th.Tensor:
    generator = np.random.default_rng(seed)
    return th.tensor(generator.uniform(space.low, space.high, (size, *space.shape)), dtype=th.float32)


def unit(observations: th.Tensor) -> np.ndarray:
    return (observations.numpy() - SPACE.low) / (SPACE.high - SPACE.low)


def test_tile_coding_finds_the_tiles_that_a_loop_finds() -> None:
    bins, tilings = (4, 3, 2), 8
    features = TileCoding(SPACE, n_tilings=tilings, n_bins=bins)
    observations = sample(SPACE, 50)
    tiles_per_tiling = 5 * 4 * 3
    for row, observation in zip(features.active(observations).tolist(), unit(observations), strict=True):
        for tiling in range(tilings):
            number, stride = 0, 1
            for dimension, count in enumerate(bins):
                shift = (tiling * (2 * dimension + 1) % tilings) / tilings
                number += stride * int(observation[dimension] * count + shift)
                stride *= count + 1
            assert row[tiling] == tiling * tiles_per_tiling + number


@pytest.mark.parametrize("n_tilings", range(1, 17))
def test_every_tiling_has_a_shift_of_its_own_in_each_dimension(n_tilings):
    shifts = TileCoding(spaces.Box(0.0, 1.0, (9,)), n_tilings, n_bins=1, hash_size=4096).shifts
    assert [len(column.unique()) for column in shifts.T] == [n_tilings] * 9


def test_tile_coding_dense_and_sparse_forms_agree() -> None:
    features = TileCoding(SPACE)
    observations = sample(SPACE, 20)
    dense, active = features(observations), features.active(observations)
    assert dense.shape == (20, features.features_dim)
    assert th.equal(dense.sum(1), th.full((20,), 8.0))
    assert th.equal(dense.gather(1, active), th.ones(20, 8))


def test_every_tile_of_a_fine_grid_of_observations_is_in_range() -> None:
    features = TileCoding(SPACE, n_bins=3)
    corners = th.tensor(list(itertools.product(*zip(SPACE.low, SPACE.high, strict=True))), dtype=th.float32)
    beyond = th.cat([corners, corners * 10.0])
    active = features.active(beyond)
    assert active.min() >= 0
    assert active.max() < features.features_dim
    assert th.equal(active[:8], features.active(corners)), "what lies beyond the bounds counts as lying on them"


def test_neighbours_share_tiles_and_distant_observations_none() -> None:
    space = spaces.Box(0.0, 1.0, (2,), np.float32)
    features = TileCoding(space, n_tilings=8, n_bins=8)
    here, near, far = features.active(th.tensor([[0.5, 0.5], [0.52, 0.5], [0.9, 0.1]]))
    assert len(np.intersect1d(here, near)) == 7, "0.16 of a tile further, past one of eight shifted edges"
    assert len(np.intersect1d(here, far)) == 0


def test_hashed_tiles_stay_within_their_tiling_and_seldom_collide() -> None:
    space = spaces.Box(-1.0, 1.0, (12,), np.float32)
    features = TileCoding(space, n_tilings=4, hash_size=2**14)
    assert features.features_dim == 2**14
    active = features.active(sample(space, 500))
    assert th.equal(active // 2**12, th.arange(4).expand(500, 4))
    # 500 tiles thrown into 4096 slots at random: 4096 (1 - (1 - 1/4096)^500) = 471 are hit, standard deviation about 5
    for tiling in range(4):
        assert 445 <= active[:, tiling].unique().numel() <= 495


def test_hashing_tells_neighbours_apart_no_better_than_chance() -> None:
    """The lower bits of sums of odd multiples are no hash: the lowest one says whether the coordinates' sum is odd."""
    space = spaces.Box(0.0, 8.0, (12,), np.float32)
    features = TileCoding(space, n_tilings=1, n_bins=8, hash_size=2)
    here = th.randint(8, (200, 12)) * 1.0
    alike = [features.active(here) == features.active(here + step) for step in th.eye(12)]
    assert 0.3 <= th.cat(alike).float().mean() <= 0.7


def test_observations_that_collide_in_one_tiling_do_not_collide_in_others() -> None:
    space = spaces.Box(0.0, 1.0, (5,), np.float32)
    hashed, exact = (TileCoding(space, hash_size=hash_size).active(sample(space, 1000)) for hash_size in (2**13, None))
    is_false = (hashed[:, None] == hashed) & (exact[:, None] != exact)
    falsely = is_false.sum(-1).triu(1)
    # Half a million pairs collide 8 times 1/1024 by chance: once about 3900 times, three times or more 0.03 times
    assert 3000 <= (falsely == 1).sum() <= 5000
    assert (falsely >= 3).sum() <= 2


def test_models_that_hashed_all_tilings_alike_are_loaded() -> None:
    space = spaces.Box(0.0, 1.0, (5,), np.float32)
    features = TileCoding(space, n_tilings=4, hash_size=1024)
    saved = features.state_dict() | {"strides": features.strides[0].clone()}
    features.load_state_dict(saved)
    assert th.equal(features.strides, saved["strides"].expand(4, 5))


def test_hashing_is_the_same_each_time() -> None:
    space = spaces.Box(-1.0, 1.0, (6,), np.float32)
    first, second = (TileCoding(space, hash_size=1024) for _ in range(2))
    observations = sample(space, 10)
    assert th.equal(first.active(observations), second.active(observations))


def test_upper_half_of_a_sum_that_wraps_around() -> None:
    numbers = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, (100, 9))
    # Python's integers do not wrap around
    sums = [sum(row) % 2**64 for row in numbers.tolist()]
    signed = [number - 2**64 if number >= 2**63 else number for number in sums]
    assert sum(sum(row) != number for row, number in zip(numbers.tolist(), signed, strict=True)) > 50
    assert upper_half_of_sum(th.from_numpy(numbers)).tolist() == [number >> 32 for number in signed]


@pytest.mark.parametrize("basis", BASES)
def test_observations_are_scaled_to_the_unit_box(basis: type[BoundedFeatures]) -> None:
    observations = sample(SPACE, 20)
    np.testing.assert_allclose(basis(SPACE).unit(observations).numpy(), unit(observations), atol=1e-6)


@pytest.mark.parametrize("basis", [basis for basis in BASES if basis is not RadialBasis])
def test_number_of_active_features_is_what_is_not_zero(basis: type[BoundedFeatures]) -> None:
    features = basis(SPACE)
    assert (features(sample(SPACE, 20)) != 0).sum(dim=1).max() == features.n_active


@pytest.mark.parametrize("basis", BASES)
def test_a_step_per_active_feature_does_not_overshoot(basis: type[BoundedFeatures]) -> None:
    """A step size of 1 corrects |phi|^2 / n_active of an error: all of it at most, and not next to nothing."""
    corrected = []
    for kwargs in ({}, {"width": 0.1}) if basis is RadialBasis else ({},):
        features = basis(SPACE, **kwargs)
        corrected.append(float(features(sample(SPACE, 200)).square().sum(dim=1).max()) / features.n_active)
    assert 0.5 < max(corrected) <= 1.0 + 1e-6


@pytest.mark.parametrize("basis", BASES)
def test_observations_beyond_the_bounds_count_as_lying_on_them(basis: type[BoundedFeatures]) -> None:
    space = spaces.Box(-1.0, 2.0, (2,), np.float32)
    features = basis(space)
    beyond, on = th.tensor([[-3.0, 0.5], [0.3, 7.0]]), th.tensor([[-1.0, 0.5], [0.3, 2.0]])
    th.testing.assert_close(features(beyond), features(on))


def test_fourier_basis_against_numpy() -> None:
    features = FourierBasis(SPACE, order=2)
    observations = sample(SPACE, 20)
    expected = [np.cos(np.pi * unit(observations) @ c) for c in itertools.product(range(3), repeat=3)]
    # The order of the features is free
    computed = features(observations).numpy()
    assert computed.shape == (20, 27)
    np.testing.assert_allclose(np.sort(computed, axis=1), np.sort(np.array(expected).T, axis=1), atol=1e-5)


def test_fourier_basis_with_pairs_only() -> None:
    features = FourierBasis(SPACE, order=2, max_coupled=2)
    assert features.features_dim == 27 - 8
    assert int((features.coefficients != 0).sum(1).max()) == 2
    assert features.coefficients.unique(dim=0).shape == features.coefficients.shape


def test_radial_basis_against_numpy() -> None:
    features = RadialBasis(SPACE, n_centers=3, width=0.8)
    observations = sample(SPACE, 20)
    centers = np.array(list(itertools.product((0.0, 0.5, 1.0), repeat=3)))
    squares = ((unit(observations)[:, None] - centers) ** 2).sum(-1)
    gaussians = np.exp(-squares / (2 * (0.8 * 0.5) ** 2))
    np.testing.assert_allclose(features(observations).numpy(), gaussians / gaussians.sum(1, keepdims=True), atol=1e-5)


def test_polynomial_basis_against_numpy() -> None:
    features = PolynomialBasis(SPACE, degree=3, min_degree=1)
    observations = sample(SPACE, 20)
    x, y, z = (2.0 * unit(observations) - 1.0).T
    monomials = [x**i * y**j * z**k for i, j, k in itertools.product(range(4), repeat=3) if 1 <= i + j + k <= 3]
    computed = features(observations).numpy()
    assert computed.shape == (20, len(monomials))
    np.testing.assert_allclose(np.sort(computed, axis=1), np.sort(np.array(monomials).T, axis=1), atol=1e-5)


def test_linear_polynomials_are_the_scaled_observation() -> None:
    features = PolynomialBasis(SPACE, degree=1, min_degree=1)
    observations = sample(SPACE, 5)
    np.testing.assert_allclose(features(observations).numpy(), 2.0 * unit(observations) - 1.0, atol=1e-6)


@pytest.mark.parametrize("basis", BASES)
def test_observations_of_any_shape_are_flattened(basis: type[BoundedFeatures]) -> None:
    space = spaces.Box(-1.0, 1.0, (2, 2), np.float32)
    flat = spaces.Box(-1.0, 1.0, (4,), np.float32)
    observations = sample(space, 7)
    assert th.equal(basis(space)(observations), basis(flat)(observations.flatten(1)))


@pytest.mark.parametrize("basis", BASES)
def test_images_are_scaled_as_sb3_shows_them(basis: type[BoundedFeatures]) -> None:
    """Divided by 255, although the space still says 0 to 255."""
    features = basis(spaces.Box(0, 255, (1, 2, 2), np.uint8))
    th.testing.assert_close(features.unit(th.tensor([[0.0, 0.2, 0.5, 1.0]])), th.tensor([[0.0, 0.2, 0.5, 1.0]]))


@pytest.mark.parametrize("policy", [LinearPolicy, MlpPolicy])
@pytest.mark.parametrize("normalize_images", [True, False])
def test_images_are_scaled_as_copdacq_sees_them(policy: type[CompatiblePolicy], normalize_images: bool) -> None:
    space = spaces.Box(0, 255, (1, 2, 2), np.uint8)
    kwargs = dict(features_extractor_class=PolynomialBasis, normalize_images=normalize_images)
    made = policy(space, spaces.Box(-1, 1, (1,), np.float32), lambda _: 0.0, **kwargs)
    features = made.features_extractor if policy is LinearPolicy else made.actor[0]
    assert isinstance(features, PolynomialBasis)
    inputs = made.preprocess(th.tensor([[[[0, 51], [102, 255]]]], dtype=th.uint8)).flatten(1)
    th.testing.assert_close(features.unit(inputs), th.tensor([[0.0, 0.2, 0.4, 1.0]]))


@pytest.mark.parametrize("basis", BASES)
def test_bounds_given_take_the_place_of_the_spaces(basis: type[BoundedFeatures]) -> None:
    unbounded = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    bounded = spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, 1.0]), dtype=np.float32)
    observations = sample(bounded, 10)
    given = basis(unbounded, low=[-2.0, 0.0], high=[2.0, 1.0])
    assert th.equal(given(observations), basis(bounded)(observations))


@pytest.mark.parametrize("basis", BASES)
def test_unbounded_dimensions_are_named(basis: type[BoundedFeatures]) -> None:
    high = np.array([1.0, np.inf, 3.4e38], np.float32)
    with pytest.raises(ValueError, match=r"dimension\(s\) \[1, 2\].*low=.*VecNormalize"):
        basis(spaces.Box(-high, high, dtype=np.float32))


@pytest.mark.parametrize("basis", BASES)
def test_only_boxes_have_bounds(basis: type[BoundedFeatures]) -> None:
    with pytest.raises(TypeError, match="FlattenExtractor"):
        basis(spaces.Discrete(4))


@pytest.mark.parametrize(
    ("basis", "kwargs", "message"),
    [
        (TileCoding, {"n_tilings": 0}, "n_tilings=0"),
        (TileCoding, {"n_bins": [4, 4]}, "n_bins.* 2 entries"),
        (TileCoding, {"n_bins": 0}, "n_bins=0"),
        (TileCoding, {"n_bins": 400}, "hash_size"),
        (TileCoding, {"hash_size": 4}, "hash_size=4"),
        (TileCoding, {"hash_size": 10**11}, "lower hash_size"),
        (FourierBasis, {"order": 0}, "order=0"),
        (FourierBasis, {"order": 300}, "max_coupled"),
        (RadialBasis, {"n_centers": 1}, "n_centers=1"),
        (RadialBasis, {"width": 0.0}, "width=0.0"),
        (PolynomialBasis, {"degree": 1, "min_degree": 2}, "degree=1"),
        (PolynomialBasis, {"low": [0.0, 1.0]}, "low.* 2 entries"),
        (PolynomialBasis, {"low": 4.0}, "must be below high"),
    ],
)
def test_bad_arguments_are_named(basis: type[BoundedFeatures], kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        basis(SPACE, **kwargs)


@pytest.mark.parametrize("basis", BASES)
def test_another_algorithm_can_use_them(basis: type[BoundedFeatures]) -> None:
    policy_kwargs = dict(features_extractor_class=basis, net_arch=[])
    model = PPO("MlpPolicy", "MountainCarContinuous-v0", n_steps=16, batch_size=16, n_epochs=1, policy_kwargs=policy_kwargs)
    model.learn(16)
    assert isinstance(model.policy.features_extractor, basis)
    assert model.policy.action_net.in_features == model.policy.features_extractor.features_dim
