"""What a compiled program does, read from its HLO text: matrix FLOPs, memory traffic and collectives of one device.

XLA's own cost analysis counts the body of a loop once and gives nothing on GPUs. Here a loop counts as often as it
turns.
"""

import dataclasses
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property

ITEM_BYTES = {"pred": 1, "bf16": 2, "f16": 2} | {
    f"{kind}{bits}": bits / 8 for kind in ("s", "u", "f", "c") for bits in (2, 4, 8, 16, 32, 64, 128)
}
COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
# Kernels that XLA does not see into, by a part of their target's or operation's name, the first that fits: matrix
# products of the size of query times key.
KERNEL_PRODUCTS = (("fmhaSoftmaxBackward", 5), ("fmhaSoftmax", 2), ("splash_mha_dkv", 5), ("splash_mha_fwd", 2))
GEMM = "__cublas$"
# What only names, forwards or reserves buffers.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all"}

_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][a-z\d-]*)\(")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.-]+) (?:\(.*)?\{$")
_ARRAY = re.compile(r"([a-z]+\d*\w*)\[([\d,]*)\](\{[^}]*\})?")


class HloError(ValueError):
    """HLO text that is not understood; says what."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """Type of an array.

    Attributes:
        dtype: as in HLO.
        dims: sizes.
        on_chip: whether it lies in a TPU's vector memory instead of HBM.
    """

    dtype: str
    dims: tuple[int, ...]
    on_chip: bool = False

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> float:
        """Bytes without padding."""
        return self.size * ITEM_BYTES.get(self.dtype, 0)

    @property
    def hbm_bytes(self) -> float:
        """Bytes that are read or written in the device's main memory."""
        return 0 if self.on_chip else self.bytes


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of HLO.

    Attributes:
        name: unique in its computation.
        results: arrays that it gives.
        opcode: what it does.
        operands: names of what it takes.
        text: what follows the operands.
    """

    name: str
    results: tuple[Shape, ...]
    opcode: str
    operands: tuple[str, ...]
    text: str

    def attribute(self, pattern: str) -> str | None:
        """First group of a pattern in the attributes, None if it is not there."""
        found = re.search(pattern, self.text)
        return found and found[1]


Computation = dict[str, Instruction]


@dataclasses.dataclass(frozen=True)
class Collective:
    """Traffic of one collective of a program.

    Attributes:
        kind: one of `COLLECTIVES`.
        group: devices that take part with this one.
        times: how often it runs in one run of the program.
        bytes: sent by a device in all these runs, by the algorithm that sends least: (n - 1) / n of the whole array for
            gathering and scattering, twice that for all-reduce.
        where: name of the operation in the source.
    """

    kind: str
    group: int
    times: int
    bytes: float
    where: str


class Program:
    """A compiled module."""

    def __init__(self, text: str, devices: int):
        """From `compiled.as_text()` of a program for so many devices."""
        self._computations, self._entry = _parse(text)
        self._devices = devices

    @cached_property
    def flops(self) -> float:
        """Floating-point operations of matrix products and convolutions, two a multiply-add."""
        return sum(times * self._flops(instruction, scope) for instruction, scope, times, _ in self._walk())

    @cached_property
    def hbm_bytes(self) -> float:
        """Bytes read and written in main memory, an array that an operation reads counted each time.

        Of an array that an operation only takes a slice of, or changes a slice of, the slice counts.
        """
        return sum(
            times * self._traffic(instruction, scope)
            for instruction, scope, times, fused in self._walk()
            if not fused and instruction.opcode not in FREE
        )

    @cached_property
    def collectives(self) -> list[Collective]:
        """All collectives that send anything, in the order of the text."""
        found, seen = [], set()
        for instruction, scope, times, _ in self._walk():
            kind = instruction.opcode.removesuffix("-start")
            if kind not in COLLECTIVES:
                continue
            # A TPU's asynchronous gather is drawn in every fusion that it runs beside.
            if chain := instruction.attribute(r'chain_id="(\w+)"'):
                identity = (kind, chain, instruction.attribute(r"channel_id=(\d+)"))
                if identity in seen:
                    continue
                seen.add(identity)
            group = self._group_size(instruction)
            given = sum(shape.bytes for name in instruction.operands for shape in self._shapes(scope, name))
            if scope.startswith("all-reduce-scatter"):  # a TPU's reduce-scatter is a fusion around an all-reduce
                kind = "reduce-scatter"
            share = (group - 1) / group
            sent = {"all-gather": given * (group - 1), "all-reduce": 2 * share * given, "collective-permute": given}
            amount = times * sent.get(kind, share * given)
            if amount:
                where = instruction.attribute(r'op_name="([^"]*)"') or instruction.name
                found.append(Collective(kind, group, times, amount, where))
        return found

    def _walk(self) -> Iterator[tuple[Instruction, str, int, bool]]:
        """Every instruction that runs: its computation's name, how often, and whether it is part of a fusion."""
        stack = [(self._entry, 1, False)]
        while stack:
            scope, times, fused = stack.pop()
            for instruction in self._computations[scope].values():
                yield instruction, scope, times, fused
                body = instruction.attribute(r"\bbody=%?([\w.-]+)")
                if body:
                    stack.append((body, times * self._turns(instruction), fused))
                inside = fused or instruction.opcode == "fusion" or instruction.opcode.startswith("async")
                if instruction.opcode in ("fusion", "call", "async-start"):
                    called = instruction.attribute(r"(?:calls|to_apply|called_computation)=%?([\w.-]+)")
                    if called:
                        stack.append((called, times, inside))
                elif instruction.opcode == "conditional":
                    branches = re.search(r"branch_computations=\{([^}]*)\}", instruction.text)
                    names = (
                        branches[1].split(",")
                        if branches
                        else re.findall(r"(?:true|false)_computation=(\S+?),", instruction.text)
                    )
                    stack.extend((name.strip(" %"), times, fused) for name in names)

    def _turns(self, loop: Instruction) -> int:
        """How often a loop turns: as XLA says, or the constant that its condition compares the counter with."""
        if known := loop.attribute(r'known_trip_count"?:\{"?n"?:"?(\d+)'):
            return int(known)
        condition = loop.attribute(r"condition=%?([\w.-]+)")
        bounds, stack = [], [condition]
        while stack:
            for instruction in self._computations[stack.pop()].values():
                if instruction.opcode == "constant" and (value := re.match(r"(\d+)\)", instruction.text)):
                    bounds.append(int(value[1]))
                if instruction.opcode == "fusion":
                    stack.append(instruction.attribute(r"calls=%?([\w.-]+)"))
        if len(set(bounds)) != 1:
            raise HloError(
                f"loop {loop.name} has no constant number of turns: its condition has the constants {bounds}"
            )
        return bounds[0]

    def _shapes(self, scope: str, name: str) -> tuple[Shape, ...]:
        instruction = self._computations[scope].get(name)
        return instruction.results if instruction else ()

    def _group_size(self, instruction: Instruction) -> int:
        text = instruction.text
        if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", text):
            return listed[1].count(",") + 1
        if iota := re.search(r"replica_groups=\[\d+,(\d+)\]<=", text):
            return int(iota[1])
        if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\S*)? \{([^}]*)\}", text):
            sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh[1]))
            return math.prod(int(sizes[name]) for name in re.findall(r"'(\w+)'", mesh[2]))
        return self._devices

    def _flops(self, instruction: Instruction, scope: str) -> float:
        match instruction.opcode:
            case "dot":
                (lhs, *_), (output, *_) = self._shapes(scope, instruction.operands[0]), instruction.results
                contracted = instruction.attribute(r"lhs_contracting_dims=\{([\d,]*)\}") or ""
                return 2 * output.size * math.prod(lhs.dims[int(axis)] for axis in contracted.split(",") if axis)
            case "convolution":
                return self._convolution_flops(instruction, scope)
            case "custom-call":
                return self._kernel_flops(instruction, scope)
        return 0

    def _convolution_flops(self, instruction: Instruction, scope: str) -> float:
        """Twice the multiply-adds whose input is not padding."""
        (lhs,), (rhs,) = (self._shapes(scope, name) for name in instruction.operands[:2])
        (output,) = instruction.results
        inputs, kernel, outputs = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.text).groups()
        window = instruction.attribute(r"window=\{([^}]*)\}") or ""
        options = dict(item.split("=") for item in window.split())
        total = 2 * output.dims[outputs.index("b")] * output.dims[outputs.index("f")] * rhs.dims[kernel.index("i")]
        spatial = sorted(label for label in inputs if label.isdigit())
        for axis, label in enumerate(spatial):

            def option(name, default, axis=axis):
                return options[name].split("x")[axis] if name in options else default

            stride, dilate = int(option("stride", 1)), int(option("lhs_dilate", 1))
            spread, (low, *_) = int(option("rhs_dilate", 1)), option("pad", "0_0").split("_")
            size, last = lhs.dims[inputs.index(label)], (lhs.dims[inputs.index(label)] - 1) * dilate
            pairs = itertools.product(range(output.dims[outputs.index(label)]), range(rhs.dims[kernel.index(label)]))
            places = (out * stride + tap * spread - int(low) for out, tap in pairs)
            total *= sum(0 <= place <= last and place % dilate == 0 for place in places) if size else 0
        return total

    def _kernel_flops(self, instruction: Instruction, scope: str) -> float:
        target = instruction.attribute(r'custom_call_target="([^"]*)"') or ""
        operands = [shape for name in instruction.operands for shape in self._shapes(scope, name)]
        if target.startswith(GEMM):
            contracted = re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', instruction.text)[1]
            return (
                2
                * instruction.results[0].size
                * math.prod(operands[0].dims[int(axis)] for axis in re.findall(r"\d+", contracted))
            )
        name = target + (instruction.attribute(r'op_name="([^"]*)"') or "") + instruction.name
        products = next((count for part, count in KERNEL_PRODUCTS if part in name), 0)
        if not products:
            return 0
        query, key, *_ = (shape for shape in operands if len(shape.dims) >= 4)
        return products * 2 * query.size * self._keys(query, key)

    @staticmethod
    def _keys(query: Shape, key: Shape) -> int:
        """Number of keys of an attention: the axis of the tokens is the longest but for the heads' batch."""
        return max(key.dims[-3:-1])

    def _traffic(self, instruction: Instruction, scope: str) -> float:
        """Bytes of main memory that one instruction outside of fusions reads and writes."""
        opcode, written = instruction.opcode, sum(shape.hbm_bytes for shape in instruction.results)
        if opcode.endswith(("-done", "-update")):
            return 0
        if opcode == "custom-call" and re.search(
            r'custom_call_target="(Async|Allocate|ConcatBitcast)', instruction.text
        ):
            return 0
        if opcode == "fusion":
            called = instruction.attribute(r"calls=%?([\w.-]+)")
            read = sum(self._read(called, index) for index in range(len(instruction.operands)))
            return read + self._written(called, written)
        if opcode in ("dynamic-slice", "slice", "gather", "slice-start"):
            first = instruction.results[0]
            return first.hbm_bytes + (0 if self._on_chip(scope, instruction.operands[0]) else first.bytes)
        if opcode == "dynamic-update-slice":
            return 2 * sum(shape.hbm_bytes for shape in self._shapes(scope, instruction.operands[1]))
        if opcode.endswith("-start"):
            written = instruction.results[0].hbm_bytes
        return written + sum(shape.hbm_bytes for name in instruction.operands for shape in self._shapes(scope, name))

    def _on_chip(self, scope: str, name: str) -> bool:
        return all(shape.on_chip for shape in self._shapes(scope, name))

    def _read(self, scope: str, index: int) -> float:
        """Bytes that a fused computation reads of its parameter of that number."""
        computation = self._computations[scope]
        parameter = next(i for i in computation.values() if i.opcode == "parameter" and i.text.startswith(f"{index})"))
        whole = sum(shape.hbm_bytes for shape in parameter.results)
        return min(whole, self._read_by_users(scope, parameter.name)) if whole else 0

    def _read_by_users(self, scope: str, name: str) -> float:
        total = 0
        for user in self._computations[scope].values():
            if name not in user.operands:
                continue
            if user.opcode == "bitcast":
                total += self._read_by_users(scope, user.name)
            elif user.opcode == "dynamic-slice" and name == user.operands[0]:
                total += user.results[0].bytes
            elif user.opcode == "dynamic-update-slice" and name == user.operands[0]:
                continue
            elif user.opcode == "fusion":
                total += self._read(user.attribute(r"calls=%?([\w.-]+)"), user.operands.index(name))
            else:
                return math.inf
        return total

    def _written(self, scope: str, whole: float) -> float:
        """Bytes that a fused computation writes: of an updated array, what is new."""
        updates = [i for i in self._computations[scope].values() if i.opcode == "dynamic-update-slice"]
        for update in updates:
            array, new = (sum(s.bytes for s in self._shapes(scope, name)) for name in update.operands[:2])
            if whole >= array:
                whole += new - array
        return whole


def _parse(text: str) -> tuple[Mapping[str, Computation], str]:
    """Computations by name, and the name of the one that is the program."""
    computations: dict[str, Computation] = defaultdict(dict)
    entry = scope = ""
    for line in text.splitlines():
        if found := _INSTRUCTION.match(line):
            name, types, opcode = found.groups()
            rest = line[found.end() :]
            operands = re.sub(r"/\*.*?\*/", "", rest[: rest.find(")")])
            shapes = tuple(
                Shape(dtype, tuple(int(size) for size in dims.split(",") if size), "S(1)" in (layout or ""))
                for dtype, dims, layout in _ARRAY.findall(types)
            )
            names = tuple(re.findall(r"%([\w.-]+)", operands) or re.findall(r"[\w.-]+", operands))
            computations[scope][name] = Instruction(name, shapes, opcode, names, rest)
        elif found := _HEADER.match(line):
            scope = found[2]
            entry = scope if found[1] else entry
    if not entry:
        raise HloError("the text has no ENTRY computation")
    return computations, entry
