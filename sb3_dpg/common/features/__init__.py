"""Fixed features of the state for methods that are linear in their weights; any SB3 algorithm can use them too."""

from sb3_dpg.common.features.bases import BoundedFeatures, FourierBasis, PolynomialBasis, RadialBasis
from sb3_dpg.common.features.tile_coding import TileCoding

__all__ = ["BoundedFeatures", "FourierBasis", "PolynomialBasis", "RadialBasis", "TileCoding"]
