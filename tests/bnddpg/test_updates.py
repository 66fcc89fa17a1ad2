"""Which parameters an update moves, and by whose loss; compiled updates, and updates in mixed precision."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from torch import nn

from sb3_dpg import BNDDPG
from sb3_dpg.bnddpg import bnddpg
from sb3_dpg.bnddpg.bnddpg import has_bfloat16
from tests.algorithms import make_filled


class Features(BaseFeaturesExtractor):
    """A features extractor that has something to learn."""

    def __init__(self, observation_space):
        super().__init__(observation_space, 8)
        self.net = nn.Linear(observation_space.shape[0], 8)

    def forward(self, observations):
        return self.net(observations)


def moved(model: BNDDPG, module: nn.Module) -> float:
    """:return: How far the module's parameters move in one update, the largest of all"""
    before = [parameter.detach().clone() for parameter in module.parameters()]
    model.train(1, batch_size=16)
    return max(float((new.detach() - old).abs().max()) for new, old in zip(module.parameters(), before, strict=True))


def weights(model: BNDDPG) -> th.Tensor:
    return th.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_shared_extractor_moves_with_the_actor_alone(batch_norm):
    shared = dict(features_extractor_class=Features, share_features_extractor=True)
    model = make_filled(policy_kwargs=shared, policy_delay=2, batch_norm=batch_norm, target_networks=not batch_norm)
    moves = [moved(model, model.actor.features_extractor) for _ in range(6)]
    assert moves[::2] == [0.0, 0.0, 0.0], "an update of the critic moves nothing that is the actor's"
    # Adam moves by the learning rate at first, and by the actor's only once an update
    assert all(0 < move < 1.01 * model.learning_rate for move in moves[1::2])


@pytest.mark.parametrize("share", [True, False])
def test_values_have_gradients_in_the_critics_own_extractor(share):
    model = make_filled(policy_kwargs=dict(features_extractor_class=Features, share_features_extractor=share))
    data = model.replay_buffer.sample(16)
    sum(q_values.sum() for q_values in model.critic(data.observations, data.actions)).backward()
    gradients = [parameter.grad for parameter in model.critic.features_extractor.parameters()]
    assert [gradient is None for gradient in gradients] == [share, share]


def test_the_actors_rate_rises_over_the_warm_up():
    """Adam moves by the learning rate at first."""
    model = make_filled(policy_delay=1, actor_learning_rate=1e-3, actor_warmup=0.1)
    model._total_timesteps = 40
    rates = []
    for _ in range(6):
        model.train(1, batch_size=16)
        rates.append(model.actor.optimizer.param_groups[0]["lr"])
        assert model.critic.optimizer.param_groups[0]["lr"] == 1e-3
    assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])


def test_frozen_layers_stay_as_they_are():
    model = make_filled(policy_delay=1)
    model.train(5, batch_size=16)
    first = model.actor.mu[1]
    for parameter in first.parameters():
        parameter.requires_grad = False
    assert moved(model, first) == 0.0
    assert moved(model, model.actor) > 0.0


@pytest.mark.parametrize("name", ["actor", "critic"])
def test_one_network_can_be_trained_alone(name):
    model = make_filled(policy_delay=1)
    frozen = getattr(model, name)
    frozen.requires_grad_(False)
    assert moved(model, frozen) == 0.0
    assert moved(model, model.critic if name == "actor" else model.actor) > 0.0


def test_networks_learn_whatever_acted_last():
    model = make_filled(policy_delay=1)
    model.train(1, batch_size=16)
    model.actor.predict(np.zeros(3, np.float32))
    before = model.actor.mu[0].running_mean.clone()
    model.train(1, batch_size=16)
    assert not th.equal(model.actor.mu[0].running_mean, before)


@pytest.fixture
def traced_only(monkeypatch):
    """``th.compile`` without the C++ compiler, which takes a minute."""
    compile_ = th.compile
    monkeypatch.setattr(bnddpg, "compiled", lambda function: compile_(function, backend="eager"))


