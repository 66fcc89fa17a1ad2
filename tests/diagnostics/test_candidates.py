"""Values of many actions a state are those of the critic, and images are not copied for them."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import TQC, CrossQ
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from sb3_dpg import BNDDPG, COPDACQ
from sb3_dpg.diagnostics import greedy, greedy_gap
from sb3_dpg.diagnostics.critics import action_values, evaluation_mode
from sb3_dpg.diagnostics.greedy import candidate_values
from tests.contract.scripts import Observed

N_OBSERVATIONS, N_SAMPLES = 3, 5
VECTOR = spaces.Box(-1.0, 1.0, (3,), np.float32)
ACTIONS = spaces.Box(-2.0, 2.0, (2,))
IMAGE = spaces.Box(0, 255, (2, 36, 36), np.uint8)
ALGORITHMS = [DDPG, TD3, SAC, TQC, CrossQ, BNDDPG, COPDACQ]


def make(algorithm: type[OffPolicyAlgorithm], policy: str, space: spaces.Space, **kwargs: Any) -> OffPolicyAlgorithm:
    small: dict[str, Any] = dict(seed=0, device="cpu", learning_starts=5, buffer_size=100, batch_size=4)
    if algorithm in (BNDDPG, COPDACQ):
        small |= dict(action_noise={"type": "normal", "sigma": 0.5})
    model = algorithm(policy, Observed(space, ACTIONS), **small | kwargs)
    # Batch normalisation: statistics that are not those of the start
    model.learn(15)
    if isinstance(model, COPDACQ):
        with th.no_grad():
            for weight in model.policy.parameters():
                # 15 steps visit few tiles
                weight.normal_(std=0.1)
    return model


def states(model: OffPolicyAlgorithm) -> PyTorchObs:
    space = model.observation_space
    samples = [space.sample() for _ in range(N_OBSERVATIONS)]
    if isinstance(space, spaces.Dict):
        return model.policy.obs_to_tensor({name: np.stack([sample[name] for sample in samples]) for name in space.keys()})[0]
    return model.policy.obs_to_tensor(np.stack(samples))[0]


def tried() -> th.Tensor:
    return 2.0 * th.rand(N_OBSERVATIONS, N_SAMPLES, 2, generator=th.Generator().manual_seed(0)) - 1.0


def one_by_one(model: OffPolicyAlgorithm, observations: PyTorchObs) -> th.Tensor:
    q = action_values(model)
    return th.cat([q(observations, actions) for actions in tried().unbind(1)], dim=1)


def assert_values(model: OffPolicyAlgorithm, observations: PyTorchObs) -> None:
    with evaluation_mode(model), th.no_grad():
        values = candidate_values(model, observations)(tried())
        expected = one_by_one(model, observations)
    assert expected.std() > 0.0
    th.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_values_of_vectors(algorithm: type[OffPolicyAlgorithm], monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(algorithm, "LinearPolicy" if algorithm is COPDACQ else "MlpPolicy", VECTOR)
    observations = states(model)
    assert_values(model, observations)
    # One state at a time
    monkeypatch.setattr(greedy, "MAX_NUMBERS", 1)
    assert_values(model, observations)


def images_seen(extractor: nn.Module) -> list[int]:
    seen: list[int] = []
    extractor.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    return seen


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("algorithm", [DDPG, TD3, SAC, TQC, BNDDPG])
def test_images_pass_once(algorithm: type[OffPolicyAlgorithm], shares: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kwargs = dict(net_arch=[8], features_extractor_kwargs=dict(features_dim=16), share_features_extractor=shares)
    model = make(algorithm, "CnnPolicy", IMAGE, policy_kwargs=kwargs)
    observations = states(model)
    assert_values(model, observations)
    monkeypatch.setattr(greedy, "MAX_NUMBERS", 2 * N_SAMPLES * 16)
    assert_values(model, observations)

    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    convolutions = model.critic.features_extractor.cnn
    seen = images_seen(convolutions)
    assert isinstance(observations, th.Tensor)
    result = greedy_gap(model, observations.numpy(), n_samples=N_SAMPLES, n_iterations=4)
    # Those of the actor pass through a shared extractor too
    assert seen == [N_OBSERVATIONS] * (1 + shares)
    assert (result.gap >= 0.0).all()
    assert all(th.equal(tensor, before[name]) for name, tensor in model.policy.state_dict().items())
    assert "forward" not in vars(model.critic.features_extractor)


def test_one_hot_observations_are_counted_as_the_critic_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(TD3, "MlpPolicy", spaces.Discrete(1000), policy_kwargs=dict(net_arch=[8]))
    observations = states(model)
    monkeypatch.setattr(greedy, "MAX_NUMBERS", 1000 * N_SAMPLES)
    seen = images_seen(model.critic.features_extractor)
    assert_values(model, observations)
    assert N_SAMPLES in seen
    assert max(seen) <= N_SAMPLES


def test_dictionaries_with_images() -> None:
    kwargs = dict(net_arch=[8], features_extractor_kwargs=dict(cnn_output_dim=16))
    assert_values(*with_states(make(TD3, "MultiInputPolicy", spaces.Dict(image=IMAGE, vector=VECTOR), policy_kwargs=kwargs)))
    model = make(TD3, "MultiInputPolicy", spaces.Dict(first=VECTOR, second=VECTOR), policy_kwargs=dict(net_arch=[8]))
    assert_values(*with_states(model))


def with_states(model: OffPolicyAlgorithm) -> tuple[OffPolicyAlgorithm, PyTorchObs]:
    return model, states(model)


def test_images_of_a_compatible_critic() -> None:
    model = make(COPDACQ, "LinearPolicy", IMAGE, buffer_size=1)
    largest = 0
    linearise = model.policy.linearise

    def counted(observations: th.Tensor, next_observations: th.Tensor) -> Any:
        nonlocal largest
        largest = max(largest, len(observations))
        return linearise(observations, next_observations)

    model.policy.linearise = counted
    assert_values(*with_states(model))
    observations = states(model)
    assert isinstance(observations, th.Tensor)
    greedy_gap(model, observations.numpy(), n_samples=50)
    assert largest == N_OBSERVATIONS
