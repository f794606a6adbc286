"""Where a program will run, for what is written differently there; values are the same everywhere."""

import jax


def platform() -> str:
    """Where the program being traced will run: `cpu`, `gpu` or `tpu`; that of the mesh, where there is one.

    A mesh may be of devices that are not here, when compiling ahead of time.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device or jax.config.jax_default_device
    return getattr(device, "platform", device) or jax.default_backend()
