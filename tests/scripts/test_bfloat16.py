"""The bfloat16 of scripts/bfloat16.py is PyTorch's, but for the order of sums."""

from typing import Any

import pytest
import torch as th
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_dpg import BNDDPG
from scripts import bfloat16
from scripts.bfloat16 import RoundedPolicy

SMALL: dict[str, Any] = dict(seed=0, learning_starts=100, policy_kwargs=dict(net_arch=[32, 32]))


def gradients(model: BNDDPG, data: ReplayBufferSamples, mixed_precision: bool) -> list[th.Tensor]:
    th.manual_seed(0)
    with th.autocast("cpu", th.bfloat16, enabled=mixed_precision):
        critic_loss = model.critic_loss(data, model.next_actions(data.next_observations).float())
        actor_loss = model.actor_loss(data)
    critics = th.autograd.grad(critic_loss, list(model.critic.parameters()))
    actors = th.autograd.grad(actor_loss, list(model.actor.parameters()))
    return [th.cat([gradient.flatten() for gradient in of_network]) for of_network in (critics, actors)]


def test_gradients_are_those_of_autocast() -> None:
    model = BNDDPG(RoundedPolicy, "Pendulum-v1", **SMALL).learn(200)
    assert model.replay_buffer is not None
    data = model.replay_buffer.sample(64)
    state = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    found = []
    for policy, mixed_precision in ((RoundedPolicy, True), ("MlpPolicy", True), ("MlpPolicy", False)):
        other = BNDDPG(policy, "Pendulum-v1", **SMALL)
        other.policy.load_state_dict(state)
        found.append(gradients(other, data, mixed_precision))
    for rounded, autocast, float32 in zip(*found, strict=True):
        assert (rounded - autocast).norm() < 0.3 * (float32 - autocast).norm()


def test_acting_does_not_round() -> None:
    model, plain = (BNDDPG(policy, "Pendulum-v1", **SMALL, mixed_precision=True) for policy in (RoundedPolicy, "MlpPolicy"))
    observation = model.observation_space.sample()
    assert (model.predict(observation)[0] == plain.predict(observation)[0]).all()


@pytest.mark.slow
def test_both_formats_are_trained(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bfloat16", "Pendulum-v1", "100", "--steps", "1010"])
    bfloat16.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(": ")[0] for line in lines] == [
        f"Pendulum-v1, seed 100, {name}" for name in ("float32", "bfloat16")
    ]
    assert lines[0].split()[-1] != lines[1].split()[-1]
