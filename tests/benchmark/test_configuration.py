import dataclasses

import pytest

from sb3_dpg.benchmark.configuration import Configuration, EvaluationProtocol, Run

CONFIGURATION = Configuration("ours", "ddpg", "Pendulum-v1", 1000, EvaluationProtocol(10, 5), {"gamma": 0.9, "tau": 0.1})


@pytest.mark.parametrize(
    "change",
    [
        {"algo": "td3"},
        {"environment": "Hopper-v5"},
        {"steps": 1001},
        {"evaluation": EvaluationProtocol(10, 6)},
        {"evaluation": EvaluationProtocol(10, 5, deterministic=False)},
        {"hyperparameters": {"gamma": 0.9, "tau": 0.2}},
        {"hyperparameters": {"gamma": 0.9}},
    ],
)
def test_whatever_changes_the_result_changes_the_identity(change):
    assert dataclasses.replace(CONFIGURATION, **change).key != CONFIGURATION.key


@pytest.mark.parametrize("change", [{"algorithm": "theirs"}, {"hyperparameters": {"tau": 0.1, "gamma": 0.9}}])
def test_names_and_order_do_not_change_the_identity(change):
    assert dataclasses.replace(CONFIGURATION, **change).key == CONFIGURATION.key


def test_runs_of_two_seeds_are_different():
    assert Run(CONFIGURATION, 0).id != Run(CONFIGURATION, 1).id


def test_the_last_evaluation_is_at_the_end():
    assert EvaluationProtocol(3, 1).steps(100) == [33, 66, 100]
