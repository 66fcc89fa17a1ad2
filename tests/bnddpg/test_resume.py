"""Saved, loaded and continued is as if never interrupted."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise

from sb3_dpg import BNDDPG


def make(**kwargs) -> BNDDPG:
    return BNDDPG(
        "MlpPolicy",
        make_vec_env("Pendulum-v1", 1, seed=0),
        seed=0,
        device="cpu",
        learning_starts=20,
        batch_size=16,
        buffer_size=1000,
        learning_rate=lambda progress: 1e-3 * progress,
        action_noise=dict(type="ornstein-uhlenbeck", sigma="lin_0.5_0.1"),
        policy_kwargs=dict(net_arch=[16, 16]),
        **kwargs,
    )


@pytest.mark.parametrize(
    ("batch_norm", "target_networks"),
    [(True, False), *(pytest.param(*setting, marks=pytest.mark.slow) for setting in [(True, True), (False, True)])],
)
def test_continued_training_is_exact(tmp_path, batch_norm, target_networks):
    """
    The break is at the end of an episode and both trainings go on from the same reset; NumPy's and PyTorch's random states
    are what a checkpoint of a whole process would hold.
    """
    n_half = 200  # the length of Pendulum-v1's episodes
    unbroken = make(batch_norm=batch_norm, target_networks=target_networks, policy_delay=2)
    unbroken.learn(n_half)
    unbroken.save(tmp_path / "model")
    unbroken.save_replay_buffer(tmp_path / "buffer")
    states = random.getstate(), np.random.get_state(), th.get_rng_state()
    unbroken.set_env(unbroken.get_env())  # resets at the next learn, as the other training must
    unbroken.get_env().seed(5)
    unbroken.learn(n_half, reset_num_timesteps=False)

    resumed = BNDDPG.load(tmp_path / "model", env=make_vec_env("Pendulum-v1", 1, seed=0), device="cpu")
    resumed.load_replay_buffer(tmp_path / "buffer")
    random.setstate(states[0])
    np.random.set_state(states[1])
    th.set_rng_state(states[2])
    resumed.get_env().seed(5)
    resumed.learn(n_half, reset_num_timesteps=False)
    assert resumed.num_timesteps == unbroken.num_timesteps == 2 * n_half
    np.testing.assert_array_equal(resumed.replay_buffer.actions, unbroken.replay_buffer.actions)
    for (name, ours), theirs in zip(resumed.policy.state_dict().items(), unbroken.policy.state_dict().values(), strict=True):
        assert th.equal(ours, theirs), name


def test_parameters_with_optimizers_round_trip(tmp_path):
    model = make()
    model.learn(60)
    parameters = model.get_parameters()
    assert set(parameters) == {"policy", "actor.optimizer", "critic.optimizer"}
    other = make()
    other.set_parameters(parameters)
    for name in ("actor", "critic"):
        ours = getattr(other, name).optimizer.state_dict()["state"]
        theirs = getattr(model, name).optimizer.state_dict()["state"]
        assert len(ours) > 0
        assert all(th.equal(ours[i]["exp_avg"], theirs[i]["exp_avg"]) for i in theirs)
    obs = model.observation_space.sample()
    np.testing.assert_array_equal(other.predict(obs)[0], model.predict(obs)[0])


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_without_its_replay_buffer_a_model_collects_before_it_learns(tmp_path, batch_norm, n_envs):
    """Batches of copies of one transition would spoil the running statistics."""
    make(batch_norm=batch_norm, target_networks=not batch_norm).learn(60).save(tmp_path / "model")
    model = BNDDPG.load(tmp_path / "model", env=make_vec_env("Pendulum-v1", n_envs), device="cpu")
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    with (
        pytest.warns(UserWarning, match="does not learn until its replay buffer has 20 .*load_replay_buffer")
        if batch_norm
        else nullcontext()
    ):
        model.learn(18, reset_num_timesteps=False)
    unchanged = all(th.equal(tensor, before[name]) for name, tensor in model.policy.state_dict().items())
    # As in SB3 without batch normalisation
    assert unchanged == batch_norm
    model.learn(12, reset_num_timesteps=False)
    first = 20 if batch_norm else 0
    assert model._n_updates == 40 + sum(stored >= first for stored in range(n_envs, 31, n_envs))


def test_a_small_replay_buffer_is_learned_from_when_it_is_full():
    kwargs = dict(buffer_size=10, learning_starts=20, batch_size=16, policy_kwargs=dict(net_arch=[8]))
    assert BNDDPG("MlpPolicy", "Pendulum-v1", **kwargs).learn(40)._n_updates == 20


def test_a_loaded_replay_buffer_survives_set_env(tmp_path):
    model = make()
    model.learn(60)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    loaded = BNDDPG.load(tmp_path / "model")
    loaded.load_replay_buffer(tmp_path / "buffer")
    loaded.set_env(make_vec_env("Pendulum-v1", 1))
    assert loaded.replay_buffer.pos == 60


def test_an_assigned_replay_buffer_survives_set_env(tmp_path):
    model = make()
    model.learn(60)
    model.save(tmp_path / "model")
    loaded = BNDDPG.load(tmp_path / "model")
    loaded.replay_buffer = model.replay_buffer
    loaded.set_env(make_vec_env("Pendulum-v1", 1))
    assert loaded.replay_buffer is model.replay_buffer


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(policy_delay=0), "policy_delay=0"),
        (dict(tau=2.0), "tau=2.0"),
        (dict(gradient_clip=-1.0), "gradient_clip=-1.0"),
        (dict(action_noise=dict(type="brown")), "type='brown'"),
        (dict(action_noise=NormalActionNoise(np.zeros(2), np.ones(2))), r"shape \(2,\)"),
    ],
)
def test_load_checks_arguments(kwargs, message, tmp_path):
    make().save(tmp_path / "model")
    with pytest.raises(ValueError, match=message):
        BNDDPG.load(tmp_path / "model", **kwargs)


class Subclass(BNDDPG):
    """Attributes whose names look like those of BNDDPG's caches."""

    use_layer_norm, best_loss = False, 0.0


def test_a_subclass_keeps_its_attributes(tmp_path):
    model = Subclass("MlpPolicy", "Pendulum-v1", buffer_size=10)
    model.use_layer_norm, model.best_loss = True, 3.0
    model.save(tmp_path / "model")
    loaded = Subclass.load(tmp_path / "model")
    assert (loaded.use_layer_norm, loaded.best_loss) == (True, 3.0)


def test_load_takes_no_other_policy(tmp_path):
    make().save(tmp_path / "model")
    with pytest.raises(TypeError, match="load: 'policy' is unknown"):
        BNDDPG.load(tmp_path / "model", policy="MlpPolicy")


def test_load_can_change_arguments(tmp_path):
    model = make()
    model.save(tmp_path / "model")
    kwargs = dict(learning_rate=5e-4, batch_size=8, stats_window_size=7, policy_kwargs=dict(net_arch=[16, 16]))
    loaded = BNDDPG.load(tmp_path / "model", env=make_vec_env("Pendulum-v1", 2), **kwargs)
    assert loaded.lr_schedule(1.0) == 5e-4
    loaded.learn(60)
    assert loaded.critic.optimizer.param_groups[0]["lr"] == 5e-4
    assert loaded.replay_buffer.n_envs == 2
    assert loaded.ep_info_buffer.maxlen == 7
