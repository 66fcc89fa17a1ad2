"""All wrong changes of the mutation check."""

from tests.mutation.bnddpg import BNDDPG
from tests.mutation.copdacq import COPDACQ
from tests.mutation.features import FEATURES
from tests.mutation.noise import NOISE

MUTATIONS = [*BNDDPG, *COPDACQ, *NOISE, *FEATURES]
