"""Moments as files: every format is read back by a reader that is not ours."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

import av
import opentimelineio as opentimeline
import pysubs2
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import seal
from filmed import write_film
from seal import BackendError, DataError, OptionError, VideoError
from seal.cli import main
from seal.export import FORMATS, form_of, render, write
from seal.export.timecode import FrameRate, rate_of
from seal.results import Found, Match, moments_json
from seal.store import VideoRecord
from seal.types import Moment, Span
from store_worker import make_record

RATES = [Fraction(n) for n in (24, 25, 30, 50, 60)]
NTSC = [Fraction(n * 1000, 1001) for n in (24, 30, 60)]


def record(name: str = "film", rate_hz: float | None = 25.0, **changes: object) -> VideoRecord:
    values = {"duration_s": 7200.0, "start_s": 1.4, "rate_hz": rate_hz} | changes
    return make_record(name, **values)


def moment(start_s: float, end_s: float, score: float = 0.5, **values: str) -> Moment:
    return Moment(Span(start_s, end_s), score, values.pop("video", "film"), **values)


FILM = record()
FOUND = Found(
    "a red ball",
    Match("likely", 0.9),
    [
        moment(61.4, 65.4, 0.812, token="scene-7"),
        moment(11.4, 15.4, 0.7, token="speech-2", found_by="words", text="Look & see\n<b>it</b>"),
        moment(13.4, 14.4, 0.6, token="scene-1"),
    ],
)
NONE = Found("a red ball", Match("unlikely", 0.1), [])


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_csv_has_the_keys_of_the_json_and_the_path() -> None:
    table = rows(render(FOUND, [FILM], ".csv"))
    for row, wanted in zip(table, moments_json(FOUND.moments), strict=True):
        assert row.pop("path") == "film.mp4"
        assert float(row["start_s"]) == wanted["start_s"]
        assert float(row["score"]) == wanted["score"]
        wanted = {"found_by": "picture", "text": ""} | wanted
        assert row == {key: str(value) for key, value in wanted.items()}
    assert render(NONE, [FILM], ".csv").count(b"\r\n") == 1


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_cell_is_never_a_formula(text: str) -> None:
    found = replace(FOUND, moments=[moment(-2.0, 3.0, -0.5, found_by="words", text=text)])
    (row,) = rows(render(found, [replace(FILM, path="=film.mp4")], ".csv"))
    assert (row["text"][0], row["path"]) == ("'", "'=film.mp4")
    # A number below 0 is a number.
    assert (row["start_s"], row["score"]) == ("-2.0", "-0.5")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_any_text_comes_back_from_csv(text: str) -> None:
    found = replace(FOUND, moments=[moment(1.0, 2.0, found_by="words", text=text)])
    (row,) = rows(render(found, [FILM], ".csv"))
    plain = row["text"].removeprefix("'") if text[:1] in set("=+-@") else row["text"]
    # What turns the reading direction and ends lines is shown as an escape.
    assert re.sub(r"\\u20\w\w", "", plain) == re.sub("[\u2028-\u202e\u2066-\u2069]", "", text)


def test_json_is_what_find_prints() -> None:
    assert json.loads(render(FOUND, [FILM], ".json")) == FOUND.to_json()


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_subtitles_are_in_order_of_time_from_the_first_picture(suffix: str) -> None:
    data = render(FOUND, [FILM], suffix).decode()
    events = pysubs2.SSAFile.from_string(data, suffix[1:]).events
    assert [(each.start, each.end) for each in events] == [
        (10_000, 14_000),
        (12_000, 13_000),
        (60_000, 64_000),
    ]
    assert "a red ball (rank 1, score 0.812)" in data
    assert "(rank 2, score 0.700)" in data
    # One cue is one block without markup, whatever the words are.
    blocks = [block for block in data.strip().split("\n\n") if "-->" in block]
    assert len(blocks) == 3
    assert "<b>" not in data


def test_a_webvtt_file_begins_as_one() -> None:
    assert render(NONE, [FILM], ".vtt").startswith(b"WEBVTT\n\n")
    assert render(NONE, [FILM], ".srt") == b""


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_subtitles_of_several_videos_are_refused(suffix: str) -> None:
    found = replace(FOUND, moments=[*FOUND.moments, moment(1.0, 2.0, video="other")])
    with pytest.raises(OptionError, match=r"about one video, and these moments are of 2.*\.csv"):
        render(found, [FILM, record("other")], suffix)


def read_edl(data: bytes, rate: Fraction) -> list[opentimeline.schema.Clip]:
    timeline = opentimeline.adapters.read_from_string(data.decode(), "cmx_3600", rate=float(rate))
    return list(timeline.find_clips())


@pytest.mark.parametrize("rate", [*RATES, *NTSC], ids=str)
def test_an_edit_list_has_the_frames_of_each_moment(rate: Fraction) -> None:
    film = record(rate_hz=float(rate))
    frames = [(900, 990), (1798, 1805), (17_980, 18_000), (170_000, 170_001)]
    found = replace(
        FOUND,
        moments=[moment(1.4 + float(a / rate), 1.4 + float(b / rate)) for a, b in frames[::-1]],
    )
    data = render(found, [film], ".edl")
    clips = read_edl(data, rate)
    assert [clip.name for clip in clips] == ["film.mp4"] * 4
    ranges = [clip.source_range for clip in clips]
    spans = [(one.start_time.to_frames(), one.duration.to_frames()) for one in ranges]
    assert spans == [(first, end - first) for first, end in frames]
    # Without a hole between them: the reader puts gaps where record times leave one.
    timeline = opentimeline.adapters.read_from_string(data.decode(), "cmx_3600", rate=float(rate))
    assert [type(each).__name__ for each in timeline.tracks[0]] == ["Clip"] * 4
    assert ("FCM: DROP FRAME" in data.decode()) == (rate in NTSC[1:])


def test_an_edit_list_is_written_as_editing_programs_expect() -> None:
    film = record(rate_hz=30000 / 1001, path="My holiday (2).mp4")
    found = replace(FOUND, moments=[moment(1.4 + 60.06, 1.4 + 70.07, 0.9)])
    assert render(found, [film], ".edl").decode().split("\r\n") == [
        "TITLE: a red ball",
        "FCM: DROP FRAME",
        "",
        "001  MY_HOLID V     C        00:01:00;02 00:01:10;02 01:00:00;00 01:00:10;00",
        "* FROM CLIP NAME: My holiday (2).mp4",
        "* COMMENT: a red ball (rank 1, score 0.900)",
        "",
    ]
    assert read_edl(render(NONE, [film], ".edl"), Fraction(25)) == []


def slow_timecode(frame: int, counted: int, drops: int) -> str:
    """By counting: numbers are left out at the start of each minute but every tenth."""
    number = 0
    for _ in range(frame):
        number += 1
        if number % (60 * counted) == 0 and number // (60 * counted) % 10:
            number += drops
    seconds, rest = divmod(number, counted)
    point = ";" if drops else ":"
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:02}"


@given(st.integers(0, 40_000), st.sampled_from([*RATES, *NTSC]))
def test_timecode_is_that_of_counting(frame: int, hz: Fraction) -> None:
    rate = FrameRate(hz)
    drops = {NTSC[1]: 2, NTSC[2]: 4}.get(hz, 0)
    assert rate.timecode(frame) == slow_timecode(frame, math.ceil(hz), drops)


@given(st.integers(0, 5_000_000), st.sampled_from([*RATES, *NTSC]))
def test_timecode_is_what_another_reads(frame: int, hz: Fraction) -> None:
    if frame >= 24 * 3600 * hz - 200:
        with pytest.raises(OptionError, match="timecode ends after 24 hours"):
            FrameRate(hz).timecode(frame + 300)
        return
    text = FrameRate(hz).timecode(frame)
    assert opentimeline.opentime.from_timecode(text, float(hz)).to_frames() == frame


@given(
    st.sampled_from([*RATES, *NTSC]), st.integers(0, 200_000), st.integers(1, 500), st.booleans()
)
def test_frames_survive_the_rounding_of_containers(
    hz: Fraction, first: int, count: int, rounds: bool
) -> None:
    """Times as floating point, or in whole milliseconds."""
    times_s = [1.4 + float(number / hz) for number in (first, first + count)]
    if rounds:
        times_s = [round(at_s, 3) for at_s in times_s]
    assert FrameRate(hz).frames(Span(*times_s), 1.4) == (first, first + count)


def test_a_moment_within_frames_has_all_that_are_on_the_screen() -> None:
    rate = FrameRate(Fraction(25))
    assert rate.frames(Span(0.05, 0.13), 0.0) == (1, 4)
    assert rate.frames(Span(0.05, 0.05), 0.0) == (1, 2)
    assert rate.frames(Span(-3.0, -2.0), 0.0) == (0, 1)


@pytest.mark.parametrize(
    ("stated", "duration_s", "exact"),
    [
        (29.97, 3600.0, NTSC[1]),
        (30000 / 1001, 100_000.0, NTSC[1]),
        (23.976, 600.0, NTSC[0]),
        (30.0, 3600.0, Fraction(30)),
        (24.999, 24.0, Fraction(25)),
        (24.999, 3600.0, None),
        (29.83, 10.0, None),
        (0.4, 10.0, None),
        (15.0, 10.0, Fraction(15)),
        (None, 10.0, None),
    ],
)
def test_which_rates_are_constant(
    stated: float | None, duration_s: float, exact: Fraction | None
) -> None:
    found = rate_of(record(rate_hz=stated, duration_s=duration_s))
    assert found == (None if exact is None else FrameRate(exact))


def test_an_edit_list_of_an_unknown_rate_names_other_formats() -> None:
    for rate_hz, said in [(None, "not known"), (27.31, r"27\.31 Hz on average"), (15.0, "15 Hz")]:
        with pytest.raises(OptionError, match=rf"film\.mp4: .*{said}.*\.otio or \.csv"):
            render(FOUND, [record(rate_hz=rate_hz)], ".edl")


def test_an_edit_list_has_one_rate_and_reels_of_their_own() -> None:
    videos = [record("other", path="b/film.mp4"), FILM, record("last", path="ax.mov")]
    found = replace(
        FOUND, moments=[*FOUND.moments, *(moment(2.0, 3.0, video=v.id) for v in videos)]
    )
    clips = read_edl(render(found, videos, ".edl"), Fraction(25))
    reels = [clip.metadata["cmx_3600"]["reel"] for clip in clips]
    assert reels == ["FILM", *["FILM2"] * 4, "AX2"]
    with pytest.raises(OptionError, match=r"several \(b/film.mp4 has 25 Hz, film.mp4 has 24 Hz"):
        render(found, [videos[0], record(rate_hz=24.0), videos[2]], ".edl")


def test_an_edit_list_ends_at_999() -> None:
    many = replace(FOUND, moments=[moment(float(i), i + 1.0) for i in range(1000)])
    with pytest.raises(OptionError, match="at most 999 events"):
        render(many, [FILM], ".edl")
    assert len(read_edl(render(replace(many, moments=many.moments[1:]), [FILM], ".edl"), 25)) == 999


def read_otio(data: bytes) -> list[opentimeline.schema.Clip]:
    timeline = opentimeline.adapters.read_from_string(data.decode(), "otio_json")
    assert [track.kind for track in timeline.tracks] == ["Video"]
    return list(timeline.find_clips())


@pytest.mark.parametrize("rate", [*RATES, *NTSC], ids=str)
def test_a_timeline_has_exact_times_markers_and_the_media(rate: Fraction, tmp_path: Path) -> None:
    path = tmp_path / "my film.mp4"
    path.write_bytes(b"12345")
    film = record(rate_hz=float(rate), location=str(path), size_bytes=5)
    found = replace(
        FOUND,
        moments=[moment(1.4 + float(90 / rate), 1.4 + float(99 / rate), 0.9), *FOUND.moments[1:2]],
    )
    clip = max(
        read_otio(render(found, [film], ".otio")), key=lambda each: each.metadata["seal"]["score"]
    )
    time = opentimeline.opentime
    hz = rate.numerator / rate.denominator
    assert clip.source_range == time.TimeRange(time.RationalTime(90, hz), time.RationalTime(9, hz))
    reference = clip.media_reference
    assert unquote(urlsplit(reference.target_url).path) == str(path)
    assert reference.available_range.start_time.value == 0
    assert reference.available_range.duration.value == math.ceil(7200 * rate - Fraction(1, 20))
    (marker,) = clip.markers
    assert marker.name == "a red ball (rank 1, score 0.900)"
    assert marker.marked_range == clip.source_range
    assert dict(clip.metadata["seal"]) == moments_json(found.moments)[0] | {"rank": 1}


def test_a_timeline_without_a_constant_rate_counts_ticks() -> None:
    videos = [record(rate_hz=None), record("other", location="https://example.org/b.mp4")]
    found = replace(FOUND, moments=[*FOUND.moments, moment(2.0, 3.0, video="other")])
    clips = read_otio(render(found, videos, ".otio"))
    assert [clip.name for clip in clips] == ["film.mp4"] * 3 + ["other.mp4"]
    assert [clip.source_range.start_time.to_seconds() for clip in clips[:3]] == [10.0, 12.0, 60.0]
    assert clips[0].source_range.start_time.rate == 90_000
    assert clips[0].media_reference.is_missing_reference
    assert clips[3].media_reference.target_url == "https://example.org/b.mp4"
    assert clips[0].markers[0].name.startswith('"Look & see <b>it</b>" (rank 2')


def test_otio_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    with pytest.raises(BackendError, match=r'\.otio needs opentimelineio.*"seal-video\[export\]"'):
        render(FOUND, [FILM], ".otio")


def test_other_suffixes_list_the_valid_ones(tmp_path: Path) -> None:
    for path in ("moments.xml", "moments", "moments.png"):
        with pytest.raises(OptionError, match=r"\.csv, \.json, \.srt, .*\.html, or to a folder"):
            form_of(path)
    with pytest.raises(OptionError, match=r"expected one of \.csv, \.json, \.srt"):
        render(FOUND, [FILM], ".html")
    assert form_of("none/") == form_of(tmp_path) == "/"
    assert form_of("FILM.EDL") == ".edl"


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "moments.edl"
    write(FOUND, [FILM], path)
    before = path.read_bytes()
    with pytest.raises(OptionError):
        write(FOUND, [record(rate_hz=None)], path)
    assert path.read_bytes() == before
    link = tmp_path / "link.edl"
    link.symlink_to(path)
    write(NONE, [FILM], link)
    assert link.is_symlink()
    assert path.read_bytes() == render(NONE, [FILM], ".edl")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.edl", "moments.edl"]
    with pytest.raises(DataError, match=r"none/a\.csv cannot be written: No such file"):
        write(FOUND, [FILM], tmp_path / "none" / "a.csv")


def test_copy_is_about_clips() -> None:
    with pytest.raises(OptionError, match="copy is about clips"):
        write(FOUND, [FILM], "moments.csv", copy=True)


def test_clips_of_a_video_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"film\.mp4: clips are cut from the video.*put it back"):
        write(FOUND, [FILM], f"{tmp_path}/clips/")
    assert list(tmp_path.iterdir()) == []


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> seal.Library:
    folder = tmp_path_factory.mktemp("library")
    library = seal.open(folder / "store")
    for seed in (0, 1):
        path = folder / f"film {seed}.mp4"
        write_film(path, seed=seed, duration_s=12.0)
        library.index(path, jobs=1)
    return library


@pytest.fixture
def video(library: seal.Library) -> seal.Video:
    return next(iter(library))


@pytest.mark.parametrize("suffix", [*FORMATS, ".html"])
def test_a_video_and_the_command_write_the_same(
    library: seal.Library, video: seal.Video, tmp_path: Path, suffix: str
) -> None:
    exported = video.export("a red ball", tmp_path / f"python{suffix}", top=2)
    assert exported.found.moments
    command = tmp_path / f"command{suffix}"
    words = ("export", video.id, "a red ball", "--store", library.store.path, "--top", "2")
    result = run(*words, "-o", command, "--json")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed == exported.to_json() | {"output": str(command)}
    assert printed["moments"] == video.find("a red ball", top=2).to_json()["moments"]
    if suffix != ".html":
        assert command.read_bytes() == exported.output.read_bytes()
    assert command.stat().st_size > 50
    assert str(exported).startswith(f"{exported.output}: {len(exported.found)} moment")


def test_an_option_that_is_not_read_is_an_error(video: seal.Video, tmp_path: Path) -> None:
    options = {"attention.budget": 4}
    with pytest.raises(OptionError, match="no effect"):
        video.export("a red ball", tmp_path / "moments.csv", options=options)
    video.export("a red ball", tmp_path / "board.html", options=options)


@pytest.mark.parametrize("suffix", [".csv", ".edl", ".otio", ".html"])
def test_all_videos(library: seal.Library, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"all{suffix}"
    result = run("export", "--all", "a red ball", "--store", library.store.path, "-o", path)
    assert result.exit_code == 0, result.stderr
    found = library.find("a red ball")
    assert result.stdout.startswith(f"{path}: {len(found)} moment")
    if suffix == ".csv":
        table = rows(path.read_bytes())
        assert [row["video"] for row in table] == [each.video for each in found.moments]


def test_clips_are_the_moments(library: seal.Library, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    words = ("export", "--all", "a red ball", "--store", library.store.path, "-o", f"{folder}/")
    result = run(*words, "--top", "3", "--json")
    assert result.exit_code == 0, result.stderr
    moments = json.loads(result.stdout)["moments"]
    assert sorted(row["clip"]["path"] for row in moments) == sorted(map(str, folder.iterdir()))
    for rank, row in enumerate(moments, 1):
        assert re.fullmatch(rf"00{rank}_film_\d_\d-\d\d\.\d\.mp4", Path(row["clip"]["path"]).name)
        assert row["clip"]["start_s"] == pytest.approx(row["start_s"], abs=1e-3)
        with av.open(row["clip"]["path"]) as container:
            stream = container.streams.video[0]
            length_s = float(stream.duration * stream.time_base)
        assert length_s == pytest.approx(min(row["end_s"], 12.0) - row["start_s"], abs=0.05)
    assert f"{len(moments)} of {len(moments)} clips" in result.stderr
    assert len(moments) >= 2
    before = {path: path.read_bytes() for path in folder.iterdir()}
    result = run(*words, "--top", "3")
    assert result.exit_code == 1
    assert "is there already, and clips replace no file" in result.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_video_that_is_gone_costs_its_own_clips_and_no_others(tmp_path: Path) -> None:
    library = seal.open(tmp_path / "store")
    paths = [tmp_path / f"film {seed}.mp4" for seed in (0, 1)]
    for seed, path in enumerate(paths):
        write_film(path, seed=seed, duration_s=6.0)
        library.index(path, jobs=1)
    moved = paths[0].rename(tmp_path / "moved.mp4")
    said: list[str] = []
    exported = library.export("a red ball", f"{tmp_path}/all/", say=said.append)
    there = library.video(paths[1]).id
    assert {moment.video for moment in exported.found.moments} == {there}
    assert len(exported.to_json()["moments"]) == len(list((tmp_path / "all").iterdir())) > 0
    assert any("film 0.mp4" in line and "not where it was indexed" in line for line in said)
    # Whoever names the file where it is now gets its clips.
    clips = library.video(moved).export("a red ball", f"{tmp_path}/moved/").clips
    assert len(clips) == len(list((tmp_path / "moved").iterdir())) > 0


def test_copies_say_where_they_begin(video: seal.Video, tmp_path: Path) -> None:
    exported = video.export("a red ball", f"{tmp_path}/clips/", top=2, copy=True)
    for clip, moment in zip(exported.clips, exported.found.moments, strict=True):
        early_s = moment.span.start_s - clip.span.start_s
        assert early_s >= 0
        assert (f"(begins {early_s:.1f} s before its moment)" in str(exported)) == (early_s >= 0.05)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("moments.doc", r"\.csv, \.json, \.srt"),
        ("none/moments.csv", "No such file or directory"),
        ("none/clips/", "No such file or directory"),
    ],
)
def test_a_wrong_output_is_an_error_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, said: str
) -> None:
    """There is no store, which would be the next error."""
    monkeypatch.chdir(tmp_path)
    result = run("export", "film.mp4", "a red ball", "--store", "no store", "-o", output)
    assert result.exit_code == 1
    assert re.search(said, result.stderr)


def test_the_library_looks_at_the_path_first(
    library: seal.Library, video: seal.Video, tmp_path: Path
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: library.export("", tmp_path / "a.doc"),
        lambda: video.export("", tmp_path / "a.doc"),
    ]
    for call in calls:
        with pytest.raises(OptionError, match="exported to a file that ends in"):
            call()
