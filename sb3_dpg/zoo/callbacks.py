"""Callbacks of ``sb3-dpg train``: complete checkpoints, Ctrl-C between two rollouts, a log by time."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback

from sb3_dpg.zoo.checkpoints import save_checkpoint


class ResumableCheckpointCallback(CheckpointCallback):
    """
    Beside the agents ``rl_model_<n>_steps.zip`` that rl-zoo3 knows, keep the latest complete checkpoint.

    :param save_freq: Steps of the (vectorised) environment between two checkpoints
    :param save_path: Log folder of the run
    :param env_name: Name of the environment, the name of the agent's file
    :param verbose: Verbosity level: 2 to print where checkpoints are saved
    """

    def __init__(self, save_freq: int, save_path: str, env_name: str, verbose: int = 0) -> None:
        super().__init__(save_freq, save_path, name_prefix="rl_model", verbose=verbose)
        self.env_name = env_name
        self._due = False

    def _on_step(self) -> bool:
        self._due = self._due or self.n_calls % self.save_freq == 0
        return super()._on_step()

    def _on_rollout_start(self) -> None:
        # Not in _on_step: there the transition of this step is not in the replay buffer yet, nor learned from
        self._save_if_due()

    def _on_training_end(self) -> None:
        # What continues a finished run begins at its end
        finished = self.num_timesteps >= self.model._total_timesteps
        self._due = self._due or (finished and not Path(self.save_path, f"checkpoint_{self.num_timesteps}_steps").is_dir())
        self._save_if_due()

    def _save_if_due(self) -> None:
        if self._due:
            self._due = False
            save_checkpoint(self.model, self.save_path, self.env_name)


class InterruptCallback(BaseCallback):
    """Stop training between two rollouts, where nothing is half done, once ``is_requested``."""

    is_requested = False
    has_stopped = False

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.is_requested:
            self.has_stopped = True
            raise KeyboardInterrupt

    @contextmanager
    def on_ctrl_c(self) -> Iterator[None]:
        """Inside, the first Ctrl-C is a request, and the second stops at once. Another handler of the signal stays."""

        def request(number: int, frame: FrameType | None) -> None:
            if self.is_requested:
                raise KeyboardInterrupt
            self.is_requested = True
            print("\nInterrupted: stopping after this rollout (Ctrl-C again: at once, without a checkpoint)", flush=True)

        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, request)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def ignoring_ctrl_c() -> Iterator[None]:
    """Processes that are started inside leave Ctrl-C, which the terminal sends to all of them, to this one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


class PacedLogCallback(BaseCallback):
    """Log by time, as SB3's "every 4 episodes" is hundreds of tables a minute where an episode takes 20 ms."""

    #: Time and share of the training between two logs, at least
    seconds, fraction = 10.0, 0.01

    def _on_training_start(self) -> None:
        self._logged = time.monotonic(), self.num_timesteps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        seconds, steps = time.monotonic() - self._logged[0], self.num_timesteps - self._logged[1]
        if seconds >= self.seconds and steps >= self.fraction * self.model._total_timesteps:
            self._on_training_start()
            self.model.dump_logs()

    def _on_training_end(self) -> None:
        self.model.dump_logs()
