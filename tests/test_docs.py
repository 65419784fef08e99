"""The documentation is true: commands exist, blocks run, links lead somewhere."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import click
import pytest
import yaml

import seal
from conftest import DATA
from filmed import write_film
from forked import python
from pages import NEEDS, PAGES, PROJECT, Shell, blocks
from seal.cli import main
from seal.config import Options
from synthetic import write_video
from test_answer_endpoint import Server, says, server
from test_watch import Camera

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest needs it there.
    import tomli as tomllib

__all__ = ["server"]

FIRST_VIDEO = PROJECT / "docs" / "first-video.md"
LECTURE = (
    "A network learns by its gradient.",
    "The vanishing gradient is the problem of deep networks.",
    "Why does the gradient vanish in a deep network?",
    "Every layer multiplies it by a small number.",
)


def shown(page: Path) -> list[str]:
    lines = re.findall(r"(?:^|[\s/])(seal [a-z][^`\n]*)", page.read_text().replace("\\\n", " "))
    return [line.split("#")[0].strip() for line in lines if line.split()[1] in main.commands]


@pytest.mark.parametrize("page", [*PAGES, PROJECT / "Makefile"], ids=lambda page: page.name)
def test_documented_commands_parse(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of blocks that do not run as well, and those inside sentences."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").touch()  # A file that is read must be there, and a folder of videos.
    (tmp_path / "videos").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "Videos").mkdir()
    for line in shown(page):
        command: click.Command = main
        # What is written to must have a folder: this one. The shell would put in the home.
        line = line.replace("$(DEMO)/", "").replace("~", str(tmp_path)).split(" | ")[0]
        arguments = shlex.split(re.sub(r"\$\(.*?\)\)?", "film.mp4", line).rstrip("&"))[1:]
        while isinstance(command, click.Group) and arguments:
            name, *arguments = arguments
            command = command.commands[name]
        if arguments:
            command.make_context(name, arguments, parent=click.Context(main))


def test_each_block_runs_or_says_what_it_needs() -> None:
    """The reasons are a closed list, and most blocks run."""
    every = [block for page in PAGES for block in blocks(page)]
    assert {need for block in every for need in block.needs} <= NEEDS
    run = [block for block in every if block.language in ("sh", "python")]
    left = [block for block in run if block.needs]
    assert {block.language for block in every} <= {
        "sh",
        "python",
        "json",
        "toml",
        "yaml",
        "nginx",
        "text",
    }
    fences = sum(page.read_text().count("\n```") for page in PAGES)
    assert fences == 2 * len(every), "a fence that is not closed, or not at the margin"
    assert len(run) - len(left) >= 40
    indented = [page.name for page in PAGES if re.search(r"\n\n    \S", without_fences(page))]
    assert indented == [], "code stands in fences, where the tests find it"


def without_fences(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_values_parse(page: Path) -> None:
    readers = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
    for block in blocks(page):
        if block.language in readers:
            assert readers[block.language](block.text)


@pytest.mark.parametrize("page", [PROJECT / "SECURITY.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    """In the repository; `make docs` checks the site with its anchors."""
    for link in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", without_fences(page)):
        assert (page.parent / link).exists(), link


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the videos that the pages name, indexed once."""
    folder = tmp_path_factory.mktemp("prepared")
    write_film(folder / "holiday.mp4", seed=1, duration_s=6.0)
    shutil.copy(folder / "holiday.mp4", folder / "film.mp4")
    write_film(folder / "lecture.mp4", seed=2, duration_s=4.0)
    write_film(folder / "new.mp4", seed=3, duration_s=2.0)
    for name in ("lecture", "film"):
        remux(folder / f"{name}.mp4", folder / f"{name}.mkv")
    cues = [
        f"{i + 1}\n00:00:0{i},000 --> 00:00:0{i},900\n{text}\n" for i, text in enumerate(LECTURE)
    ]
    (folder / "lecture.srt").write_text("\n".join(cues))
    for name in ("videos", "Videos"):
        (folder / name).mkdir()
        shutil.copy(folder / "holiday.mp4", folder / name)
        shutil.copy(folder / "lecture.mkv", folder / name)
        shutil.copy(folder / "lecture.srt", folder / name)
    made_up_benchmark(folder)
    (folder / "token").write_text("0123456789abcdef" * 2)
    command = ["index", "holiday.mp4", "film.mp4", "lecture.mkv"]
    subprocess.run([*python(), "-m", "seal.cli", *command], cwd=folder, check=True)
    return folder


def made_up_benchmark(folder: Path) -> None:
    """LVBench of one video with one question, as its authors lay it out, and a model's output."""
    data = folder / "data" / "lvbench"
    (data / "videos").mkdir(parents=True)
    shutil.copy(folder / "new.mp4", data / "videos" / "KEY.mp4")
    question = {"uid": "1", "question": "Q?\n(A) x\n(B) y", "answer": "A"}
    entry = {"key": "KEY", "video_info": {}, "qa": [question | {"question_type": ["reasoning"]}]}
    (data / "video_info.meta.jsonl").write_text(json.dumps(entry))
    (folder / "outputs.json").write_text(json.dumps({"1": "A"}))


