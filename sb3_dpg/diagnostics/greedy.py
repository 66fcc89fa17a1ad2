"""How far the actor lies below the action that the critic holds for best."""

from typing import NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg.common.action_values import evaluation_mode, greedy_actions
from sb3_dpg.common.checks import check_integer, check_real
from sb3_dpg.diagnostics.candidates import CandidateValues, candidate_values


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
    elite_fraction: float = 0.1,
    seed: int = 0,
) -> GreedyGap:
    """
    Find max_a Q(s, a) by the cross-entropy method (Rubinstein 1999; as QT-Opt's policy does, Kalashnikov et al. 2018) and
    compare Q(s, mu(s)) with it.

    DDPG's actor stands in for this search. A gap that is large beside the spread of the values means that the actor has not
    followed the critic: it is saturated, stuck in a local maximum of Q, or learns too slowly.

    Actions are searched in [-1, 1], from a normal distribution around mu(s) of standard deviation 1, re-fitted to the elite
    of each iteration. mu(s) itself is among the candidates, so the gap is never negative. It is a lower bound: the search
    may miss a narrow maximum.

    :param model: Any SB3 off-policy actor-critic
    :param observations: Observations as the model gets them (normalised, if it has a ``VecNormalize``), (n_observations, ...)
    :param n_samples: Actions tried per observation and iteration, at least 2
    :param n_iterations: Number of iterations, at least 1
    :param elite_fraction: Fraction of the actions that the next distribution is fitted to, in (0, 1]
    :param seed: Seed of the search, which has a generator of its own
    :return: The gap and what it is made of
    :raises TypeError: if the model has no critic, or a number has the wrong type
    :raises ValueError: if a number is out of its range
    """
    check_integer("n_samples", n_samples, 2)
    check_integer("n_iterations", n_iterations, 1)
    check_real("elite_fraction", elite_fraction, 0.0, 1.0, low_open=True)
    with evaluation_mode(model), th.no_grad():
        inputs, _ = model.policy.obs_to_tensor(observations)
        values_of = candidate_values(model, inputs)
        actor_action = greedy_actions(model, inputs)
        value = values_of(actor_action[:, None])
        best_action, best_value = _cross_entropy_search(
            values_of, actor_action, value, n_samples, n_iterations, max(1, round(elite_fraction * n_samples)), seed
        )
    arrays = (best_value - value, value, best_action, actor_action)
    gap, value_array, best, actor = (tensor.cpu().numpy() for tensor in arrays)
    return GreedyGap(gap[:, 0], value_array[:, 0], best, actor)


def _cross_entropy_search(
    values_of: CandidateValues,
    start: th.Tensor,
    start_value: th.Tensor,
    n_samples: int,
    n_iterations: int,
    n_elite: int,
    seed: int,
) -> tuple[th.Tensor, th.Tensor]:
    """
    :param values_of: What to maximise
    :param start: First mean, and first candidate, (n_observations, action_dim)
    :param start_value: Its values, (n_observations, 1)
    :param n_samples: Actions per observation and iteration
    :param n_iterations: Iterations
    :param n_elite: Actions that the distribution is fitted to
    :param seed: Seed
    :return: The best actions (n_observations, action_dim), their values (n_observations, 1)
    """
    generator = th.Generator().manual_seed(seed)
    n_observations, action_dim = start.shape
    mean, std = start[:, None], th.ones_like(start)[:, None]
    best_action, best_value = start, start_value
    for _ in range(n_iterations):
        noise = th.randn(n_observations, n_samples, action_dim, generator=generator).to(start.device)
        actions = (mean + std * noise).clamp(-1.0, 1.0)
        values = values_of(actions)
        elite_values, indices = values.topk(n_elite, dim=1)
        elite = actions.gather(1, indices[..., None].expand(-1, -1, action_dim))
        better = elite_values[:, :1] > best_value
        best_action = th.where(better, elite[:, 0], best_action)
        best_value = th.where(better, elite_values[:, :1], best_value)
        # The floor keeps an elite of one action from ending the search
        mean, std = elite.mean(1, keepdim=True), elite.std(1, keepdim=True, correction=0).clamp_min(1e-3)
    return best_action, best_value
