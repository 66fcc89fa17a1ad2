"""Evaluating an agent at fixed numbers of steps."""

import time
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, sync_envs_normalization

from sb3_dpg.benchmark.configuration import EvaluationProtocol


class EvaluationCallback(BaseCallback):
    """
    Evaluate the agent at the steps of a protocol, keeping the return of every episode and the time that training took.

    Each evaluation has a seed of its own, made from that of the run and its number: its episodes do not depend on how long
    those before it were, nor does training go on otherwise when sampled actions are evaluated.

    :param env: The environment to evaluate in, with the wrappers of the training environment
    :param protocol: When and how to evaluate
    :param total_steps: Steps of the whole training
    :param seed: Seed of the run
    """

    def __init__(self, env: VecEnv, protocol: EvaluationProtocol, total_steps: int, seed: int) -> None:
        super().__init__()
        self.env = env
        self.protocol = protocol
        self.seed = seed
        self.records: list[dict[str, Any]] = []
        self._steps = protocol.steps(total_steps)
        self._evaluation_time = 0.0
        self._evaluation_cpu_time = 0.0

    def _on_training_start(self) -> None:
        self._started = time.perf_counter()
        self._cpu_started = time.process_time()

    def _on_step(self) -> bool:
        # With several environments a step may pass more than one point
        while len(self.records) < len(self._steps) and self.num_timesteps >= self._steps[len(self.records)]:
            self._evaluate(self._steps[len(self.records)])
        return True

    def _evaluate(self, step: int) -> None:
        now, cpu_now = time.perf_counter(), time.process_time()
        wall_time = now - self._started - self._evaluation_time
        cpu_time = cpu_now - self._cpu_started - self._evaluation_cpu_time
        if self.model.get_vec_normalize_env() is not None:
            sync_envs_normalization(self.training_env, self.env)
        # The second word keeps the episodes apart from those of training, whose seed is that of the run
        seed = np.random.SeedSequence([self.seed, 1 + len(self.records)]).generate_state(1)[0]
        self.env.seed(int(seed) >> 1)
        # Sampled actions are drawn from PyTorch's global generator, as in training
        with th.random.fork_rng(devices=[]):
            th.manual_seed(int(seed))
            n_episodes, deterministic = self.protocol.episodes, self.protocol.deterministic
            returns, lengths = evaluate_policy(
                self.model, self.env, n_episodes, deterministic, callback=_check_monitored, return_episode_rewards=True
            )
        if not np.isfinite(returns).all():
            raise ValueError(f"the evaluation at step {step} has a return that is not finite: {returns}")
        self._evaluation_time += time.perf_counter() - now
        self._evaluation_cpu_time += time.process_time() - cpu_now
        self.records.append(
            {
                "step": step,
                "returns": [float(value) for value in returns],  # type: ignore[union-attr]
                "lengths": [int(value) for value in lengths],  # type: ignore[union-attr]
                "wall_time": wall_time,
                "cpu_time": cpu_time,
                "evaluation_time": self._evaluation_time,
                "steps_per_second": step / wall_time,
            }
        )


def _check_monitored(values: dict[str, Any], _: dict[str, Any]) -> None:
    """An episode whose end ``Monitor``, the innermost wrapper, does not report would go on for ``evaluate_policy``."""
    if values["done"] and "episode" not in values["info"]:
        raise ValueError("a wrapper of the environment ends episodes that Monitor does not see: they cannot be evaluated")
