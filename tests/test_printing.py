"""Names and words that could steer a terminal or break a file are printed with visible escapes."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import seal
from seal.cli import main, output
from seal.errors import NotIndexedError, VideoError
from seal.ingest import Progress
from seal.printing import json_line, printable, printable_lines
from seal.results import Answer
from seal.show import png
from seal.types import Tokens
from synthetic import write_video

SOURCE = Path(seal.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
PRINTED = {
    b"half\xff.mp4": r"half\udcff.mp4",
    b"title\x1b]0;owned\x07.mp4": r"title\x1b]0;owned\x07.mp4",
    b"red\x1b[31m.mp4": r"red\x1b[31m.mp4",
    b"new\nline.mp4": r"new\nline.mp4",
    "rtl\u202egpj.mp4".encode(): r"rtl\u202egpj.mp4",
}
"""Names of files, and how they are printed."""
NAMES = {os.fsdecode(name): printed for name, printed in PRINTED.items()}
each_name = pytest.mark.parametrize(("name", "printed"), NAMES.items(), ids=PRINTED.values())
any_text = st.text(st.characters(codec=None))


@given(any_text)
def test_printed_text_is_valid_and_steers_nothing(text: str) -> None:
    for printed in (printable(text), *printable_lines(text).split("\n")):
        printed.encode()
        assert not re.search("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", printed)
        assert printable_lines(printed) == printed
    assert "\t" not in printable(text)


def test_plain_text_is_printed_as_it_is() -> None:
    text = "C:\\films\\zażółć 猫 \U0001f408 – “a” é.mp4"
    assert printable(text) == printable_lines(text) == text
    assert printable_lines("one\n\ttwo") == "one\n\ttwo"


@given(st.recursive(any_text | st.integers() | st.none(), lambda inner: st.lists(inner)))
def test_json_is_ascii_and_comes_back(value: Any) -> None:
    line = json_line(value)
    assert line.isascii()
    assert line.isprintable()

    def without_halves(part: Any) -> Any:
        if isinstance(part, list):
            return [without_halves(each) for each in part]
        if isinstance(part, str):
            # Two halves in a row are one character.
            whole = part.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
            return re.sub("[\ud800-\udfff]", lambda half: printable(half[0]), whole)
        return part

    assert json.loads(line) == without_halves(value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video under each of the names, none with the bytes of another."""
    folder = tmp_path_factory.mktemp("names")
    plain = write_video(folder / "plain.mp4", range(0, 800, 80), size=(160, 120))
    for number, name in enumerate(NAMES):
        # A box at the end that players skip.
        box = b"\x00\x00\x00\x09free" + bytes([number])
        (folder / name).write_bytes(plain.read_bytes() + box)
    plain.unlink()
    return folder


