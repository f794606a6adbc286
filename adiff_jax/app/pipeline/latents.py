"""The latents of a video, sampled chunk by chunk as they are taken, and kept on disk."""

import dataclasses
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Float32, Int, UInt8

from adiff_jax.app.options import SamplingOptions
from adiff_jax.app.pipeline.sampler import Request, sample_request
from adiff_jax.app.pipeline.store import LatentStore
from adiff_jax.app.progress import Progress, listening
from adiff_jax.sampling.chunks import Chunk, anchored_chunks, autoregressive_chunks, independent_chunks
from adiff_jax.sampling.groups import anchored_plan
from adiff_jax.sampling.loop import Given, steps_taken
from adiff_jax.weights.bundle import Bundle
from adiff_jax.weights.tensors import Params

OUTSIDE = -1  # number of an anchor that is no frame of the video

Parts = tuple[Int[np.ndarray, " M"], Float32[np.ndarray, "M h w c"]]
"""Numbers and latents of some frames."""


class Known(NamedTuple):
    """A picture that is to be a frame, and its latent."""

    picture: UInt8[np.ndarray, "R R 3"]
    latent: Float32[np.ndarray, "h w c"]


class Photograph(NamedTuple):
    """An anchor that is known and no frame of the video."""

    picture: UInt8[np.ndarray, "R R 3"]
    latent: Float32[np.ndarray, "h w c"]
    landmarks: Float32[np.ndarray, "K 2"]


@dataclasses.dataclass(frozen=True)
class Commission:
    """All that determines the latents of a video.

    Attributes:
        settings: how it is sampled.
        embedding: who is in it.
        person: what the embedding was made from: pictures, texts, numbers.
        landmarks: of its frames.
        start: gives the latents it starts from, if it is an edit.
        strength: of the edit.
        pinned: frames that are known, by number.
        photograph: the anchor, if it is no frame of the video.
    """

    settings: SamplingOptions
    embedding: Float[Array, "E"]
    person: tuple[UInt8[np.ndarray, "..."] | str | float | None, ...]
    landmarks: Float32[np.ndarray, "F K 2"]
    start: Callable[[], Float32[np.ndarray, "F h w c"]] | None = None
    strength: float = 1.0
    pinned: Mapping[int, Known] = dataclasses.field(default_factory=dict)
    photograph: Photograph | None = None

    def fingerprint(self) -> dict[str, str]:
        """What of it matters, in words, by name; `start` stands for itself in the landmarks of its video.

        Of what models give, it is what they were given: accelerators do not compute the same bits every time.
        """
        given = {"person": self.person, "driver": [self.landmarks]}
        given["pinned source"] = [self.photograph.picture] if self.photograph else []
        given |= {f"pinned frame {number}": [known.picture] for number, known in self.pinned.items()}
        return {name: str(value) for name, value in dataclasses.asdict(self.settings).items()} | {
            "strength": str(self.strength),
            **{name: _digest(parts) for name, parts in given.items()},
        }