def gradients(model: BNDDPG) -> list[th.Tensor]:
    """:return: Both losses at the initial weights, as training computes them, and their gradients"""
    np.random.seed(1)
    th.manual_seed(1)
    data = model.replay_buffer.sample(16)
    critic_loss, actor_loss = BNDDPG.critic_loss, BNDDPG.actor_loss
    if model.compile:
        critic_loss, actor_loss = bnddpg.compiled(critic_loss), bnddpg.compiled(actor_loss)
    next_actions = model.next_actions(data.next_observations)
    losses = ((model.critic, critic_loss(model, data, next_actions)), (model.actor, actor_loss(model, data)))
    results = []
    for network, loss in losses:
        results += [loss.detach(), *th.autograd.grad(loss, list(network.parameters()))]
    return results


# Gradients, not weights: Adam makes steps of what is zero but for rounding, as a shift's before a normalised layer
def assert_compiled_as_eager(batch_norm: bool) -> None:
    kwargs = dict(batch_norm=batch_norm, target_networks=not batch_norm)
    traced, eager = (gradients(make_filled(compile=how, **kwargs)) for how in (True, False))
    for ours, expected in zip(traced, eager, strict=True):
        assert th.allclose(ours, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_traced_losses_are_the_same(batch_norm, traced_only):
    assert_compiled_as_eager(batch_norm)


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", [True, False])
def test_compiled_losses_are_the_same(batch_norm):
    assert_compiled_as_eager(batch_norm)


def test_a_deep_copy_with_compiled_losses_learns(traced_only):
    model = make_filled(compile=True, policy_delay=1)
    model.train(1, batch_size=16)
    duplicate = copy.deepcopy(model)
    before = weights(model).clone()
    assert moved(duplicate, duplicate.actor) > 0.0
    assert moved(duplicate, duplicate.critic) > 0.0
    assert th.equal(weights(model), before)


def test_mixed_precision_is_for_products_alone():
    model = make_filled(mixed_precision=True, policy_delay=1)
    types = {}
    for name, layer in (("hidden", model.critic.head[0]), ("values", model.critic.output), ("mu", model.actor.mu[1])):
        layer.register_forward_hook(lambda _, inputs, output, name=name: types.update({name: output.dtype}))
    model.train(2, batch_size=16)
    assert types == dict(hidden=th.bfloat16, values=th.float32, mu=th.bfloat16)
    parameters = list(model.policy.parameters())
    moments = [value for network in (model.actor, model.critic) for value in network.optimizer.state.values()]
    assert {parameter.dtype for parameter in parameters} == {th.float32}
    assert {tensor.dtype for state in moments for tensor in state.values()} == {th.float32}
    assert {buffer.dtype for buffer in model.policy.buffers()} == {th.float32, th.int64}
    types.clear()
    model.actor.predict(np.zeros(3, np.float32))
    assert types == dict(mu=th.float32), "acting is in full precision"


@pytest.mark.parametrize("batch_norm", [True, False])
def test_automatic_mixed_precision_is_for_normalised_observations(batch_norm, monkeypatch):
    """bfloat16 does not tell an observation of 100.2 from one of 100."""
    monkeypatch.setattr("sb3_dpg.bnddpg.bnddpg.has_bfloat16", lambda device: True)
    model = make_filled(batch_norm=batch_norm, target_networks=not batch_norm)
    types = []
    model.critic.head[0].register_forward_hook(lambda *args: types.append(args[2].dtype))
    model.train(1, batch_size=16)
    assert set(types) == {th.bfloat16 if batch_norm else th.float32}


@pytest.mark.parametrize(("instructions", "library"), [(True, True), (True, False), (False, True)])
def test_bfloat16_needs_instructions_and_a_library(instructions, library, monkeypatch):
    monkeypatch.setattr(th.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": instructions}, raising=False)
    monkeypatch.setattr(th.backends.mkldnn, "is_available", lambda: library)
    assert has_bfloat16(th.device("cpu")) is (instructions and library)
    assert not has_bfloat16(th.device("cuda"))


class Graph(Features):
    """Adds what a layer gives to a tensor of zeros: under autocast of another type."""

    def forward(self, observations):
        indices = th.arange(len(observations))
        return th.zeros(len(observations), 8).index_add(0, indices, self.net(observations))


class GraphOfSB3s(FlattenExtractor):
    """What is made of one of SB3's is no longer SB3's."""

    def __init__(self, observation_space):
        super().__init__(observation_space)
        self.layer = nn.Linear(3, 3)

    def forward(self, observations):
        return th.zeros(len(observations), 3).index_put((th.arange(len(observations)),), self.layer(observations))


@pytest.mark.parametrize("extractor", [Graph, GraphOfSB3s])
def test_mixed_precision_is_not_for_features_of_others(extractor):
    model = make_filled(mixed_precision=True, policy_delay=1, policy_kwargs=dict(features_extractor_class=extractor))
    assert moved(model, model.actor.features_extractor) > 0.0
    assert moved(model, model.critic.features_extractor) > 0.0


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("compile", [True, False])
def test_mixed_precision_has_nearly_the_same_gradients(batch_norm, compile, traced_only):
    kwargs = dict(batch_norm=batch_norm, target_networks=not batch_norm)
    full = gradients(make_filled(**kwargs))
    with th.autocast("cpu", th.bfloat16):
        mixed = gradients(make_filled(compile=compile, **kwargs))
    assert any(not th.equal(ours, expected) for ours, expected in zip(mixed, full, strict=True))
    ours, expected = (th.cat([tensor.flatten() for tensor in tensors]) for tensors in (mixed, full))
    assert float((ours - expected).norm() / expected.norm()) < 0.02


def test_mixed_precision_lets_a_saturated_actor_come_back():
    """Between 0.5 and 1 bfloat16 has steps of 1/256: tanh(5) is 1 in it, without a gradient."""
    actor = make_filled().actor
    with th.no_grad():
        actor.mu[-1].bias.fill_(5.0)
    gradients = []
    for enabled in (False, True):
        with th.autocast("cpu", th.bfloat16, enabled=enabled):
            loss = actor(th.zeros(4, 3), train=True).sum()
        (gradient,) = th.autograd.grad(loss, actor.mu[-1].bias)
        gradients.append(gradient)
    assert gradients[0].min() > 0.0
    th.testing.assert_close(gradients[1], gradients[0], rtol=0.1, atol=0.0)


def test_mixed_precision_casts_the_weights_anew_for_each_loss():
    """PyTorch keeps what it cast until its context ends."""
    at_once, one_by_one = (make_filled(mixed_precision=True, policy_delay=1) for _ in range(2))
    for model, pieces in ((at_once, [4]), (one_by_one, [1, 1, 1, 1])):
        np.random.seed(1)
        th.manual_seed(1)
        for gradient_steps in pieces:
            model.train(gradient_steps, batch_size=16)
    assert th.equal(weights(at_once), weights(one_by_one))


@pytest.mark.parametrize("kwargs", [dict(), dict(compile=True), BNDDPG.td3_kwargs()], ids=["default", "compile", "td3"])
def test_a_model_is_freed_when_nobody_needs_it(kwargs):
    models = [BNDDPG("MlpPolicy", "Pendulum-v1", device="cpu", **kwargs | dict(buffer_size=100))]
    gc.collect()
    gc.disable()
    try:
        references = [weakref.ref(models[0]), weakref.ref(models[0].replay_buffer), weakref.ref(models[0].policy)]
        models.clear()
        assert [reference() is None for reference in references] == [True, True, True]
    finally:
        gc.enable()
