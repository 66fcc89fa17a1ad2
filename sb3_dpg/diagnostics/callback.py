"""A callback that logs what actor and critic are like."""

from collections import deque
from typing import cast

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import nn

from sb3_dpg.common.checks import check_integer, check_real
from sb3_dpg.common.noise import ScheduledNoise
from sb3_dpg.common.noise.base import without_wrapper
from sb3_dpg.common.noise.scaled import standard_deviation
from sb3_dpg.common.torch_layers import batch_norm_layers
from sb3_dpg.diagnostics.batch_norm import batch_norm_drift
from sb3_dpg.diagnostics.critics import (
    Observation,
    action_gradient,
    action_values,
    evaluation_mode,
    gradient_norm,
    greedy_actions,
    row,
    stack,
)
from sb3_dpg.diagnostics.greedy import greedy_gap


class DiagnosticsCallback(BaseCallback):
    """
    Log what actor and critic of any SB3 off-policy actor-critic are like at the newest observations of training.

    Every ``log_freq`` calls, recorded for the next dump of the model's logger:

    - ``diagnostics/actor_saturation``: share of the components of mu(s), scaled to [-1, 1], beyond +-``saturation``;
    - ``diagnostics/action_gradient_norm``: mean of the Euclidean norm of dQ(s, a)/da at a = mu(s): what the actor learns from;
    - ``diagnostics/actor_gradient_norm``: norm of the gradient of mean Q(s, mu(s)) in the actor's weights; with the last one
      large and this one near 0, the actor is saturated;
    - ``diagnostics/critic_gradient_norm``: norm of the gradient of mean Q(s, mu(s)) in the critic's weights;
    - ``diagnostics/q_mean`` and ``diagnostics/q_std``: mean and standard deviation of Q(s, mu(s));
    - ``diagnostics/greedy_gap``: mean of max_a Q(s, a) - Q(s, mu(s)), see :func:`~sb3_dpg.diagnostics.greedy_gap`;
    - ``diagnostics/actor_batch_norm_drift``: how far the running statistics of the actor's batch normalisation, by which it
      acts, are from those of replayed observations, see :func:`~sb3_dpg.diagnostics.batch_norm.batch_norm_drift`;
    - ``diagnostics/critic_batch_norm_drift``: the same of the critic, at replayed (s, a): by them the actor learns;
    - ``diagnostics/noise_std``: standard deviation of the action noise (the stationary one, where it is correlated), mean over
      the action dimensions.

    What an algorithm does not have (batch normalisation, noise, an actor of weights that autograd knows) is not logged.
    Training is not touched: no random number is drawn from its generators, no statistics and no gradients are written.

    :param log_freq: Calls of the callback between two measurements
    :param n_observations: Number of newest observations, at least 2
    :param saturation: Beyond which absolute value an action counts as saturated, in (0, 1)
    :param verbose: Verbosity level
    :raises TypeError: if a number has the wrong type, or, when training starts, the model has no critic of states and actions
    :raises ValueError: if a number is out of its range
    """

    def __init__(self, log_freq: int = 1000, n_observations: int = 256, saturation: float = 0.99, verbose: int = 0) -> None:
        super().__init__(verbose)
        check_integer("log_freq", log_freq, 1)
        check_integer("n_observations", n_observations, 2)
        check_real("saturation", saturation, 0.0, 1.0, low_open=True, high_open=True)
        self.log_freq = log_freq
        self.saturation = saturation
        self.n_observations = n_observations
        self._observations: deque[Observation] = deque(maxlen=n_observations)
        self._n_updates_before = 0

    def _init_callback(self) -> None:
        action_values(self.model)  # raises TypeError for other algorithms

    def _on_training_start(self) -> None:
        # A new training, or another environment: what is left of the last one does not belong to it
        self._observations.clear()
        self._n_updates_before = self.model._n_updates

    def _on_step(self) -> bool:
        observations = cast(Observation, self.model._last_obs)
        self._observations.extend(row(observations, index) for index in range(self.training_env.num_envs))
        if self.n_calls % self.log_freq == 0 and len(self._observations) > 1:
            for name, value in self.measure().items():
                self.logger.record(f"diagnostics/{name}", value)
        return True

    def measure(self) -> dict[str, float]:
        """
        :return: The measurements of the newest observations, by name
        """
        observations = stack(self._observations)
        model = self.model
        q = action_values(model)
        with evaluation_mode(model):
            inputs, _ = model.policy.obs_to_tensor(observations)
            with th.enable_grad():
                actions = greedy_actions(model, inputs)
                values = q(inputs, actions)
                gradients = action_gradient(q, inputs, actions.detach())
            measurements = {
                "actor_saturation": float((actions.abs() > self.saturation).float().mean()),
                "action_gradient_norm": float(gradients.norm(dim=1).mean()),
                "q_mean": float(values.detach().mean()),
                "q_std": float(values.detach().std(correction=0)),
            }
            for name in ("actor", "critic"):
                network = getattr(model, name, None)
                if values.requires_grad and isinstance(network, nn.Module):
                    measurements[f"{name}_gradient_norm"] = gradient_norm(values.mean(), network)
            measurements.update(self._batch_norm_drift())
        measurements["greedy_gap"] = float(greedy_gap(model, observations).gap.mean())  # type: ignore[arg-type]
        return measurements | self._noise_std()

    def _noise_std(self) -> dict[str, float]:
        """The standard deviation of the action noise, if there is one and its class tells."""
        noise = getattr(self.model, "action_noise", None)
        if noise is None:
            return {}
        noise = without_wrapper(noise)
        std = noise.std if isinstance(noise, ScheduledNoise) else standard_deviation(noise)
        return {} if std is None else {"noise_std": float(np.mean(std))}

    def _batch_norm_drift(self) -> dict[str, float]:
        """How far running statistics are from those of replayed transitions, of networks with batch normalisation."""
        model = self.model
        assert isinstance(model, OffPolicyAlgorithm)
        # Not before training has sampled the buffer: SB3's for HER refuses until its first episode has ended
        sampled = model._n_updates > self._n_updates_before
        if model.replay_buffer is None or not sampled or not batch_norm_layers(model.policy):
            return {}
        # Buffers draw from NumPy's global generator, which is training's
        state = np.random.get_state()
        replayed = model.replay_buffer.sample(self.n_observations, env=model.get_vec_normalize_env())
        np.random.set_state(state)
        q = action_values(model)
        drifts = {
            "actor": batch_norm_drift(model.policy, lambda: greedy_actions(model, replayed.observations)),
            "critic": batch_norm_drift(model.policy, lambda: q(replayed.observations, replayed.actions)),
        }
        return {f"{name}_batch_norm_drift": drift for name, drift in drifts.items() if drift is not None}
