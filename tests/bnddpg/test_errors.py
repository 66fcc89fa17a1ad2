"""Bad input is refused at construction, by an error that names the parameter and what is allowed."""

import inspect

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_dpg import BNDDPG, COPDACQ
from sb3_dpg.bnddpg.policies import BNDDPGPolicy
from tests.algorithms import make


class Environment(gym.Env):
    observation_space = spaces.Box(-1, 1, (2,))

    def __init__(self, action_space: spaces.Space) -> None:
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.mark.parametrize(
    ("action_space", "message"),
    [
        (spaces.Discrete(3), r"action_space=Discrete\(3\).*BNDDPG.*needs a gymnasium.spaces.Box"),
        (
            spaces.Box(np.array([-1.0, 2.0], np.float32), np.array([1.0, 2.0], np.float32)),
            r"scaled .* dimension\(s\) \[\[1\]\]",
        ),
        (spaces.Box(-3e38, 3e38, (1,)), r"scaled .* overflows"),
        (spaces.Box(np.array([-1.0, -np.inf]), np.array([1.0, 1.0]), dtype=np.float64), "infinite bounds"),
    ],
)
def test_action_spaces(action_space, message):
    with pytest.raises(ValueError, match=message):
        BNDDPG("MlpPolicy", Environment(action_space))


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        (dict(batch_norm="yes"), TypeError, "batch_norm must be bool, not 'yes'"),
        (dict(target_networks=2), TypeError, "target_networks must be bool, not 2"),
        (dict(tau=0.0), ValueError, r"tau=0.0.*\(0, 1\]"),
        (dict(tau=1.5), ValueError, r"tau=1.5.*\(0, 1\]"),
        (dict(tau="half"), TypeError, "tau must be a number, not 'half'"),
        (dict(gamma=-0.1), ValueError, r"gamma=-0.1.*\[0, 1\]"),
        (dict(gamma=float("nan")), ValueError, "gamma=nan"),
        (dict(batch_size=1), ValueError, "batch_size=1.*at least 2 or batch_norm=False"),
        (dict(batch_size=0, batch_norm=False), ValueError, "batch_size=0.*at least 1"),
        (dict(policy_kwargs=dict(net_arch=(8, 8))), TypeError, r"net_arch=\(8, 8\) must be a list of integers"),
        (dict(batch_size=2.5), TypeError, "batch_size must be an integer"),
        (dict(buffer_size=0), ValueError, "buffer_size=0"),
        (dict(learning_starts=-1), ValueError, "learning_starts=-1"),
        (dict(gradient_steps=-2), ValueError, "gradient_steps=-2"),
        (dict(n_steps=0), ValueError, "n_steps=0"),
        (dict(learning_rate=-1e-3), ValueError, "learning_rate=-0.001"),
        (dict(learning_rate="fast"), ValueError, "learning_rate.*'fast'.*lin_0.5_0.05"),
        (dict(learning_rate="lin_1e-3_-1"), ValueError, "learning_rate.*-1"),
        (dict(actor_learning_rate=float("inf")), ValueError, "actor_learning_rate=inf"),
        (dict(policy_delay=0), ValueError, "policy_delay=0.*at least 1"),
        (dict(target_policy_noise=-0.1), ValueError, "target_policy_noise=-0.1"),
        (dict(actor_warmup=1.5), ValueError, "actor_warmup=1.5"),
        (dict(target_noise_clip=-0.1), ValueError, "target_noise_clip=-0.1"),
        (dict(gradient_clip=0.0), ValueError, "gradient_clip=0.0"),
        (dict(action_noise=NormalActionNoise(np.zeros(1), -np.ones(1))), ValueError, "negative sigma"),
        (
            dict(action_noise=NormalActionNoise(np.zeros(2), np.ones(3))),
            ValueError,
            "action_noise=.* has a mean and a sigma of different shapes",
        ),
        (dict(action_noise=NormalActionNoise(np.zeros(2), np.ones(2))), ValueError, r"shape \(2,\).*have shape \(1,\)"),
        (dict(action_noise=0.1), TypeError, "noise must be an SB3 ActionNoise"),
        (dict(action_noise=dict(type="normal", sigma=-0.1)), ValueError, "sigma"),
        (dict(action_noise=dict(type="brown", sigma=0.1)), ValueError, "brown"),
        (dict(action_noise=dict(type="normal", sigma=[0.1, 0.2])), ValueError, "sigma"),
        (
            dict(policy_kwargs=dict(batch_norm=False)),
            ValueError,
            "policy_kwargs must not hold 'batch_norm'",
        ),
        (dict(policy_kwargs=dict(n_critic=3)), TypeError, "policy_kwargs: 'n_critic' is unknown, did you mean 'n_critics'"),
        (dict(policy_kwargs=dict(n_critic=3)), TypeError, "Known: (?!.*(batch_norm,|target_networks))"),
        (dict(policy_kwargs=dict(lr_schedule=3)), TypeError, "policy_kwargs: 'lr_schedule' is unknown"),
        (dict(policy_kwargs=dict(policy="MlpPolicy")), ValueError, "policy_kwargs must not hold 'policy'"),
        (dict(policy_kwargs=dict(n_critics=0)), ValueError, "n_critics=0"),
        (dict(policy_kwargs=dict(optimizer_kwargs=dict(eps=-1))), ValueError, "^optimizer_kwargs={'eps': -1} cannot be used"),
        (
            dict(policy_kwargs=dict(critic_optimizer_kwargs=dict(decay=1))),
            TypeError,
            "^critic_optimizer_kwargs={'decay': 1} cannot be used: .*'decay'",
        ),
        (dict(policy_kwargs=dict(batch_norm_momentum=0.0)), ValueError, "batch_norm_momentum=0.0"),
        (dict(policy_kwargs=dict(batch_norm_eps=0.0)), ValueError, "batch_norm_eps=0.0"),
        (dict(policy_kwargs=dict(action_layer=3)), ValueError, r"action_layer=3.*2 hidden layer\(s\)"),
        (dict(policy_kwargs=dict(final_init=-1.0)), ValueError, "final_init=-1.0"),
        (dict(policy_kwargs=dict(features_extractor_class="NatureCNN")), TypeError, "'NatureCNN' must be a subclass"),
        (dict(policy_kwargs=dict(features_extractor_class=3)), TypeError, "features_extractor_class must be a class"),
        (dict(target_min_weight=1.5), ValueError, r"target_min_weight=1\.5"),
        (dict(actor_n_critics=0), ValueError, "actor_n_critics=0"),
        (dict(actor_n_critics=3), ValueError, "actor_n_critics=3 is more than n_critics=2 of the policy: use at most"),
        (dict(mixed_precision="yes"), TypeError, "mixed_precision='yes' must be True, False or 'auto'"),
        (
            dict(policy_kwargs=dict(share_features_extractor="no")),
            TypeError,
            "share_features_extractor must be bool, not 'no'",
        ),
        (dict(policy_kwargs=dict(norm_after_action=1)), TypeError, "norm_after_action must be bool, not 1"),
        (dict(policy_kwargs=dict(final_init=float("inf"))), ValueError, "final_init=inf"),
        (dict(policy_kwargs=dict(batch_norm_eps=float("inf"))), ValueError, "batch_norm_eps=inf"),
        (dict(target_policy_noise=float("inf")), ValueError, "target_policy_noise=inf"),
        (dict(replay_buffer_class="HerReplayBuffer"), TypeError, "replay_buffer_class must be type, not 'HerReplayBuffer'"),
        (dict(learning_rate=lambda progress: progress - 0.5), ValueError, r"learning_rate=-0\.5 is out of range"),
        (dict(compile="no"), TypeError, "compile must be bool, not 'no'"),
        (dict(env=3), TypeError, "env must be an environment or the id of one, not 3"),
        (dict(env=Environment), TypeError, "env must be an environment .*, not <class"),
        (dict(train_freq=np.int64(2)), TypeError, r"train_freq=.*2.* must be an int or a pair"),
        (dict(seed=2**32), ValueError, r"seed=4294967296 is too large: it must be below 2 \*\* 32"),
        (
            dict(replay_buffer_class=dict),
            TypeError,
            "replay_buffer_class=<class 'dict'> must be a subclass of SB3's ReplayBuffer",
        ),
        (dict(learning_rate=lambda progress: "a"), TypeError, "learning_rate=.* must be a function of the progress remaining"),
        (dict(learning_rate=lambda: 1.0), TypeError, "learning_rate=.* must be a function of the progress remaining"),
        (
            dict(action_noise=dict(type="normal", sigma=lambda: 1.0)),
            TypeError,
            "sigma must be a function of the progress remaining",
        ),
        (dict(policy_kwargs=dict(activation_fn=nn.ReLU())), TypeError, r"activation_fn must be a class, not ReLU\(\)"),
        (dict(policy_kwargs=dict(normalize_images="no")), TypeError, "normalize_images must be bool, not 'no'"),
        (
            dict(policy_kwargs=dict(features_extractor_class=dict)),
            TypeError,
            "<class 'dict'> must be a subclass of SB3's Base",
        ),
    ],
)
def test_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        BNDDPG("MlpPolicy", **dict(env="Pendulum-v1", buffer_size=10) | kwargs)


