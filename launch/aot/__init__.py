"""Ahead-of-time compilation: what a training step or the sampler needs on hardware that is not here; see `__main__`."""
