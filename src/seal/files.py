"""Files of data sets: read whole, or a DataError that names the file and says what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from seal.errors import DataError

# Names have 255 bytes, and a character has four at most.
_NAME_LENGTH = 50


def read_text(path: str | Path) -> str:
    """The UTF-8 text of a file as it stands there, line ends included; a mark at the beginning of
    the file is no part of its text."""
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text: {error}") from error


def read_json(path: str | Path) -> Any:
    """The value that a JSON file holds."""
    return _parsed(str(path), read_text(path))


def read_json_lines(path: str | Path) -> list[Any]:
    """The values of a file with one JSON value a line; empty lines are none."""
    return _lines(path, read_text(path))


def tried_json_lines(path: str | Path) -> list[Any]:
    """As `read_json_lines`, with a DataError in the place of each line that is not JSON."""
    return [_tried(where, line) for where, line in _numbered(path, read_text(path))]


def read_json_values(path: str | Path) -> list[Any]:
    """The JSON values that follow each other in a file, over one line each or many."""
    text, decoder = read_text(path).strip(), json.JSONDecoder()
    values, end = [], 0
    while end < len(text):
        try:
            value, end = decoder.raw_decode(text, end)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is not JSON: {error}") from error
        values.append(value)
        while text[end : end + 1].isspace():
            end += 1
    return values


def read_appended(path: str | Path) -> list[Any]:
    """What `append_json_line` wrote; nothing where there is no file.

    A line without an end was being written when a run was killed: it is left out. Raises DataError
    if there is no other, which is what another kind of file may look like.
    """
    if not Path(path).exists():
        return []
    text = read_text(path)
    whole = text[: text.rfind("\n") + 1]
    if text and not whole:
        raise DataError(f"{path} has no line with an end: use another file")
    return _lines(path, whole)


def read_parquet(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file."""
    from pyarrow import ArrowException, parquet

    try:
        # What Arrow says of a file that it cannot open is its path alone.
        with Path(path).open("rb") as file:
            rows: list[dict[str, Any]] = parquet.read_table(file).to_pylist()
    except (ArrowException, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as Parquet: {reason}") from error
    return rows


def _lines(path: str | Path, text: str) -> list[Any]:
    return [_parsed(where, line) for where, line in _numbered(path, text)]


def _numbered(path: str | Path, text: str) -> Iterator[tuple[str, str]]:
    """The lines that are not empty, each after the name that errors give it."""
    # Not splitlines: JSON strings may hold other line separators, such as U+2028, as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}, line {number}", line


def _tried(where: str, text: str) -> Any:
    try:
        return _parsed(where, text)
    except DataError as error:
        return error


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    # Lists in lists without end are valid JSON, but nobody's data.
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}") from error


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """What the system has against writing a file becomes a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A new file beside `path`, to be written: it takes the place of `path` when all is done, and
    is removed where that fails. Raises DataError as `writing` does."""
    # The file that a link leads to is what is replaced, and not the link.
    whole = Path(os.path.realpath(path))
    draft = whole.with_name(f".{whole.name[:_NAME_LENGTH]}.{uuid4().hex}")
    with writing(path):
        try:
            yield draft
            os.replace(draft, whole)
        finally:
            draft.unlink(missing_ok=True)


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file at once: whoever reads it meanwhile finds the one before."""
    with replacing(path) as draft:
        draft.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write a file of UTF-8 text."""
    with writing(path):
        Path(path).write_text(text, "utf-8")


def write_json_lines(path: str | Path, values: Iterable[Any]) -> None:
    """Write a file with one JSON value a line."""
    write_text(path, "".join(json.dumps(value, allow_nan=False) + "\n" for value in values))


def append_json_line(path: str | Path, value: Any) -> None:
    """Add a line to a file, made where there is none, in the place of one without an end."""
    with writing(path), Path(path).open("a+b") as file:
        file.seek(max(file.tell() - 1, 0))
        if file.read() not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(value).encode() + b"\n")


def size_bytes(folder: Path) -> int:
    """The size of all files in a folder; a file that vanishes meanwhile has none."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total
