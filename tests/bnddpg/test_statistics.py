"""Which pass uses which batch-norm statistics, and which one moves them."""

import threading
import time

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn
from torch.nn import functional as F

from sb3_dpg import BNDDPG
from sb3_dpg.bnddpg.policies import Actor, BNDDPGPolicy
from sb3_dpg.common.torch_layers import batch_norm_layers
from tests.algorithms import make_filled

TARGETS = (False, True)
# Next states are far from the states, so that one batch's statistics are not the other's
FILLED = dict(transitions=300, shift=2.0, buffer_size=500)


class NormExtractor(BaseFeaturesExtractor):
    """A user's features extractor with batch-norm layers of its own."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 8)
        self.net = nn.Sequential(nn.Linear(observation_space.shape[0], 8), nn.BatchNorm1d(8), nn.ReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.net(observations)


def count_moves(network: nn.Module) -> list[list[bool]]:
    """For each batch-norm layer, whether each pass through it from now on moves its running statistics."""

    def watch(layer: nn.Module) -> list[bool]:
        passes: list[bool] = []
        before: list[th.Tensor] = []
        layer.register_forward_pre_hook(lambda *_: before.append(layer.running_mean.clone()))
        layer.register_forward_hook(lambda *_: passes.append(not th.equal(before.pop(), layer.running_mean)))
        return passes

    return [watch(layer) for layer in batch_norm_layers(network)]


def statistics(network: nn.Module) -> list[th.Tensor]:
    return [buffer.clone() for layer in batch_norm_layers(network) for buffer in layer.buffers()]


def unchanged(network: nn.Module, before: list[th.Tensor]) -> bool:
    return all(th.equal(new, old) for new, old in zip(statistics(network), before, strict=True))


@pytest.mark.parametrize("target_networks", TARGETS)
def test_statistics_move_once_per_gradient_step(target_networks):
    model = make_filled(**FILLED, target_networks=target_networks, policy_delay=2, policy_kwargs=dict(net_arch=[16, 16]))
    critic, actor = count_moves(model.critic), count_moves(model.actor)
    model.train(6, batch_size=32)
    assert len(critic) == len(actor) == 3  # input and two hidden layers
    assert [sum(passes) for passes in critic] == [6] * 3
    assert [sum(passes) for passes in actor] == [3] * 3
    # The actor's loss passes the critic too; the next actions are the actor's, where there is no target actor
    assert [len(passes) for passes in critic] == [9] * 3
    assert [len(passes) for passes in actor] == [3 if target_networks else 9] * 3


@pytest.mark.parametrize("target_networks", TARGETS)
def test_statistics_of_a_shared_extractor_move_with_the_actor(target_networks):
    model = make_filled(
        **FILLED,
        target_networks=target_networks,
        policy_delay=2,
        policy_kwargs=dict(features_extractor_class=NormExtractor, share_features_extractor=True),
    )
    model.train(1, batch_size=32)
    before = statistics(model.critic.features_extractor)
    assert th.equal(before[0], th.zeros(8))  # one update of the critic alone has left the running mean at its start
    model.train(1, batch_size=32)
    assert not unchanged(model.critic.features_extractor, before)


@pytest.mark.parametrize("target_networks", TARGETS)
def test_actor_loss_leaves_the_critic_alone(target_networks):
    model = make_filled(**FILLED, target_networks=target_networks)
    model.train(3, batch_size=32)
    before = statistics(model.critic)
    loss = model.actor_loss(model.replay_buffer.sample(32))
    assert unchanged(model.critic, before)
    loss.backward(inputs=list(model.actor.parameters()))
    assert max(p.grad.abs().max() for p in model.actor.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize("extractor", [None, NormExtractor])
@pytest.mark.parametrize("target_networks", TARGETS)
def test_looking_changes_nothing(target_networks, extractor):
    """After training, and on a loaded model before its first predict, every network is in evaluation mode."""
    policy_kwargs = {} if extractor is None else dict(features_extractor_class=extractor)
    model = make_filled(**FILLED, target_networks=target_networks, policy_kwargs=policy_kwargs)
    model.train(3, batch_size=32)
    before = statistics(model.policy)
    # SB3's switch has no say
    model.policy.set_training_mode(True)
    model.actor.set_training_mode(True)
    # Nor has PyTorch's
    model.policy.train()
    model.critic.train()
    observations, actions = th.ones(7, 3), th.zeros(7, 1)
    values, action = model.critic(observations, actions), model.actor(observations)
    for count in (1, 7):
        th.testing.assert_close(model.critic(observations[:count], actions[:count])[0], values[0][:count])
        th.testing.assert_close(model.actor(observations[:count]), action[:count])
        model.predict(np.ones((count, 3), dtype=np.float32))
    assert unchanged(model.policy, before)
    assert not any(module.training for module in model.policy.modules())


class Standardised(BaseFeaturesExtractor):
    """A user's features extractor that counts for itself."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, observation_space.shape[0])
        self.register_buffer("mean", th.zeros(self.features_dim))

    def forward(self, observations: th.Tensor) -> th.Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * observations.mean(dim=0)
        return observations - self.mean


