"""COPDAC-Q: the compatible off-policy deterministic actor-critic (Silver et al. 2014)."""

from sb3_dpg.common.off_policy import DeterministicOffPolicyAlgorithm


class COPDACQ(DeterministicOffPolicyAlgorithm):
    """Compatible off-policy deterministic actor-critic, COPDAC-Q."""
