"""Whatever the constructors are given: a model that trains and stays finite, or an error that names the parameter."""

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_dpg import BNDDPG, COPDACQ
from sb3_dpg.common.divergence import DivergenceError
from sb3_dpg.common.off_policy_algorithm import DeterministicOffPolicyAlgorithm
from tests.algorithms import finite
from tests.contract.scripts import Observed
from tests.property.values import mostly

RATE = st.floats(0.0, 1.0)
SCHEDULE = st.sampled_from(["lin_0.1_0.01", "exp_0.1_0.01", "cos_0.1_0.0", "const_0.1", "lin_0.1", "lin", "exp_0_0"])
FLAG = st.booleans()
ARCH = st.lists(st.integers(1, 4), max_size=2)
NOISE = st.sampled_from(
    [
        {"type": "normal", "sigma": 0.2},
        {"type": "ornstein-uhlenbeck", "sigma": "lin_0.5_0.05", "theta": 0.1},
        {"type": "autoregressive", "lambda": 0.9, "std": [0.1, 0.3]},
        {"type": "normal", "sigma": -1.0},
        {"type": "brown"},
        {},
    ]
)
COMMON: dict[str, st.SearchStrategy] = dict(
    learning_rate=RATE,
    learning_starts=st.integers(0, 20),
    batch_size=st.integers(1, 8),
    gamma=st.floats(0.0, 1.0),
    train_freq=st.integers(1, 4) | st.tuples(st.integers(1, 3), st.sampled_from(["step", "episode"])),
    gradient_steps=st.integers(-1, 2),
    action_noise=NOISE,
    n_steps=st.integers(1, 3),
    optimize_memory_usage=FLAG,
    stats_window_size=st.integers(1, 5),
    seed=st.none() | st.integers(0, 100),
    verbose=st.just(0),
    # No text, which is a folder that would be made
    tensorboard_log=st.none() | st.integers(),
)
BNDDPG_POLICY = dict(
    net_arch=ARCH | st.fixed_dictionaries({"pi": ARCH, "qf": ARCH}),
    n_critics=st.integers(1, 3),
    share_features_extractor=FLAG,
    batch_norm_momentum=st.floats(0.01, 1.0),
    batch_norm_eps=st.floats(1e-5, 1.0),
    action_layer=st.integers(0, 2),
    norm_after_action=FLAG,
    final_init=st.none() | st.floats(1e-4, 1.0),
)
LINEAR_POLICY = dict(
    features_extractor_class=st.sampled_from(["TileCoding", "FourierBasis", "RadialBasis", "PolynomialBasis", "Tiles"]),
    features_extractor_kwargs=st.just({}) | st.just({"low": -1, "high": 1}),
    value_features_extractor_class=st.sampled_from(["TileCoding", "PolynomialBasis", "FlattenExtractor"]),
)


def policy_kwargs(arguments: dict[str, st.SearchStrategy]) -> st.SearchStrategy:
    return st.fixed_dictionaries({}, optional={name: mostly(values) for name, values in arguments.items()})


ARGUMENTS: dict[str, dict[str, st.SearchStrategy]] = {
    "bnddpg": COMMON
    | dict(
        buffer_size=st.integers(1, 40),
        tau=st.floats(0.001, 1.0),
        actor_learning_rate=st.none() | RATE,
        actor_warmup=st.floats(0.0, 1.0),
        policy_delay=st.integers(1, 3),
        target_policy_noise=st.floats(0.0, 1.0),
        mixed_precision=st.just("auto") | FLAG,
        target_noise_clip=st.floats(0.0, 1.0),
        target_min_weight=st.floats(0.0, 1.0),
        actor_n_critics=st.none() | st.integers(1, 2),
        batch_norm=FLAG,
        target_networks=FLAG,
        gradient_clip=st.none() | st.floats(0.1, 10.0),
        policy_kwargs=policy_kwargs(BNDDPG_POLICY),
    ),
    "copdacq": COMMON
    | dict(
        buffer_size=st.just(1) | st.integers(2, 40),
        actor_learning_rate=st.none() | RATE | SCHEDULE,
        advantage_learning_rate=st.none() | RATE | SCHEDULE,
        value_learning_rate=st.none() | RATE | SCHEDULE,
        correction_learning_rate=st.none() | RATE | SCHEDULE,
        gradient_q=st.sampled_from([False, True, "full"]),
        natural_gradient=FLAG,
        max_td_error=st.floats(1.0, 1e6),
        policy_kwargs=policy_kwargs(LINEAR_POLICY),
    ),
}
ALGORITHMS: dict[str, tuple[type[DeterministicOffPolicyAlgorithm], str, dict[str, Any]]] = {
    # Defaults that are too large for 100 models
    "bnddpg": (BNDDPG, "MlpPolicy", dict(buffer_size=40, policy_kwargs=dict(net_arch=[4]))),
    "copdacq": (COPDACQ, "LinearPolicy", {}),
}


def names(kwargs: dict[str, Any]) -> set[str]:
    """The parameters, and those within policy_kwargs and the noise's specification, which calls itself noise."""
    nested = [value for key, value in kwargs.items() if key in ("policy_kwargs", "action_noise") and isinstance(value, dict)]
    return {key.removeprefix("action_") if key == "action_noise" else key for key in kwargs}.union(*nested)


@pytest.mark.parametrize("name", ALGORITHMS)
@given(data=st.data())
def test_constructors(name: str, data: st.DataObject) -> None:
    few = st.sets(st.sampled_from(sorted(ARGUMENTS[name])), max_size=8)
    chosen = {
        key: ARGUMENTS[name][key] if key == "tensorboard_log" else mostly(ARGUMENTS[name][key])
        for key in sorted(data.draw(few))
    }
    kwargs: dict[str, Any] = data.draw(st.fixed_dictionaries(chosen))
    algorithm, policy, defaults = ALGORITHMS[name]
    with warnings.catch_warnings():
        # Training without noise, unbounded memory usage and the like are warned about, rightly
        warnings.simplefilter("ignore")
        try:
            model = algorithm(policy, Observed(length=4), **(defaults | dict(device="cpu") | kwargs))
        except (TypeError, ValueError) as error:
            message = str(error)
            assert any(parameter in message for parameter in names(kwargs)), message
            return
        try:
            model.learn(12)
        except DivergenceError as error:
            message = str(error)
            assert "learning_rate" in message or "learning rates" in message
    assert finite(model)
