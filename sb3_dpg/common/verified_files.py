"""Models in files that are whole, or are found out not to be."""

import io
import pathlib
from collections.abc import Iterable
from typing import Any, TypeVar

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg.common.files import check_archive, replacing
from sb3_dpg.common.weights import load_weights, save_weights

SelfVerified = TypeVar("SelfVerified", bound="VerifiedFilesAlgorithm")


class VerifiedFilesAlgorithm(OffPolicyAlgorithm):
    """
    An off-policy algorithm whose files are replaced whole, and verified when they are loaded, and whose weights can be
    exchanged in a format that cannot run code.
    """

    @classmethod
    def load(cls: type[SelfVerified], path: str | pathlib.Path | io.BufferedIOBase, *args: Any, **kwargs: Any) -> SelfVerified:
        """
        Load a model as SB3 does, after its file was compared with its checksums. The file holds pickles, which can run any
        code: load only what you trust, or use :meth:`load_weights`.

        :param path: The file, ``.zip`` may be left out
        :param args: As in SB3's ``load``
        :param kwargs: As in SB3's ``load``
        :return: The model
        :raises ValueError: if the file is cut off or damaged
        """
        check_archive(path)
        return super().load(path, *args, **kwargs)

    def save(
        self,
        path: str | pathlib.Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        with replacing(path, "zip") as file:
            super().save(file, exclude, include)

    def save_replay_buffer(self, path: str | pathlib.Path | io.BufferedIOBase) -> None:
        with replacing(path, "pkl") as file:
            super().save_replay_buffer(file)

    def save_weights(self, path: str | pathlib.Path | io.BufferedIOBase) -> None:
        """
        Save the weights of all networks, with target networks and running statistics, in the safetensors format: without
        pickles, without optimizers, without anything else.

        :param path: Where to, ``.safetensors`` is added to a name without suffix
        """
        save_weights(self.policy, path)

    def load_weights(self, path: str | pathlib.Path | io.BufferedIOBase) -> None:
        """
        Load what :meth:`save_weights` saved into this model. Optimizers stay as they are.

        :param path: The file, ``.safetensors`` may be left out; it cannot run code
        :raises ValueError: if the file is no safetensors file, or of another architecture
        """
        load_weights(self.policy, path)
