"""Everything that SB3's DDPG can be asked to do."""

import functools
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv, FakeImageEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from sb3_dpg import BNDDPG
from sb3_dpg.bnddpg import BNDDPGPolicy
from sb3_dpg.bnddpg.policies import Actor
from sb3_dpg.common.callbacks import ActionNoiseCallback
from sb3_dpg.common.noise import GaussianNoise
from tests.algorithms import make

NOISE = dict(type="normal", sigma=0.1)
SMALL = dict(
    learning_starts=20,
    batch_size=16,
    buffer_size=500,
    device="cpu",
    action_noise=NOISE,
    actor_warmup=0.0,
    policy_kwargs=dict(net_arch=[16, 16]),
)


def weights(model) -> th.Tensor:
    return th.cat([p.detach().flatten() for p in model.policy.parameters()])


class Features(BaseFeaturesExtractor):
    """With a buffer that is not finite, or a layer that does not know its size."""

    def __init__(self, observation_space, mask=0.0, lazy=False):
        super().__init__(observation_space, 4)
        self.register_buffer("mask", th.full((3,), mask))
        self.net = th.nn.LazyLinear(4) if lazy else th.nn.Linear(3, 4)

    def forward(self, observations):
        return self.net(th.maximum(observations, self.mask))


def train(policy, env, total_timesteps=40, **kwargs) -> BNDDPG:
    kwargs = SMALL | kwargs
    model = BNDDPG(policy, env, seed=0, **kwargs)
    before = weights(model).clone()
    model.learn(total_timesteps)
    assert th.isfinite(weights(model)).all()
    assert not th.equal(weights(model), before)
    return model


@pytest.mark.parametrize(("batch_norm", "target_networks"), [(True, False), (True, True), (False, True)])
@pytest.mark.parametrize(
    "kwargs",
    [
        dict(policy_delay=2, target_policy_noise=0.2, policy_kwargs=dict(net_arch=[16, 16], n_critics=2)),
        dict(gradient_clip=0.5, policy_kwargs=dict(net_arch=[16, 16], action_layer=1)),
        dict(policy_kwargs=dict(net_arch=dict(pi=[8], qf=[16, 8, 8]), action_layer=2, norm_after_action=False)),
        dict(policy_kwargs=dict(net_arch=[], share_features_extractor=True)),
    ],
    ids=["td3", "clip", "late-action", "linear-shared"],
)
def test_options(batch_norm, target_networks, kwargs):
    model = train("MlpPolicy", "Pendulum-v1", batch_norm=batch_norm, target_networks=target_networks, **kwargs)
    assert model._n_updates > 0


@pytest.mark.parametrize(
    "policy_kwargs",
    [
        dict(optimizer_kwargs=dict(foreach=True)),
        dict(features_extractor_class=functools.partial(Features, mask=float("-inf"))),
        dict(features_extractor_class=functools.partial(Features, lazy=True)),
    ],
    ids=["foreach", "a function, with a mask", "lazy"],
)
def test_what_sb3_takes_for_a_policy(policy_kwargs):
    kwargs = SMALL | dict(policy_kwargs=dict(net_arch=[8]) | policy_kwargs)
    model = BNDDPG("MlpPolicy", "Pendulum-v1", seed=0, **kwargs).learn(60)
    assert model._n_updates > 0
    assert th.isfinite(weights(model)).all()


def test_a_learning_rate_that_is_changed_holds_for_both_networks():
    model = train("MlpPolicy", "Pendulum-v1")
    model.learning_rate = 1e-5
    model._setup_lr_schedule()
    model.learn(20, reset_num_timesteps=False)
    assert [network.optimizer.param_groups[0]["lr"] for network in (model.actor, model.critic)] == pytest.approx([3e-6, 1e-5])


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("channel_last", [False, True])
def test_images(channel_last, share):
    env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=1, discrete=False, channel_first=not channel_last)
    model = train(
        "CnnPolicy", env, 40, policy_kwargs=dict(net_arch=[16], share_features_extractor=share), buffer_size=100, batch_size=4
    )
    obs = model.get_env().reset()
    assert model.predict(obs)[0].shape == (1, *env.action_space.shape)


@pytest.mark.slow
def test_hindsight_replay_solves_with_small_networks():
    """Goals that were reached but once, in a batch of few episodes, do not upset the normalisation: 1,500 steps suffice."""
    env = make_vec_env(functools.partial(BitFlippingEnv, n_bits=4, continuous=True), 1)
    model = BNDDPG(
        "MultiInputPolicy",
        env,
        seed=100,
        device="cpu",
        learning_starts=100,
        buffer_size=5000,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs=dict(n_sampled_goal=4),
        policy_kwargs=dict(net_arch=[64, 64]),
    )
    model.learn(1500)
    # Four steps at -1 each where the goal is not reached
    assert evaluate_policy(model, env, 20)[0] > -2.0