class Latents:
    """An iterable of the latents of a video's frames, in order, in parts of one or several frames.

    Chunks are sampled when they are asked for, and read from disk when they are asked for again.

    Args:
        bundle: models and weights.
        commission: what to sample.
        mesh: devices that sample chunks side by side, along its axis `group`; None for one device.
        folder: where finished chunks are kept; None for a temporary folder.
        resume: take over finished chunks.
        before: latents of the video that these frames are added to.
        progress: called with the numbers of finished and of all denoising steps.

    Raises:
        ValueError: an option does not fit the video, or the folder cannot be taken over.
    """

    def __init__(
        self,
        bundle: Bundle,
        commission: Commission,
        *,
        mesh: Mesh | None = None,
        folder: str | os.PathLike | None = None,
        resume: bool = False,
        before: "Latents | None" = None,
        progress: Progress | None = None,
    ):
        self.commission = commission
        self.before = before
        self._bundle = bundle
        self._progress = progress
        self._first = before.stop if before else 0
        self._steps = steps_taken(commission.settings.num_inference_steps, commission.strength)
        method, share = commission.settings.method, commission.settings.anchor
        in_chunks = method != "multidiffusion" and (method != "anchored" or share == "first")
        if (before or commission.photograph) and (method != "anchored" or not in_chunks):
            raise ValueError(
                "a pinned source, or adding to a video, needs the method anchored and the anchor first; "
                "go without the source's pixels by pin_source=False (--no-pin-source)"
            )
        if commission.photograph and commission.settings.anchor_frame is not None:
            raise ValueError(
                "anchor_frame makes a frame of the video the anchor, but the source's picture is: "
                "choose that by pin_source=False (--no-pin-source)"
            )
        if outside := [number for number in commission.pinned if not self._first <= number < self.stop]:
            raise ValueError(f"pinned frame {outside[0]} is outside the video: choose {self._first} to {self.stop - 1}")
        self._mesh = None if self._autoregressive or not in_chunks else mesh
        self._chunks = self._deal() if in_chunks else [None]
        self._scratch = None if folder else tempfile.TemporaryDirectory(prefix="adiff-")
        parent = Path(folder or self._scratch.name)
        self._store = LatentStore(parent / f"part-{self._first:06}", self._fingerprint(), resume)

    @property
    def stop(self) -> int:
        """Number of the first frame after these."""
        return self._first + len(self.commission.landmarks)

    def __iter__(self) -> Iterator[Float32[np.ndarray, "N h w c"]]:
        if self.before:
            yield from self.before
        yield from in_order(self._finished(), self._first)

    @functools.cached_property
    def anchor(self) -> int:
        """Number of the anchor frame."""
        if self.before:
            return self.before.anchor
        if self.commission.photograph:
            return OUTSIDE
        chosen = self.commission.settings.anchor_frame
        anchor = self.stop // 2 if chosen is None else chosen
        if not 0 <= anchor < self.stop:
            raise ValueError(f"anchor frame {anchor} is outside the video: choose 0 to {self.stop - 1}")
        return anchor

    def state(self) -> Float32[np.ndarray, "..."]:
        """What a chunk after the last one is told; samples what is not sampled yet."""
        for _ in self._finished():
            pass
        return self._store.state

    def remove(self) -> None:
        """Deletes what is kept on disk, of these frames and of those before."""
        if self.before:
            self.before.remove()
        self._store.remove()
        if self._store.folder.parent.is_dir() and not any(self._store.folder.parent.iterdir()):
            self._store.folder.parent.rmdir()

    def end_of_line(self, count: int) -> list[int]:
        """Numbers of the last frames that are not the anchor, those of earlier parts too, `count` at most."""
        earlier = self.before.end_of_line(count) if self.before else []
        return [*earlier, *(number for number in range(self._first, self.stop) if number != self.anchor)][-count:]

    def _deal(self) -> list[Chunk]:
        settings, num_frames = self.commission.settings, len(self.commission.landmarks)
        size, batch, shards = self._bundle.sdit.num_frames, settings.group_batch, _devices(self._mesh)
        match settings.method:
            case "anchored":
                return anchored_chunks(
                    settings.plan,
                    np.setdiff1d(np.arange(self._first, self.stop), [self.anchor]),
                    self.anchor,
                    size,
                    batch,
                    gives_anchor=self.anchor != OUTSIDE,
                    border=self.before.end_of_line(size) if self.before else None,
                    shards=shards,
                    seed=settings.seed,
                )
            case "independent":
                return independent_chunks(num_frames, size, batch, shards)
            case "autoregressive":
                return autoregressive_chunks(num_frames, size, settings.overlap)

    def _finished(self) -> Iterator[Parts]:
        """The chunks' frames, those that are on disk and then the others, which are sampled."""
        done, width = self._store.finished, _devices(self._mesh)
        for index in range(done):
            yield self._store.load(index)
        if done == len(self._chunks):
            return
        start = self.commission.start() if self.commission.start else None
        state = self._store.state if done else self._beginning()
        for index in range(done, len(self._chunks), width):
            chunks = self._chunks[index : index + width]
            results = list(self._run(chunks, state, start, index // width))
            for offset, (numbers, latents, state) in enumerate(results):
                self._store.save(index + offset, numbers, latents, state)
            yield from ((numbers, latents) for numbers, latents, _ in results)

    def _run(
        self,
        chunks: list[Chunk | None],
        state: Float32[np.ndarray, "..."],
        start: Float32[np.ndarray, "F h w c"] | None,
        number: int,
    ) -> Iterator[tuple[Int[np.ndarray, " M"], Float32[np.ndarray, "M h w c"], Float32[np.ndarray, "..."]]]:
        """Samples chunks side by side. Of each: numbers and latents of its new frames, what the next one is told."""
        settings, bundle = self.commission.settings, self._bundle
        requests = [self._request(chunk, state, start) for chunk in chunks]
        requests += requests[-1:] * (_devices(self._mesh) - len(chunks))
        run = functools.partial(
            sample_request,
            bundle.sdit,
            self._params,
            bundle.process,
            jax.random.key(settings.seed),
            self.commission.embedding,
            jax.tree.map(lambda *leaves: np.stack(leaves), *requests) if self._mesh else requests[0],
            state[:, :0] if self._autoregressive else state,
            settings=dataclasses.replace(settings, seed=0, anchor_frame=None),
            strength=self.commission.strength,
            mesh=self._mesh,
        )
        results, ways = jax.tree.map(np.asarray, self._reporting(run, number))
        if not self._mesh:
            results, ways = results[None], ways[None]
        for chunk, latents, way in zip(chunks, results, ways):
            if chunk is None:
                yield np.arange(len(latents), dtype=np.int32), latents, way
            elif self._autoregressive:
                yield chunk.frames[chunk.new], latents[chunk.new], np.repeat(latents[None, chunk.keep], len(way), 0)
            else:
                told = np.concatenate([ways[0][:, :1], way[:, 1:]], axis=1)
                yield chunk.frames[chunk.new], latents[chunk.new], told

    def _reporting(self, run: Callable, number: int) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """Runs, and reports each step where one device does the work, else the end."""
        progress, total = self._progress, self._steps * -(-len(self._chunks) // _devices(self._mesh))
        if progress is None:
            return run()
        before = self._steps * number
        progress(before, total)
        if self._mesh:
            results = jax.block_until_ready(run())
            progress(before + self._steps, total)
            return results
        with listening(lambda step: progress(before + step + 1, total)) as listener:
            return run(listener=listener)

    def _request(
        self, chunk: Chunk | None, state: Float32[np.ndarray, "..."], start: Float32[np.ndarray, "F h w c"] | None
    ) -> Request:
        numbers = np.arange(self.stop) if chunk is None else chunk.frames
        request = Request(
            landmarks=self._landmarks[numbers],
            start=None if start is None else start[numbers],
            given=self._given(numbers),
            chunk=chunk,
        )
        if chunk is None:
            settings = self.commission.settings
            size = self._bundle.sdit.num_frames
            return request.replace(plan=anchored_plan(settings.plan, self.stop, size, self.anchor, settings.seed))
        if self._autoregressive:
            head = len(chunk.told)
            latents, mask = request.given.latents, request.given.mask
            latents[:head] = np.where(chunk.told[:, None, None, None], state[0], latents[:head])
            mask[:head] |= chunk.told
            return request.replace(chunk=chunk.replace(told=chunk.told[:0], keep=chunk.keep[:0]))
        return request

    def _given(self, numbers: Int[np.ndarray, " M"]) -> Given | None:
        known = {number: frame.latent for number, frame in self.commission.pinned.items()}
        if self.commission.photograph:
            known[OUTSIDE] = self.commission.photograph.latent
        if not known and not self._autoregressive:
            return None
        latents = np.zeros((len(numbers), *self._latent_shape), np.float32)
        for index, number in enumerate(numbers.tolist()):
            latents[index] = known.get(number, 0)
        return Given(np.isin(numbers, list(known)), latents)

    def _beginning(self) -> Float32[np.ndarray, "N K h w c"]:
        """What the first chunk is told: what an earlier video keeps, else nothing."""
        if self.before:
            return self.before.state()
        first = self._chunks[0]
        return np.zeros((self._steps, 0 if first is None else len(first.told), *self._latent_shape), np.float32)

    @functools.cached_property
    def _params(self) -> Params:
        """The transformer's weights, on every device that works."""
        params = self._bundle.sdit_params
        return jax.device_put(params, NamedSharding(self._mesh, PartitionSpec())) if self._mesh else params

    @property
    def _autoregressive(self) -> bool:
        return self.commission.settings.method == "autoregressive"

    @property
    def _latent_shape(self) -> tuple[int, int, int]:
        sdit = self._bundle.sdit
        return sdit.input_size, sdit.input_size, sdit.in_channels

    @functools.cached_property
    def _landmarks(self) -> Float32[np.ndarray, "F K 2"]:
        """Landmarks of every frame by its number; those of a photograph are the last, at -1."""
        commission = self.commission
        earlier = [self.before._landmarks[: self._first]] if self.before else []
        outside = [commission.photograph.landmarks[None]] if commission.photograph else []
        return np.concatenate([*earlier, commission.landmarks, *outside]).astype(np.float32)

    def _fingerprint(self) -> dict[str, str]:
        earlier = json.dumps(self.before._fingerprint()) if self.before else ""
        return self.commission.fingerprint() | {
            "bundle": self._bundle.digests["bundle"],
            "number of devices": str(_devices(self._mesh)),
            "earlier part": hashlib.sha256(earlier.encode()).hexdigest(),
        }


def _digest(parts: Iterable[np.ndarray | str | float | None]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        digest.update(f"{len(content)} ".encode() + content)
    return digest.hexdigest()


def _devices(mesh: Mesh | None) -> int:
    return mesh.shape["group"] if mesh else 1


def in_order(parts: Iterable[Parts], first: int) -> Iterator[Float32[np.ndarray, "N h w c"]]:
    """Latents of frames by rising number, from `first` on without a gap, as soon as they are there."""
    waiting: dict[int, np.ndarray] = {}
    for numbers, latents in parts:
        waiting.update(zip(numbers.tolist(), map(np.copy, latents), strict=True))
        ready = []
        while first in waiting:
            ready.append(waiting.pop(first))
            first += 1
        if ready:
            yield np.stack(ready)
    if waiting:
        raise RuntimeError(f"frame {first} is in no chunk")
