"""``sb3-dpg push-to-hub`` and ``load-from-hub``: rl-zoo3's scripts, with a local repository between them and the network."""

import functools
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from sb3_dpg.zoo.options import add_gym_packages, check_algorithm, look_ahead, own_parser, split_options
from sb3_dpg.zoo.patches import LocalFirstApi, NotUploaded, generate_metadata, load_from_hub_or, patched
from sb3_dpg.zoo.playback import LOG_FOLDER, replaying, run_on_agent
from sb3_dpg.zoo.registration import OUR_ALGORITHMS, register_algorithms

#: What the model card of rl-zoo3 tells people to type, and what works for our algorithms
CARD_COMMANDS = {
    "python -m rl_zoo3.load_from_hub": "sb3-dpg load-from-hub",
    "python -m rl_zoo3.push_to_hub": "sb3-dpg push-to-hub",
    "python -m rl_zoo3.enjoy": "sb3-dpg enjoy",
    "python -m rl_zoo3.train": "sb3-dpg train",
    "pip install rl_zoo3": "pip install PATH/TO/sb3-dpg  # a clone or a wheel",
}


@contextmanager
def ffmpeg_on_path() -> Iterator[None]:
    """The video is converted by the program ffmpeg: where there is none, moviepy's own serves."""
    if shutil.which("ffmpeg") is not None:
        yield
        return
    import imageio_ffmpeg

    with tempfile.TemporaryDirectory() as folder:
        # No link: on Windows that is for administrators
        shutil.copy(imageio_ffmpeg.get_ffmpeg_exe(), Path(folder, "ffmpeg.exe" if os.name == "nt" else "ffmpeg"))
        with mock.patch.dict(os.environ, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}"):
            yield


def push_to_hub(arguments: Sequence[str]) -> None:
    """``sb3-dpg push-to-hub``, given the command line after it."""
    parser = own_parser("push-to-hub")
    parser.add_argument("--no-upload", action="store_true", help="make the local repository (in hub/) only")
    add_gym_packages(parser)
    options, rest = split_options(parser, arguments)
    is_ours = look_ahead(rest).algo in OUR_ALGORITHMS
    api = functools.partial(LocalFirstApi, not options.no_upload, CARD_COMMANDS if is_ours else {})
    try:
        with patched(HfApi=api, generate_metadata=generate_metadata), ffmpeg_on_path():
            run_on_agent("rl_zoo3.push_to_hub", options, rest, parser.format_help())
    except NotUploaded:
        print("It is not uploaded (--no-upload)")


def load_from_hub(arguments: Sequence[str]) -> None:
    """``sb3-dpg load-from-hub``, given the command line after it."""
    parser = own_parser("load-from-hub")
    parser.add_argument(
        "--repository", metavar="FOLDER", help="read this local repository (as push-to-hub makes it) instead of the hub"
    )
    options, rest = split_options(parser, arguments)
    register_algorithms()
    # The environment need not be there: none is made
    names = look_ahead(rest)
    if names.algo is not None:
        check_algorithm("--algo", names.algo)
    if names.folder is None and names.algo in OUR_ALGORITHMS:
        rest += ["-f", LOG_FOLDER]
    sys.argv[1:] = rest
    with patched(load_from_hub=load_from_hub_or(options.repository)), replaying(None, parser.format_help()):
        runpy.run_module("rl_zoo3.load_from_hub", run_name="__main__")