def test_vec_normalize_is_applied_to_the_batches():
    env, seen = VecNormalize(make_vec_env("Pendulum-v1", 2, seed=0)), []
    model = BNDDPG("MlpPolicy", env, seed=0, **SMALL)
    sample = model.replay_buffer.sample
    model.replay_buffer.sample = lambda batch_size, env=None: seen.append(env) or sample(batch_size, env)
    model.learn(60)
    assert seen
    assert all(each is env for each in seen)


def test_learning_rates_follow_their_schedules():
    model = train(
        "MlpPolicy",
        "Pendulum-v1",
        learning_rate=lambda progress: 1e-3 * progress,
        actor_learning_rate=lambda p: 1e-4 * p**2,
    )
    # The last training happens after step 40 of 40, with the progress after that step
    assert model.critic.optimizer.param_groups[0]["lr"] == pytest.approx(0.0)
    model = train("MlpPolicy", "Pendulum-v1", learning_rate=1e-3, actor_learning_rate=lambda progress: 1e-4 * (1 + progress))
    assert model.actor.optimizer.param_groups[0]["lr"] == pytest.approx(1e-4)
    assert model.critic.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3)
    assert model.logger.name_to_value["train/actor_learning_rate"] == pytest.approx(1e-4)


@pytest.mark.parametrize("kwargs", [dict(n_envs=1), dict(n_envs=8), dict(n_envs=1, train_freq=10)])
def test_the_actors_warm_up_is_a_fraction_of_the_training(kwargs):
    n_envs = kwargs.pop("n_envs")
    env = make_vec_env("Pendulum-v1", n_envs=n_envs)
    model = make("bnddpg", env, actor_warmup=0.5, learning_rate=1e-3, learning_starts=40, **kwargs)
    rates = {}

    def keep(local_variables, global_variables):
        rates[model.num_timesteps] = model.actor.optimizer.param_groups[0]["lr"]
        return True

    model.learn(400, callback=keep)
    # The rate of the update before: as many steps after learning_starts as half of the training has, and no sooner
    for step, rate in rates.items():
        if step > 60:
            assert rate == pytest.approx(3e-4 * min(1.0, (step - 40) / 200), abs=3e-4 * 11 / 200)
    assert model.actor.optimizer.param_groups[0]["lr"] == pytest.approx(3e-4)


def test_buffers_that_are_no_statistics_are_not_averaged():
    features = dict(features_extractor_class=Features, features_extractor_kwargs=dict(mask=-np.inf))
    model = make("bnddpg", policy_kwargs=features)
    model.learn(60)
    assert th.equal(model.policy.averaged_actor.features_extractor.mask, th.full((3,), -np.inf))
    assert np.isfinite(model.predict(np.zeros(3, np.float32))[0]).all()


@pytest.mark.parametrize("n_envs", [1, 3])
def test_noise_starts_anew_with_each_training(n_envs):
    noise = dict(type="ornstein-uhlenbeck", sigma=1.0, theta=1e-6)
    model = make("bnddpg", make_vec_env("Pendulum-v1", n_envs=n_envs), action_noise=noise)
    model.learn(30)
    model.action_noise._deviation[:] = 1000.0
    largest = []
    model.learn(
        30, callback=lambda *_: largest.append(np.abs(model.action_noise._deviation).max()) or True, reset_num_timesteps=False
    )
    # Steps of the standard deviation of sigma, from 0
    assert max(largest) < 100.0


@pytest.mark.filterwarnings("ignore:.*will not learn")
def test_gradient_clip_limits_the_step():
    """With plain gradient descent of rate 1 the step of a network is its gradient."""
    lengths = []
    for clip in (None, 0.01):
        model = BNDDPG(
            "MlpPolicy",
            "Pendulum-v1",
            seed=0,
            learning_rate=1.0,
            actor_learning_rate=1.0,
            gradient_clip=clip,
            **SMALL | dict(policy_delay=1, actor_warmup=0.0, policy_kwargs=dict(net_arch=[8], optimizer_class=th.optim.SGD)),
        )
        model.learn(20)
        before = [nn.utils.parameters_to_vector(network.parameters()).detach() for network in (model.actor, model.critic)]
        model.train(1, 16)
        after = [nn.utils.parameters_to_vector(network.parameters()).detach() for network in (model.actor, model.critic)]
        lengths.append([(new - old).norm().item() for new, old in zip(after, before, strict=True)])
    assert min(lengths[0]) > 0.02
    assert lengths[1] == pytest.approx([0.01, 0.01], rel=1e-3)


