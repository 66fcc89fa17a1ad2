"""
Every name of another library that is replaced, permanently or for a call, in one table: ``PATCHES``.

Private names of rl-zoo3, Optuna and the hub are reached here only.
"""

import argparse
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partialmethod
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import huggingface_hub
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
from requests.exceptions import HTTPError
from rl_zoo3.utils import StoreDict
from stable_baselines3.common.vec_env import VecEnv

from sb3_dpg.common.errors import ConfigurationError, usage_error


class Patch(NamedTuple):
    """
    :param owners: Modules or classes that have the name
    :param why: What the replacement does, and why
    :param since: Since which version of the library it is needed
    :param issue: Where it is reported upstream
    """

    owners: tuple[str, ...]
    why: str
    since: str = "always"
    issue: str = "none"


#: By the names that are replaced
PATCHES = {
    "ExperimentManager": Patch(("rl_zoo3.train",), "ours: schedules, noise, checkpoints, --resume; permanent in register()"),
    "HYPERPARAMS_SAMPLER": Patch(
        ("rl_zoo3.exp_manager",), "a search over our algorithms keeps what the entry says of the policy and is not sampled"
    ),
    "create_study": Patch(
        ("optuna",), "a study in a database survives the death of a process: rl-zoo3 makes storages without heartbeat"
    ),
    "create_test_env": Patch(
        ("rl_zoo3", "rl_zoo3.utils"), "an agent of the latest checkpoint is normalised by the statistics saved with it"
    ),
    "__call__": Patch(("rl_zoo3.utils:StoreDict",), "the error says which item KEY:VALUE cannot be read"),
    "__init__": Patch(
        ("argparse:ArgumentParser",), "no abbreviations: an option that we read must not be passed over where it is one"
    ),
    "error": Patch(("argparse:ArgumentParser",), "a wrong option of an rl-zoo3 script gets one line, not 29 lines of usage"),
    "HfApi": Patch(("huggingface_hub",), "the model repository is complete before the network is used; --no-upload"),
    "load_from_hub": Patch(
        ("huggingface_sb3",),
        "reads a local repository, and raises the error that rl-zoo3 expects of an agent without normalisation",
        "huggingface_hub 1.0",
    ),
    "generate_metadata": Patch(
        ("huggingface_sb3.push_to_hub",),
        "rl-zoo3 imports it under its old name",
        "huggingface_sb3 3.0",
        "https://github.com/huggingface/huggingface_sb3/issues/54",
    ),
}


def owners_of(name: str) -> list[Any]:
    """The modules or classes that have a name of ``PATCHES``."""
    return [pkgutil.resolve_name(owner) for owner in PATCHES[name].owners]


@contextmanager
def patched(**replacements: Any) -> Iterator[None]:
    """Names of ``PATCHES`` and what takes their place inside."""
    with ExitStack() as stack:
        for name, replacement in replacements.items():
            for owner in owners_of(name):
                # generate_metadata is not there in new versions
                stack.enter_context(mock.patch.object(owner, name, replacement, create=name == "generate_metadata"))
        yield


def replace_permanently(name: str, replacement: Any) -> None:
    """Put something in the place of a name of ``PATCHES`` for good."""
    for owner in owners_of(name):
        setattr(owner, name, replacement)


# What is put in their place, where it is not a part of what it serves


@contextmanager
def readable_errors(own_help: str = "") -> Iterator[None]:
    """Inside, a wrong option and a ``KEY:VALUE`` that cannot be read get one line; ``own_help`` is of our options."""
    error = partialmethod(usage_error, prog=sys.argv[0], more_help=own_help)
    without_abbreviations = partialmethod(argparse.ArgumentParser.__init__, allow_abbrev=False)
    with patched(error=error, __call__=store_items, __init__=without_abbreviations):
        yield


_store = StoreDict.__call__


def store_items(
    self: StoreDict, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Sequence[str], option: str | None
) -> None:
    """rl-zoo3's action for ``KEY:VALUE``, one item at a time, so that the error names it."""
    merged: dict[str, Any] = {}
    for item in values:
        key, colon, value = item.partition(":")
        try:
            _store(self, parser, namespace, [item], option)
        except Exception as error:  # whatever the expression raises
            hint = f"\"{key}:'{value.strip()}'\": text needs quotes of its own" if colon else item.replace("=", ":", 1)
            raise ConfigurationError(
                f"{option} {item}: not of the form KEY:VALUE with an expression of Python as the value ({error}). "
                f"Perhaps {hint}"
            ) from error
        merged |= getattr(namespace, self.dest)
    setattr(namespace, self.dest, merged)


