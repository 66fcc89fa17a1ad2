"""Whatever is given to schedules and noise: a finite result in its range, or one of the documented errors."""

import math
import pickle
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sb3_dpg.common import schedules
from sb3_dpg.common.noise import make_noise
from tests.property.values import ANYTHING

PROGRESS = st.floats(0.0, 1.0)
SHAPES = st.sampled_from([schedules.LinearAnnealing, schedules.ExponentialAnnealing, schedules.CosineAnnealing])


@given(SHAPES, ANYTHING, ANYTHING, ANYTHING, PROGRESS)
def test_annealing(shape: Any, start: Any, end: Any, end_fraction: Any, progress: float) -> None:
    try:
        schedule = shape(start, end, end_fraction)
    except (TypeError, ValueError) as error:
        assert str(error)  # noqa: PT017 - an error is one of two right answers
        return
    value = schedule(progress)
    low, high = min(start, end), max(start, end)
    slack = 1e-9 * max(abs(low), abs(high))
    assert low - slack <= value <= high + slack
    assert math.isclose(schedule(1.0), start, rel_tol=1e-9)
    assert pickle.loads(pickle.dumps(schedule))(progress) == value


@given(
    st.text(max_size=20) | st.from_regex(r"(lin|exp|cos|const)_[-0-9.einfa]{1,6}(_[-0-9.einfa]{1,6}){0,3}", fullmatch=True),
    PROGRESS,
)
def test_strings(text: str, progress: float) -> None:
    try:
        schedule = schedules.parse_schedule(text)
    except ValueError as error:
        assert "schedule" in str(error)  # noqa: PT017
        return
    assert math.isfinite(schedule(progress))


SPECIFICATIONS = st.fixed_dictionaries(
    {"type": st.sampled_from(["normal", "ornstein-uhlenbeck", "autoregressive", "brown"])},
    optional={
        name: ANYTHING | st.floats(0.0, 1.0)
        for name in ("sigma", "std", "theta", "dt", "lambda", "mean", "initial", "seed", "unknown")
    },
)


@given(SPECIFICATIONS, st.integers(1, 3), st.integers(1, 4), PROGRESS)
def test_noise(specification: dict[str, Any], action_dim: int, n_envs: int, progress: float) -> None:
    try:
        noise: Any = make_noise(specification, action_dim)
    except (TypeError, ValueError) as error:
        assert str(error)  # noqa: PT017 - an error is one of two right answers
        return
    noise.resize(n_envs)
    noise.update(progress)
    for _ in range(3):
        sample = noise()
        assert sample.shape in {(n_envs, action_dim), (n_envs, 1), (action_dim,), (1,)}
    if np.abs(noise.std).max() < 1e30:
        assert np.isfinite(sample).all()
    noise.reset()
