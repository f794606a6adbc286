"""Benchmarks: ours beside a reference, in one run on one machine, as ratios; `python -m launch.bench models`."""