@pytest.mark.parametrize("target_networks", [False, True])
def test_policy_and_actor_are_saved_alone(tmp_path, target_networks):
    policy_kwargs = dict(net_arch=[8], final_init=1e-3, action_layer=1)
    model = train("MlpPolicy", "Pendulum-v1", target_networks=target_networks, policy_kwargs=policy_kwargs)
    obs = model.observation_space.sample()
    for part, cls in ((model.policy, BNDDPGPolicy), (model.actor, Actor)):
        part.save(tmp_path / "part.pt")
        loaded = cls.load(tmp_path / "part.pt", device="cpu")
        np.testing.assert_array_equal(loaded.predict(obs)[0], part.predict(obs)[0])


def test_arguments_are_left_as_they_were():
    policy_kwargs = dict(net_arch=[8], optimizer_kwargs=dict(eps=1e-7))
    buffer_kwargs = {}
    BNDDPG(
        "MlpPolicy", "Pendulum-v1", n_steps=2, policy_kwargs=policy_kwargs, replay_buffer_kwargs=buffer_kwargs, buffer_size=9
    )
    assert policy_kwargs == dict(net_arch=[8], optimizer_kwargs=dict(eps=1e-7))
    assert buffer_kwargs == {}
    images = dict(normalize_images=False, features_extractor_kwargs=dict(features_dim=8))
    env = FakeImageEnv(screen_height=36, screen_width=36, discrete=False, channel_first=True)
    BNDDPG("CnnPolicy", env, policy_kwargs=images, buffer_size=9)
    assert images == dict(normalize_images=False, features_extractor_kwargs=dict(features_dim=8))


def test_a_function_makes_the_features_of_images_that_are_not_divided():
    cnn = functools.partial(NatureCNN, features_dim=8, normalized_image=True)
    env = FakeImageEnv(screen_height=36, screen_width=36, discrete=False, channel_first=True)
    images = dict(normalize_images=False, features_extractor_class=cnn)
    model = BNDDPG("CnnPolicy", env, policy_kwargs=images, buffer_size=9)
    assert not any(network.normalize_images for network in (model.policy, model.actor, model.critic))


def test_missing_noise_is_warned_about_once():
    model = BNDDPG("MlpPolicy", "Pendulum-v1", **SMALL | dict(action_noise=None, learning_starts=1))
    with pytest.warns(UserWarning, match="MountainCarContinuous") as record:
        model.learn(2)
    assert record[0].filename == __file__, "attributed to the line that trains"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.learn(2)