@pytest.mark.parametrize("extractor", [NormExtractor, Standardised])
def test_target_statistics_of_an_extractor_are_copies_without_batch_norm(extractor):
    kwargs = dict(policy_kwargs=dict(features_extractor_class=extractor))
    model = make_filled(**FILLED, batch_norm=False, target_networks=True, policy_delay=1, **kwargs)
    start = [buffer.clone() for buffer in model.critic_target.buffers()]
    model.train(2, batch_size=32)
    for network, target in ((model.actor, model.actor_target), (model.critic, model.critic_target)):
        th.testing.assert_close(list(target.buffers()), list(network.buffers()), rtol=0, atol=0)
    assert not any(th.equal(new, old) for new, old in zip(model.critic_target.buffers(), start, strict=True))


class DropoutActor(Actor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.mu.insert(len(self.mu) - 1, nn.Dropout(0.5))


class DropoutPolicy(BNDDPGPolicy):
    def make_actor(self, features_extractor=None):
        return DropoutActor(**self._network_kwargs(self.actor_arch, features_extractor)).to(self.device)


def test_layers_that_a_subclass_adds_are_in_evaluation_mode():
    model = make_filled(policy=DropoutPolicy)
    model.train(3, batch_size=32)
    assert not any(module.training for module in model.policy.modules())
    observation = np.ones(3, dtype=np.float32)
    np.testing.assert_array_equal(model.predict(observation)[0], model.predict(observation)[0])


def test_no_gradient_flows_through_the_targets(monkeypatch):
    model, targets = make_filled(**FILLED), []
    target_values = model.target_values
    monkeypatch.setattr(model, "target_values", lambda *args: targets.append(target_values(*args)) or targets[-1])
    data = model.replay_buffer.sample(32)
    assert model.critic_loss(data, model.next_actions(data.next_observations)).requires_grad
    assert not targets[0].requires_grad


class TiedExtractor(BaseFeaturesExtractor):
    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 8)
        self.net = nn.Sequential(nn.Linear(observation_space.shape[0], 8), nn.Linear(8, 8), nn.Linear(8, 8))
        self.net[2].weight = self.net[1].weight

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.net(observations)


def test_tied_weights_are_averaged_once():
    model = make_filled(**FILLED, tau=0.25, policy_delay=1, policy_kwargs=dict(features_extractor_class=TiedExtractor))
    tied = model.policy.averaged_actor.features_extractor.net
    for weight in (1.0, 1 / 2, 1 / 3):
        expected = tied[1].weight.clone()
        model.train(1, batch_size=32)
        mean = (1 - weight) * expected + weight * model.actor.features_extractor.net[1].weight
        th.testing.assert_close(tied[1].weight, mean)
        assert tied[2].weight is tied[1].weight


def test_the_averaged_actor_follows_with_its_statistics():
    model = make_filled(**FILLED, tau=0.25, policy_delay=1)
    averaged = model.policy.averaged_actor
    for weight in (1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 4):
        expected = {name: tensor.clone() for name, tensor in averaged.state_dict().items()}
        model.train(1, batch_size=32)
        for name, tensor in model.actor.state_dict().items():
            if tensor.is_floating_point():
                mean = (1 - weight) * expected[name] + weight * tensor
                th.testing.assert_close(averaged.state_dict()[name], mean)
    assert not unchanged(averaged, statistics(model.actor))


