"""Fixed features of the state for methods that are linear in their weights; any SB3 algorithm can use them too."""

from sb3_dpg.common.features.bounded import BoundedFeatures
from sb3_dpg.common.features.fourier import FourierBasis
from sb3_dpg.common.features.polynomial import PolynomialBasis
from sb3_dpg.common.features.radial import RadialBasis
from sb3_dpg.common.features.tile_coding import TileCoding

__all__ = ["BoundedFeatures", "FourierBasis", "PolynomialBasis", "RadialBasis", "TileCoding"]
