"""Each metadata format by a small manifest, made by hand, that shows its traps."""

import json
import math
from pathlib import Path
from unittest.mock import Mock

import pytest

from adiff_jax.media.landmarks import LandmarkDetector
from adiff_jax.prep.inputs import manifest_inputs
from adiff_jax.prep.items import Box, Span, VideoFolder
from adiff_jax.prep.manifests import FORMATS, ManifestError, read_manifest
from adiff_jax.prep.options import PrepareOptions

BOX = {"top": 0.1, "bottom": 0.5, "left": 0.2, "right": 0.6}
CLIP = {"ytb_id": "video-1", "duration": {"start_sec": 81.62, "end_sec": 86.17}, "bbox": BOX}


def videos(*names: str) -> VideoFolder:
    return VideoFolder("/videos", list(names))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def kind_of(path: Path) -> list[str]:
    return [name for name, reader in FORMATS.items() if reader.matches(path)]


def test_celebv_hq(tmp_path):
    attributes = {"appearance": [0, 1], "action": [1, 0], "emotion": {"sep_flag": False}}
    path = write(tmp_path / "celebvhq_info.json", json.dumps({"clips": {"M2_0": CLIP | {"attributes": attributes}}}))
    assert kind_of(path) == ["celebv-hq"]
    (item,) = read_manifest(path, videos("deep/video-1.webm"))
    assert (item.id, item.path, item.source) == ("M2_0", "/videos/deep/video-1.webm", "CelebV-HQ:video-1")
    assert item.span == Span(81.62, 86.17)
    # Shares of the picture, and 0.02 more to each side as in the public script.
    assert item.box.pixels(1000, 500) == pytest.approx((180, 40, 620, 260))
    assert item.attributes == attributes
    assert "non-commercial" in item.licence


def test_a_clip_that_is_cut_already_is_taken_whole(tmp_path):
    path = write(tmp_path / "info.json", json.dumps({"clips": {"M2_0": CLIP | {"attributes": {}}}}))
    (item,) = read_manifest(path, videos("video-1.mp4", "processed/M2_0.mp4"))
    assert item.path == "/videos/processed/M2_0.mp4"
    assert (item.span, item.box) == (Span(), None)
    (missing,) = read_manifest(path, videos("another.mp4"))
    assert missing.path == ""


PIXELS = {"top": 0, "bottom": 500, "left": 0, "right": 400}


@pytest.mark.parametrize(
    ("root", "box"),
    [
        ({"clips": {"a": CLIP | {"bbox": PIXELS}}}, Box(0, 0, 400, 500, None)),
        ({"a": CLIP}, Box(0.18, 0.08, 0.62, 0.52)),
        ({"clips_set1": {"a": CLIP}, "clips_set2": {"b": CLIP}}, Box(0.18, 0.08, 0.62, 0.52)),
        ({"a.mp4": {"vid_id": "video-1", "time": "01:21.62-01:26.17", "bbox": BOX}}, Box(0.18, 0.08, 0.62, 0.52)),
    ],
    ids=["pixels under clips", "top level", "two sets", "keys with mp4"],
)
def test_celebv_text_dialects(root, box, tmp_path):
    path = write(tmp_path / "celebvtext_info.json", json.dumps(root))
    assert kind_of(path) == ["celebv-text"]
    items = read_manifest(path, videos("video-1.mp4"))
    assert [item.id for item in items] == (["a", "b"] if "clips_set2" in root else ["a"])
    for item in items:
        assert item.path == "/videos/video-1.mp4"
        assert (item.span.start, item.span.stop) == pytest.approx((81.62, 86.17))
        assert item.box.pixels(100, 100) == pytest.approx(box.pixels(100, 100))
        assert item.box.size == box.size


