"""What visitors of the web page may ask for: the one place where these limits are defined."""

import dataclasses

from adiff_jax.media import limits as media

MB = 2**20  # bytes, as Gradio counts them when it tells a browser what is too large


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageLimits:
    """Limits of the web page, all of them at least 1. Sizes of pictures are those of `media.limits.UPLOADS`.

    Attributes:
        max_upload_mb: of one file, in MB of 2^20 bytes.
        max_stored_mb: of all uploads and results that are kept at a time, in MB of 2^20 bytes.
        max_seconds: of a video.
        max_frames: frames that a job makes at most.
        max_minutes: that one job may take.
        concurrency: jobs at a time; each has a process and a copy of the models.
        max_waiting: jobs that may wait; more are refused.
    """

    max_upload_mb: int = 64
    max_stored_mb: int = 2_000
    max_seconds: int = 60
    max_frames: int = 250
    max_minutes: int = 60
    concurrency: int = 1
    max_waiting: int = 8

    def __post_init__(self) -> None:
        for field in dataclasses.fields(PageLimits):
            if getattr(self, field.name) < 1:
                raise ValueError(f"{field.name} must be at least 1, not {getattr(self, field.name)}")

    @property
    def max_upload_bytes(self) -> int:
        """Of one file."""
        return self.max_upload_mb * MB

    @property
    def max_stored_bytes(self) -> int:
        """Of all files."""
        return self.max_stored_mb * MB

    @property
    def media(self) -> media.Limits:
        """Of what is read."""
        seconds = self.max_seconds + 0.5  # a recording that was stopped by hand
        return dataclasses.replace(media.UPLOADS, file_bytes=self.max_upload_bytes, seconds=seconds)
