"""The page: its widgets, and what happens when they are used."""

import base64
import dataclasses
import html
import logging
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import cv2
import gradio as gr
import numpy as np
from jaxtyping import UInt8

from adiff_jax.app.motion_options import MotionOptions
from adiff_jax.app.options import EditOptions, SamplingOptions, TextSamplingOptions
from adiff_jax.app.web.examples import Examples
from adiff_jax.app.web.form import MAX_STEPS, MAX_TEXT, MODES, Form
from adiff_jax.app.web.jobs import UNEXPECTED, Advance, Done, Failed, Job, Report
from adiff_jax.app.web.limits import PageLimits
from adiff_jax.app.web.sessions import Sessions
from adiff_jax.app.web.worker import Worker
from adiff_jax.media.regions import Region, Start

TITLE = "Anchored Diffusion"
INPUT_HEIGHT = 320  # pixels
CSS = """
#status progress { width: 100%; height: 0.75rem; }
#status .error { color: #b91c1c; font-weight: 600; }
.dark #status .error { color: #fca5a5; }
#preview img { width: 100%; image-rendering: smooth; }
#limits p { color: var(--body-text-color-subdued); font-size: var(--text-sm); }
"""
INTRODUCTION = """# Anchored Diffusion
A person, from a picture or from words, moves as the face in a video does; or the person in a video is changed by words.
Results are labelled as AI-generated. Files are deleted when this page is closed."""
CONSENT = "The person in my picture or video agreed to this, or it is my own face."

_log = logging.getLogger(__name__)