def test_captions_are_read_from_files_beside(tmp_path):
    path = write(tmp_path / "info.json", json.dumps({"a.mp4": CLIP, "b.mp4": CLIP}))
    write(tmp_path / "texts" / "a.txt", "A woman smiles.\n\n  She turns left. \n")
    a, b = read_manifest(path, videos("video-1.mp4"), texts=tmp_path / "texts")
    assert a.captions == ("A woman smiles.", "She turns left.")
    assert b.captions == ()


def test_vfhq_takes_the_frames_that_all_parsers_agree_on(tmp_path):
    name = "Clip+-a+b_C1+P2+C3+F100-200"
    write(tmp_path / f"{name}.txt", "FACE 0 1 2\nH 1080\nW 1920\nFPS 25.0\nCROP 480 270 960 750\n")
    assert kind_of(tmp_path) == ["vfhq"]
    (item,) = read_manifest(tmp_path, videos("-a+b_C1.mp4"))
    assert item.path == "/videos/-a+b_C1.mp4"
    assert item.identity == "VFHQ:-a+b_C1:2"
    start, stop = item.span.seconds(video_fps=50)  # frames count at the manifest's rate, not the download's
    inside = [frame for frame in range(300) if start <= frame / 25 < stop]
    assert (inside[0], inside[-1]) == (101, 198)
    # The download is half as large as the picture of the manifest.
    assert item.box.pixels(960, 540) == (240, 135, 480, 375)


def test_voxceleb1_ends_are_not_included(tmp_path):
    header = "video_id,start,end,bbox,fps,width,height,partition,person_id"
    path = write(tmp_path / "vox-metadata.csv", f"{header}\nvid,50,75,100-50-300-250,25.0,640,360,train,id10270\n")
    assert kind_of(path) == ["voxceleb1"]
    (item,) = read_manifest(path, videos("vid.mp4"))
    start, stop = item.span.seconds(video_fps=29.97)
    assert [frame for frame in range(100) if start <= frame / 25 < stop] == list(range(50, 75))
    assert item.box.pixels(1280, 720) == (200, 100, 600, 500)
    assert item.identity == "VoxCeleb:id10270"
    assert item.attributes == {"partition": "train"}
    (cut,) = read_manifest(path, videos("id10270#vid#000050#000075.mp4"))
    assert (cut.span, cut.box) == (Span(), None)


def test_voxceleb2_tracks(tmp_path):
    header = (
        "Identity  : \tid00017\nReference : \t01dfn2spqyE\nOffset    : \t-2\nFV Conf   : \t21.6\nASD Conf  : \t4.8\n"
    )
    rows = "\nFRAME \tX \tY \tW \tH\n000010 \t0.20 \t0.10 \t0.20 \t0.40\n000011 \t0.30 \t0.10 \t0.20 \t0.40\n"
    rows += "000012 \t0.40 \t0.10 \t0.20 \t0.40\n"
    write(tmp_path / "id00017" / "01dfn2spqyE" / "00001.txt", header + rows)
    assert kind_of(tmp_path) == ["voxceleb2"]
    (item,) = read_manifest(tmp_path, videos("01dfn2spqyE.mp4"))
    assert (item.id, item.identity) == ("id00017/01dfn2spqyE/00001", "VoxCeleb:id00017")
    start, stop = item.span.seconds(video_fps=30)
    assert [frame for frame in range(30) if start <= frame / 25 < stop] == [10, 11, 12]  # the last is included
    assert item.box.pixels(100, 100) == pytest.approx((30, 10, 50, 50))  # width and height, not right and bottom
    # Tracks have equal numbers in every video: only the path tells whose one is.
    (cut,) = read_manifest(tmp_path, videos("other/00001.mp4", "mp4/id00017/01dfn2spqyE/00001.mp4"))
    assert cut.path.endswith("mp4/id00017/01dfn2spqyE/00001.mp4")
    assert cut.span == Span()


