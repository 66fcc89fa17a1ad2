"""What a model leaves behind, and what others who use it at the same time may do."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th

from sb3_dpg import COPDACQ
from tests.algorithms import same, weights

POLICIES = ["LinearPolicy", "MlpPolicy"]
BUFFERS: dict[str, dict[str, Any]] = {"online": {}, "replay": dict(buffer_size=200, batch_size=8)}


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def make(policy: str, buffer: str, **kwargs: Any) -> COPDACQ:
    noise = {"type": "normal", "sigma": 0.2}
    return COPDACQ(policy, gym.make("Pendulum-v1"), action_noise=noise, seed=0, **BUFFERS[buffer] | kwargs)


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("buffer", BUFFERS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_model_is_freed_at_once(policy: str, buffer: str) -> None:
    """As SB3's TD3. (After a training SB3's callbacks hold themselves, and the model, until the collector runs.)"""
    model = make(policy, buffer, value_learning_rate="lin_0.1_0.01")
    parts = [weakref.ref(part) for part in (model, model.policy, model.replay_buffer)]
    del model
    assert [part() for part in parts] == [None, None, None]


@pytest.mark.parametrize("buffer", BUFFERS)
@pytest.mark.parametrize("policy", ["LinearPolicy", pytest.param("MlpPolicy", marks=pytest.mark.slow)])
def test_predict_in_another_thread_changes_nothing(policy: str, buffer: str) -> None:
    """Neither fails, and the weights are bit for bit those of a training alone."""
    alone = weights(make(policy, buffer).learn(300))
    model, stop = make(policy, buffer), threading.Event()
    observations = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 3)).astype(np.float32)
    errors: list[BaseException] = []
    n_predictions = 0

    def act() -> None:
        nonlocal n_predictions
        try:
            while not stop.is_set():
                for batch in (observations[0], observations):
                    assert np.isfinite(model.predict(batch, deterministic=True)[0]).all()
                    n_predictions += 1
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    try:
        model.learn(300)
    finally:
        stop.set()
        thread.join()
    assert errors == []
    assert n_predictions > 10
    assert same(weights(model), alone)


class Interrupted(th.nn.Tanh):
    """Lets another thread run in the middle of a pass."""

    meanwhile: Callable[[], None] | None = None

    def forward(self, inputs: th.Tensor) -> th.Tensor:
        if Interrupted.meanwhile is not None and threading.current_thread() is threading.main_thread():
            thread = threading.Thread(target=Interrupted.meanwhile)
            thread.start()
            thread.join()
        return super().forward(inputs)


def test_predict_in_the_middle_of_an_update() -> None:
    kwargs = dict(net_arch=[8], activation_fn=Interrupted)
    alone = weights(make("MlpPolicy", "online", policy_kwargs=kwargs).learn(10))
    model = make("MlpPolicy", "online", policy_kwargs=kwargs)
    actions: list[Any] = []

    def act() -> None:
        try:
            actions.append(float(model.predict(np.ones(3, np.float32), deterministic=True)[0][0]))
        except RuntimeError as error:
            actions.append(error)

    Interrupted.meanwhile = act
    try:
        model.learn(10)
    finally:
        Interrupted.meanwhile = None
    assert len(actions) > 50
    assert all(isinstance(action, float) and np.isfinite(action) for action in actions), actions[:20]
    assert same(weights(model), alone)


class Scaled(th.nn.Module):
    """Has a statistic that a pass in training mode moves."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = th.nn.BatchNorm1d(8)

    def forward(self, inputs: th.Tensor) -> th.Tensor:
        return self.norm(inputs)


def test_networks_are_in_evaluation_mode_from_the_start() -> None:
    """An activation may have statistics or draw random numbers: looking at a model changes nothing."""
    model = make("MlpPolicy", "online", policy_kwargs=dict(net_arch=[8], activation_fn=Scaled))
    before = weights(model)
    with th.no_grad():
        model.policy.q_values(th.ones(4, 3), th.zeros(4, 1))
        model.policy.actor(th.ones(1, 3))
    assert same(weights(model), before)
    learned = weights(model.learn(20))
    assert all(th.equal(learned[name], tensor) for name, tensor in before.items() if "running" in name)
