"""
``python -m sb3_dpg.benchmark.speed``: environment steps a second and milliseconds an update, ours beside SB3's.

All models of one table are warmed up and then timed in turn, and medians count. Steps a second are of wall time, which is
what a user waits for, on a quiet machine; milliseconds are CPU time of the process, of all its threads, for which other work
on the machine matters little, but not nothing (it takes caches and clock).
"""

import argparse
import itertools
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env

from sb3_dpg.benchmark.provenance import provenance
from sb3_dpg.benchmark.speed.contestants import NET_ARCH, REFERENCE, contestants
from sb3_dpg.benchmark.speed.measure import Times, alternate, product_floor, warm_up
from sb3_dpg.benchmark.speed.memory import buffer_bytes, peak_memory, update_milliseconds
from sb3_dpg.common.save_util import replacing

FILLS = (10_000, 1_000_000)
HEADING = "# Speed, as measured\n\n<!-- Written by `python -m sb3_dpg.benchmark.speed`; do not edit. -->"


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
        models = {}
        for name in names:
            models[name] = contestants()[name](make_vec_env(args.env, n_envs=n_envs, seed=0), batch_size)
            warm_up(models[name])
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


def floor_table(args: argparse.Namespace) -> Iterator[str]:
    """
    :param args: The command line's options
    :return: Lines of a table in Markdown
    """
    env = make_vec_env(args.env)
    features = int(np.prod(env.observation_space.shape)) + int(np.prod(env.action_space.shape))
    yield "| batch | matrix products of a plain update, CPU ms |\n| --- | --- |"
    for batch_size in args.batch_sizes:
        yield f"| {batch_size} | {product_floor(batch_size, [features, *NET_ARCH, 1], args.repeats):.2f} |"


def buffer_table(args: argparse.Namespace) -> Iterator[str]:
    """
    :param args: The command line's options
    :return: Lines of a table in Markdown
    """
    yield "| algorithm | transitions | CPU ms an update | replay buffer, MiB |\n| --- | --- | --- | --- |"
    for name in (REFERENCE, "BNDDPG joint"):
        model = contestants()[name](make_vec_env(args.env, seed=0), args.batch_sizes[-1])
        warm_up(model)
        samples: dict[int, list[float]] = {size: [] for size in FILLS}
        sizes = {}
        for _ in range(args.repeats):
            for size, values in samples.items():
                values.append(update_milliseconds(model, size, args.steps))
                sizes[size] = buffer_bytes(model) / 2**20
        for size, values in samples.items():
            yield f"| {name} | {size:,} | {statistics.median(values):.2f} | {sizes[size]:.1f} |"


def memory_table(args: argparse.Namespace, names: list[str]) -> Iterator[str]:
    """
    :param args: The command line's options
    :param names: Contestants
    :return: Lines of a table in Markdown
    """
    yield "| algorithm | peak memory of a process, MiB |\n| --- | --- |"
    for name in names:
        yield f"| {name} | {peak_memory(name, args.env, args.batch_sizes[-1], 1_000):.0f} |"


def parse_arguments() -> argparse.Namespace:
    """
    :return: The command line's options
    """
    parser = argparse.ArgumentParser(prog="python -m sb3_dpg.benchmark.speed", description=__doc__.split("\n\n")[1])
    parser.add_argument("--env", default="Pendulum-v1", help="environment (default: %(default)s)")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--n-envs", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=150, help="environment steps of a repetition")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=list(contestants()), default=list(contestants()), metavar="ALGORITHM")
    parser.add_argument("--flush-denormal", action="store_true", help="as by torch.set_flush_denormal(True)")
    parser.add_argument("--speed-only", action="store_true", help="leave out matrix products, buffers and memory")
    parser.add_argument("--output", type=Path, help="a Markdown file for the tables")
    return parser.parse_args()


def main() -> None:
    """Measure, print as it goes, and write the file at the end."""
    args = parse_arguments()
    names = list(dict.fromkeys([REFERENCE, *args.only]))
    denormal = "denormal numbers flushed to 0; " if args.flush_denormal and th.set_flush_denormal(True) else ""
    title = f"{args.env}, hidden layers {NET_ARCH}; {denormal}" + "; ".join(provenance().values()) + "."
    parts: list[Iterator[str]] = [iter([HEADING, "", title]), speed_table(args, names)]
    if not args.speed_only:
        parts += [floor_table(args), buffer_table(args), memory_table(args, names)]
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
