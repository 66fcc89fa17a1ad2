"""Which pass uses which batch-norm statistics, and which one moves them."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.logger import configure
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn
from torch.nn import functional as F

from sb3_dpg import BNDDPG
from sb3_dpg.common.batch_norm import BatchNormStatistics

MODES = ("joint", "target-batch", "running")


class NormExtractor(BaseFeaturesExtractor):
    """A user's features extractor with batch-norm layers of its own."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 8)
        self.net = nn.Sequential(nn.Linear(observation_space.shape[0], 8), nn.BatchNorm1d(8), nn.ReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.net(observations)


def make_model(**kwargs) -> BNDDPG:
    policy_kwargs = dict(net_arch=[16, 16]) | kwargs.pop("policy_kwargs", {})
    model = BNDDPG("MlpPolicy", "Pendulum-v1", seed=0, device="cpu", buffer_size=500, policy_kwargs=policy_kwargs, **kwargs)
    rng = np.random.default_rng(0)
    for _ in range(300):
        obs, next_obs = rng.normal(size=(2, 1, 3)).astype(np.float32)
        action = rng.uniform(-1, 1, size=(1, 1)).astype(np.float32)
        model.replay_buffer.add(obs, next_obs + 2, action, rng.normal(size=1), np.zeros(1), [{}])
    model.set_logger(configure(None, []))
    return model


def count_moves(network: nn.Module) -> list[list[bool]]:
    """For each batch-norm layer, whether each pass through it from now on moves its running statistics."""

    def watch(layer: nn.Module) -> list[bool]:
        passes: list[bool] = []
        before: list[th.Tensor] = []
        running_mean = next(layer.buffers())
        layer.register_forward_pre_hook(lambda *_: before.append(running_mean.clone()))
        layer.register_forward_hook(lambda *_: passes.append(not th.equal(before.pop(), running_mean)))
        return passes

    return [watch(layer) for layer in BatchNormStatistics(network).layers]


def copies(network: nn.Module) -> list[th.Tensor]:
    return [buffer.clone() for buffer in BatchNormStatistics(network).buffers]


def unchanged(network: nn.Module, before: list[th.Tensor]) -> bool:
    return all(th.equal(new, old) for new, old in zip(BatchNormStatistics(network).buffers, before, strict=True))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("renorm", [False, True])
def test_statistics_move_once_per_gradient_step(mode, renorm):
    model = make_model(batch_norm_mode=mode, policy_delay=2, policy_kwargs=dict(renorm=renorm, n_critics=2))
    critic, actor = count_moves(model.critic), count_moves(model.actor)
    model.train(6, batch_size=32)
    assert len(critic) == 6  # two networks: input and two hidden layers
    assert [sum(passes) for passes in critic] == [6] * 6
    assert [sum(passes) for passes in actor] == [3] * 3
    # The first network is passed by the actor's loss too
    assert [len(passes) for passes in critic] == [9] * 3 + [6] * 3


@pytest.mark.parametrize("mode", MODES)
def test_statistics_of_a_shared_extractor_move_with_the_actor(mode):
    model = make_model(
        batch_norm_mode=mode,
        policy_delay=2,
        policy_kwargs=dict(features_extractor_class=NormExtractor, share_features_extractor=True),
    )
    model.train(1, batch_size=32)
    before = copies(model.critic.features_extractor)
    assert th.equal(before[0], th.zeros(8))  # one update of the critic alone has left the running mean at its start
    model.train(1, batch_size=32)
    assert not unchanged(model.critic.features_extractor, before)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("renorm", [False, True])
def test_actor_loss_leaves_the_critic_alone(mode, renorm):
    model = make_model(batch_norm_mode=mode, policy_kwargs=dict(renorm=renorm))
    model.train(3, batch_size=32)
    model.policy.set_training_mode(True)
    before = copies(model.critic)
    loss = model.actor_loss(model.replay_buffer.sample(32))
    assert unchanged(model.critic, before)
    assert all(layer.training for layer in BatchNormStatistics(model.critic).layers)
    loss.backward(inputs=list(model.actor.parameters()))
    assert max(p.grad.abs().max() for p in model.actor.parameters() if p.grad is not None) > 0


def test_predict_moves_nothing():
    model = make_model()
    model.train(3, batch_size=32)
    model.policy.set_training_mode(True)
    before = copies(model.policy)
    model.predict(np.ones((7, 3), dtype=np.float32))
    assert unchanged(model.policy, before)


def test_target_statistics_are_copies_in_the_mode_running():
    model = make_model(batch_norm_mode="running", policy_delay=2)
    model.train(2, batch_size=32)
    assert unchanged(model.critic_target, copies(model.critic))
    assert unchanged(model.actor_target, copies(model.actor))
    before = copies(model.critic_target)
    model.train(1, batch_size=32)  # no update of the targets: their statistics stay, whatever their own passes used
    assert unchanged(model.critic_target, before)


def test_target_statistics_of_an_extractor_are_copies_without_batch_norm():
    model = make_model(batch_norm_mode="none", policy_kwargs=dict(features_extractor_class=NormExtractor))
    start = copies(model.critic_target)
    model.train(2, batch_size=32)
    assert unchanged(model.critic_target, copies(model.critic))
    assert not unchanged(model.critic_target, start)


@pytest.mark.parametrize("mode", ["joint", "target-batch"])
@pytest.mark.parametrize("renorm", [False, True])
def test_target_statistics_are_the_target_networks_own(mode, renorm):
    """Averages of what their own layers saw."""
    model = make_model(batch_norm_mode=mode, policy_kwargs=dict(renorm=renorm, batch_norm_momentum=0.2), tau=0.001)
    for network in (model.actor_target, model.critic_target):
        layer = BatchNormStatistics(network).layers[-1]
        expected = next(layer.buffers()).clone()

        def follow(layer: nn.Module, inputs: tuple[th.Tensor], expected: th.Tensor = expected) -> None:
            expected += 0.2 * (inputs[0].mean(0) - expected)

        layer.register_forward_pre_hook(follow)
        model.train(20, batch_size=32)
        th.testing.assert_close(next(layer.buffers()), expected)
    assert not unchanged(model.critic_target, copies(model.critic))


def normalise(x: th.Tensor, mean: th.Tensor, var: th.Tensor) -> th.Tensor:
    return (x - mean) / th.sqrt(var + 1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_critic_loss_by_hand(mode):
    """The loss of a critic without hidden layers, recomputed from the formula of each mode."""
    model = make_model(batch_norm_mode=mode, policy_kwargs=dict(net_arch=dict(pi=[8], qf=[])))
    model.train(5, batch_size=32)
    model.policy.set_training_mode(True)
    data = model.replay_buffer.sample(32)
    running = model.critic_target.q_networks[0].head[0]
    running_mean, running_var = running.running_mean.clone(), running.running_var.clone()
    actor_target = model.actor_target
    for layer in BatchNormStatistics(actor_target).layers:
        layer.training = mode != "running"
    with th.no_grad():
        next_actions = actor_target(data.next_observations)
    loss = model.critic_loss(data).item()

    pairs = th.cat([data.observations, data.actions], dim=1)
    next_pairs = th.cat([data.next_observations, next_actions], dim=1)
    own = lambda x: (x.mean(0), x.var(0, unbiased=False))  # noqa: E731
    joint = own(th.cat([pairs, next_pairs]))
    statistics = {"joint": (joint, joint), "target-batch": (own(pairs), own(next_pairs))}
    current, following = statistics.get(mode, (own(pairs), (running_mean, running_var)))
    with th.no_grad():
        weight, bias = (model.critic.q_networks[0].head[1].weight, model.critic.q_networks[0].head[1].bias)
        norm = model.critic.q_networks[0].head[0]
        target_norm, target_out = model.critic_target.q_networks[0].head
        q = (normalise(pairs, *current) * norm.weight + norm.bias) @ weight.T + bias
        next_q = target_out(normalise(next_pairs, *following) * target_norm.weight + target_norm.bias)
        expected = F.mse_loss(q, data.rewards + 0.99 * next_q).item()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_modes_differ():
    """The three uses of the statistics are three different losses on one batch, so that no mode is another one's name."""
    values = []
    for mode in MODES:
        model = make_model(batch_norm_mode=mode)
        np.random.seed(0)
        model.policy.set_training_mode(True)
        values.append(model.critic_loss(model.replay_buffer.sample(64)).item())
    assert len({round(value, 4) for value in values}) == 3


def test_from_batch_and_from_running_restore_after_an_error():
    network = nn.Sequential(nn.BatchNorm1d(2)).eval()
    statistics = BatchNormStatistics(network)
    for context in (statistics.from_batch, statistics.from_running):
        with pytest.raises(RuntimeError, match="inside"), context():
            raise RuntimeError("inside")
        assert (network[0].training, network[0].momentum) == (False, 0.1)


def test_copy_between_different_networks_is_refused():
    with pytest.raises(ValueError, match="cannot copy"):
        BatchNormStatistics(nn.BatchNorm1d(2)).copy_from(BatchNormStatistics(nn.Linear(2, 2)))