def test_policies_and_files_of_other_algorithms(tmp_path):
    with pytest.raises(ValueError, match=r"policy='LinearPolicy' is unknown: .* MlpPolicy, CnnPolicy, MultiInputPolicy"):
        BNDDPG("LinearPolicy", "Pendulum-v1")
    with pytest.raises(TypeError, match="policy=TD3Policy is not for BNDDPG: it must be a subclass of BNDDPGPolicy"):
        BNDDPG(TD3Policy, "Pendulum-v1")
    BNDDPG("MlpPolicy", "Pendulum-v1", buffer_size=10).save(tmp_path / "model")
    with pytest.raises(TypeError, match="load: 'gamm' is unknown, did you mean 'gamma'"):
        BNDDPG.load(tmp_path / "model", gamm=0.5)

    class Own(BNDDPG):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    assert Own.load(tmp_path / "model", gamma=0.5).gamma == 0.5
    with pytest.raises(ValueError, match="n_steps=3 is not for observations of type Dict"):
        BNDDPG("MultiInputPolicy", BitFlippingEnv(continuous=True), buffer_size=10, n_steps=3)
    with pytest.raises(TypeError, match="policy must be type, not 5"):
        BNDDPG(5, "Pendulum-v1")
    with pytest.raises(ValueError, match="env=None: give an environment"):
        BNDDPG("MlpPolicy", None)
    with pytest.raises(TypeError, match="policy=BNDDPGPolicy is not for COPDACQ"):
        COPDACQ(BNDDPGPolicy, "Pendulum-v1")
    DDPG("MlpPolicy", "Pendulum-v1", buffer_size=10).save(tmp_path / "ddpg")
    for algorithm in (BNDDPG, COPDACQ):
        with pytest.raises(TypeError, match=f"policy=TD3Policy is not for {algorithm.__name__}.*a loaded file"):
            algorithm.load(tmp_path / "ddpg")


