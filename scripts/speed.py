"""
``python -m scripts.speed``: environment steps a second and milliseconds an update, ours beside SB3's.

All models of one table are warmed up and then timed in turn, and medians count. Steps a second are of wall time, which is
what a user waits for, on a quiet machine; milliseconds are CPU time of the process, of all its threads, for which other work
on the machine matters little, but not nothing (it takes caches and clock).
"""

import argparse
import itertools
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from sb3_contrib import CrossQ
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, VectorizedActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_dpg import BNDDPG, COPDACQ
from sb3_dpg.benchmark.provenance import provenance
from sb3_dpg.common.save_util import replacing
from scripts.timing import Times, alternate, warm_up

#: Of environment, batch size and sizes of the hidden layers, None for the algorithm's own
Factory = Callable[[VecEnv, int, list[int] | None], OffPolicyAlgorithm]

REFERENCE = "SB3 DDPG"
HEADING = "# Speed, as measured\n\n<!-- Written by `python -m scripts.speed`; do not edit. -->"


def _noise(env: VecEnv) -> ActionNoise:
    action_dim = env.action_space.shape[0]
    noise = NormalActionNoise(np.zeros(action_dim), np.full(action_dim, 0.1))
    return VectorizedActionNoise(noise, env.num_envs) if env.num_envs > 1 else noise


def _deep(
    algorithm: Callable[..., OffPolicyAlgorithm],
    noisy: bool = True,
    preset: Callable[..., dict[str, Any]] = dict,
    **kwargs: Any,
) -> Factory:
    """
    :param algorithm: The class of a deep algorithm
    :param noisy: Whether it explores by action noise
    :param preset: Completes the arguments
    :param kwargs: What it gets beyond what all get
    :return: A function of environment, batch size and network that makes it
    """

    def make(env: VecEnv, batch_size: int, net_arch: list[int] | None = None) -> OffPolicyAlgorithm:
        # One update for each step of each environment
        common: dict[str, Any] = dict(
            batch_size=batch_size, buffer_size=100_000, learning_starts=300, gradient_steps=-1, seed=0
        )
        if noisy:
            common["action_noise"] = _noise(env)
        if net_arch is not None:
            common["policy_kwargs"] = dict(net_arch=net_arch)
        return algorithm("MlpPolicy", env, **preset(**common | kwargs))

    return make


def _copdacq(env: VecEnv, batch_size: int, net_arch: list[int] | None = None) -> OffPolicyAlgorithm:
    return COPDACQ("LinearPolicy", env, action_noise={"type": "autoregressive", "lambda": 0.85, "std": 0.7}, seed=0)


def contestants() -> dict[str, Factory]:
    """
    :return: Who takes part, by name: those of SBX only where ``sbx-rl`` is installed
    """
    known: dict[str, Factory] = {
        REFERENCE: _deep(DDPG, device="cpu"),
        "SB3 TD3": _deep(TD3, device="cpu"),
        "SB3 SAC": _deep(SAC, noisy=False, device="cpu"),
        "BNDDPG": _deep(BNDDPG, device="cpu"),
        "BNDDPG as DDPG": _deep(BNDDPG, preset=BNDDPG.ddpg_kwargs, device="cpu"),
        "BNDDPG as TD3": _deep(BNDDPG, preset=BNDDPG.td3_kwargs, device="cpu"),
        "BNDDPG, compiled": _deep(BNDDPG, device="cpu", compile=True),
        # Where the CPU has instructions for bfloat16 the default uses them
        "BNDDPG, float32": _deep(BNDDPG, device="cpu", mixed_precision=False),
        "BNDDPG, compiled, float32": _deep(BNDDPG, device="cpu", compile=True, mixed_precision=False),
        "sb3-contrib CrossQ": _deep(CrossQ, noisy=False, device="cpu"),
        "COPDACQ": _copdacq,
        "SB3 DDPG's loop, no training": _deep(DDPG, device="cpu", gradient_steps=0),
    }
    try:
        import sbx
    except ImportError:
        return known
    return known | {"SBX TD3": _deep(sbx.TD3), "SBX CrossQ": _deep(sbx.CrossQ, noisy=False)}


