"""The plan: which frames of a video are denoised together at each step, and the denoising of one round of groups."""

from collections.abc import Sequence
from typing import Literal, get_args

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from adiff_jax.sampling.loop import VideoDenoiser
from adiff_jax.types import Conditioning, Denoiser

Dealing = Literal["contiguous", "strided", "random", "shifted"]


@flax.struct.dataclass
class Plan:
    """Groups of frames, as index tables repeated every `P` steps (P = 1: the same groups at every step).

    A plan is data: under `jax.jit`, plans of equal shape share one compiled program.

    Attributes:
        groups: the frame in every slot of every group. A short group repeats its own last frame, so that what one
            group holds does not depend on another.
        slots: where each frame is read back: the first place it has among the G * S slots.
    """

    groups: Int[Array, "P G S"]
    slots: Int[Array, "P F"]

    @classmethod
    def create(cls, groups: Int[np.ndarray, "P G S"]) -> "Plan":
        """The plan of these groups; every frame must be in one of them at every step."""
        slots = [np.unique(round_, return_index=True)[1] for round_ in groups]
        return cls(groups=jnp.asarray(groups, jnp.int32), slots=jnp.asarray(np.stack(slots), jnp.int32))

    @property
    def num_frames(self) -> int:
        """Number of frames of the video."""
        return self.slots.shape[1]

    def at(self, step: Int[Array, ""]) -> tuple[Int[Array, "G S"], Int[Array, " F"]]:
        """`groups` and `slots` of one step."""
        turn = step % self.groups.shape[0]
        return self.groups[turn], self.slots[turn]


def anchored_plan(dealing: Dealing, num_frames: int, group_size: int, anchor: int | None = None, seed: int = 0) -> Plan:
    """Deals the frames other than the anchor into groups, each led by the anchor (paper: figure 3b, algorithm 1).

        F = 8, S = 4, anchor 4        contiguous  [4 0 1 2] [4 3 5 5] [4 6 7 7]
                                      strided     [4 0 3 7] [4 1 5 5] [4 2 6 6]

    The other frames form a line in time order, dealt into ceil((F - 1) / (S - 1)) groups whose sizes differ by at most
    one. Within a group frames are in time order, as in training. A video of at most S frames is one group.

    Args:
        dealing: `contiguous`, neighbours share a group; `strided`, frame i of the line goes to group i mod G;
            `random`, by `seed`; `shifted` (ours), contiguous with the line rolled by 0, 1, .. S - 2 frames over the
            steps, so that borders move and neighbours meet.
        num_frames: frames of the video, F.
        group_size: frames the denoiser takes at once, S.
        anchor: index of the anchor frame; the middle frame by default.
        seed: of the `random` dealing.

    Raises:
        ValueError: for an unknown dealing, no frames, a group size below 2 or an anchor outside the video.
    """
    if dealing not in get_args(Dealing):
        raise ValueError(f"unknown plan {dealing!r}: choose one of {', '.join(get_args(Dealing))}")
    if num_frames < 1:
        raise ValueError(f"a video needs at least one frame, not {num_frames}")
    if group_size < 2:
        raise ValueError(f"group_size must be at least 2 (the anchor and another frame), not {group_size}")
    anchor = num_frames // 2 if anchor is None else anchor
    if not 0 <= anchor < num_frames:
        raise ValueError(f"anchor {anchor} is outside the video: choose 0 to {num_frames - 1}")

    if num_frames == 1:
        return Plan.create(np.array([[[anchor]]]))
    line = np.delete(np.arange(num_frames), anchor)
    width = min(group_size, num_frames) - 1
    num_groups = -(-len(line) // width)
    rounds = deal(dealing, line, num_groups, width if num_groups > 1 else 1, seed)
    others = np.stack([pack(groups, width) for groups in rounds])
    return Plan.create(np.insert(others, 0, anchor, axis=-1))


def deal(
    dealing: Dealing, line: Int[np.ndarray, " L"], num_groups: int, turns: int = 1, seed: int = 0
) -> list[list[Int[np.ndarray, "_"]]]:
    """Deals a line of frames into groups whose sizes differ by at most one; see `anchored_plan`.

    Returns:
        The groups of each round: `turns` rounds if the dealing is `shifted`, else one.
    """
    match dealing:
        case "contiguous":
            return [np.array_split(line, num_groups)]
        case "strided":
            return [[line[group::num_groups] for group in range(num_groups)]]
        case "random":
            return [np.array_split(np.random.default_rng(seed).permutation(line), num_groups)]
        case "shifted":
            return [np.array_split(np.roll(line, -turn), num_groups) for turn in range(turns)]


def pack(groups: Sequence[np.ndarray], width: int) -> Int[np.ndarray, "G width"]:
    """Rows of `width` frames: each group in time order, its last frame repeated where it is short."""
    return np.stack([np.pad(np.sort(group), (0, width - len(group)), mode="edge") for group in groups])


def by_groups(denoiser: Denoiser, cond: Conditioning, plan: Plan, group_batch: int | None = None) -> VideoDenoiser:
    """A denoiser of videos, by a denoiser of groups: each frame is predicted in the first group that it is in.

    Args:
        denoiser: predicts for groups, [G S h w c]. Guidance is applied to it before, not here.
        cond: of the video as one sequence: B = 1, S = F.
        plan: the groups.
        group_batch: groups that go through the denoiser at once, to bound memory; all by default.
    """

    def denoise(z_t: Float[Array, "F h w c"], t: Float[Array, ""], step: Int[Array, ""]) -> Float[Array, "F h w c"]:
        groups, slots = plan.at(step)
        predictions = denoise_groups(denoiser, cond, z_t, t, groups, group_batch)
        return predictions.reshape(-1, *z_t.shape[1:])[slots]

    return denoise


def denoise_groups(
    denoiser: Denoiser,
    cond: Conditioning,
    z_t: Float[Array, "F h w c"],
    t: Float[Array, ""],
    groups: Int[Array, "G S"],
    group_batch: int | None,
) -> Float[Array, "G S h w c"]:
    """Predicts for each group of frames of a video.

    Args:
        denoiser: takes the groups as its batch.
        cond: of the video as one sequence: B = 1, S = F.
        z_t: latents of the video, all at time `t`.
        t: diffusion time.
        groups: frames of each group.
        group_batch: groups that go through the denoiser at once, to bound memory; all by default.
    """

    def denoise(groups: Int[Array, "N S"]) -> Float[Array, "N S h w c"]:
        batch_size = len(groups)
        group_cond = Conditioning(
            clip=jnp.repeat(cond.clip, batch_size, axis=0),
            clip_mask=jnp.repeat(cond.clip_mask, batch_size, axis=0),
            landmarks=cond.landmarks[0][groups],
            landmarks_mask=jnp.repeat(cond.landmarks_mask, batch_size, axis=0),
        )
        return denoiser(z_t[groups], jnp.full(batch_size, t), group_cond)

    if group_batch is None or group_batch >= len(groups):
        return denoise(groups)
    padded = jnp.pad(groups, ((0, -len(groups) % group_batch), (0, 0)), mode="edge")
    predictions = jax.lax.map(denoise, padded.reshape(-1, group_batch, groups.shape[1]))
    return predictions.reshape(-1, *predictions.shape[2:])[: len(groups)]