def test_the_average_acts_and_the_actor_explores(monkeypatch):
    model = make_filled(**FILLED)
    model.policy.n_averaged = 1
    with th.no_grad():
        model.actor.mu[-1].bias.fill_(0.5)
        model.policy.averaged_actor.mu[-1].bias.fill_(-0.5)
        for actor in (model.actor, model.policy.averaged_actor):
            actor.mu[-1].weight.zero_()
    average, online = 2 * np.tanh(-0.5), 2 * np.tanh(0.5)
    observation = np.ones(3, dtype=np.float32)
    for deterministic in (True, False):
        assert model.predict(observation, deterministic=deterministic)[0].item() == pytest.approx(average)
    model._last_obs, model.num_timesteps = observation[None], 1000
    assert model._sample_action(1000)[0].item() == pytest.approx(online)
    presets = make_filled(**FILLED, **BNDDPG.td3_kwargs())
    assert not hasattr(presets.policy, "averaged_actor")


def normalise(x: th.Tensor, mean: th.Tensor, var: th.Tensor, eps: float) -> th.Tensor:
    return (x - mean) / th.sqrt(var + eps)


@pytest.mark.parametrize("target_networks", TARGETS)
def test_critic_loss_by_hand(target_networks):
    """The loss of two critics with one hidden layer, recomputed network by network."""
    model = make_filled(
        **FILLED, target_networks=target_networks, target_policy_noise=0.0, policy_kwargs=dict(net_arch=dict(pi=[8], qf=[5]))
    )
    model.train(5, batch_size=32)
    data = model.replay_buffer.sample(32)
    with th.no_grad():
        next_actions = (
            model.actor_target(data.next_observations, train=True) if target_networks else model.actor(data.next_observations)
        )

    def q_values(critic, i: int) -> th.Tensor:
        observations = th.cat([data.observations, data.next_observations])
        actions = th.cat([data.actions, next_actions])
        features = normalise(observations, observations.mean(0), observations.var(0, unbiased=False), 1e-14)
        first, norm, _ = critic.head
        hidden = th.cat([features, actions], dim=1) @ first.weight[i].T
        hidden = normalise(hidden, hidden.mean(0), hidden.var(0, unbiased=False), 1e-5)
        hidden = F.relu(hidden * norm.weight[5 * i : 5 * i + 5] + norm.bias[5 * i : 5 * i + 5])
        return hidden @ critic.output.weight[i].T + critic.output.bias[i]

    with th.no_grad():
        loss = model.critic_loss(data, model.next_actions(data.next_observations)).item()
        critic = model.critic_target if target_networks else model.critic
        both = [q_values(critic, i)[32:] for i in range(2)]
        next_q = 0.75 * th.minimum(*both) + 0.25 * th.maximum(*both)
        target = data.rewards + 0.99 * next_q
        expected = sum(F.mse_loss(q_values(model.critic, i)[:32], target) for i in range(2)).item()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_predict_and_training_do_not_disturb_each_other():
    """``predict`` in another thread while ``learn`` runs: no call fails, and the weights are those without it, bit for bit."""

    def trained(watched: bool) -> tuple[dict[str, th.Tensor], list[Exception]]:
        model = BNDDPG(
            "MlpPolicy", "Pendulum-v1", seed=0, device="cpu", learning_starts=20, buffer_size=500, batch_size=32,
            policy_kwargs=dict(net_arch=[16, 16]),
        )  # fmt: skip
        errors: list[Exception] = []
        done = threading.Event()

        def look() -> None:
            observation = np.ones(3, dtype=np.float32)
            while not done.is_set():
                try:
                    model.predict(observation)
                    model.actor.predict(observation)
                    model.critic(th.ones(1, 3), th.zeros(1, 1))
                    time.sleep(0.002)  # or the threads do nothing but hand the interpreter to each other
                except Exception as error:
                    errors.append(error)
                    return

        thread = threading.Thread(target=look)
        if watched:
            thread.start()
        try:
            model.learn(120)
        finally:
            done.set()
            if watched:
                thread.join()
        return {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}, errors

    alone, _ = trained(watched=False)
    watched, errors = trained(watched=True)
    assert errors == []
    assert all(th.equal(tensor, watched[name]) for name, tensor in alone.items())


