"""Anchored Diffusion: a video of any length from groups that share one frame (paper: section 3.3, algorithm 1)."""

from typing import Literal, get_args

from jaxtyping import Array, Float, Int

from adiff_jax.sampling.groups import Plan, by_groups, denoise_groups
from adiff_jax.sampling.loop import VideoDenoiser
from adiff_jax.types import Conditioning, Denoiser

Share = Literal["first", "mean"]


def anchored(
    denoiser: Denoiser, cond: Conditioning, plan: Plan, share: Share = "first", group_batch: int | None = None
) -> VideoDenoiser:
    """A denoiser of whole videos, by groups of S frames that each contain the anchor.

        z_t [F] ──gather──► [a . . .] [a . . .] [a . . .] ──Denoiser──► [a . . .] [a' . . .] [a" . . .] ──► [F]

    The paper gives every group its own copy of the anchor's latent and makes the copies equal after each step. Here
    the anchor has one latent, like any frame, and the groups' predictions for it are made one. The result is the same:
    equal copies get equal noise, and solvers are affine in the prediction (but for `clip_x0`).

    Args:
        denoiser: predicts for groups, [G S h w c]. Guidance is applied to it before, not here.
        cond: of the video as one sequence: B = 1, S = F.
        plan: the groups, from `groups.anchored_plan`.
        share: the anchor's prediction is the first group's (paper), or the mean over groups.
        group_batch: groups that go through the denoiser at once, to bound memory; all by default.

    Raises:
        ValueError: for an unknown share, or landmarks of another number of frames than the plan's.
    """
    if share not in get_args(Share):
        raise ValueError(f"unknown share {share!r}: choose one of {', '.join(get_args(Share))}")
    if cond.landmarks.shape[1] != plan.num_frames:
        raise ValueError(f"landmarks of {cond.landmarks.shape[1]} frames do not fit a plan of {plan.num_frames}")

    if share == "first":
        return by_groups(denoiser, cond, plan, group_batch)

    def denoise(z_t: Float[Array, "F h w c"], t: Float[Array, ""], step: Int[Array, ""]) -> Float[Array, "F h w c"]:
        groups, slots = plan.at(step)
        predictions = denoise_groups(denoiser, cond, z_t, t, groups, group_batch)
        frames = predictions.reshape(-1, *z_t.shape[1:])[slots]
        return frames.at[groups[0, 0]].set(predictions[:, 0].mean(0))

    return denoise