def test_noise_may_have_an_attribute_of_our_names():
    class Noise(NormalActionNoise):
        action_dim = (1,)

    class Other(ActionNoise):
        action_dim = (1,)

        def __call__(self):
            return np.zeros(1)

    for noise in (Noise(np.zeros(1), np.ones(1)), Other()):
        assert BNDDPG("MlpPolicy", "Pendulum-v1", buffer_size=10, action_noise=noise).action_noise is noise


def test_train_refuses_a_batch_of_one():
    model = BNDDPG("MlpPolicy", "Pendulum-v1", buffer_size=10)
    with pytest.raises(ValueError, match="batch_size=1"):
        model.train(1, batch_size=1)


def test_the_signature_contains_that_of_ddpg():
    ours = inspect.signature(BNDDPG.__init__).parameters
    theirs = inspect.signature(DDPG.__init__).parameters
    assert set(theirs) <= set(ours)
    assert "stats_window_size" in ours  # which SB3's own DDPG lacks and TD3 has
    assert set(inspect.signature(TD3.__init__).parameters) <= set(ours)
    different = {name for name in theirs if theirs[name].default != ours[name].default}
    assert different == {"learning_starts", "action_noise"}
    assert [BNDDPG.ddpg_kwargs()[name] for name in sorted(different)] == [theirs[name].default for name in sorted(different)]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(batch_norm=False), "neither batch_norm nor target_networks: nothing holds the targets"),
        (dict(target_policy_noise=0.0, target_noise_clip=0.1), "target_noise_clip=0.1 without effect"),
        (dict(target_min_weight=0.5, policy_kwargs=dict(n_critics=1)), "target_min_weight=0.5 without effect"),
    ],
)
def test_settings_that_make_no_sense_are_warned_about(kwargs, message):
    with pytest.warns(UserWarning, match=message) as record:
        BNDDPG("MlpPolicy", "Pendulum-v1", buffer_size=10, **kwargs)
    assert len(record) == 1
    assert record[0].filename == __file__, "attributed to the line that builds"


def test_a_policy_for_dictionaries_is_refused_other_observations():
    with pytest.raises(ValueError, match=r"policy='MultiInputPolicy' is for observations of type Dict, not Box"):
        BNDDPG("MultiInputPolicy", "Pendulum-v1", buffer_size=10)


@pytest.mark.parametrize("name", ["bnddpg", "bnddpg-ddpg", "bnddpg-td3", "copdacq", "copdacq-mlp-replay"])
def test_our_files_are_no_models_of_stable_baselines3(tmp_path, name):
    make(name).save(tmp_path / "model")
    for algorithm in (TD3, DDPG, SAC):
        with pytest.raises((TypeError, AttributeError)):
            algorithm.load(tmp_path / "model")


def test_files_of_other_settings(tmp_path):
    """What SB3 or PyTorch would answer by lists of keys, or not at all."""
    model = BNDDPG("MlpPolicy", "Pendulum-v1", buffer_size=10, policy_kwargs=dict(net_arch=[8]))
    model.save(tmp_path / "model")
    for kwargs in (dict(batch_norm=False, target_networks=True), dict(target_networks=True)):
        with pytest.raises(RuntimeError, match=r"other networks .*batch_norm.*target_networks.*policy_kwargs"):
            BNDDPG.load(tmp_path / "model", **kwargs)
    # What a BNDDPG of before 0.1.0 saved
    model.batch_norm_mode = "joint"
    model.save(tmp_path / "old")
    with pytest.raises(ValueError, match=r"before version 0\.1\.0"):
        BNDDPG.load(tmp_path / "old")
