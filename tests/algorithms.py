"""Small models of both algorithms, for the suites that hold for either."""

from typing import Any

import torch as th

from sb3_dpg import BNDDPG, COPDACQ
from sb3_dpg.common.off_policy_algorithm import DeterministicOffPolicyAlgorithm

NOISE = dict(type="normal", sigma=0.2)
SMALL: dict[str, dict[str, Any]] = {
    "bnddpg": dict(learning_starts=10, batch_size=8, buffer_size=200, device="cpu", policy_kwargs=dict(net_arch=[8])),
    "copdacq": dict(actor_learning_rate=0.01, device="cpu"),
    "copdacq-replay": dict(learning_starts=10, batch_size=8, buffer_size=200, device="cpu"),
}
POLICIES = {"bnddpg": "MlpPolicy", "copdacq": "LinearPolicy", "copdacq-replay": "LinearPolicy"}
CLASSES = {"bnddpg": BNDDPG, "copdacq": COPDACQ, "copdacq-replay": COPDACQ}


def make(name: str, env: Any = "Pendulum-v1", policy: str | None = None, **kwargs: Any) -> DeterministicOffPolicyAlgorithm:
    arguments = dict(action_noise=NOISE, seed=0) | SMALL[name] | kwargs
    return CLASSES[name](policy or POLICIES[name], env, **arguments)


def weights(model: DeterministicOffPolicyAlgorithm) -> dict[str, th.Tensor]:
    return {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}


def same(first: dict[str, th.Tensor], second: dict[str, th.Tensor]) -> bool:
    return first.keys() == second.keys() and all(th.equal(tensor, second[name]) for name, tensor in first.items())


def finite(model: DeterministicOffPolicyAlgorithm) -> bool:
    return all(bool(th.isfinite(tensor).all()) for tensor in model.policy.state_dict().values())
