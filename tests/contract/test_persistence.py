"""Saving and loading: whole models, with parts left out or put in, buffers, policies, parameters."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_dpg.common.noise import SummedNoise
from sb3_dpg.copdacq.buffers import LatestTransitions
from tests.algorithms import finite, same, weights
from tests.contract.scripts import BNDDPGS, OURS, OURS_WITH_REPLAY, Observed, build, trained

OBSERVATIONS = np.linspace(-0.9, 0.9, 15, dtype=np.float32).reshape(5, 3)
WITH_OPTIMIZERS = ["ddpg", *BNDDPGS]


def acts_alike(first: BaseAlgorithm, second: BaseAlgorithm) -> bool:
    actions = [model.predict(OBSERVATIONS, deterministic=True)[0] for model in (first, second)]
    return np.array_equal(*actions)


@pytest.mark.parametrize("form", ["path", "string", "file", "suffix"])
@pytest.mark.parametrize("name", OURS)
def test_round_trip(name: str, form: str, tmp_path: Path) -> None:
    model = trained(name)
    target: Any = dict(
        path=tmp_path / "model", string=str(tmp_path / "model"), file=io.BytesIO(), suffix=tmp_path / "model.zip"
    )[form]
    model.save(target)
    if form == "file":
        target.seek(0)
    loaded = type(model).load(target, device="cpu")
    assert same(weights(loaded), weights(model))
    assert acts_alike(loaded, model)
    for attribute in ("num_timesteps", "gamma", "n_envs", "seed", "observation_space", "action_space", "_n_updates"):
        assert getattr(loaded, attribute) == getattr(model, attribute)
    with pytest.raises(AssertionError, match="set the environment"):
        loaded.learn(10)
    loaded.set_env(Observed())
    assert finite(loaded.learn(5, reset_num_timesteps=False))
    assert loaded.num_timesteps == 35


@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_same_data_in_the_file(name: str, tmp_path: Path) -> None:
    """Ours have the settings of DDPG in the file, and more; nothing that DDPG leaves out is in it."""
    keys = []
    for algorithm in ("ddpg", name):
        model = trained(algorithm)
        model.save(tmp_path / algorithm)
        data, _, variables = load_from_zip_file(tmp_path / algorithm)
        assert data is not None
        assert not variables
        keys.append(set(data))
    # TD3's, which COPDACQ has none of
    reference = keys[0] - {"policy_delay", "target_policy_noise", "target_noise_clip"}
    reference -= {key for key in keys[0] if "batch_norm_stats" in key}
    missing = {"tau"} if name.startswith("copdacq") else set()
    assert reference - missing <= keys[1] | missing
    assert not keys[1] & {
        "env",
        "replay_buffer",
        "policy",
        "actor",
        "critic",
        "logger",
        "rollout_buffer",
        "_vec_normalize_env",
        "_guard",
    }


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("name", OURS)
def test_another_number_of_environments(name: str, n_envs: int, tmp_path: Path) -> None:
    """Not with SB3's DDPG: its noise stays that of the number of environments it was saved with, and training fails."""
    model = build(name, make_vec_env(Observed, 2)).learn(30)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", env=make_vec_env(Observed, n_envs))
    assert (loaded.n_envs, loaded.replay_buffer.n_envs) == (n_envs, n_envs)
    assert finite(loaded.learn(30))


@pytest.mark.parametrize(
    "kwargs",
    [dict(observation_space=spaces.Box(-1, 1, (4,))), dict(action_space=spaces.Box(-1, 1, (2,)))],
    ids=["observations", "actions"],
)
@pytest.mark.parametrize("name", OURS)
def test_another_environment_is_refused(name: str, kwargs: dict[str, Any], tmp_path: Path) -> None:
    model = build(name)
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="spaces do not match"):
        type(model).load(tmp_path / "model", env=Observed(**kwargs))