class Command:
    """`seal` in a folder, by this process, on streams of strict UTF-8."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, code: int | None = 0) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            run = CliRunner().invoke(main, [*words], catch_exceptions=False)
        assert code in (run.exit_code, None), run.output
        assert printable_lines(run.output) == run.output
        return run


@pytest.fixture(scope="module")
def command(folder: Path) -> Command:
    """With all of the videos indexed."""
    command = Command(folder)
    run = command("index", "--jobs=1", *NAMES)
    assert [line.split("  ")[3] for line in run.stdout.splitlines()] == [*NAMES.values()]
    return command


def test_the_store_is_listed(command: Command) -> None:
    # A process of its own, as people start it.
    run = subprocess.run(
        [sys.executable, "-m", "seal.cli", "list"], cwd=command.folder, capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"}, check=True, timeout=120,
    )  # fmt: skip
    lines = run.stdout.decode().splitlines()
    assert [line.rsplit("  ", 1)[1] for line in lines] == [*NAMES.values()]
    paths = [row["path"] for row in json.loads(command("list", "--json").stdout)]
    # Half of a character is in no UTF-8; all other names come back as they are.
    half, *others = NAMES
    assert paths == [NAMES[half], *others]


@each_name
def test_a_video_is_found_by_its_name_as_it_is_and_as_printed(
    name: str, printed: str, command: Command
) -> None:
    library = seal.open(command.folder / ".seal")
    video = library.video(printed)
    assert video.record.path == name
    assert library.video(f"{printable(str(command.folder))}/{printed}").id == video.id
    assert library.video(command.folder / name).id == video.id
    assert repr(video) == f"<seal.Video {video.id}: {printed}>"
    assert printed in video.describe()._repr_html_()
    assert "moments" in json.loads(command("find", name, "a cat", "--json").stdout)
    assert json.loads(command("tokens", printed, "--json").stdout)


@each_name
def test_a_page_and_its_picture_show_the_name(name: str, printed: str, command: Command) -> None:
    said = command("show", name, "a \x1b[1mcat\n", "-o", f"page-{name}.html").stdout
    assert f"page-{printed}.html" in said
    text = unescape((command.folder / f"page-{name}.html").read_bytes().decode())
    assert printed in text
    assert r"a \x1b[1mcat\n" in text
    link = re.search('class="play" href="([^#]+)#', text)
    assert link is not None
    assert unquote_to_bytes(link[1]) == os.fsencode(name)
    command("show", name, "a \x1b[1mcat\n", "-o", f"picture-{name}.png")


def test_a_picture_shows_escapes_where_it_left_characters_out() -> None:
    assert png._plain("new\nline \x1b]0;x half\udcff") == r"new\nline \x1b]0;x half\udcff"


@each_name
def test_complaints(name: str, printed: str, command: Command, tmp_path: Path) -> None:
    broken = tmp_path / name
    broken.write_bytes(b"no video")
    message = command("index", str(broken), code=1).stderr
    assert message.startswith("seal: ")
    assert message.count("\n") == 1
    assert printed in message
    with pytest.raises(VideoError) as caught:
        seal.open(tmp_path / "store").index(broken)
    assert printed in str(caught.value)
    assert name in caught.value.args[0]
    assert printed in command("find", f"no-{name}", "a cat", code=1).stderr
    assert printed in command("list", name, code=2).stderr
    assert printed in command("index", name, "--set", f"{name}=1", code=1).stderr
    # The store itself cannot lie in a folder of each such name, but says so.
    store = command("index", name, "--jobs=1", "--store", str(tmp_path / f"in-{name}"), code=None)
    assert store.exit_code == 0 or f"in-{printed}" in store.stderr


def test_removal(command: Command, tmp_path: Path) -> None:
    shutil.copytree(command.folder / ".seal", tmp_path / "store")
    for name, printed in NAMES.items():
        said = command("remove", name, "--store", str(tmp_path / "store")).stdout
        assert f"({printed})" in said


@each_name
def test_watching(name: str, printed: str, command: Command, tmp_path: Path) -> None:
    state = ("--query", "a \x1b[1mcat\n", "--state", str(tmp_path / name))
    assert r"a \x1b[1mcat\n: " in command("watch", name, *state).stdout
    assert json.loads(command("watch", name, "--json").stdout)["source"] in (name, printed)
    assert printed in command("watch", f"no-{name}", *state, code=1).stderr


def test_progress_on_a_terminal_and_without_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_LINE_EVERY_S", 0.0)
    monkeypatch.setattr(output, "_BAR_EVERY_S", 0.0)
    for is_terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal)
        for name, printed in NAMES.items():
            with output.progress_bar(name) as on_progress:
                on_progress(Progress("indexing", 1.0, 0.0, 2.0))
                on_progress(Progress("reading"))
            err = capsys.readouterr().err
            assert f"indexing {printed}" in err
            assert ("|" in err) == is_terminal
            assert ("seal:" in err) == (not is_terminal)
            assert not {"owned\x07", "\x1b[31m", "\u202e"} & {err}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
def test_a_terminal_that_does_not_know_its_size_shows_the_bar() -> None:
    import pty

    master, terminal = pty.openpty()
    script = "from seal.cli.output import bar; bar(3).set_description_str('on')"
    process = subprocess.Popen([sys.executable, "-c", script], stderr=terminal)
    os.close(terminal)
    assert process.wait() == 0
    assert b"| on" in os.read(master, 4096)
    os.close(master)


def test_a_query_that_is_no_text_is_refused(command: Command) -> None:
    for task in ("find", "ask", "select"):
        said = command(task, "new\nline.mp4", "a cat\udcff", code=1).stderr
        assert r"a cat\udcff" in said
        assert "not valid Unicode" in said


def test_what_a_model_says_steers_no_terminal() -> None:
    nothing = Tokens.none(1)
    answer = Answer(
        text="red\x1b[31m\nand \udcff", evidence=nothing, relevance=np.empty(0, np.float32),
        cited=np.empty(0, np.int64), moments=[], without="\x9bno", changed=True, notes=("a\x07\n",),
    )  # fmt: skip
    printed = str(answer)
    assert "red\\x1b[31m\nand \\udcff" in printed
    assert r"\x9bno" in printed
    assert printed.endswith(r"a\x07\n")
    assert json.loads(json_line(answer.to_json()))["answer"] == "red\x1b[31m\nand \\udcff"
    assert "\x1b" not in answer._repr_html_()


def test_names_in_errors(tmp_path: Path) -> None:
    with pytest.raises(NotIndexedError) as caught:
        seal.open(tmp_path / "store").video("x\x1by")
    assert r"'x\x1by' is not indexed in" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_one_module_prints(path: Path) -> None:
    calls = [
        node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    printing = {ast.unparse(call) for call in calls} & {"print", "click.echo", "click.secho"}
    assert not printing or path == SOURCE / "cli" / "output.py"
