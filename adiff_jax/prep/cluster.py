"""Parts on a Ray cluster: processes for video and landmarks, processes with accelerators for the encoders.

    parts ──► clips (CPU actors) ──► encoders, written part (accelerator actors) ──► notes, to this process

Ray Data holds back the first stage while the second is behind, and does the work of a lost actor again; a part that is
written twice is the same part. All nodes must see the videos and the output: a shared file system, or gs://, s3://.
"""

import contextlib
import dataclasses
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adiff_jax.data.schema import RecordError
from adiff_jax.data.storage import Folder
from adiff_jax.prep.inputs import Input
from adiff_jax.prep.options import RayOptions
from adiff_jax.prep.outcome import Outcome
from adiff_jax.prep.parts import Part, attempt, crashed, write_part
from adiff_jax.prep.pool import Pool
from adiff_jax.prep.stages import Encoders

Row = dict[str, Any]


class _Make:
    """An actor that makes the clips of parts, in a process of its own that may die of an input.

    Ray would start an actor again that died, with the same input, for ever.
    """

    def __init__(self):
        self._pool = Pool(1, isolated=True)

    def __call__(self, row: Row) -> Row:
        attempts = self._pool.map(attempt, pickle.loads(row["inputs"]), crashed)
        return row | {"attempts": pickle.dumps(list(attempts))}


class _Write:
    """An actor that encodes the clips of parts and writes them."""

    def __init__(self, out: Folder, encoders: Encoders):
        self._out, self._encoders = out, encoders

    def __call__(self, row: Row) -> Row:
        inputs, attempts = pickle.loads(row["inputs"]), pickle.loads(row["attempts"])
        part = write_part(self._out, row["index"], inputs, attempts, self._encoders)
        return {"index": row["index"], "part": pickle.dumps(part)}


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where inputs are worked on, see `engine.Maker`: a Ray cluster.

    Both methods raise `RecordError` if Ray is not installed, or the cluster cannot be reached.
    """

    encoders: Encoders
    options: RayOptions

    def parts(self, out: Folder, shards: Mapping[int, Sequence[Input]]) -> Iterator[tuple[int, Part]]:
        """Makes parts, in the order in which they are finished."""
        if not shards:
            return
        with self._attempts(shards) as attempts:
            from ray.data import ActorPoolStrategy

            parts = attempts.map(
                _Write,
                fn_constructor_args=(out, self.encoders),
                compute=ActorPoolStrategy(size=self.options.encoder_actors),
                **_resources(self.options),
            )
            for row in parts.iter_rows():
                yield int(row["index"]), pickle.loads(row["part"])

    def outcomes(self, shards: Mapping[int, Sequence[Input]], deadly: bool) -> Iterator[tuple[int, list[Outcome]]]:
        """Tries inputs, deadly or not in processes that may die of them; by their parts, as they are finished."""
        if not shards:
            return
        with self._attempts(shards) as attempts:
            for row in attempts.iter_rows():
                yield int(row["index"]), [outcome for outcome, _ in pickle.loads(row["attempts"])]

    @contextlib.contextmanager
    def _attempts(self, shards: Mapping[int, Sequence[Input]]) -> Iterator[Any]:
        """A Ray data set with a row for each part: what its inputs gave."""
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise RecordError("Ray is not installed: install the extra `ray`, or leave out --engine ray") from error
        options = self.options
        started = not ray.is_initialized()
        if started:
            try:
                ray.init(address=options.address or None, log_to_driver=False, configure_logging=False)
            except ConnectionError as error:
                raise RecordError(f"no Ray cluster at {options.address}: {error}") from error
        try:
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            rows = [{"index": index, "inputs": pickle.dumps(list(inputs))} for index, inputs in shards.items()]
            most = options.actors or max(1, int(ray.cluster_resources().get("CPU", 1)) - options.encoder_actors)
            actors = ray.data.ActorPoolStrategy(min_size=1, max_size=most)
            yield ray.data.from_items(rows, override_num_blocks=len(rows)).map(_Make, compute=actors, num_cpus=1)
        finally:
            if started:
                ray.shutdown()


def _resources(options: RayOptions) -> dict[str, Any]:
    match options.encoder_device:
        case "GPU":
            return {"num_gpus": 1}
        case "TPU":
            return {"resources": {"TPU": 1}}
        case _:
            return {"num_cpus": 1}
