"""The variants of the ablation differ from the default in what they are named after, and train."""

import copy

import pytest
import torch as th

from sb3_dpg import BNDDPG
from sb3_dpg.benchmark.plan import load_plan
from sb3_dpg.bnddpg.bnddpg import DEFAULT_ACTION_NOISE
from sb3_dpg.bnddpg.policies import Critic
from scripts import ablation

VARIANTS = {
    entry.algorithm: {key: value for key, value in entry.hyperparameters.items() if key != "n_timesteps"}
    for entry in load_plan(ablation.PLAN).configurations
}


def make(variant: str) -> BNDDPG:
    kwargs = dict(VARIANTS[variant])
    policy = kwargs.pop("policy")
    policy = getattr(ablation, policy.rpartition(".")[2], policy)
    return BNDDPG(policy, "Pendulum-v1", seed=0, batch_size=8, learning_starts=8, buffer_size=20, **kwargs)


@pytest.mark.filterwarnings("ignore:.*neither batch_norm nor target_networks:UserWarning")
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_changes_one_thing_and_trains(variant: str) -> None:
    changed = [key for key, value in VARIANTS[variant].items() if value != VARIANTS["default"].get(key)]
    assert len(changed) == {"default": 0, "no batch norm but targets": 2, "no delay": 2}.get(variant, 1)
    model = make(variant)
    before = copy.deepcopy(model.policy.state_dict())
    model.learn(10)
    assert model._n_updates == 2
    after = model.policy.state_dict()
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert any(not tensor.equal(before[name]) for name, tensor in after.items() if name.startswith("critic."))


def test_noise_differs_in_what_it_is_named_after() -> None:
    # About the mean of the one that fades
    assert VARIANTS["constant noise"]["action_noise"] == {**DEFAULT_ACTION_NOISE, "std": 0.3, "hold": {"probability": 0.02}}
    white = {"type": "normal", "std": DEFAULT_ACTION_NOISE["std"], "hold": DEFAULT_ACTION_NOISE["hold"]}
    assert VARIANTS["white noise"]["action_noise"] == white
    assert {**VARIANTS["no held offsets"]["action_noise"], "hold": DEFAULT_ACTION_NOISE["hold"]} == DEFAULT_ACTION_NOISE


def test_without_an_averaged_actor_the_one_that_learns_acts() -> None:
    for variant, is_equal in (("no averaged actor", True), ("default", False)):
        model = make(variant)
        model.policy.n_averaged = 1
        with th.no_grad():
            for parameter in model.actor.parameters():
                parameter.add_(0.1)
        observations = th.randn(4, 3)
        assert model.policy._predict(observations).equal(model.actor(observations)) is is_equal


def test_separate_passes_have_their_own_statistics() -> None:
    critic = make("separate passes").critic
    first, second, reference = (copy.deepcopy(critic) for _ in range(3))
    obs, actions = th.randn(16, 3) + th.arange(16).reshape(16, 1), th.rand(16, 1)
    values = critic.q_values(obs, actions, train=True)
    expected = [
        Critic.q_values(network, obs[half], actions[half], train=True)
        for network, half in ((first, slice(8)), (second, slice(8, 16)))
    ]
    th.testing.assert_close(values, th.cat(expected, dim=1))
    assert not th.allclose(values, Critic.q_values(reference, obs, actions, train=True), atol=1e-2)
    # As the default in evaluation
    assert critic.q_values(obs, actions).equal(Critic.q_values(critic, obs, actions))
