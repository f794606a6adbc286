"""What a visitor filled in, and the job that it asks for."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adiff_jax.app.motion_options import MotionOptions
from adiff_jax.app.web.examples import Examples
from adiff_jax.app.web.jobs import Action, Job
from adiff_jax.app.web.limits import PageLimits
from adiff_jax.app.web.rehearsal import rehearse
from adiff_jax.app.web.sessions import Sessions
from adiff_jax.media.limits import megapixels

MODES: dict[str, Action] = {"Animate a picture": "reenact", "Animate a text": "animate", "Edit a video": "edit"}
MAX_TEXT = 300
MAX_STEPS = 100
RESULT = "anchored-diffusion.mp4"


@dataclasses.dataclass(frozen=True)
class Form:
    """The values of the page's widgets, as a browser sends them: nothing about them is sure.

    Attributes:
        mode: a key of `MODES`.
        picture, clip: values of Gradio's file widgets.
        text: of the person, or of the change.
        consent: the user said that the person in the picture, or in the video to edit, agreed.
        frames, steps, seed, guidance_clip, guidance_landmarks: options of sampling.
        strength: of an edit.
        region, motion, motion_strength, paste_back: of a reenactment, see `MotionOptions`.
        pin_source: of a reenactment: the picture itself is the anchor.
    """

    mode: str
    picture: Mapping[str, Any] | None
    text: str | None
    clip: Mapping[str, Any] | None
    consent: bool
    frames: float
    steps: float
    seed: float | None
    guidance_clip: float
    guidance_landmarks: float
    strength: float
    region: str
    motion: str
    motion_strength: float
    paste_back: bool
    pin_source: bool

    def job(self, sessions: Sessions, folder: Path, examples: Examples, limits: PageLimits) -> Job:
        """What is asked for, once its files were read in a limited process.

        Args:
            sessions: know which files there are.
            folder: for the result.
            examples: need no consent and no reading.
            limits: of files and length.

        Raises:
            ValueError: something is missing, an option is out of range, or a file cannot be used; the message is for
                the visitor.
        """
        action = MODES[self.mode]
        clip, picture = sessions.file(self.clip), sessions.file(self.picture) if action == "reenact" else None
        text = None if action == "reenact" else str(self.text or "").strip()[:MAX_TEXT]
        if action == "reenact" and picture is None:
            raise ValueError("Add a picture of the person.")
        if clip is None:
            raise ValueError("Add the video to edit." if action == "edit" else "Add a video with the motion to follow.")
        if text == "":
            raise ValueError("Write what the result shows, such as: a woman with red hair.")
        person = clip if action == "edit" else picture
        if person is not None and examples.spec(person) is None and not self.consent:
            raise ValueError("Confirm that the person agreed; the box is above the button.")
        for path, kind in ((picture, "picture"), (clip, "video")):
            if path is not None and examples.spec(path) is None:
                seen = rehearse(path, kind, limits.media)
                if path == picture and self.paste_back and seen.width * seen.height > limits.media.frame_pixels:
                    most = megapixels(limits.media.frame_pixels)
                    raise ValueError(f"{Path(path).name}: too large for a face to be put back into; {most} is the most")
        return Job(
            action=action,
            source=examples.spec(person) or person,
            text=text,
            driving=None if action == "edit" else examples.spec(clip) or clip,
            out=folder / RESULT,
            consent=bool(self.consent),
            options=self._options(action, limits),
        )

    def _options(self, action: Action, limits: PageLimits) -> dict[str, Any]:
        options = {
            "max_frames": max(1, min(int(self.frames), limits.max_frames)),
            "num_inference_steps": max(1, min(int(self.steps), MAX_STEPS)),
            "seed": int(self.seed or 0),
            "guidance_clip": float(self.guidance_clip),
            "guidance_landmarks": float(self.guidance_landmarks),
        }
        if action == "edit":
            options["strength"] = float(self.strength)
        if action == "reenact":
            motion = MotionOptions(
                region=self.region,
                motion=self.motion,
                motion_strength=float(self.motion_strength),
                paste_back=bool(self.paste_back),
            )
            options |= dataclasses.asdict(motion) | {"pin_source": bool(self.pin_source)}
        return options