def test_noise_that_a_callback_brings_is_no_missing_noise():
    model = BNDDPG("MlpPolicy", "Pendulum-v1", **SMALL | dict(action_noise=None, learning_starts=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.learn(3, callback=ActionNoiseCallback(NOISE))
    assert model.num_timesteps == 3
    assert isinstance(model.action_noise, GaussianNoise)


def test_noise_may_be_given_later_in_any_form(tmp_path):
    model = BNDDPG("MlpPolicy", "Pendulum-v1", **SMALL)
    model.save(tmp_path / "model")
    for noise in (dict(type="normal", sigma=0.3), NormalActionNoise(np.zeros(1), np.full(1, 0.3))):
        loaded = BNDDPG.load(tmp_path / "model", env=gym.make("Pendulum-v1"), action_noise=noise)
        loaded.learn(25)
    model.action_noise = dict(type="normal", sigma=0.3)
    model.learn(25)
    assert model.action_noise.std == pytest.approx(0.3)


def test_schedules_are_followed_inside_of_sb3s_wrapper():
    noise = VectorizedActionNoise(GaussianNoise(np.zeros(1), "lin_0.5_0.1"), 2)
    model = BNDDPG("MlpPolicy", make_vec_env("Pendulum-v1", 2), **SMALL | dict(action_noise=noise))
    model.learn(40)
    assert model.action_noise.std == pytest.approx(0.1)
    assert model.action_noise().shape == (2, 1)


def test_learning_for_no_steps():
    """What prepares a model for a loop of one's own."""
    model = BNDDPG("MlpPolicy", "Pendulum-v1", **SMALL).learn(0)
    assert model.num_timesteps == 0


def test_a_training_that_ends_before_learning_starts_is_warned_about():
    model = BNDDPG("MlpPolicy", "Pendulum-v1", **SMALL | dict(learning_starts=10))
    with pytest.warns(UserWarning, match="after 10 steps, and all of the first learning_starts=10 are random"):
        model.learn(10)
    assert model._n_updates == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.learn(5, reset_num_timesteps=False)
    assert model._n_updates == 5


@pytest.mark.parametrize("preset", [BNDDPG.paper_kwargs, BNDDPG.ddpg_kwargs, BNDDPG.td3_kwargs])
def test_presets_take_no_policy_kwargs(preset):
    assert preset(policy_kwargs=None) == preset()


def test_paper_setting():
    model = BNDDPG("MlpPolicy", "Pendulum-v1", seed=0, device="cpu", **BNDDPG.paper_kwargs() | dict(buffer_size=100))
    norms = [module for module in model.actor.modules() if isinstance(module, th.nn.BatchNorm1d)]
    assert [norm.num_features for norm in norms] == [3, 400, 300]
    critic = model.critic
    assert [type(m).__name__ for m in (critic.input_norm, *critic.trunk)] == [
        "InputNorm",
        "EnsembleLinear",
        "BatchNorm1d",
        "ReLU",
    ]
    assert [type(m).__name__ for m in (*critic.head, critic.output)] == ["EnsembleLinear", "ReLU", "EnsembleLinear"]
    assert critic.head[0].weight.shape == (1, 300, 401)
    assert critic.output.weight.abs().max() <= 3e-3
    assert model.actor.mu[-1].weight.abs().max() <= 3e-3
    assert 0.9 / 400**0.5 < critic.head[0].bias.abs().max() < 1 / 400**0.5  # fan_in is 401
    assert (model.target_networks, model.policy_delay, model.target_policy_noise) == (True, 1, 0.0)
    assert model.critic.optimizer.param_groups[0]["weight_decay"] == 1e-2
    assert model.actor.optimizer.param_groups[0]["weight_decay"] == 0
    assert (model.lr_schedule(1), model.actor_lr_schedule(1)) == (1e-3, 1e-4)
    assert (model.tau, model.gamma, model.batch_size) == (0.001, 0.99, 64)
    assert model.action_noise.stationary_std == pytest.approx(
        0.2 / (1 - np.exp(-0.3)) ** 0.5 * ((1 - np.exp(-0.3)) / 0.3) ** 0.5
    )


def test_paper_setting_from_pixels():
    env = FakeImageEnv(screen_height=64, screen_width=64, n_channels=9, discrete=False, channel_first=True)
    kwargs = BNDDPG.paper_kwargs(pixels=True) | dict(buffer_size=40, learning_starts=5)
    model = BNDDPG("CnnPolicy", env, seed=0, device="cpu", **kwargs)
    convolutions = [m for m in model.actor.modules() if isinstance(m, th.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [32, 32, 32]
    assert [c.stride[0] for c in convolutions] == [2, 1, 1]
    assert model.critic.output.weight.abs().max() <= 3e-4
    assert [m.out_features for m in model.actor.mu if isinstance(m, th.nn.Linear)] == [200, 200, env.action_space.shape[0]]
    model.learn(8)
    assert th.isfinite(weights(model)).all()


@pytest.mark.parametrize("size", [10, 11])
def test_smallest_images_of_the_papers_network(size):
    env = FakeImageEnv(screen_height=size, screen_width=40, n_channels=1, discrete=False, channel_first=True)
    kwargs = BNDDPG.paper_kwargs(pixels=True) | dict(buffer_size=10)
    if size < 11:
        with pytest.raises(ValueError, match="at least 11 x 11 pixels, not 10 x 40"):
            BNDDPG("CnnPolicy", env, device="cpu", **kwargs)
    else:
        BNDDPG("CnnPolicy", env, device="cpu", **kwargs).predict(env.observation_space.sample())


def test_sb3_noise_of_one_environment_serves_several(tmp_path):
    """SB3's wrapper of a noise keeps the number of environments that it was made for: ours is refitted."""
    model = train("MlpPolicy", make_vec_env("Pendulum-v1", 3), action_noise=NormalActionNoise(np.zeros(1), np.ones(1)))
    model.save(tmp_path / "model")
    for n_envs in (1, 2):
        loaded = BNDDPG.load(tmp_path / "model", env=make_vec_env("Pendulum-v1", n_envs))
        loaded.learn(40)
        assert loaded.num_timesteps >= 40


def test_the_default_is_written_out():
    model = BNDDPG("MlpPolicy", "Pendulum-v1", buffer_size=10)
    assert (model.batch_norm, model.target_networks, model.critic.n_critics) == (True, False, 2)
    assert model.policy.net_arch == [256, 256]
    assert (model.policy_delay, model.target_policy_noise, model.tau) == (3, 0.2, 0.005)
    assert (model.target_min_weight, model.actor_n_critics) == (0.75, None)
    assert (model.actor_warmup, model.mixed_precision) == (0.05, "auto")
    assert not hasattr(model.policy, "critic_target")
    assert [model.lr_schedule(progress) for progress in (1, 0)] == [1e-3, 1e-3]
    assert model.critic.optimizer.param_groups[0]["betas"] == (0.5, 0.999)
    process, held = model.action_noise.noises
    assert (process.std, process.theta, process.dt) == (pytest.approx(0.3), pytest.approx(0.15), 1.0)
    assert (held.probability, held.size, held.longest) == (0.02, [1.5], 80)
    model.action_noise.update(0.6)
    assert (process.std, held.probability) == (pytest.approx(0.2), pytest.approx(0.004))
    model.action_noise.update(0.5)
    assert held.probability == 0.0


def test_learning_rates_as_strings():
    model = train("MlpPolicy", "Pendulum-v1", learning_rate="lin_1e-3_1e-4")
    assert model.learning_rate == "lin_1e-3_1e-4"
    assert model.critic.optimizer.param_groups[0]["lr"] == pytest.approx(1e-4)
    assert model.actor.optimizer.param_groups[0]["lr"] == pytest.approx(3e-5)


@pytest.mark.parametrize("name", ["bnddpg", "copdacq", "copdacq-mlp"])
@pytest.mark.parametrize("low", [-0.7, -0.1])
def test_actions_are_within_the_bounds(low, name):
    """low + (high - low) is one rounding above high in single precision."""

    class Saturated(gym.Env):
        observation_space = spaces.Box(-1, 1, (2,))
        action_space = spaces.Box(low, 0.1, (3,))

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(2, np.float32), {}

        def step(self, action):
            assert self.action_space.contains(action), action
            return np.zeros(2, np.float32), 0.0, False, False, {}

    model = make(name, Saturated(), action_noise=dict(type="normal", sigma=5.0)).learn(50)
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter.fill_(50.0)
    assert model.action_space.contains(model.predict(np.zeros(2, np.float32))[0])


class Limited(BNDDPGPolicy):
    """A policy with a limit for safety."""

    def _predict(self, observation, deterministic=False):
        return super()._predict(observation, deterministic).clamp(-0.1, 0.1)


def test_a_compiled_policy_trains_and_is_saved(tmp_path):
    """As SB3's documentation compiles policies."""
    model, plain = (BNDDPG("MlpPolicy", "Pendulum-v1", seed=0, **SMALL | dict(learning_starts=20)) for _ in range(2))
    model.policy = th.compile(model.policy, backend="eager")
    for each in (model, plain):
        each.set_random_seed(0)
        each.learn(40)
    assert th.equal(weights(model), weights(plain))
    model.save_weights(tmp_path / "weights")
    plain.policy.requires_grad_(False).apply(lambda layer: [tensor.zero_() for tensor in layer.parameters(recurse=False)])
    plain.load_weights(tmp_path / "weights")
    assert th.equal(weights(model), weights(plain))


class LimitedPredict(BNDDPGPolicy):
    def predict(self, *args, **kwargs):
        actions, state = super().predict(*args, **kwargs)
        return np.clip(actions, -0.2, 0.2), state


class LimitedBNDDPG(BNDDPG):
    def predict(self, *args, **kwargs):
        actions, state = super().predict(*args, **kwargs)
        return np.clip(actions, -0.2, 0.2), state


@pytest.mark.parametrize(("algorithm", "policy"), [(BNDDPG, Limited), (BNDDPG, LimitedPredict), (LimitedBNDDPG, "MlpPolicy")])
def test_what_a_subclass_does_to_actions_it_does_to_those_that_explore(algorithm, policy):
    model = algorithm(policy, "Pendulum-v1", seed=0, **SMALL | dict(action_noise=None, learning_starts=0))
    with th.no_grad():
        for actor in (model.actor, model.policy.averaged_actor):
            actor.mu[-1].bias.fill_(3.0)
    with pytest.warns(UserWarning, match="without action_noise"):
        model.learn(3)
    # Pendulum's actions are within 2
    assert np.abs(model.replay_buffer.actions[:3]).max() == pytest.approx(0.1)
