"""How fast the algorithms are, beside SB3's: ``python -m sb3_dpg.benchmark.speed``."""
