"""Whatever box and settings features are given: finite features of the right shape and range, or a documented error."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import assume, given
from hypothesis import strategies as st

from sb3_dpg.common.features import BoundedFeatures, FourierBasis, PolynomialBasis, RadialBasis, TileCoding
from tests.property.values import ANYTHING, mostly

SETTINGS: dict[type[BoundedFeatures], dict[str, st.SearchStrategy]] = {
    TileCoding: dict(
        n_tilings=st.integers(1, 9),
        n_bins=st.integers(1, 5) | st.lists(st.integers(1, 5), min_size=1, max_size=4),
        hash_size=st.none() | st.integers(9, 100),
    ),
    FourierBasis: dict(order=st.integers(1, 4), max_coupled=st.none() | st.integers(1, 5)),
    RadialBasis: dict(n_centers=st.integers(2, 5), width=st.floats(1e-3, 1e3)),
    PolynomialBasis: dict(degree=st.integers(1, 4), min_degree=st.integers(0, 2)),
}
RANGES = {TileCoding: (0.0, 1.0), FourierBasis: (-1.0, 1.0), RadialBasis: (0.0, 1.0), PolynomialBasis: (-1.0, 1.0)}
SHAPES = st.sampled_from([(1,), (2,), (4,), (2, 2), (1, 3, 1)])
SANE = st.floats(-1e4, 1e4, width=32)
# No NaN, which gymnasium refuses itself
WILD = st.floats(width=32, allow_nan=False)


@st.composite
def boxes(draw: st.DrawFn, bound: st.SearchStrategy) -> spaces.Box:
    """Boxes of any bounds, equal and infinite ones too."""
    shape = draw(SHAPES)
    size = int(np.prod(shape))
    pairs = [sorted(draw(st.tuples(bound, bound))) for _ in range(size)]
    low, high = (np.array([pair[side] for pair in pairs], np.float32).reshape(shape) for side in (0, 1))
    assume(not np.isposinf(low).any() and not np.isneginf(high).any())
    return spaces.Box(low, high)


@st.composite
def bounded_boxes(draw: st.DrawFn) -> spaces.Box:
    """Boxes as environments have them, of any shape and scale."""
    shape = draw(SHAPES)
    size = int(np.prod(shape))
    low = np.array([draw(SANE) for _ in range(size)])
    width = np.array([draw(st.floats(1e-2, 1e4)) for _ in range(size)])
    return spaces.Box(low.reshape(shape).astype(np.float32), (low + width).reshape(shape).astype(np.float32))


def observations(space: spaces.Box) -> th.Tensor:
    """The bounds, points within and far beyond them."""
    within = np.stack([space.low, space.high, 0.5 * space.low + 0.5 * space.high])
    beyond = np.stack([np.full(space.shape, value) for value in (-1e30, 0.0, 1e30)])
    return th.as_tensor(np.concatenate([within, beyond]), dtype=th.float32)


def assert_features(features: BoundedFeatures, space: spaces.Box) -> th.Tensor:
    inputs = observations(space)
    outputs = features(inputs)
    assert outputs.shape == (len(inputs), features.features_dim)
    assert th.isfinite(outputs).all()
    low, high = RANGES[type(features)]
    assert outputs.min() >= low - 1e-4
    assert outputs.max() <= high + 1e-4
    if isinstance(features, TileCoding):
        assert (outputs.sum(1) == features.n_active).all()
    if isinstance(features, RadialBasis):
        np.testing.assert_allclose(outputs.sum(1).numpy(), 1.0, rtol=1e-4)
    return outputs


@pytest.mark.parametrize("basis", SETTINGS)
@given(data=st.data())
def test_valid_settings(basis: type[BoundedFeatures], data: st.DataObject) -> None:
    space = data.draw(bounded_boxes())
    kwargs = data.draw(st.fixed_dictionaries({}, optional=SETTINGS[basis]))
    size = int(np.prod(space.shape))
    if isinstance(kwargs.get("n_bins"), list):
        kwargs["n_bins"] = (kwargs["n_bins"] * size)[:size]
    if basis is PolynomialBasis and "degree" in kwargs:
        kwargs["min_degree"] = min(kwargs.get("min_degree", 0), kwargs["degree"])
    features = basis(space, **kwargs)
    outputs = assert_features(features, space)
    # What lies beyond the bounds counts as lying on them; the upper one is met up to rounding only
    np.testing.assert_array_equal(outputs[3], outputs[0])


@pytest.mark.parametrize("basis", SETTINGS)
@given(data=st.data())
def test_any_settings(basis: type[BoundedFeatures], data: st.DataObject) -> None:
    space = data.draw(boxes(mostly(SANE, WILD)) | boxes(WILD))
    bounds = st.none() | SANE | ANYTHING | st.lists(SANE, min_size=1, max_size=4)
    settings = {name: mostly(strategy) for name, strategy in (SETTINGS[basis] | dict(low=bounds, high=bounds)).items()}
    kwargs: dict[str, Any] = data.draw(st.fixed_dictionaries({}, optional=settings))
    try:
        features = basis(space, **kwargs)
    except (TypeError, ValueError) as error:
        message = str(error)
        assert any(name in message for name in (*kwargs, "observation", "low=", "features")), message
        return
    assert_features(features, space)
