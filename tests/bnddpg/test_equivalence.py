"""With its presets BNDDPG is SB3's DDPG, or TD3, update for update."""

import numpy as np
import pytest
import torch as th
from stable_baselines3 import DDPG, TD3
from stable_baselines3.common.logger import configure
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from sb3_dpg import BNDDPG


def fill(model, n_transitions: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(n_transitions):
        obs, next_obs = rng.normal(size=(2, 1, 3)).astype(np.float32)
        action = rng.uniform(-1, 1, size=(1, 1)).astype(np.float32)
        terminated = rng.random(1) < 0.1
        model.replay_buffer.add(obs, next_obs, action, rng.normal(size=1), terminated, [{}])


def flat(model) -> th.Tensor:
    """All weights in one order: our critics are one ensemble, SB3's one after the other."""
    tensors = []
    for network in (model.actor, model.actor_target, model.critic, model.critic_target):
        state = network.state_dict()
        n_critics = getattr(network, "n_critics", 1)
        if isinstance(model, BNDDPG) and network in (model.critic, model.critic_target):
            tensors += [tensor[i].flatten() for i in range(n_critics) for tensor in by_layer(state)]
        else:
            tensors += [tensor.flatten() for tensor in state.values()]
    return th.cat(tensors)


def by_layer(state: dict[str, th.Tensor]) -> list[th.Tensor]:
    """Weight and bias of each layer, in the order of the layers."""
    return [tensor for name, tensor in state.items() if name.startswith(("head", "output"))]


def losses(model, n_updates: int) -> np.ndarray:
    """One row of (critic loss, latest actor loss) per update."""
    model.set_logger(configure(None, []))
    np.random.seed(1)
    th.manual_seed(1)
    rows = []
    for _ in range(n_updates):
        model.train(1, batch_size=32)
        values = model.logger.name_to_value
        rows.append((values["train/critic_loss"], values.get("train/actor_loss", 0.0)))
    return np.array(rows)


@pytest.mark.parametrize(
    ("reference_class", "preset"), [(DDPG, BNDDPG.ddpg_kwargs), (TD3, BNDDPG.td3_kwargs)], ids=["ddpg", "td3"]
)
def test_presets_are_sb3(reference_class, preset):
    reference = reference_class("MlpPolicy", "Pendulum-v1", seed=3, device="cpu", buffer_size=1000)
    model = BNDDPG("MlpPolicy", "Pendulum-v1", seed=3, device="cpu", **preset(buffer_size=1000))
    assert th.equal(flat(model), flat(reference))  # the same seed gives the same initial weights
    start = flat(model).clone()

    fill(reference, 500)
    fill(model, 500)
    np.testing.assert_allclose(losses(model, 100), losses(reference, 100), rtol=1e-3, atol=1e-5)
    # Rounding, while weights move by up to 0.1
    assert th.allclose(flat(model), flat(reference), atol=1e-5)
    assert (flat(model) - start).abs().max() > 0.03


class Backbone(BaseFeaturesExtractor):
    """Features by a network that it is given: one that actor and critic have in common."""

    def __init__(self, observation_space, net):
        super().__init__(observation_space, 8)
        self.net = net

    def forward(self, observations):
        return self.net(observations)


def test_a_network_that_both_were_given_learns_from_both_losses():
    changes = []
    for algorithm, kwargs in ((DDPG, {}), (BNDDPG, BNDDPG.ddpg_kwargs())):
        th.manual_seed(0)
        net = th.nn.Linear(3, 8)
        before = net.weight.detach().clone()
        policy_kwargs = dict(features_extractor_class=Backbone, features_extractor_kwargs=dict(net=net), net_arch=[8])
        kwargs = kwargs | dict(tau=1e-9, policy_kwargs=kwargs.get("policy_kwargs", {}) | policy_kwargs)
        model = algorithm("MlpPolicy", "Pendulum-v1", seed=3, device="cpu", buffer_size=1000, **kwargs)
        fill(model, 100)
        # The critic's own rate is 0: what moves, moves by the actor's loss
        model.critic.optimizer.step = lambda: None
        losses(model, 5)
        changes.append(net.weight.detach() - before)
    assert changes[0].abs().max() > 1e-3
    th.testing.assert_close(changes[1], changes[0], rtol=1e-3, atol=1e-6)


def test_whole_training_of_ddpg_starts_alike():
    """The loop around the updates is SB3's as well: exploration, storage and sampling draw the same numbers."""
    weights = []
    for algorithm, kwargs in ((DDPG, {}), (BNDDPG, BNDDPG.ddpg_kwargs())):
        kwargs = kwargs | dict(batch_size=32, learning_starts=50)
        model = algorithm("MlpPolicy", "Pendulum-v1", seed=0, device="cpu", **kwargs)
        if algorithm is BNDDPG:
            with pytest.warns(UserWarning, match="MountainCarContinuous"):
                model.learn(100)
        else:
            model.learn(100)
        weights.append(flat(model))
    assert th.allclose(*weights, atol=1e-5)


@pytest.mark.parametrize("optimizer_class", [th.optim.Adam, th.optim.AdamW])
def test_presets_keep_the_betas_of_an_adam_that_is_named(optimizer_class):
    policy_kwargs = BNDDPG.td3_kwargs(policy_kwargs=dict(optimizer_class=optimizer_class))["policy_kwargs"]
    model = BNDDPG("MlpPolicy", "Pendulum-v1", **BNDDPG.td3_kwargs(policy_kwargs=policy_kwargs), buffer_size=10)
    assert model.critic.optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    paper = BNDDPG.paper_kwargs(policy_kwargs=dict(optimizer_class=optimizer_class))["policy_kwargs"]
    assert paper["critic_optimizer_kwargs"] == dict(weight_decay=1e-2)
    of_sgd = BNDDPG.paper_kwargs(policy_kwargs=dict(optimizer_class=th.optim.SGD))["policy_kwargs"]
    assert of_sgd["critic_optimizer_kwargs"] == of_sgd["optimizer_kwargs"] == {}


def test_presets_take_further_arguments():
    kwargs = BNDDPG.td3_kwargs(policy_kwargs=dict(net_arch=[64]), gamma=0.9, tau=0.01)
    optimizers = dict(optimizer_kwargs=dict(betas=(0.9, 0.999)), critic_optimizer_kwargs={})
    assert kwargs["policy_kwargs"] == dict(net_arch=[64], n_critics=2, **optimizers)
    assert (kwargs["gamma"], kwargs["tau"], kwargs["policy_delay"]) == (0.9, 0.01, 2)
    # New at every call
    kwargs["policy_kwargs"]["n_critics"] = 5
    assert BNDDPG.td3_kwargs()["policy_kwargs"]["n_critics"] == 2
    assert BNDDPG.paper_kwargs(pixels=True, batch_size=32)["batch_size"] == 32
    paper = BNDDPG.paper_kwargs(policy_kwargs=dict(optimizer_kwargs=dict(eps=1e-5)))["policy_kwargs"]
    assert paper["optimizer_kwargs"] == dict(betas=(0.9, 0.999), eps=1e-5)
    assert paper["critic_optimizer_kwargs"] == dict(weight_decay=1e-2)
    # SGD knows no betas
    other = dict(optimizer_class=th.optim.SGD, optimizer_kwargs=dict(momentum=0.9))
    kwargs = BNDDPG.ddpg_kwargs(policy_kwargs=other)
    assert kwargs["policy_kwargs"]["optimizer_kwargs"] == dict(momentum=0.9)
    assert BNDDPG("MlpPolicy", "Pendulum-v1", buffer_size=10, **kwargs).actor.optimizer.param_groups[0]["momentum"] == 0.9
