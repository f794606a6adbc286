"""`python -m adiff_jax.train`: see `main`."""

from adiff_jax.train.main import run

run()
