"""``sb3-dpg push-to-hub`` and ``load-from-hub``: rl-zoo3's scripts, with a local repository between them and the network."""

import importlib
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_sb3
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
from requests.exceptions import HTTPError

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.zoo.algorithms import OUR_ALGORITHMS
from sb3_dpg.zoo.options import add_gym_packages, check_algorithm, look_ahead, own_parser, split_options
from sb3_dpg.zoo.playback import checked_lookup, ffmpeg_on_path, offscreen_rendering, prepare, with_log_folder
from sb3_dpg.zoo.registration import register_algorithms
from sb3_dpg.zoo.substitution import replaced

# Not "import huggingface_sb3.push_to_hub": the package hides the module behind a function of the same name
hf_push = importlib.import_module("huggingface_sb3.push_to_hub")

#: What the model card of rl-zoo3 tells people to type, and what works for our algorithms
_CARD_COMMANDS = {
    "python -m rl_zoo3.load_from_hub": "sb3-dpg load-from-hub",
    "python -m rl_zoo3.push_to_hub": "sb3-dpg push-to-hub",
    "python -m rl_zoo3.enjoy": "sb3-dpg enjoy",
    "python -m rl_zoo3.train": "sb3-dpg train",
    "pip install rl_zoo3": "pip install sb3-dpg",
}
#: What the repository of an agent without normalisation has not
OPTIONAL_FILE = "vec_normalize.pkl"


class NotUploaded(Exception):
    """The local repository is complete, and that was all."""


class LocalFirstApi(huggingface_hub.HfApi):
    """
    The hub's API, except that nothing goes through the network before the local repository is complete.

    :param upload: Whether to upload it then
    :param ours: Whether the algorithm is one of ours
    """

    upload = True
    ours = False

    def create_repo(self, repo_id: str, **kwargs: Any) -> str:
        self._create_kwargs = kwargs
        return f"{self.endpoint}/{repo_id}"

    def snapshot_download(self, repo_id: str, local_dir: Path, **kwargs: Any) -> str:
        # What the repository holds already stays there: an upload adds to it
        Path(local_dir).mkdir(parents=True, exist_ok=True)
        return str(local_dir)

    def upload_folder(self, *, repo_id: str, folder_path: Path, **kwargs: Any) -> Any:
        if self.ours:
            name_our_commands(Path(folder_path) / "README.md")
        print(f"The repository is complete: {folder_path}")
        if not self.upload:
            raise NotUploaded
        try:
            super().create_repo(repo_id, **self._create_kwargs)
            return super().upload_folder(repo_id=repo_id, folder_path=folder_path, **kwargs)
        except Exception as error:
            raise ConfigurationError(
                f"{folder_path} is complete, but uploading it to {repo_id} failed: {type(error).__name__}: {error}"
            ) from error


def name_our_commands(card: Path) -> None:
    """
    :param card: A model card by rl-zoo3, whose commands do not know our algorithms
    """
    text = card.read_text(encoding="utf-8")
    for zoo_command, command in _CARD_COMMANDS.items():
        text = text.replace(zoo_command, command)
    card.write_text(text, encoding="utf-8")


def generate_metadata(model_name: str, env_id: str, mean_reward: float, std_reward: float) -> dict[str, Any]:
    """
    The function of this name that rl-zoo3 2.9 imports from ``huggingface_sb3``, which renamed it and changed what it returns.

    :param model_name: Name of the algorithm's class
    :param env_id: Id of the environment
    :param mean_reward: Mean return
    :param std_reward: Standard deviation of the return
    :return: Metadata of a model card
    """
    metadata: dict[str, Any] = hf_push._generate_metadata(model_name, env_id, mean_reward, std_reward).to_dict()
    return metadata


def push_to_hub(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg push-to-hub``
    """
    parser = own_parser("push-to-hub")
    parser.add_argument("--no-upload", action="store_true", help="make the local repository (in hub/) only")
    add_gym_packages(parser)
    options, rest = split_options(parser, arguments)
    sys.argv[1:] = prepare(rest, options.gym_packages)
    if not hasattr(hf_push, "generate_metadata"):
        hf_push.generate_metadata = generate_metadata  # type: ignore[attr-defined]

    class Api(LocalFirstApi):
        upload = not options.no_upload
        ours = look_ahead(rest).algo in OUR_ALGORITHMS

    with replaced(huggingface_hub, "HfApi", Api), checked_lookup(), ffmpeg_on_path(), offscreen_rendering():
        try:
            runpy.run_module("rl_zoo3.push_to_hub", run_name="__main__")
        except NotUploaded:
            print("It is not uploaded (--no-upload)")


def load_from_hub(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg load-from-hub``
    """
    parser = own_parser("load-from-hub")
    parser.add_argument(
        "--repository", metavar="FOLDER", help="read this local repository (as push-to-hub makes it) instead of the hub"
    )
    options, rest = split_options(parser, arguments)
    register_algorithms()
    # The environment need not be there: none is made
    algo = look_ahead(rest).algo
    if algo is not None:
        check_algorithm("--algo", algo)
    sys.argv[1:] = with_log_folder(rest)
    download = huggingface_sb3.load_from_hub

    def find(repo_id: str, filename: str) -> str:
        if options.repository is None:
            try:
                return str(download(repo_id, filename))
            except (EntryNotFoundError, HfHubHTTPError, OSError) as error:
                # Not found for want of a network is not found to be missing
                is_missing = isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError)
                if is_missing and filename == OPTIONAL_FILE:
                    # The type that rl-zoo3 expects, and huggingface_hub raised before its 1.0
                    raise HTTPError(str(error)) from error
                raise ConfigurationError(f"{repo_id}: cannot get {filename} ({error})") from error
        path = Path(options.repository, filename)
        if path.is_file():
            return str(path)
        if filename == OPTIONAL_FILE:
            raise HTTPError(f"no {filename}")
        raise ConfigurationError(f"--repository {options.repository}: it has no {filename}")

    with replaced(huggingface_sb3, "load_from_hub", find):
        try:
            runpy.run_module("rl_zoo3.load_from_hub", run_name="__main__")
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
