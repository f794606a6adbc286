"""Metrics of a reenactment that compare it with reference pictures; most need a network of their own."""

import dataclasses
import functools
import os
from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from adiff_jax.app.pipeline import GeneratedVideo
from adiff_jax.evals.frechet import FID, FVD, Gaussian, frechet_distance, i3d_features, inception_features, pieces
from adiff_jax.evals.identity import CSIM, Recogniser, csim, drawn_recogniser, real_recogniser
from adiff_jax.evals.lpips import LPIPS, load_lpips, lpips
from adiff_jax.evals.pictures import L1, PSNR, SSIM, l1, psnr, ssim
from adiff_jax.evals.report import Metric

Extra = Literal["csim", "lpips", "fid", "fvd"]
Frames = UInt8[np.ndarray, "F R R 3"]

FIDELITY_METRICS = (
    Metric("L1", L1, ".2f"),
    Metric("PSNR", PSNR, ".2f", "higher"),
    Metric("SSIM", SSIM, ".4f", "higher"),
)
EXTRA_METRICS = {
    "csim": Metric("CSIM", CSIM, ".4f", "higher"),
    "lpips": Metric("LPIPS", LPIPS, ".4f"),
    "fid": Metric("FID", FID, ".2f"),
    "fvd": Metric("FVD", FVD, ".1f"),
}


@dataclasses.dataclass(frozen=True)
class Extras:
    """The metrics that were asked for, each network loaded at first use.

    Attributes:
        chosen: which.
        folder: of network files, see `evals.networks.find_network`.
    """

    chosen: tuple[Extra, ...] = ()
    folder: str | os.PathLike | None = None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Columns: those of fidelity, and the chosen ones."""
        return (*FIDELITY_METRICS, *(EXTRA_METRICS[name] for name in self.chosen))

    @property
    def compare_sets(self) -> bool:
        """Whether all videos are compared together, and so must be kept."""
        return not {"fid", "fvd"}.isdisjoint(self.chosen)

    def load(self, drawn: Collection[bool]) -> None:
        """Opens what the videos need, so that a missing file is an error before the work and not after it.

        Args:
            drawn: whether the people in them are drawn; both, where some are.
        """
        if "csim" in self.chosen:
            for kind in drawn:
                self.recogniser(kind)
        for name, network in (("lpips", "_lpips"), ("fid", "_inception"), ("fvd", "_i3d")):
            if name in self.chosen:
                getattr(self, network)

    def setting(self, drawn: Collection[bool]) -> dict[str, str]:
        """What a report says of the networks; `drawn` as in `load`."""
        names = (self.recogniser(kind).name for kind in sorted(drawn))
        return {"identity": "; ".join(names)} if "csim" in self.chosen else {}

    def of_video(self, video: GeneratedVideo, frames: Frames, reference: Frames | None) -> dict[str, float]:
        """Values of one video.

        Args:
            video: what was asked for.
            frames: what came.
            reference: what should have come; None when nobody knows, as across identities. Who is seen is compared with
                it, or with the source picture.
        """
        scores = {}
        if reference is not None:
            scores |= {"L1": l1(frames, reference), "PSNR": psnr(frames, reference), "SSIM": ssim(frames, reference)}
            if "lpips" in self.chosen:
                scores["LPIPS"] = lpips(self._lpips, frames, reference)
        if "csim" in self.chosen:
            recogniser = self.recogniser(drawn=video.source.person is not None)
            identity = recogniser(frames, video.landmarks)
            scores["CSIM"] = csim(identity, self._wanted(recogniser, video, reference))
        return scores

    def of_videos(self, videos: Sequence[Frames], references: Sequence[Frames]) -> dict[str, float]:
        """Values of all videos together; NaN where they are too few or too short."""
        scores = {}
        if "fid" in self.chosen:
            features = (self._inception(np.concatenate(frames)) for frames in (videos, references))
            scores["FID"] = frechet_distance(*map(Gaussian.of, features))
        if "fvd" in self.chosen:
            cut = [pieces(frames) for frames in (videos, references)]
            enough = len(cut[0]) > 1
            scores["FVD"] = frechet_distance(*(Gaussian.of(self._i3d(part)) for part in cut)) if enough else np.nan
        return scores

    def recogniser(self, drawn: bool) -> Recogniser:
        """The network that tells drawn or real people apart."""
        return self._drawn if drawn else self._real

    def _wanted(
        self, recogniser: Recogniser, video: GeneratedVideo, reference: Frames | None
    ) -> Float[np.ndarray, "F E"]:
        if reference is not None:
            return recogniser(reference, video.landmarks)
        return recogniser(video.source.picture[None], video.source.neutral[None])

    @functools.cached_property
    def _drawn(self) -> Recogniser:
        return drawn_recogniser()

    @functools.cached_property
    def _real(self) -> Recogniser:
        return real_recogniser(self.folder)

    @functools.cached_property
    def _lpips(self):
        return load_lpips(self.folder)

    @functools.cached_property
    def _inception(self):
        return inception_features(self.folder)

    @functools.cached_property
    def _i3d(self):
        return i3d_features(self.folder)
