"""Chips and slices that programs are compiled for: what they are made of, what they cost, and how to name them."""

import dataclasses
import os

import jax

GIB = 2**30
# Facts of an H100 SXM that XLA's GPU compiler asks for instead of asking a device.
H100_TARGET = {
    "gpu_device_info": {
        "threads_per_block_limit": 1024,
        "threads_per_warp": 32,
        "shared_memory_per_block": 48 * 1024,
        "shared_memory_per_core": 228 * 1024,
        "shared_memory_per_block_optin": 227 * 1024,
        "threads_per_core_limit": 2048,
        "core_count": 132,
        "fpus_per_core": 128,
        "block_dim_limit_x": 2**31 - 1,
        "block_dim_limit_y": 65535,
        "block_dim_limit_z": 65535,
        "registers_per_core_limit": 65536,
        "registers_per_block_limit": 65536,
        "memory_bandwidth": 3_350_000_000_000,
        "l2_cache_size": 50 * 2**20,
        "clock_rate_ghz": 1.98,
        "device_memory_size": 79 * GIB,
        "cuda_compute_capability": {"major": 9},
    },
    "platform_name": '"CUDA"',
    "runtime_version": {"major": 12, "minor": 9},
    "dnn_version_info": {"major": 9, "minor": 8},
    "device_description_str": '"NVIDIA H100 80GB HBM3"',
}


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator, by its maker's figures.

    Attributes:
        name: as people say.
        memory: bytes that a program may use.
        flops: bfloat16 operations a second of the matrix units, at most.
        hbm: bytes a second of the memory.
        link: bytes a second that a chip sends in a collective along one axis of the mesh: on a TPU both directions of
            one ring of wires, on a GPU all of NVLink one way.
        price: US dollars an hour, on demand, as an assumption; see `launch/README.md`.
        network: bytes a second that a GPU sends to other machines, at best: 400 Gb/s a GPU for an H100. None for a TPU,
            whose wires join all machines of a slice.
    """

    name: str
    memory: float
    flops: float
    hbm: float
    link: float
    price: float
    network: float | None = None


CHIPS = {
    "v4": Chip("TPU v4", 30.75 * GIB, 275e12, 1.228e12, 2 * 45e9, 3.22),
    "v5e": Chip("TPU v5e", 15.75 * GIB, 197e12, 0.819e12, 2 * 45e9, 1.20),
    "v5p": Chip("TPU v5p", 95.74 * GIB, 459e12, 2.765e12, 2 * 90e9, 4.20),
    "v6e": Chip("TPU v6e", 31.25 * GIB, 918e12, 1.640e12, 2 * 90e9, 2.70),
    "h100": Chip("H100 SXM", 0.95 * 79 * GIB, 989e12, 3.35e12, 450e9, 11.06, network=50e9),
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Chips wired together.

    Attributes:
        name: as given, such as `v5e:16x16`.
        chip: what each of them is.
        devices: as JAX sees them; nothing can run on them.
        machines: that a network joins; a TPU slice is one.
    """

    name: str
    chip: Chip
    devices: tuple[jax.Device, ...]
    machines: int = 1

    @property
    def is_tpu(self) -> bool:
        """Whether it is a TPU slice."""
        return self.devices[0].platform == "tpu"

    @property
    def link(self) -> float:
        """Bytes a second that a device sends in a collective: by the network, as if all of it left the machine."""
        return self.chip.link if self.machines == 1 else self.chip.network


def prepare_environment() -> None:
    """Lets JAX compile without hardware. Call before JAX's first use of a device."""
    jax.config.update("jax_platforms", "cpu")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # no metadata server is asked where there is none
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")  # which asks a driver


def get_topology(name: str) -> Topology:
    """The slice or host of that name.

    Args:
        name: `CHIP:SHAPE`. A TPU's shape is that of its slice, `v5e:16x16`, `v4:2x2x4`; a GPU's is hosts x GPUs of a
            host, `h100:1x8`.

    Raises:
        ValueError: if the chip or shape is unknown, or the compiler for it is not installed.
    """
    from jax.experimental import topologies

    kind, _, shape = name.partition(":")
    if kind not in CHIPS or not shape:
        raise ValueError(f"topology {name!r} is not CHIP:SHAPE with a chip of {', '.join(CHIPS)}, such as v5e:16x16")
    extra = "cuda" if kind == "h100" else "tpu"
    try:
        if kind == "h100":
            found = topologies.get_topology_desc(
                platform="cuda", topology_name=kind, target_config=_text(H100_TARGET), topology=f"1x{shape}"
            )
        else:
            options = {"chip_config_name": "megacore"} if kind == "v4" else {}  # one device a chip
            found = topologies.get_topology_desc(platform="tpu", topology_name=name, **options)
    except (RuntimeError, NotImplementedError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"no compiler for {name}: {reason} (its compiler comes with the extra {extra})") from error
    machines = int(shape.partition("x")[0]) if kind == "h100" else 1
    return Topology(name, CHIPS[kind], tuple(found.devices), machines)


def _text(message: dict, indent: str = "") -> str:
    """A protocol buffer in text format."""
    lines = []
    for name, value in message.items():
        inner = f"{{\n{_text(value, indent + '  ')}{indent}}}" if isinstance(value, dict) else str(value)
        lines.append(f"{indent}{name}: {inner}\n" if not isinstance(value, dict) else f"{indent}{name} {inner}\n")
    return "".join(lines)
