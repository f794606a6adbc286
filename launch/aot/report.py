"""What compilation says about a program on a topology, as text, and as a table over sizes and topologies."""

import dataclasses
import time
from collections import defaultdict
from typing import Any

from launch.aot.hlo import Program
from launch.aot.programs import Workload
from launch.aot.topologies import GIB, Topology

# Share of each peak rate that a step is expected to attain: an assumption, printed wherever it is used.
ATTAINED = 0.5
TPU_OPTIONS = {
    # Otherwise small gathers become chains of sends, which no one can read.
    "xla_jf_spmd_threshold_for_windowed_einsum_mib": "1000000",
}
GPU_OPTIONS = {"xla_gpu_enable_triton_gemm": "False"}  # whose tiles are chosen by running them
QUICK = -1.0  # XLA's optimization effort: a third of the compile time for about the same memory and FLOPs


@dataclasses.dataclass(frozen=True)
class Finding:
    """Figures of one compiled program, of one device and one run where nothing else is said.

    Attributes:
        topology, program: what was compiled for what.
        config: its file and argument, and what was overridden.
        mesh: devices along each axis.
        devices: their number.
        compile_seconds: wall time of the compiler.
        memory: bytes by kind; `temporary` are activations, gradients and gathered layers.
        memory_limit: bytes that a device has.
        flops: of matrix products, compiled.
        model_flops: that the mathematics asks for.
        hbm_bytes: read and written in main memory.
        collectives: bytes sent by kind.
        minimum_traffic: bytes that must be sent.
        seconds: of the matrix units, memory and links, each alone at its peak rate.
        examples: sequences of a step, or frames of a video.
        runs: in the whole training, or 1.
        price: US dollars an hour of all devices.
    """

    topology: str
    program: str
    config: str
    mesh: dict[str, int]
    devices: int
    compile_seconds: float
    memory: dict[str, float]
    memory_limit: float
    flops: float
    model_flops: float
    hbm_bytes: float
    collectives: dict[str, float]
    minimum_traffic: float
    seconds: dict[str, float]
    examples: int
    runs: float
    price: float

    @property
    def memory_share(self) -> float:
        """Of the device's memory, that is needed."""
        return sum(self.memory.values()) / self.memory_limit

    @property
    def flops_ratio(self) -> float:
        """Compiled over the model's."""
        return self.flops / self.model_flops

    @property
    def traffic_ratio(self) -> float:
        """Sent over what must be sent."""
        return sum(self.collectives.values()) / self.minimum_traffic if self.minimum_traffic else 1.0

    @property
    def limit(self) -> str:
        """The term that bounds the time."""
        return max(self.seconds, key=self.seconds.get)

    @property
    def expected_seconds(self) -> float:
        """Of one run: the largest term at `ATTAINED` of the peak rates, the others hidden behind it."""
        return self.seconds[self.limit] / ATTAINED

    @property
    def days(self) -> float:
        """Of the whole training."""
        return self.runs * self.expected_seconds / 86_400

    @property
    def cost(self) -> float:
        """Of the whole training, in US dollars."""
        return self.days * 24 * self.price

    def text(self) -> str:
        """For a person."""
        used, sent = sum(self.memory.values()), sum(self.collectives.values())
        verdict = "fits" if self.memory_share <= 1 else "DOES NOT FIT"
        lines = [
            f"{self.program}; {self.config}",
            f"{self.topology}, {self.devices} devices, mesh {self.mesh}; compiled in {self.compile_seconds:.0f} s",
            "",
            f"memory       {verdict}: {used / GIB:.2f} of {self.memory_limit / GIB:.2f} GiB, {self.memory_share:.0%}",
            *(f"             {name:22} {size / GIB:7.3f} GiB" for name, size in self.memory.items()),
            f"FLOPs        {self.flops / 1e12:.3f} T compiled, {self.model_flops / 1e12:.3f} T of the model, "
            f"ratio {self.flops_ratio:.3f}",
            f"collectives  {sent / 1e6:.1f} MB sent, {self.minimum_traffic / 1e6:.1f} MB at least, "
            f"ratio {self.traffic_ratio:.3f}",
            *(f"             {name:22} {size / 1e6:7.1f} MB" for name, size in self.collectives.items()),
            f"time         {1e3 * self.expected_seconds:.1f} ms at {ATTAINED:.0%} of the peak rates, "
            f"limited by {self.limit}",
            *(f"             {name:22} {1e3 * value:7.1f} ms at the peak rate" for name, value in self.seconds.items()),
        ]
        if self.runs > 1:
            lines.append(
                f"whole run    {self.runs:,.0f} steps of {self.examples}: {self.days:.1f} days, "
                f"{self.cost:,.0f} USD at {self.price / self.devices:.2f} USD an hour and device"
            )
        return "\n".join(lines)


def examine(workload: Workload, topology: Topology, name: str, full: bool) -> Finding:
    """Compiles a program and reads what it needs.

    Args:
        workload: the program.
        topology: what it is made for.
        name: of the config it was made of.
        full: optimise as for running, three times as long; otherwise quickly.

    Raises:
        jax.errors.JaxRuntimeError: if it does not fit the memory, `RESOURCE_EXHAUSTED`.
    """
    lowered = workload.lower()
    start = time.monotonic()
    options: dict[str, Any] = dict(TPU_OPTIONS if topology.is_tpu else GPU_OPTIONS)
    if not full:
        options["exec_time_optimization_effort"] = QUICK
    compiled = lowered.compile(compiler_options=options)
    seconds = time.monotonic() - start
    devices, chip = len(topology.devices), topology.chip
    program, memory = Program(compiled.as_text(), devices), compiled.memory_analysis()
    extra = memory.output_size_in_bytes - memory.alias_size_in_bytes
    sent: dict[str, float] = defaultdict(float)
    for collective in program.collectives:
        sent[collective.kind] += collective.bytes
    return Finding(
        topology=topology.name,
        program=workload.title,
        config=name,
        mesh=dict(workload.mesh),
        devices=devices,
        compile_seconds=seconds,
        memory={
            **workload.arguments,
            "temporary": memory.temp_size_in_bytes,
            "results": extra,
            "program": memory.generated_code_size_in_bytes,
        },
        memory_limit=chip.memory,
        flops=program.flops,
        model_flops=workload.model_flops / devices,
        hbm_bytes=program.hbm_bytes,
        collectives=dict(sent),
        minimum_traffic=workload.minimum_traffic,
        seconds={
            "matrix units": program.flops / chip.flops,
            "memory": program.hbm_bytes / chip.hbm,
            "links": sum(sent.values()) / topology.link,
        },
        examples=workload.examples,
        runs=workload.runs,
        price=chip.price * devices,
    )
