"""Trained policies as files that run without sb3_dpg and SB3."""

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from unittest import mock

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from sb3_dpg.common.checks import check_normalization
from sb3_dpg.common.save_util import completed, durable_replacement, uncompiled

ExportFormat = Literal["onnx", "torchscript"]

SUFFIXES: dict[ExportFormat, str] = {"onnx": "onnx", "torchscript": "pt"}
#: The largest loss by observations in single precision that goes without a warning, as a share of the actions' spread
LOSS_LIMIT = 0.01
#: Names of the input and the output in an ONNX file
INPUT_NAME, OUTPUT_NAME = "observation", "action"


class ActionFunction(nn.Module):
    """
    From observations as the environment gives them to actions in the environment's units.

    :param policy: A policy whose ``_predict`` gives one action, in evaluation mode
    :param normalization: The ``VecNormalize`` that the policy was trained with, None for none
    """

    low: th.Tensor
    high: th.Tensor
    mean: th.Tensor
    std: th.Tensor

    def __init__(self, policy: BasePolicy, normalization: VecNormalize | None = None) -> None:
        super().__init__()
        assert isinstance(policy.action_space, spaces.Box)  # for mypy: checked by export_policy
        self.policy = policy
        self.squashed = policy.squash_output
        self.register_buffer("low", th.tensor(single_precision_within(policy.action_space.low, np.inf)))
        self.register_buffer("high", th.tensor(single_precision_within(policy.action_space.high, -np.inf)))
        self.clip = None if normalization is None else float(normalization.clip_obs)
        if normalization is not None:
            statistics = normalization.obs_rms
            assert not isinstance(statistics, dict)  # for mypy: checked by export_policy
            # In double precision, as VecNormalize computes: its clipped quotients are rounded to single precision afterwards
            self.register_buffer("mean", th.tensor(statistics.mean, dtype=th.float64))
            self.register_buffer("std", th.tensor(np.sqrt(statistics.var + normalization.epsilon), dtype=th.float64))

    def forward(self, observation: th.Tensor) -> th.Tensor:
        """
        :param observation: Observations, (batch_size, ...), not normalised
        :return: Actions, float32, (batch_size, ...) of the shape of the action space
        """
        if self.clip is not None:
            observation = ((observation.double() - self.mean) / self.std).clamp(-self.clip, self.clip).float()
        action = self.policy._predict(observation, deterministic=True).reshape(-1, *self.low.shape)
        if self.squashed:
            action = self.low + 0.5 * (action + 1.0) * (self.high - self.low)
        # Also what was squashed: in single precision low + (high - low) may be above high
        return th.minimum(th.maximum(action, self.low), self.high).float()


def single_precision_within(bound: np.ndarray, inwards: float) -> np.ndarray:
    """The bounds of actions as float32, not beyond what they are in the precision of their space."""
    single = bound.astype(np.float32)
    beyond = single > bound if inwards < 0 else single < bound
    return np.where(beyond, np.nextafter(single, np.float32(inwards)), single)


def export_policy(model: OffPolicyAlgorithm, path: str | Path, format: ExportFormat | None = None) -> Path:
    """
    Export what ``model.predict(observation, deterministic=True)`` computes to a file that needs neither sb3_dpg nor SB3.

    The file maps observations of any batch size, ``(batch_size, *observation_shape)``, to float32 actions in the environment's
    units, ``(batch_size, *action_shape)``. Observations are float32, images uint8 unless a ``VecNormalize`` normalises them.
    Batch normalisation is that of evaluation, by running statistics. If the model's environment is normalised by
    ``VecNormalize``, its present statistics are part of the file: it takes raw observations. Images are channels first, as
    SB3's ``VecTransposeImage`` gives them. The file is written whole or not at all. Training goes on as if there had been no
    export.

    :param model: BNDDPG, COPDACQ or another SB3 off-policy algorithm of continuous actions, such as TD3 or SAC
    :param path: Where to; ``.onnx`` or ``.pt`` is added to a name without suffix
    :param format: ``"onnx"`` (needs the extra ``export``) or ``"torchscript"``. None: the one of the suffix, ``"onnx"`` for a
        name without suffix
    :return: The path of the file
    :raises ValueError: if the format is unknown or not that of the suffix, the observations or the actions are not a ``Box``,
        a subclass overrides ``predict``, or ``VecNormalize`` normalises other observations than the model gets
    :raises ImportError: if the packages of the extra ``export`` are missing
    """
    path = Path(path)
    format = _format(path, format)
    for name, space in (("observation", model.observation_space), ("action", model.action_space)):
        if not isinstance(space, spaces.Box):
            raise ValueError(f"{name}_space={space} cannot be exported: it must be a gymnasium.spaces.Box")
    policy = uncompiled(model.policy)
    for actual, known in ((model, OffPolicyAlgorithm), (policy, BasePolicy)):
        if type(actual).predict is not known.predict:
            # It may be a limit for safety, which the file would lack
            raise ValueError(
                f"{type(actual).__name__}.predict is overridden, which cannot be exported: override the policy's _predict"
            )
    policy = _copy_for_acting(policy)
    normalization = model.get_vec_normalize_env()
    if normalization is not None and not normalization.norm_obs:
        normalization = None
    check_normalization(normalization, model.observation_space)
    function = ActionFunction(policy, normalization).cpu().eval().requires_grad_(False)
    if normalization is not None:
        _warn_of_single_precision(function, normalization)
    # Two observations: a batch of one would be taken for a constant by the tracer. No samples, as environments may draw from
    # the generator of the space too
    dtype = th.uint8 if is_image_space(model.observation_space) else th.float32
    example = th.zeros((2, *model.observation_space.shape), dtype=dtype)
    # SAC's policy makes a distribution, and the exporter cannot follow the check of its parameters
    unchecked = mock.patch.object(th.distributions.Distribution, "_validate_args", False)
    with warnings.catch_warnings(), _quiet(logging.getLogger("torch.onnx")), unchecked:
        # Tracers warn of Python branches on shapes, which do not depend on the observation here
        warnings.simplefilter("ignore")
        content = _onnx(function, example) if format == "onnx" else _torchscript(function, example)
    path = completed(path, SUFFIXES[format])
    with durable_replacement(path) as file:
        file.write(content)
    return path


