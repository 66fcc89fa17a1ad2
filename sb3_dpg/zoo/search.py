"""Search spaces for Optuna, and their way back into hyperparameters."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import optuna
from gymnasium import spaces
from rl_zoo3.utils import get_class_by_name

from sb3_dpg.bnddpg.bnddpg import DEFAULT_ACTION_NOISE
from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.common.features import TileCoding
from sb3_dpg.copdacq.policies import LinearPolicy, default_features, features_class
from sb3_dpg.zoo.action_noise import NOISE_TYPES, noise_specification

Params: TypeAlias = dict[str, Any]
Sampler: TypeAlias = Callable[[optuna.Trial, int, int, Params], Params]

NOISE_SCHEDULES = ("const", "lin", "exp")
#: Where a schedule of the noise ends, as a share of its start: as in BNDDPG's default
FINAL_NOISE = 1 / 6
#: Tables of which a trial samples some keys: the others stay the entry's
MERGED_KWARGS = frozenset({"policy_kwargs", "replay_buffer_kwargs"})
NET_ARCHS = {"small": [64, 64], "medium": [128, 128], "default": [256, 256], "big": [400, 300]}


def _sample_noise(trial: optuna.Trial) -> Params:
    """The exploration noise: all are sampled always, as TPE models them jointly only if no trial lacks one."""
    return {
        "noise_type": trial.suggest_categorical("noise_type", (*NOISE_TYPES, None)),
        "noise_std": trial.suggest_float("noise_std", 0.05, 0.8),
        "noise_theta": trial.suggest_float("noise_theta", 0.05, 1.0, log=True),
        "noise_schedule": trial.suggest_categorical("noise_schedule", NOISE_SCHEDULES),
    }


def _convert_noise(params: Params, initial: str = "zero") -> Params | None:
    """The specification of what was sampled, which is taken out; None is no noise: the file's must not stay."""
    keys = {key: params.pop(key) for key in ("noise_type", "noise_std", "noise_theta")}
    schedule = params.pop("noise_schedule")
    if schedule != "const":
        keys["noise_std"] = f"{schedule}_{keys['noise_std']}_{FINAL_NOISE * keys['noise_std']}"
    is_correlated = keys["noise_type"] == "ornstein-uhlenbeck"
    if not is_correlated:
        del keys["noise_theta"]
    specification = noise_specification(keys)
    return {**specification, "initial": initial} if specification and is_correlated else specification


def sample_bnddpg_params(trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: Params) -> Params:
    """Sampler for BNDDPG, around its default."""
    params = {
        "one_minus_gamma": trial.suggest_float("one_minus_gamma", 1e-4, 0.03, log=True),
        "batch_size_pow": trial.suggest_int("batch_size_pow", 6, 9),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 5e-3, log=True),
        "actor_learning_rate": trial.suggest_float("actor_learning_rate", 5e-5, 5e-3, log=True),
        "tau": trial.suggest_float("tau", 1e-3, 0.05, log=True),
        "actor_warmup": trial.suggest_categorical("actor_warmup", [0.0, 0.05]),
        "policy_delay": trial.suggest_int("policy_delay", 1, 3),
        "target_policy_noise": trial.suggest_categorical("target_policy_noise", [0.0, 0.2]),
        "target_min_weight": trial.suggest_categorical("target_min_weight", [0.5, 0.75, 1.0]),
        "batch_norm_momentum": trial.suggest_float("batch_norm_momentum", 0.005, 0.2, log=True),
        "n_critics": trial.suggest_int("n_critics", 1, 2),
        "beta1": trial.suggest_categorical("beta1", [0.5, 0.9]),
        "net_arch": trial.suggest_categorical("net_arch", list(NET_ARCHS)),
        **_sample_noise(trial),
        "noise_hold": trial.suggest_categorical("noise_hold", [True, False]),
    }
    if additional_args["using_her_replay_buffer"]:
        params["n_sampled_goal"] = trial.suggest_int("n_sampled_goal", 1, 5)
        params["goal_selection_strategy"] = trial.suggest_categorical(
            "goal_selection_strategy", ["final", "episode", "future"]
        )
    return convert_bnddpg_params(params)