class Page:
    """The page, and the state of the server behind it.

    Attributes:
        blocks: Gradio's page.
    """

    def __init__(self, limits: PageLimits, sessions: Sessions, examples: Examples, workers: list[Worker]):
        self._limits = limits
        self._sessions = sessions
        self._examples = examples
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in workers:
            self._idle.put(worker)
        with gr.Blocks(title=TITLE, analytics_enabled=False) as self.blocks:
            gr.Markdown(INTRODUCTION)
            with gr.Row():
                with gr.Column():
                    self._add_inputs()
                with gr.Column():
                    self._add_outputs()
            self._connect()
        self.blocks.queue(max_size=limits.max_waiting, default_concurrency_limit=limits.concurrency)

    def _add_inputs(self) -> None:
        """The form."""
        defaults, limits = SamplingOptions(), self._limits
        self._mode = gr.Radio(list(MODES), value=next(iter(MODES)), label="What to make", elem_id="mode")
        with gr.Row():
            sending = {"sources": ["upload", "webcam"], "height": INPUT_HEIGHT}
            self._picture = gr.Image(label="Person", elem_id="picture", **sending)
            self._text = gr.Textbox(label="Text", lines=3, max_length=MAX_TEXT, visible=False, elem_id="text")
            self._clip = gr.Video(label="Motion", elem_id="clip", **sending)
        gr.Markdown(
            f"At most {limits.max_upload_mb} MB a file, and {limits.max_seconds} seconds a video.", elem_id="limits"
        )
        self._frames = gr.Slider(
            1, limits.max_frames, value=min(48, limits.max_frames), step=1, label="Frames of the clip", elem_id="frames"
        )
        steps = defaults.num_inference_steps
        self._steps = gr.Slider(
            4, MAX_STEPS, value=steps, step=1, label="Steps", info="Fewer: quicker and coarser.", elem_id="steps"
        )
        with gr.Accordion("More options", open=False):
            self._seed = gr.Number(value=defaults.seed, precision=0, minimum=0, label="Seed", elem_id="seed")
            self._guidance_clip = gr.Slider(
                1, 5, value=defaults.guidance_clip, step=0.1, label="Guidance by the person or text"
            )
            self._guidance_landmarks = gr.Slider(
                1, 5, value=defaults.guidance_landmarks, step=0.1, label="Guidance by the motion"
            )
            with gr.Column() as self._of_reenactments:
                self._add_motion_options()
            with gr.Column(visible=False) as self._of_edits:
                self._strength = gr.Slider(0.1, 1, value=EditOptions.strength, step=0.05, label="Strength of the edit")
        self._consent = gr.Checkbox(label=CONSENT, elem_id="consent")
        with gr.Row():
            self._run = gr.Button("Make the video", variant="primary", elem_id="run")
            self._cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel")
        gr.Examples(
            [
                ["Animate a picture", str(self._examples.pictures[0]), "", str(self._examples.clips[0])],
                ["Animate a picture", str(self._examples.pictures[-1]), "", str(self._examples.clips[-1])],
                ["Animate a text", None, "a woman with red hair and glasses", str(self._examples.clips[0])],
                ["Edit a video", None, "a person with blonde hair", str(self._examples.clips[-1])],
            ],
            inputs=[self._mode, self._picture, self._text, self._clip],
            label="Examples (drawn people, who do not exist)",
            elem_id="examples",
        )

    def _add_motion_options(self) -> None:
        """Which motion a picture gets, and where the result is put."""
        defaults = MotionOptions()
        self._region = gr.Radio(
            [(name.capitalize(), name) for name in get_args(Region)],
            value=defaults.region,
            label="What follows the video",
            info="The rest stays as it is in the picture.",
            elem_id="region",
        )
        self._motion = gr.Radio(
            [(name.capitalize(), name) for name in get_args(Start)],
            value=defaults.motion,
            label="Pose of the head",
            info="Relative: starts from the picture's pose. Absolute: takes the video's.",
        )
        self._motion_strength = gr.Slider(
            0, 2, value=defaults.motion_strength, step=0.05, label="Strength of the motion"
        )
        self._paste_back = gr.Checkbox(
            label="Put the face back into the whole picture", value=defaults.paste_back, elem_id="paste_back"
        )
        self._pin_source = gr.Checkbox(label="Stay close to the picture's pixels", value=True, elem_id="pin_source")

    def _add_outputs(self) -> None:
        """What is shown of the work and its result."""
        self._status = gr.HTML(_said("Ready."), elem_id="status")
        self._preview = gr.HTML(visible=False, elem_id="preview")
        self._video = gr.Video(label="Result", interactive=False, visible=False, loop=True, elem_id="result")
        self._beside = gr.Video(
            label="Person, motion, landmarks, result", interactive=False, visible=False, loop=True, elem_id="beside"
        )
        self._sheet = gr.Image(label="At a glance", interactive=False, visible=False, buttons=[], elem_id="sheet")
        self._download = gr.DownloadButton("Download the video", visible=False, elem_id="download")

    def _connect(self) -> None:
        """What happens when."""
        hidden = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        unread = {"preprocess": False}  # Gradio would open the files
        inputs = [getattr(self, f"_{field.name}") for field in dataclasses.fields(Form)]
        outputs = [self._status, self._preview, self._video, self._beside, self._sheet, self._download]
        outputs += [self._run, self._cancel]
        shown = [self._picture, self._text, self._clip, self._of_reenactments, self._of_edits, self._guidance_clip]
        self._mode.change(self._show_inputs, self._mode, shown, **hidden)
        for component in (self._picture, self._clip):
            component.change(self._claim, component, None, **hidden, **unread)
        armed = self._run.click(self._arm, None, outputs, **hidden)
        started = armed.then(
            self._make,
            inputs,
            outputs,
            show_progress="hidden",
            concurrency_limit=self._limits.concurrency,
            api_visibility="private",
            **unread,
        )
        started.failure(self._refused, None, outputs, **hidden)
        self._cancel.click(self._stop, None, [self._status, self._cancel], **hidden)
        self.blocks.unload(self._leave)

    def _show_inputs(self, mode: str) -> list[Any]:
        action = MODES[mode]
        return [
            gr.update(visible=action == "reenact"),
            gr.update(visible=action != "reenact"),
            gr.update(label="Video to edit" if action == "edit" else "Motion"),
            gr.update(visible=action == "reenact"),
            gr.update(visible=action == "edit"),
            gr.update(value=(SamplingOptions if action == "reenact" else TextSamplingOptions).guidance_clip),
        ]

    def _claim(self, payload: dict[str, Any] | None, request: gr.Request) -> None:
        self._sessions.claim(request.session_hash, self._sessions.file(payload))

    def _leave(self, request: gr.Request) -> None:
        self._sessions.close(request.session_hash)

    def _arm(self, request: gr.Request) -> dict[Any, Any]:
        """A click: from now on there is a job, which may be cancelled even while it waits for its turn."""
        self._sessions[request.session_hash].job = threading.Event()
        return self._results(None) | {
            self._status: _said("Waiting for its turn ..."),
            self._run: gr.update(interactive=False),
            self._cancel: gr.update(interactive=True),
        }

    def _stop(self, request: gr.Request) -> tuple[str, Any]:
        job = self._sessions[request.session_hash].job
        if job is not None:
            job.set()
        return _said("Cancelling ..."), gr.update(interactive=False)

    def _refused(self, request: gr.Request) -> dict[Any, Any]:
        self._sessions[request.session_hash].job = None
        return self._ended(_said("Too many jobs are waiting already; try again later.", error=True))

    def _make(self, request: gr.Request, *values: Any) -> Iterator[dict[Any, Any]]:
        """A job, from the widgets' values to its end; yields what changes on the page."""
        session = self._sessions[request.session_hash]
        cancelled = session.job or threading.Event()
        try:
            yield {self._status: _said("Checking the files ...")}
            job = Form(*values).job(self._sessions, session.folder, self._examples, self._limits)
            yield from self._follow(job, cancelled)
        except ValueError as error:
            yield self._ended(_said(str(error), error=True))
        except Exception:
            _log.exception("a job failed")
            yield self._ended(_said(UNEXPECTED, error=True))
        finally:
            session.job = None

    def _follow(self, job: Job, cancelled: threading.Event) -> Iterator[dict[Any, Any]]:
        """Has a worker do the job."""
        worker = self._idle.get()
        try:
            for report in worker.run(job, cancelled):
                if report is not None:
                    yield self._shown(report)
        finally:
            self._idle.put(worker)
            threading.Thread(target=worker.start).start()  # anew after a cancelled job, for the next one

    def _shown(self, report: Report) -> dict[Any, Any]:
        match report:
            case Advance(stage, done, total, preview):
                shown = {self._status: _said(f"{stage}: {done} of {total}", (done, total))}
                if preview is not None:
                    shown[self._preview] = gr.update(value=_embedded(preview), visible=True)
                return shown
            case Done() as files:
                hidden = {self._preview: gr.update(value="", visible=False)}
                return self._ended(_said("Done.")) | hidden | self._results(files)
            case Failed(message, detail):
                if detail:
                    _log.error("a job failed\n%s", detail)
                return self._ended(_said(message, error=message != "Cancelled."))

    def _ended(self, status: str) -> dict[Any, Any]:
        return {
            self._status: status,
            self._preview: gr.update(value="", visible=False),
            self._run: gr.update(interactive=True),
            self._cancel: gr.update(interactive=False),
        }

    def _results(self, files: Done | None) -> dict[Any, Any]:
        """The finished files, or none."""

        def update(path: Path | None) -> Any:
            return gr.update(value=str(path) if path else None, visible=path is not None)

        return {
            self._video: update(files and files.video),
            self._beside: update(files and files.side_by_side),
            self._sheet: update(files and files.contact_sheet),
            self._download: update(files and files.video),
        }


def _embedded(picture: UInt8[np.ndarray, "H W 3"]) -> str:
    """A picture in the page itself: Gradio would keep a file of each."""
    jpeg = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]))[1]
    return f'<img alt="Preview" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'


def _said(message: str, progress: tuple[int, int] | None = None, error: bool = False) -> str:
    """The status line."""
    role = 'role="alert" class="error"' if error else 'role="status"'
    bar = "" if progress is None else f'<progress value="{progress[0]}" max="{progress[1]}"></progress>'
    return f"<p {role}>{html.escape(message)}</p>{bar}"
