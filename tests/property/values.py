"""What users write where a number belongs."""

from hypothesis import strategies as st

NUMBERS = st.floats(width=64) | st.integers(-10, 10)
ANYTHING = NUMBERS | st.none() | st.booleans() | st.text(max_size=8) | st.lists(NUMBERS, max_size=3)


def mostly(valid: st.SearchStrategy, otherwise: st.SearchStrategy = ANYTHING) -> st.SearchStrategy:
    """Valid values, and now and then one that may not be: were all arbitrary, hardly any example would get past the checks."""
    return st.integers(0, 9).flatmap(lambda draw: otherwise if draw == 0 else valid)