def remux(source: Path, target: Path) -> None:
    """The same packets in another container."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(read.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)


@pytest.fixture
def shell(prepared: Path, tmp_path: Path, server: Server) -> Iterator[Shell]:
    folder = Path(shutil.copytree(prepared, tmp_path / "folder"))
    shutil.copytree(PROJECT / "examples", folder / "examples")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server.replies = [says("(A) It is there at [0:00.0-0:06.0].")]
    shell = Shell(folder, server.url, port)
    yield shell
    shell.close()


BEFORE = {
    # These pages talk to a server that another page has started, or to tokens made before, such as
    # by large models.
    "client.md": "seal serve --token-file token",
    "lab.md": "seal index data/lvbench/videos/KEY.mp4 --store lvbench.seal",
}
RUN = [page for page in PAGES if any(b.language in ("sh", "python") for b in blocks(page))]


@pytest.mark.parametrize("page", RUN, ids=lambda page: f"{page.parent.name}-{page.name}")
def test_the_blocks_of_a_page_run(page: Path, shell: Shell, server: Server) -> None:
    """In order, in one folder: what a block leaves behind is there for the next one."""
    if page.name in BEFORE:
        shell.run("sh", BEFORE[page.name])
    library = seal.open(shell.folder / ".seal")
    film = library["film.mp4"]
    token = str(film.tokens.ids[0])
    model = server.url.removesuffix("/v1")
    is_served = page.name in BEFORE
    for block in blocks(page):
        if block.language in ("sh", "python") and not block.needs:
            text = block.text
            if "8765" in text and "seal serve" not in text and not is_served:
                shell.run("sh", "seal serve --answerer openai:MODEL")
                is_served = True
            for name, value in {
                "http://localhost:8000": model,
                "http://127.0.0.1:9000": model,
                "8765": str(shell.port),
                "https://videos.example/seal": f"http://127.0.0.1:{shell.port}",
                "SEAL_TOKEN=...": "SEAL_TOKEN=$(cat token)",
                "token=TOKEN": "token=open('token').read()",
                "OPENAI_API_KEY=...": "OPENAI_API_KEY=none",
                "scene-k3v9q2m8x1": token,
                "seal:ID": f"seal:{film.id}",
                '"video": "VIDEO"': f'"video": "{film.id}"',
            }.items():
                text = text.replace(name, value)
            shell.run(block.language, text)


@pytest.mark.parametrize("page", [PROJECT / "README.md", FIRST_VIDEO], ids=lambda page: page.name)
def test_the_python_that_is_shown_needs_no_guard(page: Path, tmp_path: Path) -> None:
    """On a video of several parts, by several processes, as a script."""
    (code,) = [block.text for block in blocks(page) if block.language == "python"]
    write_film(tmp_path / "holiday.mp4", seed=1, duration_s=6.0)
    parts = '("holiday.mp4", jobs=2, options=["video.part_s=2"])'
    assert '("holiday.mp4")' in code
    script = tmp_path / "script.py"
    script.write_text(code.replace('("holiday.mp4")', parts))
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True, timeout=120)


def footage(folder: Path) -> Path:
    """A real clip where there is one, otherwise a film of our own."""
    real = DATA / "davis" / "dog.mp4"
    path = folder / "film.mp4"
    if real.is_file():
        shutil.copy(real, path)
    else:
        write_film(path, seed=1, duration_s=6.0)
    return path


def test_the_front_door_is_as_the_package_shows_it(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line of the package's docstring, with a scripted model and a camera on loopback."""
    footage(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.replies = [says("At [0:00.0] it turns.")]
    camera = Camera([write_video(tmp_path / "live.ts", range(0, 3000, 40))], 0.0)
    code = (seal.__doc__ or "").partition("\n\n")[2]
    assert "rtsp://..." in code
    code = code.replace("rtsp://...", camera.address)
    code = code.replace("queries=[", "options=['video.max_duration_s=3'], queries=[")
    names: dict[str, Any] = {}
    results = []
    for line in filter(None, code.splitlines()):
        if line.startswith(("import ", "library = ", "video = ")):
            exec(line, names)
        else:
            results.append(eval(line, names))
    tokens, *results = results
    assert len(tokens) == len(names["video"].tokens)
    selected, found, _shown, answer, everywhere, windows = results
    assert len(found.moments) <= 3
    assert len(selected) == 16
    assert (tmp_path / "storyboard.html").stat().st_size > 10_000
    assert answer.text == "At [0:00.0] it turns."
    assert len(answer.citations)
    assert everywhere.moments[0].video == names["video"].id
    assert [window.choices[0].text for window in windows] == ["a person"]


def test_every_key_in_the_table_of_options_is_one() -> None:
    text = FIRST_VIDEO.read_text()
    table = [line for line in text.splitlines() if line.startswith("|")]
    keys = set(re.findall(r"`(?:--set )?(\w+\.\w+)(?:=[^`]*)?`", "\n".join(table)))
    assert len(keys) >= 4
    assert keys <= set(Options().keys())
