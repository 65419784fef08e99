"""`seal eval nouns`: its figures, its files, and a run on clips that were made here."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from seal.cli import main
from seal.cli.evaluate.common import print_line
from seal.config import Options
from seal.errors import DataError
from seal.evaluate.nouns import auc, average_precision, figures, read_nouns
from synthetic import write_video

rows = st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 4)), max_size=12)


@given(rows)
def test_average_precision_is_the_mean_precision_at_each_hit(pairs: list[tuple[int, int]]) -> None:
    labels, scores = np.array([p[0] for p in pairs], int), np.array([p[1] for p in pairs], float)
    ranked = sorted((p for p in pairs if p[0] >= 0), key=lambda p: (-p[1], p[0]))
    at = [i for i, (label, _) in enumerate(ranked) if label == 1]
    precisions = [sum(label for label, _ in ranked[: i + 1]) / (i + 1) for i in at]
    expected = sum(precisions) / len(at) if at else 0.0
    assert average_precision(labels, scores) == pytest.approx(expected)


@given(rows)
def test_auc_is_the_share_of_pairs_in_order(pairs: list[tuple[int, int]]) -> None:
    labels, scores = np.array([p[0] for p in pairs], int), np.array([p[1] for p in pairs], float)
    shown, other = ([s for label, s in pairs if label == wanted] for wanted in (1, 0))
    worth = [(a > b) + (a == b) / 2 for a, b in itertools.product(shown, other)]
    if worth:
        assert auc(labels, scores) == pytest.approx(sum(worth) / len(worth))
    else:
        assert np.isnan(auc(labels, scores))


def test_verdicts_are_counted_over_all_pairs_that_are_clear() -> None:
    labels = np.array([[1, 0, -1], [0, 0, 1], [1, 1, 0]])
    scores = np.array([[0.9, 0.8, 0.9], [0.1, 0.2, 0.3], [0.7, 0.1, 0.1]])
    found = figures("abc", labels, scores, Options.load(settings=["find.unsure_probability=0.25"]))
    assert found["likely_precision"]["mean"] == pytest.approx(2 / 3)
    assert found["likely_recall"]["mean"] == pytest.approx(2 / 4)
    assert found["unlikely_right"]["mean"] == pytest.approx(3 / 4)
    assert found["unlikely_share"]["mean"] == pytest.approx(3 / 4)
    assert found["mean_average_precision"]["low"] <= found["mean_average_precision"]["mean"]
    assert "likely_recall" not in figures("abc", labels, scores, None)


def write_nouns(folder: Path) -> Path:
    for name in ("a", "b"):
        write_video(folder / f"{name}.mp4", range(0, 2000, 40), size=(160, 120))
    clips = {
        name: {"file": f"{name}.mp4", "labels": labels}
        for name, labels in (("a", [1, 0]), ("b", [0, -1]))
    }
    (folder / "nouns.json").write_text(json.dumps({"queries": ["a dog", "snow"], "clips": clips}))
    return folder


def test_a_run_over_two_clips(tmp_path: Path) -> None:
    folder = write_nouns(tmp_path)
    film = write_video(tmp_path / "film.mp4", range(0, 4000, 40), size=(160, 120))
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"one": ["a.mp4"], "both": ["a.mp4", "b.mp4"]}))
    command = ["eval", "nouns", "--data", str(folder), "--store", str(tmp_path / "store")]
    command += ["--split", str(split), "--jobs", "1", "--json"]
    run = CliRunner().invoke(main, [*command, "--half", "both", "--film", str(film)])
    assert run.exit_code == 0, run.output
    result = json.loads(run.stdout)
    assert result["clips"] == 2
    row = result["methods"]["seal"]
    assert {"mean_average_precision", "auc", "likely_recall", "average_precision"} <= row.keys()
    assert row["average_precision"].keys() == {"a dog"}
    assert result["spliced"].keys() == {"in 240 s", "in 660 s"}
    table = CliRunner().invoke(main, [*command[:-1], "--half", "one"]).stdout
    (heading,) = (line for line in table.splitlines() if "AUC" in line)
    assert re.split(" {2,}", heading.strip())[-2:] == ["unlikely: right", "unlikely: recall"]
    alone = json.loads(CliRunner().invoke(main, [*command, "--half", "one"]).stdout)
    assert alone["clips"] == 1
    wrong = CliRunner().invoke(main, [*command, "--half", "none"])
    assert wrong.exit_code == 1
    assert "has no 'none'" in wrong.stderr


def test_headings_stay_apart_however_long_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("", ["a" * 30, "b" * 40])
    assert capsys.readouterr().out.split() == ["a" * 30, "b" * 40]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"queries": ["a dog"]}, "do not fit together"),
        ({"clips": {}}, "do not fit together"),
        ({"clips": {"a": {"file": "a.mp4", "labels": [2, 0]}}}, "do not fit together"),
        ({"clips": {"a": {"labels": [1, 0]}}}, "'file'"),
        ({"clips": [1]}, "no list of labelled clips"),
        ({"clips": {"c": {"file": "c.mp4", "labels": [1, 0]}}}, "c.mp4 is not there"),
    ],
)
def test_a_wrong_list_is_told(tmp_path: Path, change: dict, says: str) -> None:
    path = write_nouns(tmp_path) / "nouns.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=says):
        read_nouns(tmp_path)


def test_the_real_list(shared_data: Path) -> None:
    nouns = read_nouns(shared_data)
    assert (len(nouns.queries), len(nouns.clips)) == (45, 70)
    split = json.loads((Path(__file__).parents[1] / "benchmarks" / "split.json").read_text())
    halves = [read_nouns(shared_data, split[half]).clips for half in ("choose", "report")]
    assert sorted([*halves[0], *halves[1]]) == sorted(nouns.clips)
