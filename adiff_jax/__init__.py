"""Anchored Diffusion for Video Face Reenactment (arXiv 2407.15153) in JAX and Flax."""

__version__ = "0.1.0"