def create_test_env_with(folder: str) -> Callable[..., VecEnv]:
    """rl-zoo3's function of that name, except that ``VecNormalize`` statistics are read from a complete checkpoint."""
    create_test_env = owners_of("create_test_env")[0].create_test_env

    def create(*args: Any, stats_path: str | None = None, **kwargs: Any) -> VecEnv:
        own = None if stats_path is None else Path(folder, Path(stats_path).name)
        is_there = own is not None and (own / "vecnormalize.pkl").is_file()
        return create_test_env(*args, stats_path=str(own) if is_there else stats_path, **kwargs)

    return create


class NotUploaded(Exception):
    """The local repository is complete, and that was all."""


class LocalFirstApi(huggingface_hub.HfApi):
    """The hub's API, except that nothing goes through the network before the local repository is complete."""

    def __init__(self, upload: bool, card_commands: Mapping[str, str]) -> None:
        super().__init__()
        self.upload = upload
        self.card_commands = card_commands
        self.create_kwargs: dict[str, Any] = {}

    def create_repo(self, repo_id: str, **kwargs: Any) -> str:
        self.create_kwargs = kwargs
        return f"{self.endpoint}/{repo_id}"

    def snapshot_download(self, repo_id: str, local_dir: Path, **kwargs: Any) -> str:
        # What the repository holds already stays there: an upload adds to it. But an earlier agent's may not fit this one
        Path(local_dir).mkdir(parents=True, exist_ok=True)
        for name in OPTIONAL_FILES:
            Path(local_dir, name).unlink(missing_ok=True)
        return str(local_dir)

    def upload_folder(self, *, repo_id: str, folder_path: Path, **kwargs: Any) -> Any:
        card = Path(folder_path) / "README.md"
        text = card.read_text(encoding="utf-8")
        for zoo_command, command in self.card_commands.items():
            text = text.replace(zoo_command, command)
        card.write_text(text, encoding="utf-8")
        print(f"The repository is complete: {folder_path}")
        if not self.upload:
            raise NotUploaded
        try:
            super().create_repo(repo_id, **self.create_kwargs)
            # To the hub's own, which it needs for other files, rl-zoo3 adds a line for videos
            attributes = Path(folder_path) / ".gitattributes"
            own = Path(self.hf_hub_download(repo_id, attributes.name)).read_text(encoding="utf-8")
            attributes.write_text(own if "*.mp4" in own else own + attributes.read_text(encoding="utf-8"), encoding="utf-8")
            return super().upload_folder(
                repo_id=repo_id, folder_path=folder_path, delete_patterns=list(OPTIONAL_FILES), **kwargs
            )
        except Exception as error:
            raise ConfigurationError(
                f"{folder_path} is complete, but uploading it to {repo_id} failed: {type(error).__name__}: {error}"
            ) from error


def generate_metadata(*args: Any) -> dict[str, Any]:
    """What ``huggingface_sb3`` calls ``_generate_metadata`` now, as a table."""
    metadata: dict[str, Any] = owners_of("generate_metadata")[0]._generate_metadata(*args).to_dict()
    return metadata


#: What the repository of an agent without normalisation has not
OPTIONAL_FILE = "vec_normalize.pkl"
#: What not every agent has
OPTIONAL_FILES = (OPTIONAL_FILE, "replay.mp4")


def load_from_hub_or(folder: str | None) -> Callable[[str, str], str]:
    """
    ``huggingface_sb3``'s ``load_from_hub``, which finds a file of a model repository.

    What it returns raises an ``HTTPError`` if ``OPTIONAL_FILE`` is missing: rl-zoo3 expects this type, which huggingface_hub
    raised before its 1.0. Where another is missing or there is no network it is a ``ConfigurationError``.

    :param folder: A local repository to read instead, None for the hub
    """
    download = owners_of("load_from_hub")[0].load_from_hub

    def load(repo_id: str, filename: str) -> str:
        if folder is not None:
            path = Path(folder, filename)
            if path.is_file():
                return str(path)
            if filename == OPTIONAL_FILE:
                raise HTTPError(f"no {filename}")
            raise ConfigurationError(f"--repository {folder}: it has no {filename}")
        try:
            return str(download(repo_id, filename))
        except (EntryNotFoundError, HfHubHTTPError, OSError) as error:
            # Not found for want of a network is not found to be missing
            is_missing = isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError)
            if is_missing and filename == OPTIONAL_FILE:
                raise HTTPError(str(error)) from error
            raise ConfigurationError(f"{repo_id}: cannot get {filename} ({error})") from error

    return load
