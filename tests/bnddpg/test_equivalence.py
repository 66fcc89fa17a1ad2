"""Without batch normalisation BNDDPG is SB3's DDPG, or TD3, update for update."""

import numpy as np
import pytest
import torch as th
from stable_baselines3 import DDPG, TD3
from stable_baselines3.common.logger import configure
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from sb3_dpg import BNDDPG

TD3_KWARGS = dict(policy_delay=2, target_policy_noise=0.2, target_noise_clip=0.5)


def fill(model, n_transitions: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(n_transitions):
        obs, next_obs = rng.normal(size=(2, 1, 3)).astype(np.float32)
        action = rng.uniform(-1, 1, size=(1, 1)).astype(np.float32)
        terminated = rng.random(1) < 0.1
        model.replay_buffer.add(obs, next_obs, action, rng.normal(size=1), terminated, [{}])


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
    ("reference_class", "kwargs"),
    [
        pytest.param(DDPG, {}, id="ddpg"),
        pytest.param(TD3, TD3_KWARGS | dict(policy_kwargs=dict(n_critics=2)), id="td3"),
    ],
)
def test_none_mode_is_sb3(reference_class, kwargs):
    reference = reference_class("MlpPolicy", "Pendulum-v1", seed=3, device="cpu", buffer_size=1000)
    model = BNDDPG("MlpPolicy", "Pendulum-v1", seed=3, device="cpu", buffer_size=1000, batch_norm_mode="none", **kwargs)
    for ours, theirs in zip(model.policy.parameters(), reference.policy.parameters(), strict=True):
        assert th.equal(ours, theirs)  # the same seed gives the same initial weights
    start = th.cat([p.flatten() for p in model.policy.parameters()]).clone()

    fill(reference, 500)
    fill(model, 500)
    np.testing.assert_allclose(losses(model, 200), losses(reference, 200), rtol=1e-3, atol=1e-5)
    ours = th.cat([p.flatten() for p in model.policy.parameters()])
    theirs = th.cat([p.flatten() for p in reference.policy.parameters()])
    # Rounding grows to about 1e-6 over 200 updates, in which weights move by up to 0.2
    assert th.allclose(ours, theirs, atol=5e-5)
    assert (ours - start).abs().max() > 0.05


class Backbone(BaseFeaturesExtractor):
    """Features by a network that it is given: one that actor and critic have in common."""

    def __init__(self, observation_space, net):
        super().__init__(observation_space, 8)
        self.net = net

    def forward(self, observations):
        return self.net(observations)


def test_a_network_that_both_were_given_learns_from_both_losses():
    changes = []
    for algorithm, kwargs in ((DDPG, {}), (BNDDPG, dict(batch_norm_mode="none"))):
        th.manual_seed(0)
        net = th.nn.Linear(3, 8)
        before = net.weight.detach().clone()
        policy_kwargs = dict(features_extractor_class=Backbone, features_extractor_kwargs=dict(net=net), net_arch=[8])
        model = algorithm(
            "MlpPolicy", "Pendulum-v1", seed=3, device="cpu", buffer_size=1000, tau=1e-9, policy_kwargs=policy_kwargs, **kwargs
        )
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
    for algorithm, kwargs in ((DDPG, {}), (BNDDPG, dict(batch_norm_mode="none"))):
        model = algorithm("MlpPolicy", "Pendulum-v1", seed=0, device="cpu", batch_size=32, learning_starts=50, **kwargs)
        if algorithm is BNDDPG:
            with pytest.warns(UserWarning, match="MountainCarContinuous"):
                model.learn(100)
        else:
            model.learn(100)
        weights.append(th.cat([p.flatten() for p in model.policy.parameters()]))
    assert th.allclose(*weights, atol=1e-5)
