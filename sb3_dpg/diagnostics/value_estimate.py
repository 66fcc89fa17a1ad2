"""How far the critic's estimates are from the returns that are really obtained."""

import warnings
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, sync_envs_normalization, unwrap_vec_normalize

from sb3_dpg.common.checks import check_integer, check_real, check_type
from sb3_dpg.diagnostics.critics import Observation, action_values, each, evaluation_mode, row, stack


@dataclass
class _Episode:
    """Observations s_t, actions a_t (scaled to [-1, 1]) and rewards r_t of an episode, for t = 0, ..., T - 1."""

    observations: list[Observation] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)

    def add(self, observation: Observation, action: np.ndarray, reward: float) -> None:
        self.observations.append(observation)
        self.actions.append(action)
        self.rewards.append(float(reward))


class _Comparison(NamedTuple):
    """Estimates and returns at the states of one episode, each of shape (n_states,)."""

    estimates: np.ndarray
    returns: np.ndarray
    # gamma^(T - t) if the episode was truncated, where the rest of the return is an estimate too
    bootstrap_weights: np.ndarray


class ValueEstimateCallback(BaseCallback):
    r"""
    Compare the critic's estimates with the discounted returns that are really obtained (Fujimoto et al. 2018, section 4.1, who
    found DDPG's estimates far too high).

    At the end of an episode, Q(s_t, a_t) of all its states is computed by the critic as it is then, and the discounted return
    sum_k gamma^k r_{t+k} from there on by the rewards of the episode. Logged, as means over the states:

    - ``value/estimate``: Q(s_t, a_t) as the actor climbs it: the mean of BNDDPG's critics, the first of TD3's, the smallest of
      SAC's and CrossQ's, the mean over atoms and critics for TQC;
    - ``value/return``: the discounted return;
    - ``value/overestimation``: their difference; positive for overestimation;
    - ``value/bootstrap_weight``: see below.

    With ``eval_env`` the episodes are those of the deterministic policy there, a_t = mu(s_t), every ``eval_freq`` calls: the
    measurement of the paper. Without it they are those of training: no extra environment steps, but the returns are then
    those of the policy with its exploration noise, or of random actions at the start, and as it was during the episode.

    *Truncation.* The return of an episode that a time limit cut off is not complete. The critic itself stands in for the
    missing rest, with weight gamma^(T - t), and so hides that fraction of its own error: states where it exceeds
    ``max_bootstrap_weight`` are left out, and the mean weight of the others is logged. It is 0 if all episodes end by
    termination. With gamma = 0.99 the default leaves out the last 68 states before a time limit, so that an episode of up
    to 68 steps says nothing; this is warned of once.

    *Units.* All is in the rewards that the critic learns from: with a ``VecNormalize`` around the training environment that
    normalises rewards, those of its present statistics. SAC, TQC and CrossQ estimate a return that includes an entropy
    bonus, which these returns do not: there the difference is not the error alone.

    :param eval_env: Environment to evaluate the deterministic policy in; None for the episodes of training
    :param eval_freq: With ``eval_env``: evaluate every so many calls of the callback (``eval_freq * n_envs`` steps)
    :param n_episodes: Number of episodes: of an evaluation, or the last ones of training
    :param max_bootstrap_weight: Largest weight of the critic's own estimate in a return, in [0, 1]
    :param verbose: Verbosity level
    :raises TypeError: if an argument has the wrong type, or, when training starts, the algorithm has no critic of states and
        actions
    :raises ValueError: if an argument is out of range, or one of the environments only is wrapped in ``VecNormalize``
    """

    def __init__(
        self,
        eval_env: gym.Env | VecEnv | None = None,
        eval_freq: int = 10_000,
        n_episodes: int = 10,
        max_bootstrap_weight: float = 0.5,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        check_integer("eval_freq", eval_freq, 1)
        check_integer("n_episodes", n_episodes, 1)
        check_real("max_bootstrap_weight", max_bootstrap_weight, 0.0, 1.0)
        check_type("eval_env", eval_env, gym.Env, VecEnv, type(None))
        if isinstance(eval_env, gym.Env):
            env = eval_env
            eval_env = DummyVecEnv([lambda: env])
        self.eval_env = eval_env
        self.eval_freq = eval_freq
        self.n_episodes = n_episodes
        self.max_bootstrap_weight = max_bootstrap_weight
        self._comparisons: deque[_Comparison] = deque(maxlen=n_episodes)
        self._episodes: list[_Episode] = []
        self._warned = False
        self._n_steps_seen = 0

    def _init_callback(self) -> None:
        action_values(self.model)  # raises TypeError for other algorithms
        is_normalized = self.model.get_vec_normalize_env() is not None
        if self.eval_env is not None and is_normalized != (unwrap_vec_normalize(self.eval_env) is not None):
            raise ValueError("either both or none of the training environment and eval_env must be wrapped in VecNormalize")

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Q(s_t, a_t) and the discounted return of each state behind the last log, each (n_states,)."""
        if not self._comparisons:
            return np.empty(0), np.empty(0)
        estimates, returns, _ = (np.concatenate(parts) for parts in zip(*self._comparisons, strict=True))
        return estimates, returns

    def _on_training_start(self) -> None:
        # A new training, or another environment: what is left of the last one does not belong to it
        self._comparisons.clear()
        self._episodes = [_Episode() for _ in range(self.training_env.num_envs)]
        self._n_steps_seen = self.num_timesteps

    def _on_step(self) -> bool:
        if self.eval_env is None:
            self._follow_training()
        elif self.n_calls % self.eval_freq == 0:
            self._evaluate()
        return True

    def _follow_training(self) -> None:
        """Take the step of training that was just made."""
        self._n_steps_seen += self.training_env.num_envs
        if self._n_steps_seen != self.num_timesteps:
            raise RuntimeError(
                f"ValueEstimateCallback has seen {self._n_steps_seen} steps of {self.num_timesteps}: without eval_env it "
                "needs each of them, and cannot be inside EveryNTimesteps"
            )
        # SB3 replaces `_last_obs` after the callbacks: here it is still s_t
        observations, actions = cast(Observation, self.model._last_obs), self.locals["buffer_actions"]
        rewards = _original_rewards(self.training_env, self.locals["rewards"])
        for i, episode in enumerate(self._episodes):
            episode.add(row(observations, i), actions[i], rewards[i])
            if self.locals["dones"][i]:
                self._finish(episode, self.locals["infos"][i])
                self._episodes[i] = _Episode()

    def _evaluate(self) -> None:
        """Run the deterministic policy in the evaluation environment."""
        env = self.eval_env
        assert env is not None
        if self.model.get_vec_normalize_env() is not None:
            sync_envs_normalization(self.training_env, env)
        self._comparisons.clear()
        episodes = [_Episode() for _ in range(env.num_envs)]

        def add_step(locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
            i = locals_["i"]
            action = self.model.policy.scale_action(locals_["actions"][i])
            reward = _original_rewards(env, locals_["rewards"])[i]
            episodes[i].add(row(locals_["observations"], i), action, reward)
            if locals_["done"]:
                self._finish(episodes[i], locals_["info"])
                episodes[i] = _Episode()

        evaluate_policy(self.model, env, self.n_episodes, deterministic=True, callback=add_step, warn=False)

    def _finish(self, episode: _Episode, info: dict[str, Any]) -> None:
        """Compare the estimates of an episode with its returns, and log the mean over the last episodes."""
        gamma = cast(OffPolicyAlgorithm, self.model).gamma
        rewards = np.array(episode.rewards)
        normalization = self.model.get_vec_normalize_env()
        if normalization is not None:
            rewards = normalization.normalize_reward(rewards)
        last_value = 0.0
        is_truncated = info.get("TimeLimit.truncated", False)
        if is_truncated:
            last_value = self._value(info["terminal_observation"])
        returns = discounted_returns(rewards, gamma, last_value)
        weights = is_truncated * gamma ** np.arange(len(rewards), 0, -1)
        known = weights <= self.max_bootstrap_weight
        if known.any():
            estimates = self._estimates(stack(episode.observations), np.stack(episode.actions))
            self._comparisons.append(_Comparison(estimates[known], returns[known], weights[known]))
            self._log()
        elif not self._warned:
            self._warned = True
            warnings.warn(
                f"ValueEstimateCallback leaves out an episode that a time limit ended after {len(rewards)} steps: the weight "
                f"of the critic's own estimate in its returns is at least gamma^{len(rewards)} = {weights.min():.2g}, above "
                f"max_bootstrap_weight={self.max_bootstrap_weight:g}. Nothing is logged where all episodes are as short; "
                "raise max_bootstrap_weight to compare them too",
                UserWarning,
                stacklevel=2,
            )

    def _log(self) -> None:
        """Log the mean over the states of the last episodes."""
        estimates, returns, weights = (np.concatenate(parts) for parts in zip(*self._comparisons, strict=True))
        self.logger.record("value/estimate", float(estimates.mean()))
        self.logger.record("value/return", float(returns.mean()))
        self.logger.record("value/overestimation", float((estimates - returns).mean()))
        self.logger.record("value/bootstrap_weight", float(weights.mean()))

    def _value(self, observation: Observation) -> float:
        """The estimate of the value of one observation, Q(s, mu(s))."""
        action, _ = self.model.predict(observation, deterministic=True)
        return float(self._estimates(stack([observation]), self.model.policy.scale_action(action)[None])[0])

    def _estimates(self, observations: Observation, actions: np.ndarray) -> np.ndarray:
        model, q_values = self.model, action_values(self.model)

        def estimate(some: slice) -> np.ndarray:
            observation_tensor, _ = model.policy.obs_to_tensor(each(lambda array: array[some], observations))
            # Critics take flat actions, whatever the shape of the action space
            flat = actions[some].reshape(len(actions[some]), -1)
            return q_values(observation_tensor, th.as_tensor(flat, device=model.device, dtype=th.float32))[:, 0].cpu().numpy()

        with evaluation_mode(model), th.no_grad():
            # In pieces: an episode of images may be larger than the memory of a GPU
            return np.concatenate([estimate(slice(start, start + 256)) for start in range(0, len(actions), 256)])


def discounted_returns(rewards: np.ndarray, gamma: float, last_value: float = 0.0) -> np.ndarray:
    """r_t + gamma r_{t+1} + ... + gamma^(T-t) last_value for each t, where the last is 0 if its state is terminal, (T,)."""
    returns = np.empty(len(rewards))
    following = last_value
    for t in range(len(rewards) - 1, -1, -1):
        following = rewards[t] + gamma * following
        returns[t] = following
    return returns


def _original_rewards(env: VecEnv, rewards: np.ndarray) -> np.ndarray:
    """The rewards of an environment's last step before any ``VecNormalize``."""
    normalization = unwrap_vec_normalize(env)
    return rewards if normalization is None else normalization.get_original_reward()
