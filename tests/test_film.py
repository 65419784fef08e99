"""The generated film holds what its events say."""

import itertools
import json
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from forked import python
from seal.evaluate.drawing import SCENES
from seal.evaluate.film import Event, write_film

RATE = 10


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return path, write_film(path, 3, 30.0, (320, 180), RATE)


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_it_has_the_length_and_size_asked_for(film: tuple[Path, list[Event]]) -> None:
    with av.open(str(film[0])) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
        assert (stream.width, stream.height) == (320, 180)
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
    assert [float(t) for t in times] == [i / RATE for i in range(300)]


def test_events_are_well_formed(film: tuple[Path, list[Event]]) -> None:
    events = film[1]
    assert {event.kind for event in events} == {"scene", "cut", "object"}
    labels = {scene.label for scene in SCENES}
    labels |= {thing.label for scene in SCENES for thing in scene.things}
    for event in events:
        assert 0 <= event.span.start_s <= event.span.end_s <= 30
        assert event.kind == "cut" or event.label in labels
        if event.kind == "object":
            rows = event.track
            assert rows[0, 0] == event.span.start_s
            assert rows[-1, 0] == event.span.end_s
            np.testing.assert_allclose(np.diff(rows[:, 0]), 1 / RATE)
            assert ((rows[:, 1:] >= 0) & (rows[:, 1:] <= 1)).all()
            assert (rows[:, 1:3] < rows[:, 3:]).all()
        else:
            assert event.track.shape == (0, 5)


def test_shots_follow_one_another_and_no_thing_outlives_its_shot(
    film: tuple[Path, list[Event]],
) -> None:
    scenes = [e.span for e in film[1] if e.kind == "scene"]
    assert scenes[0].start_s == 0
    assert scenes[-1].end_s == 30
    assert [a.end_s for a in scenes[:-1]] == [b.start_s for b in scenes[1:]]
    assert [e.span.start_s for e in film[1] if e.kind == "cut"] == [s.start_s for s in scenes[1:]]
    for event in film[1]:
        assert any(s.start_s <= event.span.start_s and event.span.end_s <= s.end_s for s in scenes)


def test_pictures_change_at_cuts(film: tuple[Path, list[Event]]) -> None:
    shown = pictures(film[0])
    change = [np.abs(b.astype(int) - a).mean() for a, b in itertools.pairwise(shown)]
    cuts = {round(e.span.start_s * RATE) for e in film[1] if e.kind == "cut"}
    largest = np.argsort(change)[-len(cuts) :] + 1
    assert cuts == set(largest.tolist())


def test_things_are_where_their_boxes_are(tmp_path: Path) -> None:
    events = write_film(tmp_path / "a.mp4", 5, 60.0, (320, 180), RATE)
    shown = pictures(tmp_path / "a.mp4")
    red = [e for e in events if e.label in ("a red ball", "a red plane in the sky")]
    assert red
    for event in red:
        row = event.track[len(event.track) // 2]
        x0, y0, x1, y1 = (row[1:] * [320, 180, 320, 180]).round().astype(int)
        image = shown[round(row[0] * RATE)].astype(int)
        redness = image[:, :, 0] - image[:, :, 1:].max(2)
        assert redness[y0:y1, x0:x1].mean() > redness.mean() + 20


def test_a_seed_is_a_film(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_film(tmp_path / f"{name}.mp4", seed, 2.0, (320, 180), 5)
    a, b, c = (np.array(pictures(tmp_path / f"{name}.mp4"), int) for name in "abc")
    # The encoder rounds differently from run to run, by 1.2 grey levels at most in 80 runs.
    assert np.abs(a - c).mean() > 10
    assert np.abs(a - b).mean() < np.abs(a - c).mean() / 4


def test_the_command_writes_film_and_events(tmp_path: Path) -> None:
    out = tmp_path / "demo.mp4"
    command = [*python(), "-m", "seal.evaluate.film", str(out), "--duration-s", "2"]
    subprocess.run(command, check=True)
    events = json.loads(out.with_suffix(".json").read_text())
    assert events[0].keys() == {"kind", "label", "start_s", "end_s", "track"}
    assert len(pictures(out)) == 50
