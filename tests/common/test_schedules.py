"""Values of the schedules where they are known, and their string forms."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.utils import ConstantSchedule

from sb3_dpg.common.schedules import (
    CosineAnnealing,
    ExponentialAnnealing,
    LinearAnnealing,
    parse_learning_rate,
    parse_schedule,
)

ANNEALING = {"lin": LinearAnnealing, "exp": ExponentialAnnealing, "cos": CosineAnnealing}
# Halfway between 0.5 and 0.05
MIDDLE = {LinearAnnealing: 0.275, ExponentialAnnealing: math.sqrt(0.5 * 0.05), CosineAnnealing: 0.275}
# After a third of the way
THIRD = {
    LinearAnnealing: 0.35,
    ExponentialAnnealing: 0.5 * 0.1 ** (1 / 3),
    CosineAnnealing: 0.05 + 0.45 * (1 + math.cos(math.pi / 3)) / 2,
}


@pytest.mark.parametrize("make", ANNEALING.values())
class TestAnnealing:
    def test_start_middle_and_end(self, make):
        schedule = make(0.5, 0.05)
        assert schedule(1.0) == 0.5
        assert schedule(0.5) == pytest.approx(MIDDLE[make], rel=1e-15)
        assert schedule(2 / 3) == pytest.approx(THIRD[make], rel=1e-14)
        assert schedule(0.0) == 0.05

    @pytest.mark.parametrize("end_fraction", [0.1, 0.3, 0.7, 0.9, 1.0])
    def test_end_fraction(self, make, end_fraction):
        schedule = make(0.5, 0.05, end_fraction)
        assert schedule(1.0) == 0.5
        assert schedule(1 - end_fraction / 2) == pytest.approx(MIDDLE[make], rel=1e-14)
        assert schedule(1 - end_fraction * 0.99) > 0.05
        # 1 - 0.9 is not 0.1 in floating point: the end must be exact all the same
        assert schedule(1 - end_fraction) == 0.05
        assert schedule((1 - end_fraction) / 2) == 0.05
        assert schedule(0.0) == 0.05

    def test_outside_of_training_the_ends_hold(self, make):
        # With several environments SB3 overshoots the total by up to n_envs - 1 steps: the progress becomes negative
        assert make(0.5, 0.05)(-0.01) == 0.05
        assert make(0.5, 0.05)(1.01) == 0.5

    @given(progress=st.tuples(st.floats(0, 1), st.floats(0, 1)), end_fraction=st.floats(0.01, 1.0))
    def test_monotonic_between_the_ends(self, make, progress, end_fraction):
        schedule = make(0.5, 0.05, end_fraction)
        late, early = (schedule(p) for p in sorted(progress))
        assert 0.05 - 1e-15 <= late <= early + 1e-15 <= 0.5 + 2e-15

    def test_value_object(self, make):
        schedule = make(0.5, 0.05, 0.8)
        assert pickle.loads(pickle.dumps(schedule)) == schedule
        assert schedule != make(0.5, 0.05)
        assert "start=0.5, end=0.05, end_fraction=0.8" in repr(schedule)

    @pytest.mark.parametrize("end_fraction", [0.0, -0.1, 1.1, math.nan])
    def test_end_fraction_out_of_range(self, make, end_fraction):
        with pytest.raises(ValueError, match=r"end_fraction=.*\(0, 1\]"):
            make(0.5, 0.05, end_fraction)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_not_finite(self, make, value):
        with pytest.raises(ValueError, match="end="):
            make(0.5, value)

    def test_not_a_number(self, make):
        with pytest.raises(TypeError, match=r"start must be a number, not '0\.5'"):
            make("0.5", 0.05)


def test_linear_and_cosine_reach_zero_and_exponential_refuses_it():
    assert LinearAnnealing(0.5, 0.0)(0.0) == CosineAnnealing(0.5, 0.0)(0.0) == 0.0
    with pytest.raises(ValueError, match=r"end=0\.0 must both be positive"):
        ExponentialAnnealing(0.5, 0.0)


def test_constant_is_that_of_sb3():
    assert isinstance(parse_schedule(0.1), ConstantSchedule)
    assert parse_schedule(0.1)(0.3) == 0.1


@pytest.mark.parametrize("name", ANNEALING)
def test_strings(name):
    assert parse_schedule(f"{name}_0.5_0.05") == ANNEALING[name](0.5, 0.05)
    assert parse_schedule(f" {name}_5e-1_0.05_0.8 ") == ANNEALING[name](0.5, 0.05, 0.8)


def test_string_with_one_number_goes_to_zero():
    assert parse_schedule("lin_0.1") == LinearAnnealing(0.1, 0.0)
    assert parse_schedule("cos_0.1") == CosineAnnealing(0.1, 0.0)


@pytest.mark.parametrize("value", ["const_0.1", "0.1", "1e-1", 0.1])
def test_constants(value):
    assert parse_schedule(value)(0.7) == 0.1


def test_schedules_pass_through():
    schedule = LinearAnnealing(1.0, 0.0)
    assert parse_schedule(schedule) is schedule


@pytest.mark.parametrize(
    "value",
    [
        "lin_a_b",
        "lin",
        "lin_",
        "lin_1_2_3_4",
        "lin_0.5_0.05_0",
        "lin_nan_0",
        "lin_inf",
        "exp_0.5_0",
        "exp_0.5",
        "const_1_2",
        "const",
        "tan_1_2",
        "",
        "_",
        "nan",
    ],
)
def test_bad_strings_are_named_with_a_valid_one(value):
    with pytest.raises(ValueError, match=r"lin_0\.5_0\.05") as error:
        parse_schedule(value)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("value", [None, True, [0.5, 0.05], {"lin": 1}])
def test_bad_types(value):
    with pytest.raises(TypeError, match=r"lin_0\.5_0\.05"):
        parse_schedule(value)


@pytest.mark.parametrize("value", [0.1, "lin_0.1_0", "1e-3", LinearAnnealing(1.0, 0.0)])
def test_learning_rates(value):
    rate = parse_learning_rate("learning_rate", value)
    assert repr(rate) == repr(parse_schedule(value))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-0.1, ValueError, r"learning_rate=-0\.1 is out of range"),
        (math.nan, ValueError, "learning_rate=nan"),
        ("lin_0.1_-0.1", ValueError, r"learning_rate=-0\.1 is out of range"),
        ("linear_0.1", ValueError, "learning_rate: schedule 'linear_0.1' is not valid.*lin_0.5_0.05"),
        ("lin_1_2_3_4", ValueError, r"'lin_1_2_3_4' is not valid \('lin' takes 1 to 3 number\(s\), not 4\)"),
        ("exp_1", ValueError, r"'exp_1' is not valid \('exp' takes 2 to 3 number\(s\), not 1\)"),
        ("const_1_2", ValueError, r"'const_1_2' is not valid \('const' takes 1 number\(s\), not 2\)"),
        ("lin", ValueError, r"'lin' is not valid \('lin' takes 1 to 3 number\(s\), not 0\)"),
        (LinearAnnealing(0.1, -0.1), ValueError, r"learning_rate=-0\.1 is out of range"),
        (None, TypeError, "learning_rate: .*not None.*lin_0.5_0.05"),
        (True, TypeError, "learning_rate: .*not True"),
    ],
)
def test_bad_learning_rates(value, error, message):
    with pytest.raises(error, match=message):
        parse_learning_rate("learning_rate", value)
