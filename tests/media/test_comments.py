"""What a file's comment field says."""

import numpy as np
from PIL import Image, PngImagePlugin

from adiff_jax.media.comments import read_comment
from adiff_jax.media.video import VideoWriter


def test_of_video_and_picture(tmp_path):
    for name, comment in (("a.mp4", "some words"), ("b.mp4", None)):
        with VideoWriter(tmp_path / name, 25, (32, 32), comment=comment) as writer:
            writer.write(np.zeros((32, 32, 3), np.uint8))
        assert read_comment(tmp_path / name) == comment
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "some words")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=text)
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    assert read_comment(tmp_path / "a.png") == "some words"
    assert read_comment(tmp_path / "b.png") is None


def test_of_neither(tmp_path):
    (tmp_path / "a.mp4").write_text("words\n" * 50)
    assert read_comment(tmp_path / "a.mp4") is None
