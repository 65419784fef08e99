"""The analysed picture in a larger size, as reading small print wants it."""

import gc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from seal.config import Options, VideoOptions
from seal.decompose import Maker, Models, decompose
from seal.kinds import SCENE
from seal.video import Frame, open_video
from seal.video.picture import Converter
from synthetic import number_of, numbered, write_video
from test_pictures import GREYS, jpeg, stripes_of, write_hdr, write_packets

SMALL = VideoOptions(short_side_px=32)


def test_it_is_converted_once_for_each_time_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "film.mp4", range(0, 2000, 40))
    sizes: list[int] = []
    original = Converter.larger

    def counted(self: Converter, frame: av.VideoFrame, aspect: Fraction, px: int) -> Any:
        sizes.append(px)
        return original(self, frame, aspect, px)

    monkeypatch.setattr(Converter, "larger", counted)
    with open_video(path, SMALL) as video:
        frames = video.frames()
        first, second = next(frames), next(frames)
        assert not sizes
        # Also after the film has gone on.
        assert number_of(first.larger(120)) == 0
        assert number_of(second.larger(120)) == number_of(second.image) > 0
        assert sizes == [120, 120]
        assert first.larger(32) is first.image
        assert sizes == [120, 120]


@pytest.mark.parametrize(
    ("asked", "shape"),
    [(16, (32, 43)), (33, (33, 44)), (100, (100, 133)), (240, (240, 320)), (4000, (240, 320))],
)
def test_it_is_never_larger_than_the_source(
    tmp_path: Path, asked: int, shape: tuple[int, int]
) -> None:
    path = write_video(tmp_path / "film.mp4", [0, 40])
    with open_video(path, SMALL) as video:
        image = next(video.frames()).larger(asked)
    assert image.shape == (*shape, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


def test_at_the_size_of_the_analysis_it_is_the_same_picture(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4", range(0, 1000, 40), noise=True)
    with open_video(path, VideoOptions(short_side_px=120)) as video:
        for frame in video.frames():
            assert frame.enlarge is not None
            np.testing.assert_array_equal(frame.enlarge(120), frame.image)


def test_it_is_upright_and_between_the_same_bars(tmp_path: Path) -> None:
    """A wide picture, one that is turned, and one of another shape."""
    pictures = [jpeg(numbered(5, 160, 80)), jpeg(numbered(9, 80, 160), 6)]
    pictures.append(jpeg(np.full((160, 80, 3), 200, np.uint8)))
    path = write_packets(tmp_path / "film.avi", "mjpeg", pictures, (160, 80))
    with open_video(path, VideoOptions(rate_hz=1000, short_side_px=20)) as video:
        frames = list(video.frames())
    assert len(frames) == 3
    for frame in frames:
        large = frame.larger(80)
        assert large.shape == (80, 160, 3)
        small = np.asarray(Image.fromarray(large).resize((40, 20), Image.Resampling.BOX))
        difference = np.abs(small.astype(int) - frame.image)
        assert difference.mean() < 8, "the same picture but for the way it is scaled"
    bars = frames[2].larger(80)
    assert bars[:, :58].max() == 0
    assert bars[40, 80].min() > 180


def test_it_is_tone_mapped(tmp_path: Path) -> None:
    path = write_hdr(tmp_path / "pq.mp4", "smpte2084", list(GREYS.values()))
    with open_video(path, SMALL) as video:
        frame = next(video.frames())
    large = frame.larger(64)
    assert large.shape[0] == 64
    small = frame.image[16, 16::32].mean(1).round()
    assert np.abs(stripes_of(large) - small).max() <= 1
    assert len(small) == len(GREYS)


def test_what_comes_after_it_is_as_without_it(tmp_path: Path) -> None:
    """An old frame that is asked for late changes nothing for the ones that follow."""
    pictures = [jpeg(numbered(number, 160, 80), 1 + number % 2 * 5) for number in range(8)]
    path = write_packets(tmp_path / "film.avi", "mjpeg", pictures, (160, 80))
    options = VideoOptions(rate_hz=1000, short_side_px=40)
    with open_video(path, options) as video:
        wanted = [frame.image for frame in video.frames()]
    with open_video(path, options) as video:
        got, first = [], None
        for frame in video.frames():
            first = first or frame
            first.larger(80)
            got.append(frame.image)
    np.testing.assert_array_equal(got, wanted)


def test_images_of_a_folder_come_larger(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(numbered(number, 320, 240)).save(tmp_path / f"{number}.png")
    with open_video(tmp_path, SMALL) as video:
        larger = [frame.larger(240) for frame in video.frames()]
    for number, image in enumerate(larger):
        assert np.abs(image.astype(int) - numbered(number, 320, 240)).max() <= 2


def test_a_frame_made_by_hand_is_as_large_as_it_gets() -> None:
    image = np.zeros((9, 16, 3), np.uint8)
    assert Frame(image, 0, 1, Fraction(1), True).larger(720) is image


class _Quiet(Maker):
    """Counts the decoded pictures that are held while frames go by."""

    held: list[int]
    seen = 0

    @classmethod
    def of(cls, part: Any) -> "_Quiet":
        made = cls()
        made.held = HELD
        return made

    def push(self, frame: Frame, cut: bool) -> list[Any]:
        self.seen += 1
        if self.seen % 20 == 10:
            self.held.append(alive())
        return []


HELD: list[int] = []


def alive() -> int:
    """The number of decoded pictures in memory."""
    return sum(type(each) is av.VideoFrame for each in gc.get_objects())


def test_decoded_pictures_go_with_their_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history of a part holds a hundred frames, and none of their decoded pictures."""
    path = write_video(tmp_path / "film.mp4", range(0, 20_000, 200))
    monkeypatch.setattr("seal.decompose.maker", lambda kind: _Quiet)
    HELD.clear()
    # Other tests of this process may have left some.
    before = alive()
    with open_video(path, SMALL, threads=1) as video:
        batches = decompose(
            video.frames(),
            {SCENE.name: "key"},
            Options(),
            Models.load(Options()),
            video.info,
            start_s=0.0,
            video_id="film",
        )
        assert sum(len(batch.tokens) for batch in batches) == 0
    assert len(HELD) == 5
    assert max(HELD) - before <= 6