@pytest.mark.parametrize("name", OURS)
def test_keywords_and_custom_objects(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build(name).learn(20)
    model.save(tmp_path / "model")
    loaded = type(model).load(
        tmp_path / "model",
        env=Observed(),
        device="cpu",
        custom_objects=dict(gamma=0.5, learning_rate=0.125, lr_schedule=None, action_noise=None),
        print_system_info=True,
        verbose=0,
        seed=7,
    )
    assert (loaded.gamma, loaded.seed, loaded.action_noise) == (0.5, 7, None)
    assert loaded.lr_schedule(1.0) == 0.125
    assert "SAVED MODEL SYSTEM INFO" in capsys.readouterr().out
    with pytest.raises(ValueError, match="policy kwargs do not equal"):
        type(model).load(tmp_path / "model", policy_kwargs=dict(normalize_images=False))


@pytest.mark.parametrize("name", OURS)
def test_forced_reset(name: str, tmp_path: Path) -> None:
    model = build(name).learn(15)
    model.save(tmp_path / "model")
    resets = [type(model).load(tmp_path / "model", env=Observed(), force_reset=force)._last_obs for force in (True, False)]
    assert resets[0] is None
    assert np.array_equal(resets[1], model._last_obs)


@pytest.mark.parametrize("name", OURS)
def test_excluded_and_included(name: str, tmp_path: Path) -> None:
    model = trained(name)
    model.save(tmp_path / "model", exclude=["action_noise", "ep_info_buffer"], include=["replay_buffer"])
    data, _, _ = load_from_zip_file(tmp_path / "model")
    assert data is not None
    assert not {"action_noise", "ep_info_buffer"} & set(data)
    loaded = type(model).load(tmp_path / "model", env=Observed())
    # The constructor's default
    assert type(loaded.action_noise) is (SummedNoise if name.startswith("bnddpg") else type(None))
    np.testing.assert_array_equal(loaded.replay_buffer.rewards, model.replay_buffer.rewards)
    assert loaded.replay_buffer.pos == model.replay_buffer.pos


@pytest.mark.parametrize("form", ["path", "file"])
@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_replay_buffer(name: str, form: str, tmp_path: Path) -> None:
    model = trained(name)
    target: Any = tmp_path / "buffer" if form == "path" else io.BytesIO()
    model.save_replay_buffer(target)
    if form == "file":
        target.seek(0)
    other = build(name)
    other.load_replay_buffer(target)
    for field in ("observations", "actions", "rewards", "dones"):
        np.testing.assert_array_equal(getattr(other.replay_buffer, field), getattr(model.replay_buffer, field))
    assert finite(other.learn(30))


@pytest.mark.parametrize("name", OURS_WITH_REPLAY)
def test_load_with_other_settings_of_the_replay_buffer(name: str, tmp_path: Path) -> None:
    """SB3 keeps the class and the arguments that it chose when the model was made, and warns."""
    build(name, n_steps=3).learn(30).save(tmp_path / "model")
    for kwargs in (dict(buffer_size=50), dict(gamma=0.5), dict(n_steps=2), dict(n_steps=1)):
        model = type(build(name)).load(tmp_path / "model", env=Observed(), **kwargs)
        assert model.replay_buffer.buffer_size == kwargs.get("buffer_size", 200)
        assert isinstance(model.replay_buffer, NStepReplayBuffer) == (model.n_steps > 1)
        if model.n_steps > 1:
            assert (model.replay_buffer.n_steps, model.replay_buffer.gamma) == (model.n_steps, model.gamma)
        assert finite(model.learn(30))


@pytest.mark.parametrize("name", ["copdacq", "copdacq-mlp"])
def test_load_for_learning_online_and_back(name: str, tmp_path: Path) -> None:
    kinds = []
    model = build(name)
    for buffer_size in (1, 50, 1):
        model.save(tmp_path / "model")
        model = type(model).load(tmp_path / "model", env=Observed(), buffer_size=buffer_size)
        kinds.append(type(model.replay_buffer))
        assert finite(model.learn(30))
    assert kinds == [LatestTransitions, ReplayBuffer, LatestTransitions]
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="n_steps=3 needs more than the newest step"):
        type(model).load(tmp_path / "model", n_steps=3)


@pytest.mark.parametrize("name", OURS)
def test_policy_alone(name: str, tmp_path: Path) -> None:
    model = trained(name)
    model.policy.save(tmp_path / "policy")
    policy = type(model.policy).load(tmp_path / "policy", device="cpu")
    assert same(dict(policy.state_dict()), weights(model))
    np.testing.assert_array_equal(policy.predict(OBSERVATIONS)[0], model.predict(OBSERVATIONS)[0])


# Parameters


@pytest.mark.parametrize("name", OURS)
def test_parameters(name: str, tmp_path: Path) -> None:
    model, other = trained(name), build(name, seed=1)
    parameters = model.get_parameters()
    assert "policy" in parameters
    other.set_parameters(parameters)
    assert same(weights(other), weights(model))
    assert acts_alike(other, model)
    model.save(tmp_path / "model")
    from_file = build(name, seed=2)
    from_file.set_parameters(str(tmp_path / "model"), device="cpu")
    assert same(weights(from_file), weights(model))
    assert finite(from_file.learn(20))


@pytest.mark.parametrize("name", BNDDPGS)
def test_parameters_are_named_as_in_ddpg(name: str) -> None:
    assert set(build(name).get_parameters()) == set(build("ddpg").get_parameters())


@pytest.mark.parametrize("name", OURS)
def test_parameters_that_do_not_match(name: str) -> None:
    model = build(name)
    parameters = model.get_parameters()
    with pytest.raises(ValueError, match="invalid object name"):
        model.set_parameters(parameters | {"nothing": {}})
    with pytest.raises(ValueError, match="Names of parameters do not match"):
        model.set_parameters({})
    partial = dict(list(parameters["policy"].items())[1:])
    with pytest.raises(RuntimeError, match=r"Missing key|other networks"):
        model.set_parameters({**parameters, "policy": partial})


@pytest.mark.parametrize("name", OURS)
def test_some_parameters(name: str) -> None:
    model, other = trained(name), build(name, seed=1)
    before = weights(other)
    key, value = next((key, value) for key, value in weights(model).items() if not th.equal(value, before[key]))
    other.set_parameters({"policy": {key: value}}, exact_match=False)
    after = weights(other)
    assert th.equal(after.pop(key), value)
    assert same(after, {name: tensor for name, tensor in before.items() if name != key})


@pytest.mark.parametrize("gone", ["fused", "decoupled_weight_decay", "all but the oldest"])
@pytest.mark.parametrize("name", WITH_OPTIMIZERS)
def test_optimizers_of_older_versions(name: str, gone: str) -> None:
    """PyTorch's optimizers have got ever more settings, and counted steps in numbers once."""
    model, other = trained(name), build(name, seed=1)
    parameters = model.get_parameters()
    for key in ("actor.optimizer", "critic.optimizer"):
        state = parameters[key]
        (group,) = state["param_groups"]
        oldest = {"params", "lr", "betas", "eps", "weight_decay", "amsgrad"}
        dropped = set(group) - oldest if gone.startswith("all") else {gone}
        state["param_groups"] = [{setting: value for setting, value in group.items() if setting not in dropped}]
        if gone.startswith("all"):
            state["state"] = {i: entry | dict(step=int(entry["step"])) for i, entry in state["state"].items()}
    other.set_parameters(parameters)
    assert same(weights(other), weights(model))
    before = weights(other)
    assert finite(other.learn(30))
    assert not same(weights(other), before)