def speed_table(args: argparse.Namespace, names: list[str]) -> Iterator[str]:
    """
    :param args: The command line's options
    :param names: Contestants
    :return: Lines of a table in Markdown, as they are measured
    """
    columns = ["batch", "environments", "threads", "algorithm"]
    for measure in ("steps / s", "CPU ms a step", "CPU ms an update"):
        columns += [measure, "ratio"]
    yield f"| {' | '.join(columns)} |"
    yield "|" + " --- |" * len(columns)
    for batch_size, n_envs, threads in itertools.product(args.batch_sizes, args.n_envs, args.threads):
        th.set_num_threads(threads)
        # All at first: one that is not for this environment is to fail before anything is measured
        models = {
            name: contestants()[name](make_vec_env(args.env, n_envs=n_envs, seed=0), batch_size, args.net_arch)
            for name in names
        }
        for model in models.values():
            warm_up(model)
        yield from speed_rows(f"| {batch_size} | {n_envs} | {threads} |", alternate(models, args.steps, args.repeats))
    th.set_num_threads(1)


def speed_rows(start: str, times: Mapping[str, Times]) -> Iterator[str]:
    """
    :param start: The first cells of each row
    :param times: Times by contestant, the reference among them
    :return: A row each; ratios above 1 are faster than the reference
    """
    reference = times[REFERENCE]
    for name, time in times.items():
        speed = f"{time.steps_per_second:.0f} | {time.steps_per_second / reference.steps_per_second:.2f}"
        step = f"{time.step:.2f} | {reference.step / time.step:.2f}"
        update = f"{time.update:.2f} | {reference.update / time.update:.2f}" if np.isfinite(time.update) else "- | -"
        yield f"{start} {name} | {speed} | {step} | {update} |"


def memory_table(args: argparse.Namespace, names: list[str]) -> Iterator[str]:
    """
    :param args: The command line's options
    :param names: Contestants
    :return: Lines of a table in Markdown
    """
    yield f"| algorithm | peak memory of a process after {args.memory_steps:,} steps, MiB |\n| --- | --- |"
    for name in names:
        # A new process each: the largest memory of one is that of all that it has done
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            yield f"| {name} | {pool.apply(peak_memory, (name, args)):.0f} |"


def peak_memory(name: str, args: argparse.Namespace) -> float:
    """
    Train, in a process that does nothing else.

    :param name: A contestant
    :param args: The command line's options
    :return: Largest resident memory of this process, MiB (on Linux)
    """
    th.set_num_threads(1)
    model = contestants()[name](make_vec_env(args.env, seed=0), args.batch_sizes[-1], args.net_arch)
    model.learn(args.memory_steps, log_interval=10_000)
    # Not getrusage's: a new process starts with its parent's peak there
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Measure, print as it goes, and write the file at the end.

    :param arguments: The command line, None for the process's own
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.speed", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--env", default="Pendulum-v1", help="environment (default: %(default)s)")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--n-envs", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=150, help="environment steps of a repetition")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=list(contestants()), default=list(contestants()), metavar="ALGORITHM")
    parser.add_argument("--net-arch", nargs="+", type=int, help="hidden layers (default: each algorithm's own)")
    parser.add_argument("--memory-steps", type=int, default=1_000, help="steps after which memory is looked at, 0: not at all")
    parser.add_argument("--flush-denormal", action="store_true", help="as by torch.set_flush_denormal(True)")
    parser.add_argument("--output", type=Path, help="a Markdown file for the tables")
    args = parser.parse_args(arguments)
    names = list(dict.fromkeys([REFERENCE, *args.only]))
    denormal = "denormal numbers flushed to 0; " if args.flush_denormal and th.set_flush_denormal(True) else ""
    hidden_layers = args.net_arch or "as they come"
    title = f"{args.env}, hidden layers {hidden_layers}; {denormal}" + "; ".join(provenance().values()) + "."
    parts: list[Iterator[str]] = [iter([HEADING, "", title]), speed_table(args, names)]
    if args.memory_steps > 0:
        parts.append(memory_table(args, names))
    lines = []
    for part in parts:
        for line in itertools.chain(part, [""]):
            print(line, flush=True)
            lines.append(line)
    if args.output is not None:
        with replacing(args.output, "md") as file:
            file.write("\n".join(lines).encode())


if __name__ == "__main__":
    main()
