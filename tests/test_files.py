"""Files of JSON: values that follow each other, and lines added by runs that may be killed."""

import json
from pathlib import Path

import pytest

from seal.errors import DataError
from seal.files import append_json_line, read_appended, read_json, read_json_values, read_parquet


def test_values_follow_each_other_however_they_are_laid_out(tmp_path: Path) -> None:
    path, values = tmp_path / "values.json", [{"a": [1]}, 2, "x y", {"b": {}}]
    first, *rest = (json.dumps(value, indent=1) for value in values)
    path.write_text(f"\n {first}" + " \n\n\t".join(rest) + "\n")
    assert read_json_values(path) == values
    path.write_text(" \n")
    assert read_json_values(path) == []
    path.write_text('{"a": 1}\n{"b": \n')
    with pytest.raises(DataError, match=r"values\.json is not JSON: .*line 2"):
        read_json_values(path)


def test_lists_in_lists_without_end_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    for read in (read_json, read_json_values):
        with pytest.raises(DataError, match=r"deep\.json is not JSON: "):
            read(path)


def test_a_table_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="as Parquet: No such file or directory"):
        read_parquet(tmp_path / "gone")
    (tmp_path / "text").write_text("no table")
    with pytest.raises(DataError, match=r"as Parquet: .*not a parquet file"):
        read_parquet(tmp_path / "text")


@pytest.mark.parametrize("unfinished", ["", "{", '{"n": 1', '{"n": 10}', '"é'])
def test_a_line_takes_the_place_of_one_without_an_end(tmp_path: Path, unfinished: str) -> None:
    path = tmp_path / "lines.jsonl"
    assert read_appended(path) == []
    for number in range(2):
        append_json_line(path, {"n": number, "text": "é\u2028\n"})
    with path.open("a", encoding="utf-8") as file:
        file.write(unfinished)
    assert [line["n"] for line in read_appended(path)] == [0, 1]
    append_json_line(path, {"n": 2, "text": ""})
    assert [line["n"] for line in read_appended(path)] == [0, 1, 2]
    assert path.read_text("utf-8").count("\n") == 3


def test_a_file_is_left_as_it_is_until_something_is_added(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"a": 1}\n{"b":')
    assert read_appended(path) == [{"a": 1}]
    assert path.read_text() == '{"a": 1}\n{"b":'
    path.write_text('{"a": 1}')
    with pytest.raises(DataError, match="no line with an end"):
        read_appended(path)
    path.write_text("{\n}\n")
    with pytest.raises(DataError, match="line 1 is not JSON"):
        read_appended(path)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone" / "lines.jsonl"):
        with pytest.raises(DataError, match="cannot be written: "):
            append_json_line(path, 1)
