"""The bases of our networks and deterministic policies."""

from contextlib import nullcontext
from typing import TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.policies import BaseModel, BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.type_aliases import PyTorchObs

SelfEvaluationModel = TypeVar("SelfEvaluationModel", bound="EvaluationModel")


class EvaluationModel(BaseModel):
    """
    A model that is in evaluation mode at all times: a loss that wants the statistics of its batch asks for them in the pass.
    So nobody who looks at a network changes it, and ``predict`` may be called while training runs.
    """

    def train(self: SelfEvaluationModel, mode: bool = True) -> SelfEvaluationModel:
        """The model, in evaluation mode whatever ``mode`` says."""
        # SB3 calls it on every environment step: to walk all modules would take a third of `predict`
        return super().train(False) if self.training else self

    def extract_features(self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor, train: bool = False) -> th.Tensor:
        """
        Preprocess the observation if needed and extract features.

        :param obs: Observations, the first axis is the batch
        :param features_extractor: The features extractor to use; this is the one place where a module is in training mode
        :param train: Whether it is, in this pass
        :return: The features, (batch_size, features_dim)
        """
        preprocessed_obs = preprocess_obs(obs, self.observation_space, normalize_images=self.normalize_images)
        # Others may mix types that autocast makes differ: they compute in float32
        known = type(features_extractor) in (FlattenExtractor, NatureCNN, CombinedExtractor)
        if train:
            features_extractor.train()
        try:
            with nullcontext() if known else th.autocast(self.device.type, enabled=False):
                return features_extractor(preprocessed_obs)
        finally:
            if train:
                features_extractor.eval()


class DeterministicPolicy(EvaluationModel, BasePolicy):
    """A policy, or an actor, whose actions are within the bounds."""

    def unscale_action(self, scaled_action: np.ndarray) -> np.ndarray:
        # In single precision low + (high - low) may be above high
        low, high = self.action_space.low, self.action_space.high
        return np.clip(low + 0.5 * (scaled_action + 1.0) * (high - low), low, high)
