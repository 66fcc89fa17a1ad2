"""Search spaces for Optuna, and their way back into hyperparameters."""

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from gymnasium import spaces

from sb3_dpg.common.features import TileCoding
from sb3_dpg.copdacq.policies import LinearPolicy, default_features, features_class

NOISE_TYPES = ("ornstein-uhlenbeck", "normal", None)
NOISE_SCHEDULES = ("const", "lin", "exp")
#: Where a schedule of the noise ends, as a share of its start
FINAL_NOISE = 0.1
#: Tables of which a trial samples some keys: the others stay the entry's
MERGED_KWARGS = frozenset({"policy_kwargs", "replay_buffer_kwargs"})
#: BNDDPG's own begins after 100,000 passes, when most searches have ended; this is that of our studies
RENORM_WARMUP_STEPS = 1_000
NET_ARCHS = {"small": [64, 64], "medium": [256, 256], "big": [400, 300]}


def _sample_noise(trial: optuna.Trial) -> dict[str, Any]:
    """
    All are sampled always: TPE models them jointly only if no trial lacks one.

    :param trial: The trial
    :return: Its parameters of the exploration noise
    """
    return {
        "noise_type": trial.suggest_categorical("noise_type", NOISE_TYPES),
        "noise_std": trial.suggest_float("noise_std", 0.05, 0.8),
        "noise_theta": trial.suggest_float("noise_theta", 0.05, 1.0, log=True),
        "noise_schedule": trial.suggest_categorical("noise_schedule", NOISE_SCHEDULES),
    }


def _convert_noise(params: dict[str, Any]) -> dict[str, Any] | None:
    """
    :param params: Sampled parameters; those of the noise are removed
    :return: A noise specification, or None for no noise (which is said explicitly: the file's noise must not stay)
    """
    noise_type, std, theta, schedule = (
        params.pop(key) for key in ("noise_type", "noise_std", "noise_theta", "noise_schedule")
    )
    if noise_type is None:
        return None
    specification = {"type": noise_type, "sigma": std if schedule == "const" else f"{schedule}_{std}_{FINAL_NOISE * std}"}
    return {**specification, "theta": theta} if noise_type == "ornstein-uhlenbeck" else specification


def sample_bnddpg_params(trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
    """
    Sampler for BNDDPG, from DDPG to TD3 with batch normalisation.

    :param trial: The trial
    :param n_actions: Number of action dimensions
    :param n_envs: Number of environments
    :param additional_args: rl-zoo3's, about hindsight experience replay
    :return: Arguments of the constructor
    """
    params = {
        "one_minus_gamma": trial.suggest_float("one_minus_gamma", 1e-4, 0.03, log=True),
        "batch_size_pow": trial.suggest_int("batch_size_pow", 5, 9),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 5e-3, log=True),
        "actor_learning_rate": trial.suggest_float("actor_learning_rate", 5e-5, 5e-3, log=True),
        "tau": trial.suggest_float("tau", 1e-3, 0.05, log=True),
        "policy_delay": trial.suggest_int("policy_delay", 1, 3),
        "target_policy_noise": trial.suggest_categorical("target_policy_noise", [0.0, 0.2]),
        "batch_norm_mode": trial.suggest_categorical("batch_norm_mode", ["joint", "target-batch", "none"]),
        "batch_norm_momentum": trial.suggest_float("batch_norm_momentum", 0.005, 0.2, log=True),
        "renorm": trial.suggest_categorical("renorm", [False, True]),
        "n_critics": trial.suggest_int("n_critics", 1, 2),
        "beta1": trial.suggest_categorical("beta1", [0.5, 0.9]),
        "net_arch": trial.suggest_categorical("net_arch", list(NET_ARCHS)),
        **_sample_noise(trial),
    }
    if additional_args["using_her_replay_buffer"]:
        params["n_sampled_goal"] = trial.suggest_int("n_sampled_goal", 1, 5)
        params["goal_selection_strategy"] = trial.suggest_categorical(
            "goal_selection_strategy", ["final", "episode", "future"]
        )
    return convert_bnddpg_params(params)


def convert_bnddpg_params(sampled_params: dict[str, Any]) -> dict[str, Any]:
    """
    :param sampled_params: What :func:`sample_bnddpg_params` sampled, as Optuna stores it
    :return: Arguments of the constructor, as a hyperparameter file could hold them
    """
    params = dict(sampled_params)
    policy_kwargs = {name: params.pop(name) for name in ("batch_norm_momentum", "renorm", "n_critics")}
    policy_kwargs["net_arch"] = list(NET_ARCHS[params.pop("net_arch")])
    if policy_kwargs["renorm"]:
        policy_kwargs["renorm_warmup_steps"] = RENORM_WARMUP_STEPS
    policy_kwargs["optimizer_kwargs"] = {"betas": [params.pop("beta1"), 0.999]}
    if "n_sampled_goal" in params:
        params["replay_buffer_kwargs"] = {name: params.pop(name) for name in ("n_sampled_goal", "goal_selection_strategy")}
    return {
        "gamma": 1 - params.pop("one_minus_gamma"),
        "batch_size": 2 ** params.pop("batch_size_pow"),
        "action_noise": _convert_noise(params),
        "policy_kwargs": policy_kwargs,
        **params,
    }


