"""Trainings that diverge stop, say when and why, and leave weights that can be saved and used."""

import io
from typing import Any

import numpy as np
import pytest
import torch as th

from sb3_dpg.common.divergence import SNAPSHOT_INTERVAL, DivergenceError, WeightsGuard
from tests.algorithms import finite, make, same, weights

DIVERGES: dict[str, dict[str, Any]] = {
    "bnddpg": dict(learning_rate=1e30, batch_norm=False, target_networks=True),
    "copdacq": dict(value_learning_rate=50.0),
    "copdacq-replay": dict(value_learning_rate=50.0),
}


@pytest.mark.parametrize(("name", "kwargs"), DIVERGES.items())
def test_learning_rates_too_high(name: str, kwargs: dict[str, Any]) -> None:
    model = make(name, **kwargs)
    with pytest.raises(
        DivergenceError, match=r"training diverges: .* at step \d+.*(critic 1e\+30|value_learning_rate=50)"
    ) as error:
        model.learn(2000)
    assert f"at step {model.num_timesteps}" in str(error.value)
    assert isinstance(error.value, ValueError), "rl-zoo3 prunes trials on ValueError"
    assert finite(model)
    model.save(io.BytesIO())
    action, _ = model.predict(model.observation_space.sample())
    assert np.isfinite(action).all()


def test_rewards_that_overflow() -> None:
    """1e30 is a finite reward, its square is no finite loss."""
    model = make("bnddpg")
    before = weights(model)
    model.learn(20)
    model.replay_buffer.rewards[:] = 1e30
    with pytest.raises(DivergenceError, match=r"critic's loss is inf.*largest in the replay buffer is 1e\+30"):
        model.train(1, batch_size=8)
    assert same(weights(model), before)


def test_training_in_pieces_goes_back_behind_the_last_update() -> None:
    """Its harm is seen in the next loss, which is of another piece."""
    policy_kwargs = dict(optimizer_class=th.optim.SGD)
    model = make(
        "bnddpg", learning_rate=1e20, batch_norm=False, target_networks=True, learning_starts=0, policy_kwargs=policy_kwargs
    )
    before = weights(model)

    def learn_in_pieces() -> None:
        for _ in range(30):
            model.learn(1, reset_num_timesteps=False)

    with pytest.raises(DivergenceError, match="last weights known to be good"):
        learn_in_pieces()
    assert same(weights(model), before)


@pytest.mark.parametrize("name", ["bnddpg", "copdacq"])
def test_weights_from_elsewhere_are_what_a_training_goes_back_to(name: str, tmp_path: Any) -> None:
    other = make(name, seed=1)
    other.learn(30)
    other.save_weights(tmp_path / "other")
    for bring in (
        lambda model: model.set_parameters(other.get_parameters()),
        lambda model: model.load_weights(tmp_path / "other"),
    ):
        model = make(name)
        model.learn(30)
        bring(model)
        loaded = weights(model)
        model.learn(0, reset_num_timesteps=False)
        next(model.policy.parameters()).data[..., 0] = float("nan")
        with pytest.raises(DivergenceError, match="last weights known to be good"):
            model.learn(1, reset_num_timesteps=False)
        assert same(weights(model), loaded)


@pytest.mark.parametrize(("td_error", "told"), [(1e7, True), (float("nan"), False), (float("inf"), False)])
def test_only_a_finite_td_error_is_above_its_limit(td_error: float, told: bool) -> None:
    model = make("copdacq")
    model.learn(5)
    model.replay_buffer.rewards[:] = td_error
    with pytest.raises(DivergenceError, match="a TD error of") as error:
        model.train(1)
    assert ("above max_td_error=1e+06 (raise it" in str(error.value)) == told


def test_the_rates_in_the_advice_are_those_at_which_it_diverged() -> None:
    """Not those of the weights and optimizers that are put back."""
    model = make("bnddpg", learning_rate="lin_0.01_0", actor_learning_rate=1e-6, actor_warmup=0.0)

    def spoil(*_: Any) -> bool:
        if model.num_timesteps == 75:
            model.replay_buffer.rewards[:] = 1e30
        return True

    with pytest.raises(DivergenceError, match=r"critic 0\.0025\d*, actor 1e-06"):
        model.learn(100, callback=spoil)
    assert model.num_timesteps < 80


@pytest.mark.parametrize("name", ["bnddpg", "copdacq"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_of_the_last_update(name: str, bad: float) -> None:
    """No loss comes after the last update: the weights are looked at."""
    model = make(name)
    train = model.train

    def last_update_breaks(*args: Any, **kwargs: Any) -> None:
        train(*args, **kwargs)
        if model.num_timesteps == 30:
            next(model.policy.parameters()).data[..., 0] = bad

    model.train = last_update_breaks
    with pytest.raises(DivergenceError, match=r"after the last update \(step 30\) the weights are not finite.* can be saved"):
        model.learn(30)
    assert finite(model)


@pytest.mark.parametrize("name", ["bnddpg", "copdacq"])
def test_weights_that_were_never_good_are_not_called_so(name: str) -> None:
    model = make(name)
    next(model.policy.parameters()).data[0] = float("nan")
    message = r"before training \(step 0\) the weights are not finite.*no earlier weights to go back to: load another"
    with pytest.raises(DivergenceError, match=message):
        model.learn(30)


def test_optimizers_go_back_too() -> None:
    """Weights that are put back with moments that are not finite would be lost in the next update."""
    model = make("bnddpg", learning_rate=1e30, batch_norm=False, target_networks=True)
    with pytest.raises(DivergenceError):
        model.learn(100)
    for name in ("actor", "critic"):
        for moments in getattr(model, name).optimizer.state.values():
            assert all(th.isfinite(tensor).all() for tensor in moments.values())
    model.lr_schedule = lambda _: 1e-3
    model.replay_buffer.reset()
    model.learn(30)
    assert finite(model)


@pytest.mark.parametrize("at_once", [1, 5])
def test_guard_goes_back_at_least_one_interval(at_once: int) -> None:
    weight = th.zeros(1)

    def parameters() -> dict[str, dict[str, th.Tensor]]:
        return {"policy": {"weight": weight}}

    guard = WeightsGuard()
    guard.keep(0, parameters())
    for n_updates in range(at_once, 3 * SNAPSHOT_INTERVAL + 6, at_once):
        weight += at_once
        if guard.is_due_after < n_updates:
            guard.keep(n_updates, parameters())
    good = guard.last_good
    assert good is not None
    assert good["policy"]["weight"].item() == 2 * SNAPSHOT_INTERVAL


@pytest.mark.parametrize("name", ["bnddpg", "copdacq"])
def test_a_long_training_goes_back_by_an_interval(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_dpg.common.divergence.SNAPSHOT_INTERVAL", 10)
    model = make(name)
    seen: list[tuple[int, dict[str, th.Tensor]]] = []
    model.learn(60, callback=lambda *_: seen.append((model._n_updates, weights(model))) is None)
    next(model.policy.parameters()).data[..., 0] = float("nan")
    with pytest.raises(DivergenceError):
        model.learn(1, reset_num_timesteps=False)
    good = next(n_updates for n_updates, state in seen if same(state, weights(model)))
    assert 10 <= model._n_updates - good <= 20