def test_talkinghead_includes_its_ends(tmp_path):
    path = write(tmp_path / "train_video_tubes.txt", "--Y9imYnfBw_0000,1080,1920,0,90,504,63,1063,622\n")
    assert kind_of(path) == ["talkinghead-1kh"]
    (item,) = read_manifest(path, videos("--Y9imYnfBw_0000.mp4"))
    assert item.id == "--Y9imYnfBw_0000_S0_E90_L504_T63_R1063_B622"
    start, stop = item.span.seconds(video_fps=30)
    assert [frame for frame in range(200) if start <= frame / 30 < stop] == list(range(91))
    assert item.box.pixels(960, 540) == pytest.approx((252, 31.5, 531.5, 311))
    assert item.licence == "CC-BY 3.0"


def test_hdtf(tmp_path):
    write(tmp_path / "RD_video_url.txt", "Radio11 https://www.youtube.com/watch?v=x\n")
    write(tmp_path / "RD_annotion_time.txt", "Radio11.mp4 00:30-01:00 01:30-1:02:30\n")
    write(tmp_path / "RD_resolution.txt", "Radio11.mp4 720\n")
    write(tmp_path / "RD_crop_wh.txt", "Radio11_0.mp4 412 598 0 597\n")
    write(tmp_path / "WDA_annotion_time.txt", "WDA_X_000.mp4 00:00-00:10\n")
    assert kind_of(tmp_path) == ["hdtf"]
    first, second, third = read_manifest(tmp_path, videos("Radio11.mp4", "WDA_X_000_0.mp4"))
    assert (first.id, first.span) == ("RD/Radio11_0", Span(30, 60))
    # x width y height, in a picture of 720 lines; the file has 1080.
    assert first.box.pixels(1920, 1080) == pytest.approx((618, 0, 1515, 895.5))
    assert (second.span, second.box) == (Span(90, 3750), None)
    assert (third.path, third.span) == ("/videos/WDA_X_000_0.mp4", Span())


def test_spans_and_boxes():
    assert Span().seconds(25) == (0, math.inf)
    assert Span(10, 20, fps=0.0).seconds(50) == pytest.approx((0.19, 0.39))
    assert Box(1, 2, 3, 4, size=None).pixels(640, 480) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "none of the known formats"),
        ("a.json", '{"clips": {}}', "none of the known formats"),
        ("a.csv", "video_id,start\n", "none of the known formats"),
        ("a_video_tubes.txt", "", "none of the known formats"),
    ],
)
def test_what_is_no_manifest(name, text, message, tmp_path):
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path / name, text), videos())


@pytest.mark.parametrize(
    ("kind", "name", "text", "message"),
    [
        ("celebv-hq", "a.json", json.dumps({"clips": {"x": {"ytb_id": "v"}}}), "clip x: there is no 'time'"),
        ("celebv-hq", "a.json", json.dumps({"clips": {"x": CLIP | {"bbox": BOX | {"right": 0.1}}}}), "empty box"),
        ("celebv-hq", "a.json", json.dumps({"clips": {}}), "lists no clip"),
        ("voxceleb1", "a.csv", "video_id,start\n", "no column 'end'"),
        ("talkinghead-1kh", "a.txt", "name,1,2,3\n", "line 1"),
        ("talkinghead-1kh", "a.txt", "n,1,2,3,4,5,6,7,8\nn,1,2,3,4,5,6,7,8\n", "twice"),
    ],
)
def test_damage_is_named(kind, name, text, message, tmp_path):
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path / name, text), videos(), kind)


def test_what_a_manifest_says_is_part_of_what_a_clip_is_made_of(tmp_path):
    detector = Mock(spec=LandmarkDetector)

    def fingerprint(folder: str, **told: object) -> str:
        path = write(tmp_path / folder / "info.json", json.dumps({"clips": {"a": CLIP | {"attributes": told}}}))
        write(tmp_path / folder / "video-1.mp4", "a video")
        (made,) = manifest_inputs(path, str(tmp_path / folder), PrepareOptions(), detector, "celebv-hq", None)
        return made.fingerprint

    assert fingerprint("one", hair="red") == fingerprint("elsewhere", hair="red")
    assert fingerprint("one", hair="red") != fingerprint("one", hair="black")