def sample_copdacq_params(trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
    """
    Sampler for COPDACQ, learning online; tiles are sampled for a linear policy on tile coding.

    :param trial: The trial
    :param n_actions: Number of action dimensions
    :param n_envs: Number of environments
    :param additional_args: rl-zoo3's, about hindsight experience replay, and ``tiles``: whether to sample tiles (True)
    :return: Arguments of the constructor
    """
    tiles = additional_args.get("tiles", True)
    return convert_copdacq_params(
        {
            "one_minus_gamma": trial.suggest_float("one_minus_gamma", 1e-3, 0.03, log=True),
            "actor_learning_rate": trial.suggest_float("actor_learning_rate", 1e-3, 0.5, log=True),
            "advantage_learning_rate": trial.suggest_float("advantage_learning_rate", 1e-3, 0.5, log=True),
            "value_learning_rate": trial.suggest_float("value_learning_rate", 1e-2, 0.5, log=True),
            "correction_learning_rate": trial.suggest_float("correction_learning_rate", 1e-4, 0.1, log=True),
            "gradient_q": trial.suggest_categorical("gradient_q", [False, True, "full"]),
            "natural_gradient": trial.suggest_categorical("natural_gradient", [False, True]),
            **(_sample_tiles(trial) if tiles else {}),
            **_sample_noise(trial),
        }
    )


def _sample_tiles(trial: optuna.Trial) -> dict[str, Any]:
    """
    :param trial: The trial
    :return: Its parameters of the tile coding
    """
    return {"n_tilings_pow": trial.suggest_int("n_tilings_pow", 2, 5), "n_bins": trial.suggest_int("n_bins", 4, 10)}


def convert_copdacq_params(sampled_params: dict[str, Any]) -> dict[str, Any]:
    """
    :param sampled_params: What :func:`sample_copdacq_params` sampled, as Optuna stores it
    :return: Arguments of the constructor, as a hyperparameter file could hold them
    """
    params = dict(sampled_params)
    if "n_tilings_pow" in params:
        features = {"n_tilings": 2 ** params.pop("n_tilings_pow"), "n_bins": params.pop("n_bins")}
        params["policy_kwargs"] = {"features_extractor_kwargs": features}
    return {
        "gamma": 1 - params.pop("one_minus_gamma"),
        "action_noise": _convert_noise(params),
        **params,
    }


def merge_kwargs(entry: Mapping[str, Any] | None, sampled: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param entry: ``policy_kwargs`` or ``replay_buffer_kwargs`` of a hyperparameter file
    :param sampled: Those that a trial sampled
    :return: The entry's, with what was sampled in its place; tables within them likewise
    """
    merged = dict(entry or {})
    for key, value in sampled.items():
        old = merged.get(key)
        merged[key] = {**old, **value} if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def uses_tiles(policy: Any, policy_kwargs: Mapping[str, Any] | None, observation_space: spaces.Space) -> bool:
    """
    :param policy: Policy of COPDACQ, a class or the name of one
    :param policy_kwargs: Its arguments
    :param observation_space: Observation space
    :return: Whether its features are tile coding
    """
    linear = policy == "LinearPolicy" or (isinstance(policy, type) and issubclass(policy, LinearPolicy))
    extractor = (policy_kwargs or {}).get("features_extractor_class") or default_features(observation_space)[0]
    return linear and issubclass(features_class("features_extractor_class", extractor), TileCoding)


class EntrySampler:
    """
    A sampler of ours that keeps what the entry of the hyperparameter file says about the policy.

    :param sample: A sampler of rl-zoo3's form
    :param hyperparams: The entry, as arguments of the constructor
    :param observation_space: Observation space
    """

    def __init__(
        self, sample: Callable[..., dict[str, Any]], hyperparams: Mapping[str, Any], observation_space: spaces.Space
    ) -> None:
        self.sample = sample
        self.hyperparams = hyperparams
        self.tiles = uses_tiles(hyperparams["policy"], hyperparams.get("policy_kwargs"), observation_space)

    def __call__(self, trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
        """
        :param trial: The trial
        :param n_actions: Number of action dimensions
        :param n_envs: Number of environments
        :param additional_args: rl-zoo3's, about hindsight experience replay
        :return: Arguments of the constructor
        """
        sampled = self.sample(trial, n_actions, n_envs, {**additional_args, "tiles": self.tiles})
        for key in MERGED_KWARGS & sampled.keys():
            sampled[key] = merge_kwargs(self.hyperparams.get(key), sampled[key])
        return sampled


#: By the names of rl-zoo3's tables
SAMPLERS: dict[str, Callable[..., dict[str, Any]]] = {
    "bnddpg": sample_bnddpg_params,
    "copdacq": sample_copdacq_params,
}
CONVERTERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "bnddpg": convert_bnddpg_params,
    "copdacq": convert_copdacq_params,
}
