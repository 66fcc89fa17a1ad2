"""SB3's callbacks: called at the same moments, with the same locals, writing the same files as with DDPG."""

import contextlib
import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    LogEveryNTimesteps,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecNormalize

from tests.algorithms import same, weights
from tests.contract.scripts import OURS, OURS_WITH_REPLAY, Observed, build

NEVER = -1e9
ALWAYS = 1e9


def evaluation(**kwargs: Any) -> EvalCallback:
    return EvalCallback(Monitor(Observed()), **dict(eval_freq=20, n_eval_episodes=2, verbose=0) | kwargs)


class Diary(BaseCallback):
    """What is called when, and what it gets to see of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[str, int]] = []
        self.seen: set[str] = set()

    def _note(self, what: str) -> None:
        self.entries.append((what, self.num_timesteps))
        self.seen |= {name for name in self.locals if name != "self"}

    def _on_training_start(self) -> None:
        self._note("training starts")

    def _on_rollout_start(self) -> None:
        self._note("rollout starts")

    def _on_step(self) -> bool:
        self._note("step")
        return True

    def _on_rollout_end(self) -> None:
        self._note("rollout ends")

    def _on_training_end(self) -> None:
        self._note("training ends")


@functools.cache
def diary_of(name: str, n_envs: int) -> Diary:
    diary = Diary()
    build(name, make_vec_env(Observed, n_envs)).learn(30, diary)
    return diary


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("name", OURS)
def test_calls(name: str, n_envs: int) -> None:
    ours, reference = diary_of(name, n_envs), diary_of("ddpg", n_envs)
    assert ours.entries == reference.entries
    assert ours.seen == reference.seen


@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_calls_with_whole_episodes(name: str) -> None:
    ours, reference = Diary(), Diary()
    for algorithm, diary in ((name, ours), ("ddpg", reference)):
        build(algorithm, train_freq=(1, "episode"), gradient_steps=-1).learn(25, diary)
    assert ours.entries == reference.entries


@pytest.mark.parametrize("name", OURS)
def test_functions_stop_training(name: str) -> None:
    def stop(local: dict[str, Any], everywhere: dict[str, Any]) -> bool:
        assert "replay_buffer" in local
        return local["self"].num_timesteps < 17

    assert build(name).learn(100, stop).num_timesteps == 17


@functools.cache
def files_of_evaluation(name: str) -> tuple[list[str], dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        model = build(name).learn(60, evaluation(best_model_save_path=folder, log_path=folder))
        results = np.load(Path(folder) / "evaluations.npz")
        assert results["timesteps"].tolist() == [20, 40, 60]
        best = type(model).load(Path(folder) / "best_model")
        assert best.num_timesteps in (20, 40, 60)
        return sorted(path.name for path in Path(folder).iterdir()), {key: results[key].shape for key in results.files}


@pytest.mark.parametrize("name", OURS)
def test_evaluation(name: str) -> None:
    assert files_of_evaluation(name) == files_of_evaluation("ddpg")


@pytest.mark.parametrize("name", OURS)
def test_evaluation_stops_training(name: str) -> None:
    threshold = evaluation(callback_on_new_best=StopTrainingOnRewardThreshold(NEVER))
    assert build(name).learn(100, threshold).num_timesteps == 20
    patience = evaluation(callback_after_eval=StopTrainingOnNoModelImprovement(1, min_evals=1))
    patience.best_mean_reward = ALWAYS
    assert build(name).learn(200, patience).num_timesteps < 200


@pytest.mark.parametrize("name", OURS)
def test_evaluation_changes_no_training(name: str) -> None:
    results = [weights(build(name).learn(40, callback)) for callback in (None, evaluation())]
    assert same(*results)


@pytest.mark.parametrize("name", OURS)
def test_checkpoints(name: str, tmp_path: Path) -> None:
    model = build(name, VecNormalize(make_vec_env(Observed, 2)))
    model.learn(40, CheckpointCallback(10, str(tmp_path), save_replay_buffer=True, save_vecnormalize=True))
    kinds = ("rl_model_{}.zip", "rl_model_replay_buffer_{}.pkl", "rl_model_vecnormalize_{}.pkl")
    expected = {kind.format(f"{step}_steps") for kind in kinds for step in (20, 40)}
    assert {path.name for path in tmp_path.iterdir()} == expected

    env = VecNormalize.load(str(tmp_path / "rl_model_vecnormalize_20_steps.pkl"), make_vec_env(Observed, 2))
    loaded = type(model).load(tmp_path / "rl_model_20_steps", env=env)
    loaded.load_replay_buffer(tmp_path / "rl_model_replay_buffer_20_steps")
    assert loaded.get_vec_normalize_env() is env
    # Callbacks come before the step's transitions are stored; online learning keeps the newest of each environment
    assert loaded.replay_buffer.size() == min(9, loaded.replay_buffer.buffer_size)
    assert loaded.learn(20, reset_num_timesteps=False).num_timesteps == 40


@pytest.mark.parametrize("name", OURS)
def test_every_n_steps(name: str) -> None:
    calls: list[int] = []

    class Count(BaseCallback):
        def _on_step(self) -> bool:
            calls.append(self.num_timesteps)
            return True

    build(name, make_vec_env(Observed, 2)).learn(50, EveryNTimesteps(20, Count()))
    assert calls == [20, 40]


@pytest.mark.parametrize("name", OURS)
def test_lists_and_the_end_after_so_many_episodes(name: str) -> None:
    diary = Diary()
    model = build(name).learn(100, [StopTrainingOnMaxEpisodes(2), CallbackList([diary])])
    assert model.num_timesteps == 20, "two episodes"
    assert diary.entries[-1] == ("training ends", 20)


@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_a_training_that_was_stopped_goes_on_with_a_new_episode(name: str, error: type[BaseException] | None) -> None:
    """The transition of the last step is not stored any more: the next one must not lead from the observation before."""

    class Counter(Observed):
        def __init__(self) -> None:
            super().__init__(spaces.Box(0.0, 1e4, (1,), np.float32))
            self.count = 0.0

        def reset(self, **kwargs: Any) -> Any:
            _, info = super().reset(**kwargs)
            self.count += 100
            return np.array([self.count], np.float32), info

        def step(self, action: np.ndarray) -> Any:
            _, *rest = super().step(action)
            self.count += 1
            return np.array([self.count], np.float32), *rest

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == 15 and error is not None:
                raise error
            return self.num_timesteps < 15

    model = build(name, make_vec_env(Counter))
    with pytest.raises(error) if error is not None else contextlib.nullcontext():
        model.learn(100, Stop())
    model.learn(25, reset_num_timesteps=False)
    buffer = model.replay_buffer
    assert buffer.size() == 39
    assert (buffer.next_observations[:39] - buffer.observations[:39] == 1.0).all()


@pytest.mark.parametrize("name", OURS)
def test_logs_by_callback(name: str, tmp_path: Path) -> None:
    model = build(name)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(50, LogEveryNTimesteps(20), log_interval=None)
    rows = (tmp_path / "progress.csv").read_text().splitlines()
    assert len(rows) == 3


@pytest.mark.parametrize("name", OURS)
def test_progress_bar(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(name).learn(20, progress_bar=True).num_timesteps == 20
    assert "20/20" in capsys.readouterr().out
