"""What is said in sources that are read once: pipes, streams, and files whose clock restarts."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from seal.config import Options, SpeechOptions, VideoOptions, WatchOptions
from seal.decompose import Instances
from seal.errors import StoreError, VideoError
from seal.ingest import index
from seal.store import Store, VideoRecord
from seal.types import Float32, Tokens
from seal.video import open_video
from seal.video.audio import open_sound
from seal.video.listening import SoundClock
from seal.video.sound import RATE_HZ, Sound
from seal.video.timeline import StreamClock
from seal.watch import watch
from seal.windows import Window
from seal.words import Transcriber
from seal.words.cue import Transcript
from seal.words.hearing import SILENT
from seal.words.listening import Listener, SpokenWindows
from sounding import lag_s, loudness, write_sounding
from synthetic import write_video
from test_watch import Camera
from tiny_transcribers import Beeps, beeps, whisper_folder

OPTIONS = VideoOptions()
SMALL = ["video.rate_hz=0.5", "video.short_side_px=32"]
LENGTH_S = 24.0
NAMES = [f"beep{400 + 10 * number}" for number in range(300)]
ALL = NAMES[:24]
FORMATS: dict[str, dict[str, Any]] = {
    "aac.mp4": {"codec": "aac", "form": "fltp"},
    "aac.ts": {"codec": "aac", "form": "fltp"},
    "mp2.ts": {"codec": "mp2", "form": "s16"},
    "flac.mkv": {"codec": "flac"},
    "opus.mkv": {"codec": "libopus", "form": "flt"},
    "pcm.avi": {},
}
"""The name of a file, and how its sound is encoded."""


def heard_with_pictures(path: Path) -> tuple[Sound, float, list[str]]:
    """The sound that comes with the pictures, when these begin, and what was lost."""
    samples, lost = np.zeros(60 * RATE_HZ, np.float32), []
    latest = 0

    def listen(sound: Sound) -> None:
        nonlocal latest
        lost.extend(sound.lost)
        place = round(sound.start_s * RATE_HZ)
        row = sound.samples[max(0, -place) :]
        samples[max(0, place) : max(0, place) + len(row)] = row
        latest = max(latest, place + len(row))

    with open_video(path, OPTIONS) as video:
        video.sound.listen(listen)
        for _ in video.frames():
            pass
        return Sound(samples[:latest], 0.0), video.info.start_s, [each.reason for each in lost]


def joined(*paths: Path) -> Path:
    out = paths[0].with_name("joined" + paths[0].suffix)
    out.write_bytes(b"".join(path.read_bytes() for path in paths))
    return out


@pytest.mark.parametrize("name", FORMATS)
def test_the_sound_beside_the_pictures_is_that_of_the_file(name: str, tmp_path: Path) -> None:
    path = write_sounding(tmp_path / name, **FORMATS[name])
    sound, start_s, lost = heard_with_pictures(path)
    assert not lost
    reader = open_sound(path, OPTIONS)
    assert reader is not None
    with reader:
        alone = reader.read(0.0, start_s + 6.0).samples
    count = min(len(alone), len(sound.samples))
    assert count > (start_s + 5.9) * RATE_HZ
    # The noise that AAC fills in and the resampler's phase differ by a little.
    assert np.abs(sound.samples[:count] - alone[:count]).mean() < 0.02
    piece = sound.samples[round((start_s + 1) * RATE_HZ) : round((start_s + 5) * RATE_HZ)]
    assert lag_s(piece, 1.0) == pytest.approx(0.0, abs=0.005)


@pytest.mark.parametrize("codec", ["aac", "mp2"])
def test_sound_stays_with_its_pictures_where_recordings_are_joined(
    codec: str, tmp_path: Path
) -> None:
    form = {"aac": "fltp", "mp2": "s16"}[codec]
    lengths_s = (5.0, 7.0, 6.0)
    parts = [
        write_sounding(tmp_path / f"{number}.ts", length_s, codec=codec, form=form)
        for number, length_s in enumerate(lengths_s)
    ]
    sound, start_s, _ = heard_with_pictures(joined(*parts))
    begin_s = start_s
    for length_s in lengths_s:
        first, end = ((begin_s + at_s) * RATE_HZ for at_s in (1.0, length_s - 0.5))
        piece = sound.samples[round(first) : round(end)]
        assert lag_s(piece, 1.0) == pytest.approx(0.0, abs=0.05)
        begin_s += length_s
    assert len(sound.samples) / RATE_HZ == pytest.approx(begin_s, abs=0.3)


def test_late_and_short_sound_stays_where_it_was_in_a_joined_recording(tmp_path: Path) -> None:
    """The second recording has sound from 3 to 5 s of 6."""
    mp2 = {"codec": "mp2", "form": "s16"}
    first = write_sounding(tmp_path / "first.ts", 5.0, end_s=2.0, **mp2)
    second = write_sounding(tmp_path / "second.ts", 6.0, start_s=3.0, end_s=5.0, **mp2)
    sound, start_s, _ = heard_with_pictures(joined(first, second))

    def between(from_s: float, to_s: float) -> Float32:
        return sound.samples[
            round((start_s + from_s) * RATE_HZ) : round((start_s + to_s) * RATE_HZ)
        ]

    assert loudness(between(0.2, 1.9)) > 0.1
    assert loudness(between(2.3, 7.6)) < 0.01
    assert lag_s(between(8.3, 9.8), 3.3) == pytest.approx(0.0, abs=0.05)
    assert loudness(between(10.3, 11.0)) < 0.01


def test_damaged_sound_is_lost_and_what_follows_is_in_its_place(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "film.mkv", 20.0, codec="flac", faults=range(40, 44))
    sound, _, lost = heard_with_pictures(path)
    assert lost
    assert lag_s(sound.samples[10 * RATE_HZ : 18 * RATE_HZ], 10.0) == pytest.approx(0, abs=0.005)


# ---- seal index ----


class Piped:
    """A FIFO that a thread fills with a file."""

    def __init__(self, content: Path, folder: Path) -> None:
        self.path = folder / "pipe"
        os.mkfifo(self.path)
        self._content = content
        threading.Thread(target=self._fill, daemon=True).start()

    def _fill(self) -> None:
        with self.path.open("wb") as pipe, suppress(BrokenPipeError):
            pipe.write(self._content.read_bytes())


def indexed(
    source: Path, folder: Path, *settings: str, transcriber: Transcriber | None = None
) -> tuple[VideoRecord, Tokens]:
    store = Store(folder, create=not folder.exists())
    options = Options.load(settings=[*SMALL, *settings])
    given = Instances(transcriber=transcriber or Beeps())
    record = index(source, store, options, instances=given)
    return record, store.tokens(record.id, kinds=["speech"])


def words_of(tokens: Tokens) -> list[str]:
    order = np.argsort(tokens.start_s, kind="stable")
    return " ".join(tokens.text[order].tolist()).split()


def starts_s(tokens: Tokens) -> list[float]:
    return sorted(at_s for row in range(len(tokens)) for at_s in tokens.track(row)[:, 0].tolist())


@pytest.mark.parametrize(("name", "part_s"), [("flac.mkv", 7), ("aac.ts", 120)])
def test_a_pipe_is_heard_as_the_file_is(name: str, part_s: int, tmp_path: Path) -> None:
    film = write_sounding(tmp_path / name, LENGTH_S, signal=beeps, gop=10, **FORMATS[name])
    _, alone = indexed(film, tmp_path / "file", f"video.part_s={part_s}")
    _, piped = indexed(Piped(film, tmp_path).path, tmp_path / "piped", f"video.part_s={part_s}")
    assert words_of(piped) == words_of(alone) == ALL
    assert starts_s(piped) == pytest.approx(starts_s(alone), abs=0.05)


def test_a_file_whose_clock_restarts_is_heard_to_its_end(tmp_path: Path) -> None:
    mp2 = {"codec": "mp2", "form": "s16", "signal": beeps}
    parts = [
        write_sounding(tmp_path / f"{n}.ts", length_s, **mp2)
        for n, length_s in [(0, 12.0), (1, 9.0)]
    ]
    record, tokens = indexed(joined(*parts), tmp_path / "store", "video.part_s=8")
    assert words_of(tokens) == ALL[:12] + ALL[:9]
    expected = [*(np.arange(12) + 0.5), *(12 + np.arange(9) + 0.5)]
    assert starts_s(tokens) == pytest.approx(record.start_s + np.array(expected), abs=0.1)
    assert any("clock" in text for _, text in record.notes)


def test_only_what_is_not_stored_is_heard_again(tmp_path: Path) -> None:
    """Other objects are wanted later: the words stay."""
    heard = []

    class Counted(Beeps):
        def transcribe(self, sound: Float32, language: str | None = None) -> Transcript:
            heard.append(len(sound))
            return super().transcribe(sound, language)

    mp2 = {"codec": "mp2", "form": "s16", "signal": beeps}
    film = joined(*(write_sounding(tmp_path / f"{n}.ts", 12.0, **mp2) for n in range(2)))
    _, before = indexed(film, tmp_path / "store", "video.part_s=8", transcriber=Counted())
    assert sum(heard) == pytest.approx(24 * RATE_HZ, rel=0.05)
    heard.clear()
    more = ["video.part_s=8", "objects.interval_s=1"]
    _, after = indexed(film, tmp_path / "store", *more, transcriber=Counted())
    assert not heard
    assert after.ids.tolist() == before.ids.tolist()


def test_sound_after_the_last_picture_is_heard_and_a_limit_holds(tmp_path: Path) -> None:
    film = write_sounding(tmp_path / "film.mkv", 3.0, end_s=LENGTH_S, signal=beeps)
    _, tokens = indexed(Piped(film, tmp_path).path, tmp_path / "store")
    assert words_of(tokens) == ALL
    (tmp_path / "pipe").unlink()
    film = write_sounding(tmp_path / "long.mkv", LENGTH_S, signal=beeps)
    limit = "video.max_duration_s=10.3"
    _, tokens = indexed(Piped(film, tmp_path).path, tmp_path / "store", limit)
    assert words_of(tokens) == ALL[:10]


def test_speech_under_a_picture_that_stays_is_heard(tmp_path: Path) -> None:
    """Pictures at 0 and 35 s, and sound that comes before the second one."""
    film = write_sounding(
        tmp_path / "film.mkv", 70.0, fps=Fraction(1, 35), gop=99, end_s=LENGTH_S, signal=beeps
    )
    _, tokens = indexed(Piped(film, tmp_path).path, tmp_path / "store", "video.part_s=9")
    assert words_of(tokens) == ALL


def test_a_pipe_without_sound_is_told_of(tmp_path: Path) -> None:
    mute = write_video(tmp_path / "mute.ts", range(0, 1000, 100))
    record, tokens = indexed(Piped(mute, tmp_path).path, tmp_path / "store")
    assert SILENT in [text for _, text in record.notes]
    assert not len(tokens)


def test_damaged_sound_of_a_pipe_is_a_gap(tmp_path: Path) -> None:
    film = write_sounding(
        tmp_path / "film.mkv", 20.0, codec="flac", signal=beeps, faults=range(40, 44)
    )
    record, tokens = indexed(Piped(film, tmp_path).path, tmp_path / "store", "video.part_s=7")
    assert any("sound" in reason for _, _, reason in record.gaps)
    assert len(words_of(tokens)) >= 17


# ---- the clock ----


def placed(events: Iterable[tuple[str, float]]) -> list[float | None]:
    """When packets of the sound, each 0.5 s long, are placed, given the stamps of all packets in
    their order: "p" for a picture, which lasts as long, and "s" for sound."""
    packets, own = [], set()
    for kind, at_s in events:
        packet = av.Packet(b"some")
        packet.pts = packet.dts = round(at_s * 1000)
        packet.duration, packet.time_base = 500, Fraction(1, 1000)
        packets.append(packet)
        if kind == "p":
            own.add(id(packet))
    pictures = StreamClock(Fraction(1, 1000), True, lambda pts, text: None)
    clock = SoundClock(pictures)
    found = []
    for packet in pictures.carry_on(iter(packets), lambda each: id(each) in own):
        if id(packet) not in own:
            found += clock.carry_on(packet)
    found += clock.rest()
    return [None if each.pts is None else each.pts / 1000 for each in found]


def both(first_s: float, count: int) -> list[tuple[str, float]]:
    return [(kind, first_s + number / 2) for number in range(count) for kind in "ps"]


@pytest.mark.parametrize("early", [0, 1, 4, 9])
def test_sound_that_jumps_before_the_pictures_is_shifted_as_they_are(early: int) -> None:
    """The first sounds of the second recording come before its first picture."""
    again = both(0.0, 20)
    sounds = [event for event in again if event[0] == "s"][:early]
    rest = [event for event in again if event not in sounds]
    times_s = placed([*both(0.0, 20), *sounds, *rest])
    assert times_s == pytest.approx(np.arange(40) / 2)


@pytest.mark.parametrize("late", [1, 4])
def test_sound_that_comes_after_the_pictures_have_jumped_is_not_shifted(late: int) -> None:
    first = both(0.0, 20)
    sounds = [event for event in first if event[0] == "s"][-late:]
    rest = [event for event in first if event not in sounds]
    times_s = placed([*rest, ("p", 0.0), ("p", 0.5), *sounds, *both(0.0, 20)[1:]])
    assert times_s[:20] == pytest.approx(np.arange(20) / 2)
    assert times_s[20:] == pytest.approx(10 + np.arange(20) / 2, abs=1.1)


def test_sound_whose_clock_jumps_alone_goes_on_without_a_break() -> None:
    events = both(0.0, 80)
    jumped = [(kind, at_s + 900 * (kind == "s" and at_s >= 20)) for kind, at_s in events]
    assert placed(jumped) == pytest.approx(np.arange(80) / 2)


def test_a_wrong_stamp_moves_nothing_but_its_packet() -> None:
    events = both(0.0, 30)
    events[21] = ("s", 95_000.0)
    times_s = placed(events)
    assert times_s.pop(10) is None
    assert times_s == pytest.approx(np.delete(np.arange(30) / 2, 10))


def test_sound_that_pauses_goes_on_where_its_stamps_say() -> None:
    events = [event for event in both(0.0, 100) if event[0] == "p" or not 10 <= event[1] < 40]
    times_s = [at_s for kind, at_s in events if kind == "s"]
    assert placed(events) == pytest.approx(times_s)


# ---- the listener by itself ----


def rows(length_s: float, start_s: float = 0.0, row: int = 700) -> Iterable[Sound]:
    samples = beeps(start_s + np.arange(round(length_s * RATE_HZ)) / RATE_HZ).astype(np.float32)
    for first in range(0, len(samples), row):
        yield Sound(samples[first : first + row], start_s + first / RATE_HZ)


@pytest.mark.parametrize("every_s", [1.0, 3.7, 11.3, 26.0])
def test_no_word_is_lost_or_doubled_however_often_it_is_asked(every_s: float) -> None:
    listener, said, asked_s = Listener(Beeps()), [], every_s
    for sound in rows(300.0):
        listener.add(sound)
        if sound.end_s > asked_s:
            said += [cue.text for cue in listener.heard(asked_s).cues]
            asked_s += every_s
    listener.end()
    said += [cue.text for cue in listener.heard(300.0).cues]
    assert said == NAMES


def test_memory_is_bounded_however_much_sound_comes_first() -> None:
    longest = 0

    class Measured(Beeps):
        def transcribe(self, sound: Float32, language: str | None = None) -> Transcript:
            nonlocal longest
            longest = max(longest, len(sound))
            return super().transcribe(sound, language)

    listener = Listener(Measured())
    for sound in rows(700.0):
        listener.add(sound)
    assert longest <= 131 * RATE_HZ
    # The words come with the pictures beside them.
    assert [cue.text for cue in listener.heard(30.4).cues] == NAMES[:30]
    listener.end()
    assert len(listener.heard(700.0).cues) == 670


def test_a_hole_of_hours_takes_no_memory() -> None:
    listener = Listener(Beeps())
    for sound in [*rows(20.0), *(sound.later(36_000.0) for sound in rows(20.0))]:
        listener.add(sound)
    listener.end()
    cues = listener.heard(40_000.0).cues
    assert [cue.text for cue in cues] == ALL[:20] * 2
    assert cues[20].start_s == pytest.approx(36_000.5, abs=0.03)


def test_sound_that_ended_is_heard_while_the_pictures_go_on() -> None:
    listener = Listener(Beeps())
    for sound in rows(20.0):
        listener.add(sound)
    said = [cue.text for cue in listener.heard(22.0).cues]
    assert len(said) < 20
    assert said + [cue.text for cue in listener.heard(60.0).cues] == ALL[:20]


# ---- seal watch ----


def watched(
    source: Path | str,
    window_s: float = 10.0,
    state: Path | None = None,
    transcriber: Transcriber | None = None,
    settings: Sequence[str] = (),
    most: int | None = None,
) -> list[Window]:
    """The windows of a source, or the first of them: then the watching is killed."""
    options = Options.load(settings=[*SMALL, *settings], task="watch")
    given = Instances(transcriber=transcriber or Beeps())
    how = WatchOptions(window_s=window_s, budget=400)
    windows = watch(str(source), options, how, state=state, instances=given)
    with closing(windows):
        return list(islice(windows, most))


def watched_until_given_up(address: str, give_up_s: float) -> list[Window]:
    options = Options.load(settings=SMALL, task="watch")
    how = WatchOptions(window_s=5.0, budget=400, give_up_s=give_up_s)
    seen = []
    with suppress(VideoError):
        for window in watch(address, options, how, instances=Instances(transcriber=Beeps())):
            seen.append(window)  # noqa: PERF402
    return seen


def chosen(window: Window) -> Tokens:
    """The speech among all tokens: the budget is larger than their number."""
    tokens = window.choices[0].tokens
    return tokens.take(np.flatnonzero(tokens.kinds == "speech"))


@pytest.mark.parametrize("window_s", [2.0, 10.0, 60.0])
def test_words_come_window_by_window(window_s: float, tmp_path: Path) -> None:
    film = write_sounding(tmp_path / "film.mkv", LENGTH_S, signal=beeps, codec="flac")
    windows = watched(film, window_s)
    assert words_of(chosen(windows[-1])) == ALL
    assert starts_s(chosen(windows[-1])) == pytest.approx(np.arange(24) + 0.5, abs=0.03)
    assert sum(window.counts["speech"] for window in windows) == len(chosen(windows[-1]))
    if window_s == 10.0:
        # Nothing ends a sentence but its greatest length, of 15 s.
        assert [window.counts["speech"] for window in windows] == [0, 1, 1]


def test_an_encoder_that_restarts_on_the_same_line_is_heard(tmp_path: Path) -> None:
    mp2 = {"codec": "mp2", "form": "s16", "signal": beeps}
    parts = [write_sounding(tmp_path / f"{n}.ts", 12.0, **mp2) for n in range(2)]
    camera = Camera([joined(*parts)], pause_s=0.1)
    seen = watched_until_given_up(camera.address, 0.5)
    assert words_of(chosen(seen[-1])) == ALL[:12] * 2


def test_a_connection_that_is_lost_loses_no_word_that_was_sent(tmp_path: Path) -> None:
    mp2 = {"codec": "mp2", "form": "s16", "signal": beeps}
    parts = [write_sounding(tmp_path / f"{n}.ts", 12.0, **mp2) for n in range(2)]
    camera = Camera(parts, pause_s=1.0)
    seen = watched_until_given_up(camera.address, 3.0)
    tokens = chosen(seen[-1])
    assert words_of(tokens) == ALL[:12] * 2
    (gap,) = [gap for window in seen for gap in window.gaps if "ended" in gap.reason]
    assert starts_s(tokens)[12] == pytest.approx(gap.span.end_s + 0.5, abs=0.3)


@pytest.mark.parametrize(("name", "window_s"), [("aac.ts", 4.0), ("flac.mkv", 7.0)])
def test_a_watch_that_is_killed_goes_on_where_it_was(
    name: str, window_s: float, tmp_path: Path
) -> None:
    film = write_sounding(tmp_path / name, LENGTH_S, signal=beeps, gop=10, **FORMATS[name])
    whole = watched(film, window_s)
    parts = [watched(film, window_s, tmp_path / "state", most=3) for _ in range(4)]
    tokens = chosen([window for part in parts for window in part][-1])
    assert words_of(tokens) == ALL
    assert tokens.text.tolist() == chosen(whole[-1]).text.tolist()
    assert tokens.start_s == pytest.approx(chosen(whole[-1]).start_s, abs=0.03)


def test_a_watch_goes_on_behind_a_limit(tmp_path: Path) -> None:
    film = write_sounding(tmp_path / "film.mkv", LENGTH_S, signal=beeps, gop=10)
    windows = []
    for until_s in (9.3, 17.3, None):
        limit = [] if until_s is None else [f"video.max_duration_s={until_s}"]
        windows += watched(film, 6.0, tmp_path / "state", settings=limit)
    assert words_of(chosen(windows[-1])) == ALL


def test_a_sentence_that_crosses_a_window_comes_with_the_later_one() -> None:
    options = SpeechOptions(max_length_s=5.0)

    def windows(saved: dict[str, Any]) -> SpokenWindows:
        return SpokenWindows(options, Transcript(()), Beeps(), saved)

    def rest_of(said: SpokenWindows, start_s: float) -> list[str]:
        assert said.listener is not None
        for sound in rows(36.0 - start_s, start_s):
            said.listener.add(sound)
        said.listener.end()
        return [cue.text for cue in said.before(36.0)]

    said = windows({})
    assert said.listener is not None
    for sound in rows(16.0):
        said.listener.add(sound)
    first = [cue.text for cue in said.before(15.0)]
    saved = json.loads(json.dumps(said.save(15.0)))
    (begun,) = saved["begun"]
    assert begun["start_s"] < 15.0
    rest = rest_of(said, 16.0)
    assert rest[0].startswith(begun["text"])
    assert " ".join([*first, *rest]).split() == NAMES[:36]
    # A state holds the sentence, and says from when on the sound is to be heard.
    assert rest_of(windows(saved), 3.0) == rest


def test_a_stream_without_sound_is_watched_and_told_of(tmp_path: Path) -> None:
    mute = write_video(tmp_path / "mute.ts", range(0, 3000, 100))
    (window,) = watched(mute)
    assert [note.text for note in window.notes] == [SILENT]
    assert window.counts["speech"] == 0


@pytest.mark.parametrize(
    "words",
    [
        {"said_s": "never"},
        {"begun": [{"start_s": 2.0, "end_s": 1.0, "text": "a", "words": []}]},
        {"begun": [{"text": "a"}]},
        {"begun": [3]},
        {"begun": 3},
    ],
)
def test_damaged_words_of_a_state_are_an_error(words: dict[str, Any], tmp_path: Path) -> None:
    from seal import watch as module

    options = Options.load(task="watch")
    models = module.Models.load(options, Instances(transcriber=Beeps()))
    with pytest.raises(StoreError, match="damaged words"):
        module._spoken(tmp_path / "state", options, Transcript(()), models, words)


# ---- real speech ----


def plain(words: Iterable[str]) -> list[str]:
    return ["".join(filter(str.isalnum, word.lower())) for word in words]


def errors(found: list[str], true: list[str]) -> int:
    """The edit distance between two lists of words."""
    row = list(range(len(true) + 1))
    for i, word in enumerate(found, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(true, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


@pytest.fixture(scope="module")
def tiny() -> Transcriber:
    folder = whisper_folder()
    from seal.config import WhisperTranscribe
    from seal.words.whisper import WhisperTranscriber

    return WhisperTranscriber(WhisperTranscribe(weights=str(folder), device="cpu", beam=1))


def test_whisper_hears_a_pipe_and_a_watch_as_it_hears_the_file(
    tiny: Transcriber, shared_data: Path, tmp_path: Path
) -> None:
    film = shared_data / "footage" / "words" / "sonnet-1.mp4"
    ts = tmp_path / "film.ts"
    with av.open(str(film)) as source, av.open(str(ts), "w") as out:
        streams = {each: out.add_stream_from_template(each) for each in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                out.mux(packet)
    _, alone = indexed(ts, tmp_path / "file", transcriber=tiny)
    true = plain(words_of(alone))
    assert len(true) > 90
    _, piped = indexed(Piped(ts, tmp_path).path, tmp_path / "piped", transcriber=tiny)
    assert errors(plain(words_of(piped)), true) <= 0.02 * len(true)
    assert len(starts_s(piped)) == pytest.approx(len(true), abs=2)
    apart_s = np.subtract(starts_s(piped)[:50], starts_s(alone)[:50])
    assert np.median(np.abs(apart_s)) < 0.1
    # Shorter stretches have less around a word by which to guess it.
    windows = watched(ts, 20.0, transcriber=tiny)
    assert len([window for window in windows if window.counts["speech"]]) > 1
    assert errors(plain(words_of(chosen(windows[-1]))), true) <= 0.15 * len(true)
