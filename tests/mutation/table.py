"""All wrong changes of the mutation check."""

from tests.mutation.copdacq import COPDACQ
from tests.mutation.features import FEATURES
from tests.mutation.noise import NOISE

MUTATIONS = [*COPDACQ, *NOISE, *FEATURES]
