"""Hypothesis profiles: 100 examples in a normal run, 1000 in the nightly one (``HYPOTHESIS_PROFILE=nightly``)."""

import os

from hypothesis import settings

settings.register_profile("normal", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "normal"))
