"""How often each condition of the small sDiT is dropped in training: nine trainings of a seventh of the usual length.

    python -m launch.sweep configs/sweeps/guidance_dropout.py --out runs/sweeps/dropout -- --data data/latents \
      --config.data.encoded=True

Compare by samples with guidance as well: the error alone favours what is dropped least.
"""

from collections.abc import Callable

CONFIG = "configs/sdit.py:small128"
METRIC = "mse"


def sweep(add: Callable[..., None]) -> None:
    """Three shares of CLIP by three of landmarks."""
    for clip in (0.05, 0.1, 0.2):
        for landmarks in (0.05, 0.1, 0.2):
            add({"loss.drop_clip": clip, "loss.drop_landmarks": landmarks, "steps": 1_500})