def _format(path: Path, format: ExportFormat | None) -> ExportFormat:
    """The format that is given or that of the suffix; refuses what contradicts each other."""
    if format is not None and format not in SUFFIXES:
        raise ValueError(f"format={format!r} is unknown: it must be one of {', '.join(SUFFIXES)}")
    of_suffix = next((name for name, suffix in SUFFIXES.items() if path.suffix.lower() == f".{suffix}"), None)
    if format is None and of_suffix is None and path.suffix:
        raise ValueError(
            f"path='{path}' does not tell the format: name it .onnx or .pt, or pass format, {' or '.join(SUFFIXES)}"
        )
    if format is not None and of_suffix not in (None, format):
        raise ValueError(f"format={format!r} contradicts path='{path}': the suffix of {format} is .{SUFFIXES[format]}")
    return format or of_suffix or "onnx"


def _warn_of_single_precision(function: ActionFunction, normalization: VecNormalize) -> None:
    """Warn where actions depend on digits of the observations that single precision does not have."""
    space = normalization.observation_space
    if np.can_cast(space.dtype, np.float32) or is_image_space(space):
        return
    statistics = normalization.obs_rms
    assert not isinstance(statistics, dict)  # for mypy: checked by export_policy
    draws = np.random.default_rng(0).standard_normal((256, *statistics.mean.shape))
    observations = th.tensor(statistics.mean + np.sqrt(statistics.var) * draws)
    exact, single = function(observations), function(observations.float())
    loss, spread = float((exact - single).abs().max()), float(exact.std())
    if loss > LOSS_LIMIT * spread:
        warnings.warn(
            f"the file takes float32 observations, and the environment's are {space.dtype} with digits that float32 does not "
            f"have: its actions differ by up to {loss:.2g} from those of the model, whose spread is {spread:.2g}. Subtract "
            f"the offset in the environment (the observations' means are {np.array2string(statistics.mean, precision=3)})",
            UserWarning,
            stacklevel=3,
        )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """The exporter logs that torchvision is not installed: it is not needed."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _copy_for_acting(policy: BasePolicy) -> BasePolicy:
    """A copy on the CPU, in evaluation mode; the policy's device and mode stay as they are."""
    try:
        duplicate = copy.deepcopy(policy)
    except RuntimeError:
        # The noise matrices of gSDE cannot be copied. The weights that it is built with are random: training, which an export
        # in a callback interrupts, goes on as without
        with th.random.fork_rng(devices=[]):
            duplicate = type(policy)(**policy._get_constructor_parameters())
        duplicate.load_state_dict(policy.state_dict())
    duplicate.cpu().set_training_mode(False)
    return duplicate


def _torchscript(function: ActionFunction, example: th.Tensor) -> bytes:
    buffer = io.BytesIO()
    th.jit.save(th.jit.freeze(th.jit.trace(function, example)), buffer)
    return buffer.getvalue()


def _onnx(function: ActionFunction, example: th.Tensor) -> bytes:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f'ONNX files need the extra "export": pip install "sb3-dpg[export]" ({error})') from error
    program = th.onnx.export(
        function,
        (example,),
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
        dynamic_shapes={"observation": {0: th.export.Dim("batch_size")}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # for mypy: the dynamo exporter gives a program
    return program.model_proto.SerializeToString()
