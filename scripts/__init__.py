"""What developers of the package run and its users do not, from a clone: ``python -m scripts.NAME``."""
