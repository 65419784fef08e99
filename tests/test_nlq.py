"""Ego4D-NLQ: the official figures to the letter, what they leave out, and malformed files."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from filmed import filmed, write_film
from seal import encoders
from seal.cli import main
from seal.errors import DataError, NotIndexedError
from seal.evaluate import nlq
from seal.evaluate.ego4d import (
    Key,
    Prediction,
    read_annotations,
    read_predictions,
    write_submission,
)
from seal.evaluate.localisation import Rules
from seal.scope import Scope
from seal.types import Moment, Span

OFFICIAL = ["ego4d_nlq", "ego4d_nlq_zero_length"]


def entry(start_s: float | None, end_s: float | None, text: str | None = "where?") -> Any:
    times = {} if start_s is None else {"clip_start_sec": start_s, "clip_end_sec": end_s}
    return {"query": text, "template": "Objects: Where is object X?", **times}


def annotations(*clips: Sequence[Any]) -> dict[str, Any]:
    """Each clip with one annotation, of these queries."""
    return {
        "version": "1",
        "videos": [
            {
                "video_uid": f"v{i}",
                "clips": [
                    {
                        "clip_uid": f"c{i}",
                        "annotations": [{"annotation_uid": f"a{i}", "language_queries": queries}],
                    }
                ],
            }
            for i, queries in enumerate(clips)
        ],
    }


def submission(*results: tuple[int, int, list[list[float]]]) -> dict[str, Any]:
    return {
        "version": "1.0",
        "challenge": "ego4d_nlq_challenge",
        "results": [
            {
                "clip_uid": f"c{i}",
                "annotation_uid": f"a{i}",
                "query_idx": index,
                "predicted_times": times,
            }
            for i, index, times in results
        ],
    }


def written(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def figures(folder: Path, truth: Any, predicted: Any, rules: Rules | None = None) -> dict[str, Any]:
    queries = read_annotations(written(folder / "annotations.json", truth)).queries
    predictions = read_predictions(written(folder / "predictions.json", predicted))
    return nlq.evaluate(queries, {"it": predictions}, rules or Rules())["it"]


def same(a: Any, b: Any) -> bool:
    return math.isclose(float(a), float(b), abs_tol=1e-9) or (
        math.isnan(float(a)) and math.isnan(float(b))
    )


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_figures_are_reproduced(shared_data: Path, name: str) -> None:
    folder = shared_data / "official" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    expected = json.loads((folder / "official.json").read_text())
    files = [str(folder / "ground_truth.json"), str(folder / "predictions.json")]
    command = ["eval", "nlq", "--annotations", files[0], "--predictions", files[1], "--json"]
    result = json.loads(CliRunner().invoke(main, command, catch_exceptions=False).stdout)
    found = result["methods"][files[1]]["official"]
    assert found.keys() == expected.keys()
    assert found["recall"].keys() == expected["recall"].keys()
    assert all(same(found["recall"][key], value) for key, value in expected["recall"].items())
    assert same(found["mIoU"], expected["mIoU"])
    assert (found["evaluated"], found["queries"]) == (expected["evaluated"], expected["queries"])


def test_missing_predictions_are_misses_but_not_officially(tmp_path: Path) -> None:
    truth = annotations([entry(0, 10), entry(5, 6)], [entry(1, 2)])
    result = figures(tmp_path, truth, submission((0, 0, [[0, 9]]), (1, 0, [])))
    assert result["missing"] == 2
    assert result["recall"]["R@1 IoU=0.5"]["mean"] == pytest.approx(1 / 3)
    assert result["mean_iou"]["mean"] == pytest.approx(0.3)
    official = result["official"]
    assert (official["evaluated"], official["queries"]) == (1, 3)
    assert official["recall"]["R@1 IoU=0.5"] == 1
    assert official["mIoU"] == pytest.approx(0.9)


def test_only_the_official_mean_is_not_a_number(tmp_path: Path) -> None:
    truth = annotations([entry(4, 4), entry(0, 1)])
    predicted = submission((0, 0, [[4, 4]]), (0, 1, [[0, 1]]))
    result = figures(tmp_path, truth, predicted)
    assert result["official"]["mIoU"] == "nan"
    assert result["mean_iou"]["mean"] == 0.5


def test_inclusive_rules_do_not_change_the_official_figures(tmp_path: Path) -> None:
    predicted = submission((0, 0, [[0, 5]]))
    rules = Rules((1,), (0.5,), inclusive=True)
    result = figures(tmp_path, annotations([entry(0, 10)]), predicted, rules)
    assert result["recall"]["R@1 IoU=0.5"]["mean"] == 1
    assert result["official"]["recall"]["R@1 IoU=0.5"] == 0


def test_repeated_predictions_count_again_officially_and_once_here(tmp_path: Path) -> None:
    predicted = submission((0, 0, [[0, 10]]), (0, 0, [[20, 30]]))
    result = figures(tmp_path, annotations([entry(0, 10)]), predicted)
    assert result["repeated"] == 1
    assert result["recall"]["R@1 IoU=0.5"]["mean"] == 1
    assert result["official"]["recall"]["R@1 IoU=0.5"] == 0.5
    assert result["official"]["evaluated"] == 2


def test_queries_without_text_or_times_do_not_count_and_are_reported(tmp_path: Path) -> None:
    truth = annotations([entry(0, 10), entry(0, 1, None), entry(0, 1, " "), entry(None, None)])
    result = figures(tmp_path, truth, submission((0, 0, [[0, 10]])))
    assert result["missing"] == 0
    assert result["official"]["queries"] == 4
    described = nlq.describe(read_annotations(tmp_path / "annotations.json"))
    assert described["not_counted"] == {"no text": 2, "no times": 1}


def test_a_third_column_is_no_part_of_the_span(tmp_path: Path) -> None:
    predicted = submission((0, 0, [[0, 10, 0.7], [3, 4, 0.2]]))
    result = figures(tmp_path, annotations([entry(0, 10)]), predicted)
    assert result["official"]["mIoU"] == 1


def test_methods_are_compared_query_by_query(tmp_path: Path) -> None:
    truth = annotations(*[[entry(0, 10)]] * 30)
    written(tmp_path / "annotations.json", truth)
    # The second hits where the first does, but for three clips of thirty.
    hits = {"first": set(range(15)), "second": set(range(12))}
    files = []
    for name, hit in hits.items():
        results = [(i, 0, [[0, 10] if i in hit else [10, 20]]) for i in range(30)]
        files.append(str(written(tmp_path / f"{name}.json", submission(*results))))
    command = ["eval", "nlq", "--annotations", str(tmp_path / "annotations.json")]
    command += ["--predictions", files[0], "--predictions", files[1]]
    methods = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)["methods"]
    assert "first_ahead" not in methods[files[0]]
    ahead = methods[files[1]]["first_ahead"]
    assert ahead["mean_iou"]["mean"] == pytest.approx(0.1)
    recall = ahead["recall"]["R@1 IoU=0.5"]
    assert recall["mean"] == pytest.approx(0.1)
    assert 0 <= recall["low"] < 0.1 < recall["high"] < 0.25, "tighter than of each alone"
    assert "the first is ahead by" in CliRunner().invoke(main, command).stdout


def test_intervals_are_over_clips(tmp_path: Path) -> None:
    """Many queries about one clip are not many clips: nothing is known of the next one."""
    truth = annotations([entry(0, 10)] * 50, [entry(0, 10)] * 50)
    predicted = submission(*[(0, i, [[0, 10]]) for i in range(50)])
    estimate = figures(tmp_path, truth, predicted)["recall"]["R@1 IoU=0.5"]
    assert (estimate["low"], estimate["mean"], estimate["high"]) == (0, 0.5, 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "not JSON"),
        ({}, "videos"),
        ([], "annotations of Ego4D"),
        ({"videos": []}, "no queries"),
        ({"videos": [{"video_uid": "v", "clips": [{"clip_uid": "c"}]}]}, "'annotations'"),
        (annotations([entry(0, "ten")]), r"query 0 of a0, video c0: times that are .*\(0, 'ten'\)"),  # type: ignore[arg-type]
        (annotations([None]), "query 0 of a0, video c0: an entry that is not laid out"),
    ],
)
def test_malformed_annotations_are_named(tmp_path: Path, value: Any, message: str) -> None:
    path = written(tmp_path / "nlq_val.json", value)
    with pytest.raises(DataError, match=message) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)


def test_malformed_queries_are_left_out_counted_and_named(tmp_path: Path) -> None:
    truth = annotations([entry(0, 10), entry(0, "ten"), None], [entry(0, 10)])  # type: ignore[arg-type]
    truth["videos"].append({"video_uid": "v2"})
    truth["videos"].append({"video_uid": "v3", "clips": [{"clip_uid": ["c"], "annotations": []}]})
    truth["videos"][3]["clips"][0]["annotations"] = truth["videos"][1]["clips"][0]["annotations"]
    path = written(tmp_path / "annotations.json", truth)
    found = read_annotations(path)
    assert [query.key for query in found.queries] == [Key("c0", "a0", 0), Key("c1", "a1", 0)]
    predictions = written(tmp_path / "it.json", submission((0, 0, [[0, 10]])))
    command = ["eval", "nlq", "--annotations", str(path), "--predictions", str(predictions)]
    run = CliRunner().invoke(main, [*command, "--json"], catch_exceptions=False)
    result = json.loads(run.stdout)
    reasons = {
        "times that are not numbers": 1,
        "an entry that is not laid out as published": 1,
        "an entry without 'clips'": 1,
        "no name of a clip or an annotation": 1,
    }
    assert result["not_counted"] == result["left_out"]["reasons"] == reasons
    assert (result["queries"], result["left_out"]["count"]) == (6, 4)
    assert result["methods"][str(predictions)]["recall"]["R@1 IoU=0.5"]["mean"] == 0.5
    assert f"left out: {path}: query 1 of a0, video c0: times that are not numbers" in run.stderr
    assert "6 queries of 2 clips, 2 of them counted" in CliRunner().invoke(main, command).stdout


def test_what_was_corrected_is_said(tmp_path: Path) -> None:
    (tmp_path / "charades_sta_test.txt").write_text("film 1.0 50.0##a red ball\n")
    (tmp_path / "Charades_v1_test.csv").write_text("id,length\nfilm,20.0\n")
    key = {"clip_uid": "film", "annotation_uid": "film", "query_idx": 0}
    answers = submission() | {"results": [{**key, "predicted_times": [[1, 20]]}]}
    predictions = written(tmp_path / "it.json", answers)
    command = ["eval", "nlq", "--dataset", "charades-sta", "--data", str(tmp_path)]
    command += ["--split", "test", "--predictions", str(predictions)]
    run = CliRunner().invoke(main, [*command, "--json"], catch_exceptions=False)
    (reason,) = json.loads(run.stdout)["corrected"]
    assert f"corrected: 1 times, {reason}" in CliRunner().invoke(main, command).stdout


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "no list of results"),
        (submission() | {"version": "2.0"}, "expected the version '1.0', got '2.0'"),
        (submission() | {"challenge": None}, "challenge"),
        (submission() | {"results": [{"clip_uid": "c"}]}, "result 1: expected.*annotation_uid"),
        (submission((0, 0, [[1, 2]]), (0, 1, [3, 4])), "result 2"),  # type: ignore[list-item]
        (submission((0, 0, [["a", "b"]])), "result 1"),  # type: ignore[list-item]
    ],
)
def test_malformed_predictions_are_named(tmp_path: Path, value: Any, message: str) -> None:
    path = written(tmp_path / "predictions.json", value)
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(path)
    assert str(path) in str(caught.value)


def test_predictions_of_other_queries_are_an_error(tmp_path: Path) -> None:
    truth = annotations([entry(0, 10), entry(None, None)])
    with pytest.raises(DataError, match="no query 2 of annotation a0, clip c0"):
        figures(tmp_path, truth, submission((0, 2, [[0, 1]])))
    with pytest.raises(DataError, match=r"query 1 of annotation a0.*server"):
        figures(tmp_path, truth, submission((0, 1, [[0, 1]])))
    with pytest.raises(DataError, match="no query of the annotations"):
        figures(tmp_path, annotations([entry(None, None)]), submission())


def test_a_submission_is_read_as_it_was_written(tmp_path: Path) -> None:
    predictions = [
        Prediction(Key("c0", "a0", 0), np.array([[0.1, 2.5], [3.0, 4.0]])),
        Prediction(Key("c0", "a0", 1), np.empty((0, 2))),
    ]
    write_submission(tmp_path / "out.json", predictions)
    (read,) = read_predictions(tmp_path / "out.json")
    assert read.key == predictions[0].key
    np.testing.assert_array_equal(read.times_s, predictions[0].times_s)
    with pytest.raises(DataError, match="cannot be written"):
        write_submission(tmp_path / "no" / "out.json", predictions)


def test_a_localiser_is_asked_what_can_be_asked(tmp_path: Path) -> None:
    truth = annotations([entry(0, 10), entry(1, 2, None)], [entry(3, 4)])
    queries = read_annotations(written(tmp_path / "annotations.json", truth)).queries

    def localiser(video: str, asked: str) -> list[Moment]:
        if video == "c1":
            raise NotIndexedError(video)
        assert asked == "where?"
        return [Moment(Span(0, 10), 1.0)]

    predictions = nlq.localise(queries, localiser)
    assert [prediction.key for prediction in predictions] == [Key("c0", "a0", 0)]
    result = nlq.evaluate(queries, {"it": predictions}, Rules())["it"]
    assert result["missing"] == 1
    with pytest.raises(DataError, match="none of the 1 clips is indexed, such as c1"):
        nlq.localise(queries[2:], localiser)


def test_the_encoder_is_loaded_once_for_all_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(["c0", "c1"]):
        store = filmed(tmp_path, 3.0, name=name, seed=seed)
    loaded = []
    load = encoders._load_encoder
    monkeypatch.setattr(encoders, "_load_encoder", lambda record: loaded.append(1) or load(record))
    localiser = nlq.IndexedLocaliser(store)
    moments = [localiser(name, "a red circle") for name in ("c0", "c1", "c1")]
    assert moments[1] == moments[2]
    indexed = Scope.of(store, str(tmp_path / "c0.mp4"), "find").find("a red circle")
    spans = [moment.span for moment in indexed.moments]
    assert [moment.span for moment in moments[0]] == spans
    assert loaded == [1, 1]
    with pytest.raises(NotIndexedError, match="no video of the name c2"):
        localiser("c2", "a red circle")


def test_find_is_run_on_indexed_clips_end_to_end(tmp_path: Path) -> None:
    write_film(tmp_path / "c0.mp4", seed=1, duration_s=6.0)
    truth = annotations([entry(0, 3, "a red circle"), entry(1, 6)], [entry(1, 2)])
    written(tmp_path / "annotations.json", truth)
    runner = CliRunner()
    store = ["--store", str(tmp_path / "store")]
    indexed = runner.invoke(main, ["index", str(tmp_path / "c0.mp4"), *store])
    assert indexed.exit_code == 0, indexed.output
    command = ["eval", "nlq", "--annotations", str(tmp_path / "annotations.json")]
    outputs = ["--submission", str(tmp_path / "out.json"), "--log", str(tmp_path / "log.jsonl")]
    run = runner.invoke(main, [*command, *store, *outputs, "--json"])
    assert run.exit_code == 0, run.output
    result = json.loads(run.stdout)
    assert result["benchmark"] == "nlq"
    assert result["methods"]["find"]["missing"] >= 1
    scored = runner.invoke(main, [*command, "--predictions", str(tmp_path / "out.json"), "--json"])
    again = json.loads(scored.stdout)["methods"][str(tmp_path / "out.json")]
    assert again == result["methods"]["find"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["query_idx"] for line in lines] == [0, 1, 0]
    assert lines[2]["predicted_times"] == []
    table = runner.invoke(main, [*command, "--predictions", str(tmp_path / "out.json")])
    assert "mean IoU" in table.stdout
    withheld = annotations([entry(None, None, "a red circle")])
    hidden = ["--annotations", str(written(tmp_path / "test.json", withheld)), *store]
    submitted = runner.invoke(main, ["eval", "nlq", *hidden, *outputs, "--json"])
    assert json.loads(submitted.stdout)["methods"] == {"find": {"predicted": 1}}
    assert len(read_predictions(tmp_path / "out.json")) == 1
    told = runner.invoke(main, ["eval", "nlq", *hidden, *outputs])
    assert "find: 1 queries answered; the answers are withheld" in told.stdout
    assert runner.invoke(main, ["eval", "nlq", *hidden]).exit_code == 1
    mixed = [*command, "--predictions", str(tmp_path / "out.json"), *outputs]
    refused = runner.invoke(main, mixed)
    assert refused.exit_code == 2
    assert "--submission" in refused.stderr
    both = [*command, "--predictions", str(tmp_path / "out.json"), "--head", "runs/head"]
    assert "--head" in runner.invoke(main, both).stderr


def test_data_sets_are_evaluated_as_they_are_laid_out(tmp_path: Path) -> None:
    written(tmp_path / "nlq_val.json", annotations([entry(4, 4)]) | {"version": "2"})
    csv = "id,length\nc0,20\n"
    written(tmp_path / "Charades_v1_test.csv", csv)
    written(tmp_path / "charades_sta_test.txt", "c0 0 10##where?\nc0 9 8##where not?\n")
    predicted = submission((0, 0, [[0, 5]]))
    predicted["results"][0]["annotation_uid"] = "c0"
    paths = [
        str(written(tmp_path / "charades.json", predicted)),
        str(written(tmp_path / "ego4d.json", submission())),
    ]
    command = ["eval", "nlq", "--json", "--data", str(tmp_path)]
    charades = [*command, "--dataset", "charades-sta", "--split", "test", "--inclusive"]
    run = CliRunner().invoke(main, [*charades, "--predictions", paths[0]], catch_exceptions=False)
    result = json.loads(run.stdout)
    assert result["not_counted"] == {"a span that ends before it starts": 1}
    assert result["queries"] == 2
    assert result["methods"][paths[0]]["recall"]["R@1 IoU=0.5"]["mean"] == 1
    run = CliRunner().invoke(main, [*command, "--predictions", paths[1]], catch_exceptions=False)
    result = json.loads(run.stdout)
    assert result["zero_length"] == 1
    assert result["methods"][paths[1]]["official"]["mIoU"] == "nan"
    assert CliRunner().invoke(main, ["eval", "nlq", "--predictions", paths[1]]).exit_code == 2
