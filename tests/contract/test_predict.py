"""``predict`` and the attributes that scripts read."""

from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from tests.algorithms import VARIANTS
from tests.contract.scripts import OURS, Observed, build, trained

BATCH = np.linspace(-0.9, 0.9, 12, dtype=np.float32).reshape(4, 3)


def shapes(model: OffPolicyAlgorithm) -> list[Any]:
    outcomes: list[Any] = []
    for observation in (BATCH, BATCH[:1], BATCH[0], BATCH.astype(np.float64), BATCH[0].tolist()):
        action, state = model.predict(np.asarray(observation), deterministic=True)
        outcomes.append((action.shape, action.dtype, state))
    return outcomes


@pytest.mark.parametrize("name", OURS)
def test_with_and_without_batch_axis(name: str) -> None:
    model = trained(name)
    assert shapes(model) == shapes(trained("ddpg"))
    actions = model.predict(BATCH)[0]
    rows = np.stack([model.predict(row)[0] for row in BATCH])
    np.testing.assert_allclose(actions, rows, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OURS)
def test_deterministic_policies_have_no_other_action(name: str) -> None:
    model = trained(name)
    actions = [model.predict(BATCH, deterministic=flag)[0] for flag in (True, False, True)]
    np.testing.assert_array_equal(actions[0], actions[1])
    np.testing.assert_array_equal(actions[0], actions[2])


@pytest.mark.parametrize("bad", [np.zeros(4, np.float32), np.zeros((2, 5), np.float32), {"a": np.zeros(3)}], ids=repr)
@pytest.mark.parametrize("name", OURS)
def test_observations_that_do_not_fit(name: str, bad: Any) -> None:
    errors = []
    for model in (build("ddpg"), build(name)):
        with pytest.raises((AssertionError, ValueError)) as info:
            model.predict(bad)
        errors.append((info.type, str(info.value)))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("name", OURS)
def test_predict_leaves_training_alone(name: str) -> None:
    model = trained(name)
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    random = th.get_rng_state()
    evaluate_policy(model, Observed(), n_eval_episodes=2, warn=False)
    assert th.equal(random, th.get_rng_state())
    assert all(th.equal(value, before[key]) for key, value in model.policy.state_dict().items())


@pytest.mark.parametrize("name", OURS)
def test_attributes_of_ddpg(name: str) -> None:
    model, reference = trained(name), trained("ddpg")
    public = {attribute for attribute in dir(reference) if not attribute.startswith("_")}
    # TD3's attributes for SB3's own, partial, batch normalisation
    public -= {attribute for attribute in public if "batch_norm_stats" in attribute}
    if name == "bnddpg":
        public -= {"actor_target", "critic_target"}
    if name.startswith("copdacq"):
        # No target networks, and actor and critic are not always networks
        public -= {"actor", "actor_target", "critic", "critic_target"}
        public -= {"policy_delay", "target_policy_noise", "target_noise_clip"}
    assert public <= set(dir(model))
    assert VARIANTS[name].policy in type(model).policy_aliases
