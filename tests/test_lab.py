"""The plan of a benchmark: what is there, what is missing, and time and disk of each step."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from filmed import filmed
from seal.cli import main
from seal.files import size_bytes
from seal.store import Store

MINUTES = 60.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filmed(tmp_path_factory.mktemp("lab"), 6.0, "scenes.interval_s=0.5")


@pytest.fixture
def data(tmp_path: Path, store: Store) -> Path:
    """LVBench of three videos: one is indexed, one is a file of the same film, one is missing."""
    film = Path(store.videos()[0].path)
    folder = tmp_path / "lvbench"
    (folder / "videos").mkdir(parents=True)
    for name in ("film", "other"):
        shutil.copy(film, folder / "videos" / f"{name}.mp4")
    lines = []
    for number, key in enumerate(("film", "other", "gone")):
        qa = [
            {"uid": f"{number}-{i}", "question": "Q?\n(A) x\n(B) y", "answer": "A"}
            | {"question_type": ["reasoning"]}
            for i in range(number + 1)
        ]
        info = {"duration_minutes": MINUTES} if key == "gone" else {}
        lines.append(json.dumps({"key": key, "video_info": info, "qa": qa}))
    (folder / "video_info.meta.jsonl").write_text("\n".join(lines))
    return folder


def planned(data: Path, *more: str, benchmark: str = "lvbench") -> dict[str, Any]:
    command = ["eval", benchmark, "--data", str(data), "--dry-run", "--json", *more]
    command += ["--run", str(data.parent / "run.jsonl")]
    run = CliRunner().invoke(main, command)
    assert run.exit_code == 0, run.stderr
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def test_a_plan_measures_what_is_indexed(data: Path, store: Store) -> None:
    result = planned(data, "--store", str(store.path), "--gpus", "4", "--request-s", "3")
    assert result["videos"] == {"wanted": 3, "found": 2, "indexed": 1, "missing": ["gone"]}
    gone_h = (MINUTES - 0.5) / 60
    film_h = store.videos()[0].duration_s / 3600
    assert result["hours_of_video"] == pytest.approx(gone_h + 2 * film_h, rel=0.01)
    download, index, evaluate = result["steps"]
    assert [step["step"] for step in result["steps"]] == ["download", "index", "evaluate"]
    size_gb = (data / "videos" / "film.mp4").stat().st_size / 1e9
    assert download["videos"] == 1
    assert download["disk_gb"] == pytest.approx(gone_h * size_gb / film_h, rel=0.01)
    record = store.videos()[0]
    rate = record.duration_s / record.seconds
    assert result["measured"]["realtime_factor"] == pytest.approx(rate)
    assert index["videos"] == 2
    assert index["time_h"] == pytest.approx((gone_h + film_h) / rate / 4, rel=0.01)
    tokens = sum(store.count(record.id).values())
    assert index["tokens"] == pytest.approx((gone_h + film_h) * tokens / film_h, rel=0.01)
    disk_gb = (gone_h + film_h) * size_bytes(Path(store.path)) / 1e9 / film_h
    assert index["disk_gb"] == pytest.approx(disk_gb, rel=0.01)
    assert evaluate["questions"] == 6
    assert (evaluate["requests"], evaluate["pictures"]) == (12, 12 * 16)
    assert evaluate["time_h"] == pytest.approx(12 * 3 / 3600)
    assert evaluate["prompt_tokens"] is None
    assert result["advice"] == []


def test_a_plan_takes_what_is_stated_and_guesses_nothing(data: Path, tmp_path: Path) -> None:
    nothing = planned(data, "--store", str(tmp_path / "none"))
    download, index, evaluate = nothing["steps"]
    assert index["time_h"] is index["disk_gb"] is index["tokens"] is evaluate["time_h"] is None
    assert download["disk_gb"] > 0, "the files that are there say how large the others are"
    assert [advice.split(":")[0].split(",")[0] for advice in nothing["advice"]] == [
        "run seal index on one video to measure its speed",
        "run seal index on one video to measure tokens and disk",
        "state --request-s",
    ]
    assert not (tmp_path / "none").exists(), "a dry run writes nothing"
    stated = planned(
        data,
        *("--store", str(tmp_path / "none"), "--throughput", "8", "--gpus", "2"),
        *("--methods", "seal,uniform,aks", "--answerer", "openai:m", "--set", "answer.together=6"),
        *("--set", "attention.budget=32", "--request-s", "5", "--picture-tokens", "256"),
    )
    _, index, evaluate = stated["steps"]
    assert index["time_h"] == pytest.approx(stated["hours_of_video"] / 16)
    assert evaluate["requests"] == 6 * 3
    assert evaluate["prompt_tokens"] == 6 * 3 * 32 * 256
    assert evaluate["time_h"] == pytest.approx(6 * 3 * 5 / 6 / 3600)
    ablation = planned(data, "--kinds", "scene|all", "--alpha", "0:1:0.5")
    assert ablation["steps"][2]["requests"] == 6 * 6


def test_what_is_answered_is_not_asked_again(data: Path) -> None:
    lines = [{"manifest": {}}, {"video": "film", "ran": {}}]
    lines += [{"method": "seal", "id": name, "output": "A"} for name in ("0-0", "1-0", "unknown")]
    lines += [{"method": "bolt", "id": "0-0", "output": "A"}, lines[-2]]
    run = data.parent / "run.jsonl"
    run.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = run.read_text()
    assert planned(data)["steps"][2]["requests"] == 6 * 2 - 2
    assert run.read_text() == before


def test_a_plan_names_bad_entries_and_is_printed(data: Path, store: Store) -> None:
    path = data / "video_info.meta.jsonl"
    path.write_text(path.read_text() + "\n[]")
    command = ["eval", "lvbench", "--data", str(data), "--dry-run", "--store", str(store.path)]
    run = CliRunner().invoke(main, command)
    assert "3 videos, 1.0 hours: 2 found, 1 indexed, 1 missing, 0 too short" in run.stdout
    lines = {line.partition(":")[0]: line for line in run.stdout.splitlines()}
    assert "disk gb" in lines["index"]
    assert "time h not known" in lines["evaluate"]
    assert "missing: gone" in run.stderr
    assert "entry 4" in run.stderr
    assert "state --request-s" in run.stderr


def test_a_plan_names_the_videos_that_are_shorter_than_annotated(data: Path, store: Store) -> None:
    file = data / "video_info.meta.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line["video_info"] = {"duration_minutes": MINUTES}
    file.write_text("\n".join(map(json.dumps, lines)))
    short = planned(data, "--store", str(store.path))["short"]
    assert short.keys() == {"film", "other"}
    assert short["film"].endswith(f"and annotated as {(MINUTES - 0.5) * 60:.1f} s")
    command = ["eval", "lvbench", "--data", str(data), "--dry-run", "--store", str(store.path)]
    run = CliRunner().invoke(main, command)
    assert "1 missing, 2 too short" in run.stdout
    assert "too short: film is 6.0 s long" in run.stderr


def test_a_plan_for_moviechat_needs_no_judge(tmp_path: Path, store: Store) -> None:
    film = {
        "info": {"video_path": "film.mp4", "num_frame": 150, "fps": 25},
        "global": [{"question": "What is it?", "answer": "a ball"}],
        "breakpoint": [],
    }
    folder = tmp_path / "moviechat"
    folder.mkdir()
    (folder / "film.json").write_text(json.dumps(film))
    result = planned(folder, "--store", str(store.path), benchmark="moviechat")
    assert result["videos"]["indexed"] == 1
    assert result["steps"][1]["time_h"] == 0
    run = CliRunner().invoke(main, ["eval", "moviechat", "--data", str(folder)])
    assert (run.exit_code, "give --judge" in run.stderr) == (2, True)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--gpus", "2"], "--gpus has no effect without --dry-run"),
        (["--dry-run", "--outputs", "x"], "leave out --outputs"),
        (["--dry-run", "--gpus", "0"], "--gpus must be above 0"),
        (["--dry-run", "--throughput", "nan"], "--throughput must be above 0 and finite, got nan"),
        (["--dry-run", "--methods", "clip"], "unknown method 'clip'"),
    ],
)
def test_wrong_options_of_a_plan_are_refused(data: Path, more: list[str], message: str) -> None:
    run = CliRunner().invoke(main, ["eval", "lvbench", "--data", str(data), *more])
    assert run.exit_code in (1, 2)
    assert message in run.stderr
