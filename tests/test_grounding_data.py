"""Data sets of localisation in the formats they are published in, their faults, and features."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner

from filmed import write_film
from seal import backends
from seal.cli import main
from seal.datacheck import video_fault
from seal.errors import DataError, OptionError
from seal.ground.data import Features, Sample, SampleError, Source, SplitPart, read
from seal.types import Span

NAMES = backends.names("data set")
CSV = "id,subject,scene,quality,descriptions,actions,length\n"


def ego4d(*queries: dict[str, Any], duration_s: float = 480.0) -> str:
    clip = {
        "clip_uid": "clip",
        "video_start_sec": 100.0,
        "video_end_sec": 100.0 + duration_s,
        "clip_start_sec": 0,
        "clip_end_sec": duration_s,
        "annotations": [{"annotation_uid": "ann", "language_queries": list(queries)}],
    }
    video = {"video_uid": "video", "split": "val", "clips": [clip]}
    return json.dumps({"version": "1", "videos": [video]})


def ego4d_query(start_s: Any, end_s: Any, text: Any = "where was it?") -> dict[str, Any]:
    return {"query": text, "clip_start_sec": start_s, "clip_end_sec": end_s, "template": "a"}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


PUBLISHED = {
    "ego4d-nlq-v1": ({"annotations/nlq_val.json": ego4d(ego4d_query(3.0, 4.5))}, "val"),
    "ego4d-nlq-v2": ({"v2/annotations/nlq_val.json": ego4d(ego4d_query(3.0, 4.5))}, "val"),
    "charades-sta": (
        {
            "charades_sta_test.txt": "AO8RW 3.0 4.5##where was it?\n",
            "Charades/Charades_v1_test.csv": CSV + 'AO8RW,x,Kitchen,6,"a ""b"",\nc",c092,33.67\n',
        },
        "test",
    ),
    "tacos": (
        {
            "train.json": json.dumps(
                {
                    "s13-d21.avi": {
                        "timestamps": [[75, 112.5]],
                        "sentences": ["where was it?"],
                        "num_frames": 1000,
                        "fps": 25.0,
                    }
                }
            )
        },
        "train",
    ),
    "qvhighlights": (
        {
            "data/highlight_val_release.jsonl": json.dumps(
                {
                    "qid": 8737,
                    "query": "where was it?",
                    "duration": 126,
                    "vid": "bP5KfdFJzC4_660.0_810.0",
                    "relevant_windows": [[3, 4.5], [0, 2]],
                    "relevant_clip_ids": [0, 1],
                    "saliency_scores": [[4, 1, 1], [4, 1, 1]],
                }
            )
            + "\n\n"
        },
        "val",
    ),
    "activitynet-captions": (
        {
            "captions/val_1.json": json.dumps(
                {
                    "v_QOlSCBRmfWY": {
                        "duration": 82.73,
                        "timestamps": [[3.0, 4.5]],
                        "sentences": [" where was it? "],
                    }
                }
            )
        },
        "val",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_formats_are_read(tmp_path: Path, name: str) -> None:
    files, split = PUBLISHED[name]
    data = read(name, written(tmp_path, files), split)
    (sample,) = data.samples
    assert not data.skipped
    assert sample.query == "where was it?"
    assert sample.spans[0] == Span(3.0, 4.5)
    assert sample.split == split
    expected = {
        "ego4d-nlq-v1": ("clip", 480.0, "ann_0"),
        "ego4d-nlq-v2": ("clip", 480.0, "ann_0"),
        "charades-sta": ("AO8RW", 33.67, "AO8RW_0"),
        "tacos": ("s13-d21", 40.0, "s13-d21_0"),
        "qvhighlights": ("bP5KfdFJzC4_660.0_810.0", 126.0, "8737_0"),
        "activitynet-captions": ("v_QOlSCBRmfWY", 82.73, "v_QOlSCBRmfWY_0"),
    }
    assert (sample.video, sample.duration_s, sample.id) == expected[name]


def test_every_localisation_data_set_is_tried_here() -> None:
    sources = [name for name in NAMES if isinstance(backends.resolve("data set", name), Source)]
    assert sources == list(PUBLISHED)


def test_several_windows_and_queries_keep_their_order(tmp_path: Path) -> None:
    files, split = PUBLISHED["qvhighlights"]
    (sample,) = read("qvhighlights", written(tmp_path, files), split).samples
    assert sample.spans == (Span(3.0, 4.5), Span(0.0, 2.0))
    text = "A 0 1##one\nB 0 1##two\nA 2 3##three\n"
    csv = CSV + "A,x,y,6,d,a,9\nB,x,y,6,d,a,9\n"
    files = {"charades_sta_train.txt": text, "Charades_v1_train.csv": csv}
    samples = read("charades-sta", written(tmp_path, files), "train").samples
    assert [sample.id for sample in samples] == ["A_0", "B_0", "A_1"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (ego4d_query(5.0, 4.0), "ends before it starts"),
        (ego4d_query(4.0, 4.0), "of no length"),
        (ego4d_query(490.0, 495.0), "outside the video"),
        (ego4d_query(-9.0, 4.0), "outside the video"),
        (ego4d_query(4.0, float("nan")), "not a number"),
        (ego4d_query("soon", 4.0), "not a number"),
        (ego4d_query(4.0, None), "not a number"),
        (ego4d_query(None, None), "no span"),
        (ego4d_query(1.0, 2.0, None), "no text"),
        (ego4d_query(1.0, 2.0, "  "), "no text"),
        (ego4d_query(1.0, 2.0, 7), "no text"),
    ],
)
def test_queries_that_cannot_be_used_are_counted_and_named(
    tmp_path: Path, query: dict[str, Any], reason: str
) -> None:
    written(tmp_path, {"nlq_val.json": ego4d(ego4d_query(1.0, 2.0), query)})
    data = read("ego4d-nlq-v2", tmp_path, "val")
    assert len(data.samples) == 1
    (skipped,) = data.skipped
    assert reason in skipped.reason
    assert skipped.item == "query 1 of ann, video clip"
    assert skipped.item in skipped.message
    assert data.reasons() == {skipped.reason: 1}


def test_what_is_past_the_end_is_cut_off_and_counted(tmp_path: Path) -> None:
    spans = [(470.0, 480.5), (4.0, 9000.0), (-0.3, 4.0), (-0.3, 481.0), (1.0, 480.0)]
    written(tmp_path, {"nlq_val.json": ego4d(*(ego4d_query(*span) for span in spans))})
    data = read("ego4d-nlq-v2", tmp_path, "val")
    ends = [(470.0, 480.0), (4.0, 480.0), (0.0, 4.0), (0.0, 480.0), (1.0, 480.0)]
    assert [sample.spans for sample in data.samples] == [(Span(*span),) for span in ends]
    assert data.corrections() == {
        "a span that ends after the video, cut off": 3,
        "a span that starts before the video, cut off": 2,
    }
    assert data.corrected[1].item == "query 1 of ann, video clip"
    assert "4.0 to 9000.0 s of 480.0 s" in data.corrected[1].message
    assert not data.skipped


WINDOWS: list[tuple[Any, str]] = [
    ([9, 5], "a span that ends before it starts"),
    ([10, None], "not a number"),
    ([200, 300], "a span outside the video"),
    ([126, 127], "a span outside the video"),
    ([-9, 3], "a span outside the video"),
    ([7, 7], "a span of no length"),
    ([7], "not a start and an end"),
    (7, "not a start and an end"),
    ("67", "not a start and an end"),
    (None, "not a start and an end"),
    ({"a": 1, "b": 2}, "not a start and an end"),
]


def highlights(folder: Path, *lines: Any) -> Path:
    """QVHighlights of these lines, and of a good one."""
    good = {"qid": 0, "query": "q", "duration": 126, "vid": "v", "relevant_windows": [[1, 2]]}
    text = [line if isinstance(line, str) else json.dumps(good | line) for line in (*lines, good)]
    return written(folder, {"highlight_val_release.jsonl": "\n".join(text)})


@pytest.mark.parametrize(("window", "reason"), WINDOWS)
def test_one_bad_window_drops_no_other(tmp_path: Path, window: Any, reason: str) -> None:
    highlights(tmp_path, {"relevant_windows": [[3, 4], window, [8, 9]]})
    data = read("qvhighlights", tmp_path, "val")
    assert data.samples[0].spans == (Span(3, 4), Span(8, 9))
    assert data.corrections() == {reason: 1}
    assert not data.skipped
    highlights(tmp_path, {"relevant_windows": [window, window]})
    data = read("qvhighlights", tmp_path, "val")
    assert [sample.spans for sample in data.samples] == [(Span(1, 2),)]
    assert data.reasons() == {reason: 1}
    assert not data.corrected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"relevant_windows": 3}, "no list of spans"),
        ({"relevant_windows": "all"}, "no list of spans"),
        ({"relevant_windows": []}, "no span"),
        ({"vid": 7}, "no name of a video"),
        ({"duration": "long"}, "not a number"),
        ({"duration": 0}, "no duration of the video"),
        ("[]", r"release\.jsonl: entry 1: an entry that is not laid out as published"),
        ('{"qid": 1}', r"highlight_val_release\.jsonl: entry 1: an entry without 'vid'"),
        ('{"qid": ', r"an entry that cannot be read .*line 1 is not JSON"),
    ],
)
def test_one_bad_entry_does_not_stop_a_data_set(tmp_path: Path, line: Any, message: str) -> None:
    data = read("qvhighlights", highlights(tmp_path, line), "val")
    assert len(data.samples) == 1
    (skipped,) = data.skipped
    assert re.search(message, skipped.message)


BAD_RATES = [0, 0.0, -25, None, "fast", float("inf"), [25]]


@pytest.mark.parametrize("rate_hz", BAD_RATES, ids=str)
def test_a_video_of_tacos_without_a_frame_rate_is_named(tmp_path: Path, rate_hz: Any) -> None:
    video = {"timestamps": [[75, 100], [0, 25]], "sentences": ["a", "b"], "num_frames": 1000}
    videos = {"bad.avi": video | {"fps": rate_hz}, "good.avi": video | {"fps": "25"}}
    written(tmp_path, {"train.json": json.dumps(videos)})
    data = read("tacos", tmp_path, "train")
    assert [sample.spans for sample in data.samples] == [(Span(3, 4),), (Span(0, 1),)]
    assert sum(data.reasons().values()) == 2, "each query of the video is counted"
    assert "query 1 of video bad.avi" in data.skipped[1].item


@pytest.mark.parametrize("videos", [{"bad": 3}, {"bad": {}}, {"bad": {"duration": 9}}])
def test_a_bad_video_of_activitynet_is_named(tmp_path: Path, videos: dict[str, Any]) -> None:
    good = {"duration": 9, "timestamps": [[3, 4], None], "sentences": ["a", "b"]}
    written(tmp_path, {"train.json": json.dumps({**videos, "good": good})})
    data = read("activitynet-captions", tmp_path, "train")
    assert [sample.id for sample in data.samples] == ["good_0"]
    assert data.skipped[0].item.endswith("video bad")
    assert "query 1 of good" in data.skipped[1].item


@pytest.mark.parametrize("bad", [3, {}, {"clips": [3]}, {"clips": [{"annotations": [{}]}]}])
def test_a_bad_video_of_ego4d_is_named(tmp_path: Path, bad: Any) -> None:
    file = json.loads(ego4d(ego4d_query(1.0, 2.0)))
    file["videos"].insert(0, bad)
    clip = file["videos"][1]["clips"][0]
    clip["annotations"][0]["language_queries"].insert(0, "nothing of the kind")
    file["videos"][1]["clips"].insert(0, {"clip_uid": "bad"})
    written(tmp_path, {"nlq_val.json": json.dumps(file)})
    data = read("ego4d-nlq-v2", tmp_path, "val")
    assert [sample.id for sample in data.samples] == ["ann_1"]
    assert len(data.skipped) == 3


SEPARATORS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"]


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=ascii)
def test_charades_is_split_at_line_feeds_alone(tmp_path: Path, separator: str, end: str) -> None:
    lines = [f"A 0 1##one{separator}two", "nothing of the kind", "", "A 2 3##three"]
    files = {"Charades_v1_test.csv": CSV + "A,x,y,6,d,a,9\n"}
    written(tmp_path, files)
    (tmp_path / "charades_sta_test.txt").write_bytes(end.join(lines).encode())
    data = read("charades-sta", tmp_path, "test")
    assert [sample.query for sample in data.samples] == [f"one{separator}two", "three"]
    assert [sample.id for sample in data.samples] == ["A_0", "A_1"]
    assert [skipped.item for skipped in data.skipped] == [
        f"{tmp_path}/charades_sta_test.txt: line 2"
    ]


def test_only_a_test_split_may_withhold_the_answers(tmp_path: Path) -> None:
    withheld = {"query": "where?", "template": "a"}
    names = ["nlq_test_unannotated.json", "nlq_train.json"]
    written(tmp_path, dict.fromkeys(names, ego4d(withheld)))
    (sample,) = read("ego4d-nlq-v1", tmp_path, "test").samples
    assert sample.spans == ()
    assert not read("ego4d-nlq-v1", tmp_path, "train").samples


def test_a_video_without_a_duration_is_skipped(tmp_path: Path) -> None:
    files = {"charades_sta_test.txt": "A 0 1##one\n", "Charades_v1_test.csv": CSV}
    data = read("charades-sta", written(tmp_path, files), "test")
    assert data.reasons() == {"not a number": 1}


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        (
            "charades-sta",
            {"charades_sta_test.txt": "A 0 1 no marks"},
            "line 1: a line that",
        ),
        ("tacos", {"test.json": "[]"}, "not laid out as TACoS"),
        ("tacos", {"test.json": '{"a": {"sentences": []}}'}, "'timestamps'"),
        ("tacos", {"test.json": "{}"}, "no queries"),
        ("activitynet-captions", {"val_2.json": "{"}, "not JSON"),
        ("qvhighlights", {"highlight_test_release.jsonl": 'nope\n{"qid": 1}'}, "line 1"),
        ("ego4d-nlq-v1", {"nlq_test_unannotated.json": "{}"}, "'videos'"),
    ],
)
def test_malformed_files_are_named(
    tmp_path: Path, name: str, files: dict[str, str], message: str
) -> None:
    written(tmp_path, {"Charades_v1_test.csv": CSV, **files})
    with pytest.raises(DataError, match=message) as caught:
        read(name, tmp_path, "test")
    assert next(iter(files)) in str(caught.value)


def test_missing_files_and_unknown_names_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nlq_val\.json is not in .*v1/annotations.*ego4d-data"):
        read("ego4d-nlq-v1", tmp_path, "val")
    with pytest.raises(DataError, match=r"gone is no folder; .*ego4d-data"):
        read("ego4d-nlq-v1", tmp_path / "gone", "val")
    with pytest.raises(OptionError, match="valid: train, test"):
        read("charades-sta", tmp_path, "val")
    with pytest.raises(OptionError, match="unknown data set 'ego4d'; valid: ego4d-nlq-v1"):
        read("ego4d", tmp_path, "val")


def sample(**changes: Any) -> Sample:
    values = {
        "video": "clip",
        "duration_s": 4.0,
        "query": "where?",
        "spans": (Span(1, 2),),
        "annotation": "ann",
        "index": 0,
        "split": "train",
    }
    return Sample(**values | changes)


@pytest.mark.parametrize(
    "wrong",
    [{"query": ""}, {"duration_s": 0.0}, {"spans": (Span(3, 5),)}, {"spans": (Span(1, 1),)}],
)
def test_samples_are_validated_on_creation(wrong: dict[str, Any]) -> None:
    with pytest.raises(SampleError, match="query 0 of ann, video clip"):
        sample(**wrong)


ROWS = np.arange(12, dtype=np.float32).reshape(6, 2)


def write_features(folder: Path, kind: str, name: str = "clip", rows: Any = ROWS) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.{kind}"
    if kind == "npy":
        np.save(path, rows)
    elif kind == "npz":
        np.savez(path, features=rows, other=rows[:1])
    elif kind == "pt":
        import torch

        torch.save(torch.from_numpy(rows), path)
    else:
        from safetensors.numpy import save_file

        save_file({"x": rows}, path)


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "safetensors"])
def test_features_are_read_from_a_file_for_each_video(tmp_path: Path, kind: str) -> None:
    write_features(tmp_path / "features", kind)
    features = Features(tmp_path / "features", dimension=2)
    found = features.of(sample())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, ROWS)
    with pytest.raises(DataError, match=r"no features of other \(\.npy"):
        features.of(sample(video="other"))


@pytest.mark.parametrize("key", ["clip", "clip.avi", "clip/c3d_features"])
def test_features_are_read_from_one_hdf5_file(tmp_path: Path, key: str) -> None:
    import h5py

    with h5py.File(tmp_path / "all.hdf5", "w") as file:
        file[key] = ROWS.astype(np.float16)
    features = Features(tmp_path / "all.hdf5")
    np.testing.assert_array_equal(features.of(sample()), ROWS)
    with pytest.raises(DataError, match="no features of other"):
        features.of(sample(video="other"))
    (tmp_path / "all.hdf5").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"all\.hdf5 cannot be read"):
        features.of(sample())


def test_a_clip_takes_its_part_of_the_features_of_its_video(tmp_path: Path) -> None:
    write_features(tmp_path, "npy", "whole")
    clip = sample(part_of=SplitPart("whole", Span(1.0, 2.5)))
    features = Features(tmp_path, rate_hz=2.0)
    np.testing.assert_array_equal(features.of(clip), ROWS[2:5])
    with pytest.raises(DataError, match="end before clip begins"):
        features.of(sample(part_of=SplitPart("whole", Span(3.0, 4.0))))
    with pytest.raises(DataError, match="no features of clip"):
        Features(tmp_path).of(clip)
    write_features(tmp_path, "npy", "clip", ROWS[:1])
    assert len(features.of(clip)) == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((3, 2), np.nan, np.float32), "row 0 of the features is not finite"),
        (np.ones((3, 4), np.float32), "have 4 dimensions, not 2"),
        (np.ones(3, np.float32), r"expected features as numbers \[n, d\], got float32 \[3\]"),
        (np.ones((0, 2), np.float32), "expected features"),
    ],
)
def test_wrong_features_are_named(tmp_path: Path, rows: Any, message: str) -> None:
    write_features(tmp_path, "npy", rows=rows)
    with pytest.raises(DataError, match=message) as caught:
        Features(tmp_path, dimension=2).of(sample())
    assert "clip.npy" in str(caught.value)


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "safetensors"])
def test_damaged_feature_files_are_named(tmp_path: Path, kind: str) -> None:
    write_features(tmp_path, kind)
    path = tmp_path / f"clip.{kind}"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match="cannot be read as features"):
        Features(tmp_path).of(sample())


class Evil:
    """Something that must not be unpickled."""

    def __reduce__(self) -> Any:
        return (shutil.rmtree, ("/nonexistent-seal",))


@pytest.mark.parametrize("kind", ["npy", "pt"])
def test_nothing_is_unpickled(tmp_path: Path, kind: str) -> None:
    import torch

    if kind == "npy":
        np.save(tmp_path / "clip.npy", np.array([Evil()], object), allow_pickle=True)
    else:
        torch.save(Evil(), tmp_path / "clip.pt")
    with pytest.raises(DataError, match="cannot be read as features"):
        Features(tmp_path).of(sample())


def checked(name: str, folder: Path) -> tuple[int, dict[str, Any]]:
    run = CliRunner().invoke(main, ["data", "check", name, str(folder), "--json"])
    return run.exit_code, json.loads(run.stdout)


@pytest.fixture
def charades(tmp_path: Path) -> Path:
    """A complete data set of two videos."""
    csv = CSV + "A,x,y,6,d,a,4\nB,x,y,6,d,a,4\n"
    written(
        tmp_path,
        {
            "charades_sta_train.txt": "A 0 1##one\nA 3 2##backwards\n",
            "charades_sta_test.txt": "B 0 5##two\n",
            "Charades_v1_train.csv": csv,
            "Charades_v1_test.csv": csv,
        },
    )
    (tmp_path / "videos").mkdir()
    for seed, name in enumerate("AB"):
        write_film(tmp_path / "videos" / f"{name}.mp4", seed=seed, duration_s=4.0)
        write_features(tmp_path / "features", "npy", name)
    return tmp_path


def test_a_complete_data_set_passes(charades: Path) -> None:
    code, report = checked("charades-sta", charades)
    assert code == 0
    assert report["complete"]
    assert report["problems"] == []
    assert report["found"] == {"annotations": 2, "queries": 2, "videos": 2, "features": 2}
    assert report["skipped"] == {"a span that ends before it starts": 1}
    assert report["corrected"] == {"a span that ends after the video, cut off": 1}
    assert [message[:12] for message in report["left_out"]] == ["query 1 of A", "query 0 of B"]
    text = CliRunner().invoke(main, ["data", "check", "charades-sta", str(charades)]).stdout
    assert "corrected: 1 annotations with a span that ends after the video" in text


def test_what_is_missing_or_damaged_is_told_with_where_to_get_it(charades: Path) -> None:
    video = charades / "videos" / "A.mp4"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    (charades / "videos" / "B.mp4").unlink()
    write_features(charades / "features", "npy", "A", ROWS * np.nan)
    (charades / "features" / "B.npy").unlink()
    (charades / "Charades_v1_test.csv").unlink()
    code, report = checked("charades-sta", charades)
    assert code == 1
    assert not report["complete"]
    kinds = [(problem["kind"], problem["item"]) for problem in report["problems"]]
    assert kinds == [("annotations", "test"), ("features", "A"), ("videos", str(video))]
    assert "allenai" in report["page"]
    text = CliRunner().invoke(main, ["data", "check", "charades-sta", str(charades)]).stdout
    assert "Charades_v1_test.csv" in text
    assert "get what is missing from" in text


def test_videos_that_are_too_short_or_not_there(charades: Path) -> None:
    csv = CSV + "A,x,y,6,d,a,40\nB,x,y,6,d,a,4\n"
    written(charades, {"Charades_v1_train.csv": csv})
    _, report = checked("charades-sta", charades)
    (problem,) = report["problems"]
    assert problem["fault"] == "is 4.0 s long, and annotated as 40.0 s"
    shutil.rmtree(charades / "videos")
    assert checked("charades-sta", charades)[0] == 0, "features are enough"
    shutil.rmtree(charades / "features")
    _, report = checked("charades-sta", charades)
    (problem,) = report["problems"]
    assert problem["fault"].startswith("none of 2 is there")


def test_features_of_several_kinds_are_all_looked_at(charades: Path) -> None:
    (charades / "features").rename(charades / "c3d")
    (charades / "features").mkdir()
    (charades / "c3d").rename(charades / "features" / "c3d")
    shutil.copytree(charades / "features" / "c3d", charades / "features" / "clip")
    (charades / "features" / "clip" / "B.npy").unlink()
    _, report = checked("charades-sta", charades)
    assert report["found"]["features"] == 3
    (problem,) = report["problems"]
    assert str(charades / "features" / "clip") in problem["fault"]


def test_a_file_that_ends_early_is_damaged(tmp_path: Path) -> None:
    """Matroska opens without its end."""
    write_film(tmp_path / "whole.mp4", seed=1, duration_s=6.0)
    with av.open(tmp_path / "whole.mp4") as source, av.open(tmp_path / "a.mkv", "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    whole = (tmp_path / "a.mkv").read_bytes()
    assert video_fault(tmp_path / "a.mkv", 6.0) is None
    (tmp_path / "a.mkv").write_bytes(whole[: len(whole) // 2])
    assert "damaged at" in str(video_fault(tmp_path / "a.mkv", 6.0))


def test_features_of_another_dimension_than_most_are_told(charades: Path) -> None:
    written(charades, {"charades_sta_test.txt": "B 0 1##two\nC 0 1##three\n"})
    csv = CSV + "B,x,y,6,d,a,4\nC,x,y,6,d,a,4\n"
    written(charades, {"Charades_v1_test.csv": csv})
    shutil.rmtree(charades / "videos")
    write_features(charades / "features", "npy", "C", ROWS.reshape(3, 4))
    _, report = checked("charades-sta", charades)
    (problem,) = report["problems"]
    assert (problem["item"], problem["fault"]) == ("C", "4 dimensions, where most have 2")


def test_an_empty_folder_fails_for_every_data_set(tmp_path: Path) -> None:
    for name in NAMES:
        code, report = checked(name, tmp_path)
        assert code == 1
        assert report["problems"]
        assert report["page"]
    run = CliRunner().invoke(main, ["data", "check", NAMES[0], str(tmp_path / "no")])
    assert run.exit_code == 1
    assert "is no folder" in run.stderr
    listed = CliRunner().invoke(main, ["data", "list", "--json"])
    assert json.loads(listed.stdout) == NAMES
