"""What is raised for input that cannot be used; every message is one line and says what to do."""


class MediaError(ValueError):
    """A picture, a video or a model file cannot be read, or be written."""


class NoFaceError(MediaError):
    """No face was found where one is needed, or not the one asked for."""
