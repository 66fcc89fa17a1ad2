"""Continuing the training of a saved agent."""

import ast
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import EvalCallback

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.common.off_policy_algorithm import end_stored_episodes
from sb3_dpg.zoo.checkpoints import BEST_MODEL, saved_timesteps
from sb3_dpg.zoo.options import look_ahead

#: Options of ``train`` that say in which environment an agent learns, how it is evaluated and how often saved; no
#: hyperparameter file has them
CARRIED_OPTIONS = ("env_kwargs", "eval_env_kwargs", "eval_freq", "eval_episodes", "n_eval_envs", "save_freq")


def resumed_seed(seed: int, num_timesteps: int) -> int:
    """A seed made from the one asked for and the steps done: the random numbers of the beginning must not come again."""
    return int(np.random.SeedSequence([seed, num_timesteps]).generate_state(1)[0])


def expression(value: Any) -> str:
    """A value as an expression that rl-zoo3 evaluates; one that is no literal, such as inf or a class, by way of YAML."""
    try:
        ast.literal_eval(repr(value))
    except (SyntaxError, ValueError):
        return f"yaml.unsafe_load({yaml.dump(value)!r})"
    return repr(value)


def earlier_options(trained_agent: str | Path, env_name: str, arguments: Sequence[str]) -> list[str]:
    """What the run that is continued was told of ``CARRIED_OPTIONS``, and the new command line does not say."""
    path = Path(trained_agent).parent / env_name / "args.yml"
    if not path.is_file():
        return []
    try:
        earlier = dict(yaml.load(path.read_text(), Loader=yaml.UnsafeLoader))
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: not the arguments of a run ({error})") from error
    options = []
    for name in CARRIED_OPTIONS:
        option, value = f"--{name.replace('_', '-')}", earlier.get(name)
        given = any(argument == option or argument.startswith((f"{option}=", f"{name}:")) for argument in arguments)
        # A file that is given decides about the environment
        given = given or (name == "env_kwargs" and look_ahead(arguments).conf_file is not None)
        if value is None or given:
            continue
        if isinstance(value, dict):
            options += [option, *(f"{key}:{expression(item)}" for key, item in value.items())]
        else:
            options.append(f"{option}={value}")
    return options


def prepare_replay_buffer(model: BaseAlgorithm, trained_agent: str, carries_on: bool) -> None:
    """
    Refuse one of another number of environments, as a row has a place for each, and say that its size stays. Where training
    carries on it does so in a new episode: the last transition has no successor there.
    """
    buffer = getattr(model, "replay_buffer", None)
    if not isinstance(buffer, ReplayBuffer):
        return
    if buffer.n_envs != model.n_envs:
        raise ConfigurationError(
            f"the replay buffer beside {trained_agent} was filled by {buffer.n_envs} environment(s) and cannot be by "
            f"{model.n_envs}: give -params n_envs:{buffer.n_envs}, or begin with an empty one by moving it away"
        )
    asked = getattr(model, "buffer_size", 0)
    # As SB3 divides it among the environments
    if buffer.buffer_size != max(asked // model.n_envs, 1):
        print(
            f"Not used: buffer_size={asked}, the replay buffer beside {trained_agent} is one of "
            f"{buffer.buffer_size * buffer.n_envs}; move it away to begin with an empty one"
        )
    if not carries_on:
        return
    if buffer.size() == 0:
        print(
            f"Warning: no replay buffer beside {trained_agent}: training continues with an empty one, and the return may "
            "fall. Save it with --save-replay-buffer, or resume from a checkpoint (--save-freq)."
        )
    end_stored_episodes(buffer)


def check_statistics(model: BaseAlgorithm, trained_agent: str, env_name: str) -> None:
    """Warn where the agent goes on with other ``VecNormalize`` statistics than it was saved with."""
    normalize = model.get_vec_normalize_env()
    if normalize is None:
        return
    path = Path(trained_agent).parent / env_name / "vecnormalize.pkl"
    # Unlike those of the observations, the statistics of the returns count just the steps
    steps = round(normalize.ret_rms.count)
    if not path.is_file():
        problem = f"there is no {path}: training continues with VecNormalize statistics that begin anew"
    elif Path(trained_agent).stem != env_name and steps != model.num_timesteps:
        # Saved for the best agent so far, or for the final one
        problem = f"training continues with the VecNormalize statistics in {path}, which are of step {steps}"
    else:
        return
    print(
        f"Warning: {trained_agent} is of step {model.num_timesteps}, but {problem}. The agent sees observations and rewards "
        "on another scale than it learned them, and the return may fall. Resume from a checkpoint (--resume)."
    )


def continue_evaluations(callback: EvalCallback, trained_agent: str, env_name: str, n_envs: int) -> None:
    """Let evaluations begin with those of the run that is continued, and go on at the steps at which that would have them."""
    source, done = Path(trained_agent).parent, saved_timesteps(trained_agent)
    callback.n_calls = done // n_envs
    if callback.log_path is None or not (source / "evaluations.npz").is_file():
        return
    with np.load(source / "evaluations.npz") as log:
        if log["results"].shape[1] != callback.n_eval_episodes:
            print(f"Evaluations begin anew: {source} has {log['results'].shape[1]} episodes in each")
            return
        # Those after the agent was saved are of a training that is not continued
        kept = int(np.sum(log["timesteps"] <= done))
        callback.evaluations_timesteps = log["timesteps"][:kept].tolist()
        callback.evaluations_results = log["results"][:kept].tolist()
        callback.evaluations_length = log["ep_lengths"][:kept].tolist()
        if "successes" in log:
            callback.evaluations_successes = log["successes"][:kept].tolist()
        if kept:
            # For checkpoints before the next evaluation
            np.savez(callback.log_path, **{name: values[:kept] for name, values in log.items()})
    best_model = source / BEST_MODEL
    if callback.best_model_save_path is None or not callback.evaluations_results or not best_model.is_file():
        return
    if saved_timesteps(best_model) <= done:
        callback.best_mean_reward = max(float(np.mean(results)) for results in callback.evaluations_results)
        shutil.copy(best_model, callback.best_model_save_path)
        if (source / env_name / "vecnormalize.pkl").is_file():
            shutil.copy(source / env_name / "vecnormalize.pkl", Path(callback.best_model_save_path, env_name))


def check_remaining(trained_agent: str, n_timesteps: int) -> None:
    """Refuse to continue a training that has done all of its steps."""
    done = saved_timesteps(trained_agent)
    if done >= n_timesteps:
        raise ConfigurationError(
            f"{trained_agent} was trained for {done} steps already and n_timesteps={n_timesteps} counts from its beginning: "
            "ask for more with -n, or use --restart to begin anew with its weights"
        )
