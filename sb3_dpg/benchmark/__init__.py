"""Studies over algorithms, environments and seeds: plan, run, analyse, report."""
