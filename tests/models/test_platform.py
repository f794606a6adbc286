"""Programs are written for where they will run, which may not be here."""

import jax
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

from adiff_jax.models.platform import platform


def test_the_platform_is_the_meshs():
    assert platform() == jax.default_backend()
    chip = AbstractDevice(device_kind="TPU v5 lite", num_cores=1, platform="tpu")
    with use_abstract_mesh(AbstractMesh((4,), ("data",), abstract_device=chip)):
        assert platform() == "tpu"
    with jax.default_device(jax.devices("cpu")[0]):
        assert platform() == "cpu"
