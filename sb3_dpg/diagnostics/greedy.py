"""How far the actor lies below the action that the critic holds for best."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import get_action_dim, get_flattened_obs_dim
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from sb3_dpg.common.checks import check_integer
from sb3_dpg.diagnostics.critics import (
    ActionValues,
    action_gradient,
    action_values,
    compatible_policy,
    each,
    evaluation_mode,
    greedy_actions,
)

#: From actions scaled to [-1, 1], (n_observations, n_samples, action_dim), to their values, (n_observations, n_samples)
CandidateValues: TypeAlias = Callable[[th.Tensor], th.Tensor]

#: The critic sees at most so many numbers at once, unless those of one observation are more: 64 MiB in single precision
MAX_NUMBERS = 2**24


class GreedyGap(NamedTuple):
    """
    What the critic says of the actor's actions and of the best ones, one row per observation.

    :param gap: max_a Q(s, a) - Q(s, mu(s)), not negative, (n_observations,)
    :param value: Q(s, mu(s)), (n_observations,)
    :param best_action: The best action found, scaled to [-1, 1], (n_observations, action_dim)
    :param actor_action: mu(s), scaled to [-1, 1], (n_observations, action_dim)
    """

    gap: np.ndarray
    value: np.ndarray
    best_action: np.ndarray
    actor_action: np.ndarray


def greedy_gap(
    model: OffPolicyAlgorithm,
    observations: np.ndarray | dict[str, np.ndarray],
    n_samples: int = 64,
    n_iterations: int = 10,
) -> GreedyGap:
    """
    Find max_a Q(s, a) by the cross-entropy method (Rubinstein 1999; as QT-Opt's policy does, Kalashnikov et al. 2018) and
    compare Q(s, mu(s)) with it.

    DDPG's actor stands in for this search. A gap that is large beside the spread of the values means that the actor has not
    followed the critic: it is saturated, stuck in a local maximum of Q, or learns too slowly.

    Actions are searched in [-1, 1], from a normal distribution around mu(s) of standard deviation 1, re-fitted to the best
    tenth of each iteration. mu(s) itself is among the candidates, so the gap is never negative. It is a lower bound: the
    search may miss a narrow maximum.

    :param model: Any SB3 off-policy actor-critic
    :param observations: Observations as the model gets them (normalised, if it has a ``VecNormalize``), (n_observations, ...)
    :param n_samples: Actions tried per observation and iteration, at least 2
    :param n_iterations: Number of iterations, at least 1
    :return: The gap and what it is made of
    :raises TypeError: if the model has no critic, or a number has the wrong type
    :raises ValueError: if a number is out of its range
    """
    check_integer("n_samples", n_samples, 2)
    check_integer("n_iterations", n_iterations, 1)
    # A generator of its own: that of training is left alone
    generator, n_elite = th.Generator().manual_seed(0), max(1, round(0.1 * n_samples))
    with evaluation_mode(model), th.no_grad():
        inputs, _ = model.policy.obs_to_tensor(observations)
        values_of = candidate_values(model, inputs)
        actor_action = best_action = greedy_actions(model, inputs)
        value = best_value = values_of(actor_action[:, None])
        mean, std = actor_action[:, None], th.ones_like(actor_action)[:, None]
        for _ in range(n_iterations):
            noise = th.randn(len(mean), n_samples, mean.shape[2], generator=generator).to(mean.device)
            actions = (mean + std * noise).clamp(-1.0, 1.0)
            values = values_of(actions)
            elite_values, indices = values.topk(n_elite, dim=1)
            elite = actions.gather(1, indices[..., None].expand(-1, -1, actions.shape[2]))
            better = elite_values[:, :1] > best_value
            best_action = th.where(better, elite[:, 0], best_action)
            best_value = th.where(better, elite_values[:, :1], best_value)
            # The floor keeps an elite of one action from ending the search
            mean, std = elite.mean(1, keepdim=True), elite.std(1, keepdim=True, correction=0).clamp_min(1e-3)
    arrays = (best_value - value, value, best_action, actor_action)
    gap, value_array, best, actor = (tensor.cpu().numpy() for tensor in arrays)
    return GreedyGap(gap[:, 0], value_array[:, 0], best, actor)


def candidate_values(model: BaseAlgorithm, observations: PyTorchObs) -> CandidateValues:
    """
    Q(s, a) of some states, for any number of actions in each.

    A compatible critic is linear in the action, and needs a few values of each state to know all others. A critic whose
    features are learned (a CNN) computes them once a state. Other critics see each observation once for each action.

    :param model: Any SB3 off-policy actor-critic, in evaluation mode
    :param observations: The states, as the model gets them, as tensors
    :return: The values as a function of the actions; it needs the model as it is now
    :raises TypeError: if the model has no critic of states and actions
    """
    q = action_values(model)
    length = len(next(iter(observations.values())) if isinstance(observations, dict) else observations)
    some_actions = th.zeros(length, get_action_dim(model.action_space), device=model.device)
    if compatible_policy(model) is not None:
        value, gradient = q(observations, some_actions), action_gradient(q, observations, some_actions)
        return lambda actions: value + (actions * gradient[:, None]).sum(2)
    extractor = getattr(getattr(model, "critic", None), "features_extractor", None)
    if isinstance(extractor, nn.Module) and len(list(extractor.parameters())) > 0:
        outputs: list[th.Tensor] = []
        # Detached: SB3's critics keep the graph of their features, even without gradients
        with extractor.register_forward_hook(lambda module, inputs, output: outputs.append(output.detach())):
            q(observations, some_actions)
        if len(outputs) == 1:
            return _by_features(q, observations, extractor, outputs[0])
    return _by_copies(q, observations, get_flattened_obs_dim(model.observation_space))


def _by_features(q: ActionValues, observations: PyTorchObs, extractor: nn.Module, features: th.Tensor) -> CandidateValues:
    """For a critic whose features extractor gives ``features``, (n_observations, features_dim), for the observations."""

    def values(some: slice, actions: th.Tensor) -> th.Tensor:
        with _instead_of(extractor, features[some].repeat_interleave(actions.shape[1], 0)):
            return q(each(lambda tensor: tensor[some], observations), actions.flatten(0, 1))

    return lambda actions: _in_chunks(values, actions, features[0].numel())


def _by_copies(q: ActionValues, observations: PyTorchObs, numbers: int) -> CandidateValues:
    """For a critic that sees so many numbers for each observation, which are more than it has where it is one-hot."""

    def values(some: slice, actions: th.Tensor) -> th.Tensor:
        copies = each(lambda tensor: tensor[some].repeat_interleave(actions.shape[1], 0), observations)
        return q(copies, actions.flatten(0, 1))

    return lambda actions: _in_chunks(values, actions, numbers)


def _in_chunks(values: Callable[[slice, th.Tensor], th.Tensor], actions: th.Tensor, numbers: int) -> th.Tensor:
    """Q of all actions, (n_observations, n_samples), where the critic sees so many numbers for each action."""
    n_observations, n_samples = actions.shape[:2]
    size = max(1, MAX_NUMBERS // (numbers * n_samples))
    chunks = [slice(start, start + size) for start in range(0, n_observations, size)]
    return th.cat([values(some, actions[some]) for some in chunks]).view(n_observations, n_samples)


@contextmanager
def _instead_of(module: nn.Module, output: th.Tensor) -> Iterator[None]:
    """Has a module give this, whatever it is given."""
    module.forward = lambda *inputs: output
    try:
        yield
    finally:
        # Its class's method is visible again
        del module.forward
