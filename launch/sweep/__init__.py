"""Sweeps: the same training with different options, here, on Slurm or on Kubernetes; see `__main__`."""
