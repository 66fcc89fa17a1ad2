"""Weights in files that cannot run code, unlike the pickles in SB3's zip files."""

import io
from pathlib import Path

import torch as th
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from sb3_dpg.common.files import replacing


def save_weights(module: nn.Module, path: str | Path | io.BufferedIOBase) -> None:
    """
    Save parameters and buffers in the safetensors format; the previous file is replaced at once or not at all.

    :param module: Whose weights to save
    :param path: Where to, ``.safetensors`` is added to a name without suffix
    """
    # Clones: networks may share a features extractor, and the format has no shared memory
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
    with replacing(path, "safetensors") as file:
        file.write(save(tensors))


def load_weights(module: nn.Module, path: str | Path | io.BufferedIOBase) -> None:
    """
    Load what :func:`save_weights` saved into a module of the same architecture, which changes all or nothing.

    :param module: Whose weights to replace
    :param path: The file, ``.safetensors`` may be left out
    :raises ValueError: if the file is no safetensors file, or of another architecture
    """
    if isinstance(path, str | Path):
        path = Path(path)
        if not path.is_file() and path.suffix == "":
            path = Path(f"{path}.safetensors")
        content = path.read_bytes()
    else:
        content = path.read()
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from error
    _check_architecture(module.state_dict(), tensors, path)
    module.load_state_dict(tensors)


def _check_architecture(expected: dict[str, th.Tensor], found: dict[str, th.Tensor], path: object) -> None:
    """
    :param expected: The module's tensors by name
    :param found: The file's
    :param path: The file, for the error
    """
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(
            f"{path} is of another architecture: it lacks {', '.join(missing[:3]) or 'nothing'} ({len(missing)} in all) and "
            f"has {', '.join(unknown[:3]) or 'nothing'} ({len(unknown)} in all) that this policy has not"
        )
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            raise ValueError(
                f"{path} is of another architecture: the shape of {name} is {tuple(found[name].shape)} there and "
                f"{tuple(tensor.shape)} here"
            )
