"""Wrong changes to the features of linear functions."""

from tests.mutation.check import Mutation

FOLDER = "sb3_dpg/common/features"
TESTS = ("tests/common/test_features.py",)

FEATURES = [
    Mutation(name, f"{FOLDER}/{file}", old, new, TESTS)
    for name, file, old, new in (
        ("observations beyond the bounds are not clipped", "bounded.py", ".clamp_(0.0, 1.0)", ""),
        ("lower bound left out", "bounded.py", "observations.flatten(1) - self.low", "observations.flatten(1)"),
        ("given bounds are ignored", "bounded.py", "default if given is None else given", "default"),
        ("Fourier: without pi", "fourier.py", "th.cos(pi * self.unit", "th.cos(self.unit"),
        ("Fourier: max_coupled ignored", "fourier.py", "else min(max_coupled, size)", "else size"),
        ("radial: width", "radial.py", "0.5 * ((n_centers - 1) / width) ** 2", "((n_centers - 1) / width) ** 2"),
        ("radial: not normalised", "radial.py", "th.softmax(", "(lambda x, dim: x.exp())("),
        (
            "polynomial: scaled to [0, 1]",
            "polynomial.py",
            "2.0 * self.unit(observations) - 1.0",
            "1.0 * self.unit(observations)",
        ),
        (
            "polynomial: min_degree ignored",
            "polynomial.py",
            "for total in range(min_degree, degree + 1)\n            for",
            "for total in range(degree + 1)\n            for",
        ),
        (
            "tiles: shifted along the diagonal",
            "tile_coding.py",
            "tilings * (2 * dimensions + 1)",
            "tilings * (0 * dimensions + 1)",
        ),
        ("tiles: upper bound is passed", "tile_coding.py", "scaled = th.minimum(scaled, self.bins)", "pass"),
        ("tiles: lower bound is passed", "tile_coding.py", ".clamp_min_(0.0)", ""),
        ("tiles: strides of unshifted grids", "tile_coding.py", "np.cumprod(bins[:-1] + 1)", "np.cumprod(bins[:-1])"),
        ("tiles: tilings share their features", "tile_coding.py", "tiles.add_(self.first)", "tiles"),
        ("hash: lower half of the product", "tile_coding.py", "upper_half_of_sum(terms) %", "terms.sum(-1) %"),
        ("hash: without the carry of the lower half", "tile_coding.py", ".add_(carry)", ""),
        ("hash: drawn anew each time", "tile_coding.py", "np.random.default_rng(0)", "np.random.default_rng()"),
        ("tiles: all features count as active", "tile_coding.py", "return self.n_tilings", "return self.features_dim"),
    )
]