class Scaled(gym.ObservationWrapper):
    """Observations in other units, or with a feature that is constant until late."""

    def __init__(self, scale: float = 1.0, offset: float = 0.0) -> None:
        super().__init__(gym.make("Pendulum-v1"))
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,))
        self.scale, self.offset = scale, offset

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return (self.scale * (observation + self.offset)).astype(np.float32)


def test_features_that_differ_by_rounding_alone_are_no_signal():
    """A network's features that are all but constant: of observations such differences would be normalised."""
    env = FakeImageEnv(screen_height=36, screen_width=36, discrete=False)
    model = BNDDPG("CnnPolicy", env, buffer_size=10, device="cpu")
    for norm in (model.actor.mu[0], model.critic.input_norm):
        features = 0.1 + 1e-7 * th.randn(64, norm.num_features)
        assert norm(features, train=True).abs().max() < 1e-3


@pytest.mark.parametrize(("scale", "offset"), [(1e-5, 0.0), (1e6, 0.0), (1e-5, 1e4), (1.0, 1e4), (1e3, 1e3)])
def test_observations_of_any_scale_are_normalised(scale, offset):
    """By the batch and by running statistics: what the first layer sees is what it sees of the plain observations."""
    seen = []
    for environment in (Scaled(), Scaled(scale, offset)):
        model = BNDDPG(
            "MlpPolicy",
            environment,
            seed=0,
            device="cpu",
            learning_starts=300,
            buffer_size=500,
            policy_kwargs=dict(net_arch=[8]),
        )
        with pytest.warns(UserWarning, match="will not learn"):
            model.learn(300)
        norm = model.actor.mu[0]
        observations = th.as_tensor(model.replay_buffer.observations[:300, 0])
        for _ in range(200):
            batch = norm(observations, train=True)
        seen.append((batch, norm(observations)))
    for plain, scaled in zip(*seen, strict=True):
        assert plain.std() == pytest.approx(1.0, abs=0.01)
        th.testing.assert_close(scaled, plain, atol=0.02, rtol=0.01)


@pytest.mark.parametrize("constant", [0.0, 0.1, 100.0, -3e4])
def test_a_feature_that_was_constant_for_long_and_then_moves_does_no_harm(constant):
    model = make_filled(**FILLED)
    norm = model.actor.mu[0]
    observations = th.randn(64, 3, generator=th.Generator().manual_seed(0))
    observations[:, 1] = constant
    for _ in range(3000):
        norm(observations, train=True)
    # While it is constant it says nothing
    assert norm(observations)[:, 1].abs().max() < 0.1
    moved = observations.clone()
    moved[:, 1] += 1.0
    assert norm(moved).abs().max() <= norm.clip
    th.testing.assert_close(norm(moved)[:, 0], norm(observations)[:, 0])


def test_weights_that_are_loaded_bring_their_average(tmp_path):
    model = make_filled(**FILLED, policy_delay=1)
    model.train(20, 16)
    model.save_weights(tmp_path / "weights.safetensors")
    for load in (
        lambda other: other.load_weights(tmp_path / "weights.safetensors"),
        lambda other: other.set_parameters(model.get_parameters()),
    ):
        other = make_filled(**FILLED, policy_delay=1)
        load(other)
        before = other.policy.averaged_actor.mu[-1].weight.clone()
        other.train(1, 16)
        moved = th.lerp(before, other.actor.mu[-1].weight, 1 / 21)
        th.testing.assert_close(other.policy.averaged_actor.mu[-1].weight, moved)


def test_before_there_is_an_average_the_policy_is_the_actor():
    """A behaviour is cloned by training the actor, whose statistics then are those of the observations."""
    model = make_filled(**FILLED, policy_delay=1, learning_rate=1e-9)
    observations = model.replay_buffer.sample(256).observations
    expert = th.tanh(observations[:, :1] - observations[:, 1:2])
    optimizer = th.optim.Adam(model.actor.parameters(), 1e-2)
    for _ in range(200):
        loss = (model.actor(observations, train=True) - expert).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    explored = model.actor(observations)
    assert (explored - expert).abs().mean() < 0.1
    assert th.equal(model.policy(observations), explored)
    model.train(3, 64)
    assert not th.equal(model.policy(observations), model.actor(observations)), "now the average acts"
    assert (model.policy(observations) - expert).abs().mean() < 0.15