def convert_bnddpg_params(sampled_params: Params) -> Params:
    """Arguments of the constructor of what :func:`sample_bnddpg_params` sampled, as Optuna stores it."""
    params = dict(sampled_params)
    action_noise = _convert_noise(params, initial="stationary")
    # As the default has it
    if params.pop("noise_hold") and action_noise is not None:
        action_noise["hold"] = dict(DEFAULT_ACTION_NOISE["hold"])
    policy_kwargs = {name: params.pop(name) for name in ("batch_norm_momentum", "n_critics")}
    if policy_kwargs["n_critics"] == 1:
        # There is nothing to weigh or choose, whatever the entry says
        params |= {"target_min_weight": 1.0, "actor_n_critics": None}
    policy_kwargs["net_arch"] = list(NET_ARCHS[params.pop("net_arch")])
    policy_kwargs["optimizer_kwargs"] = {"betas": [params.pop("beta1"), 0.999]}
    if "n_sampled_goal" in params:
        params["replay_buffer_kwargs"] = {name: params.pop(name) for name in ("n_sampled_goal", "goal_selection_strategy")}
    return {
        "gamma": 1 - params.pop("one_minus_gamma"),
        "batch_size": 2 ** params.pop("batch_size_pow"),
        "action_noise": action_noise,
        "policy_kwargs": policy_kwargs,
        **params,
    }


def sample_copdacq_params(trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: Params) -> Params:
    """Sampler for COPDACQ on tiles, learning online; their number is sampled unless ``additional_args["tiles"]`` is False."""
    tiles = {}
    if additional_args.get("tiles", True):
        tiles = {"n_tilings_pow": trial.suggest_int("n_tilings_pow", 2, 5), "n_bins": trial.suggest_int("n_bins", 4, 10)}
    return convert_copdacq_params(
        {
            "one_minus_gamma": trial.suggest_float("one_minus_gamma", 1e-3, 0.1, log=True),
            "actor_learning_rate": trial.suggest_float("actor_learning_rate", 1e-3, 0.5, log=True),
            "advantage_learning_rate": trial.suggest_float("advantage_learning_rate", 1e-3, 0.5, log=True),
            "value_learning_rate": trial.suggest_float("value_learning_rate", 1e-2, 0.5, log=True),
            "correction_learning_rate": trial.suggest_float("correction_learning_rate", 1e-4, 0.1, log=True),
            "gradient_q": trial.suggest_categorical("gradient_q", [False, True, "full"]),
            "natural_gradient": trial.suggest_categorical("natural_gradient", [False, True]),
            **tiles,
            **_sample_noise(trial),
        }
    )


def convert_copdacq_params(sampled_params: Params) -> Params:
    """Arguments of the constructor of what :func:`sample_copdacq_params` sampled, as Optuna stores it."""
    params = dict(sampled_params)
    if "n_tilings_pow" in params:
        features = {"n_tilings": 2 ** params.pop("n_tilings_pow"), "n_bins": params.pop("n_bins")}
        params["policy_kwargs"] = {"features_extractor_kwargs": features}
    return {
        "gamma": 1 - params.pop("one_minus_gamma"),
        "action_noise": _convert_noise(params),
        **params,
    }


def merge_kwargs(entry: Mapping[str, Any] | None, sampled: Mapping[str, Any]) -> Params:
    """The entry's table with what was sampled in its place; tables within it likewise."""
    merged = dict(entry or {})
    for key, value in sampled.items():
        old = merged.get(key)
        merged[key] = {**old, **value} if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def uses_tiles(policy: Any, policy_kwargs: Mapping[str, Any] | None, observation_space: spaces.Space) -> bool:
    """Whether the features of a policy of COPDACQ are tile coding."""
    if isinstance(policy, str) and "." in policy:
        policy = get_class_by_name(policy)
    linear = policy == "LinearPolicy" or (isinstance(policy, type) and issubclass(policy, LinearPolicy))
    extractor = (policy_kwargs or {}).get("features_extractor_class") or default_features(observation_space)[0]
    return linear and issubclass(features_class("features_extractor_class", extractor), TileCoding)


def sampler_of_entry(sample: Sampler, entry: Mapping[str, Any], observation_space: spaces.Space) -> Sampler:
    """A sampler of ours that keeps what the entry of the hyperparameter file says about the policy."""
    tiles = uses_tiles(entry["policy"], entry.get("policy_kwargs"), observation_space)

    def sample_beside_entry(trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: Params) -> Params:
        try:
            sampled = sample(trial, n_actions, n_envs, {**additional_args, "tiles": tiles})
        except ValueError as error:
            raise ConfigurationError(
                f"the study {trial.study.study_name!r} is of another search space or algorithm ({error}): take another "
                "--study-name"
            ) from error
        merged = {key: merge_kwargs(entry.get(key), sampled[key]) for key in MERGED_KWARGS & sampled.keys()}
        return {**sampled, **merged}

    return sample_beside_entry


#: By the names of rl-zoo3's tables
SAMPLERS: dict[str, Sampler] = {"bnddpg": sample_bnddpg_params, "copdacq": sample_copdacq_params}
CONVERTERS: dict[str, Callable[[Params], Params]] = {"bnddpg": convert_bnddpg_params, "copdacq": convert_copdacq_params}
