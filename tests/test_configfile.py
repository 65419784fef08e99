"""`seal.toml`: found upwards, below the command line, and never silently wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import seal as library
from filmed import write_film
from forked import python
from seal import configfile
from seal.cli import main
from seal.config import DEFAULT_STORE, Options, yielding
from seal.configfile import ConfigFile, read
from seal.errors import DataError, OptionError
from seal.store import Store


def seal(*arguments: object, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, [str(each) for each in arguments])


def printed(result: Result) -> dict:
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    return value


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with none of the user's variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("SEAL_CONFIG", "SEAL_STORE", "SEAL_ANSWERER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    """A film in a folder with a configuration file, indexed into the store that the file names."""
    write_film(tmp_path / "film.mp4", seed=1, duration_s=6.0)
    (tmp_path / "seal.toml").write_text(
        'store = "tokens"\n[options]\nscenes.interval_s = 3.0\nattention.budget = 3\nfind.top = 1\n'
    )
    assert seal("index", "film.mp4").exit_code == 0
    return tmp_path


def test_a_file_sets_defaults_from_the_folders_below_it(
    indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (indexed / "tokens").is_dir()
    assert not (indexed / DEFAULT_STORE).exists()
    (record,) = Store(indexed / "tokens").videos()
    assert Store(indexed / "tokens").count(record.id)["scene"] == 2
    (indexed / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(indexed / "a" / "b")
    assert len(printed(seal("select", record.id, "a ball", "--json"))["selection"]) == 3
    assert len(printed(seal("find", record.id, "a ball", "--json"))["moments"]) == 1


def test_the_command_line_and_the_environment_lie_above_the_file(indexed: Path) -> None:
    film = indexed / "film.mp4"
    flag = printed(seal("select", film, "a ball", "--budget", "5", "--json"))
    setting = printed(seal("select", film, "a ball", "--set", "attention.budget=4", "--json"))
    assert [len(each["selection"]) for each in (flag, setting)] == [5, 4]
    empty = seal("list", "--json", SEAL_STORE=str(indexed / "other"))
    assert empty.exit_code == 1
    assert "other" in empty.stderr
    assert seal("list", "--store", indexed / "third").exit_code == 1


def test_a_default_that_a_task_does_not_read_is_left_out(indexed: Path) -> None:
    """On the command line the same is an error."""
    film = indexed / "film.mp4"
    assert seal("find", film, "a ball").exit_code == 0  # attention.budget
    wrong = seal("find", film, "a ball", "--set", "attention.budget=3")
    assert "has no effect here" in wrong.stderr
    (indexed / "seal.toml").write_text('store = "tokens"\n[options]\nattention.alpha = 0.5\n')
    assert seal("select", film, "a ball").exit_code == 0
    paper = seal("select", film, "a ball", "--objective", "paper", "--json", "-v")
    assert paper.exit_code == 0
    by_hand = seal(
        "select", film, "a ball", "--objective", "paper", "--alpha", "0.5", "--config", os.devnull,
        "--store", indexed / "tokens", "--json",
    )  # fmt: skip
    assert json.loads(paper.stdout)["objective"] == json.loads(by_hand.stdout)["objective"]


def test_settings_yield_where_another_back_end_is_chosen() -> None:
    file = ["segment.backend=sam2", "segment.points_per_side=8", "video.rate_hz=4"]
    own = Options.load("mini", (), "index", file)
    assert (own.segment.backend, own.segment.points_per_side) == ("sam2", 8)
    other = Options.load("mini", ["segment.backend=sam"], "index", file)
    assert other.segment == Options.load("mini", ["segment.backend=sam"]).segment
    assert other.video.rate_hz == 4
    answer = ["answer.max_tokens=99", "answer.strip=3"]
    assert yielding("mini", [], "ask", answer) == ["answer.strip=3"]
    chosen = Options.load("mini", ["answer.backend=openai", "answer.model=x"], "ask", answer)
    assert (chosen.answer.max_tokens, chosen.answer.strip) == (99, 3)


def test_another_profile_lies_above_the_file(tmp_path: Path) -> None:
    path = tmp_path / "seal.toml"
    path.write_text('[options]\nencode.backend = "clip"\nvideo.rate_hz = 4\n')
    file = read(path, is_named=False)
    assert file.defaults("mini") == ["encode.backend=clip", "video.rate_hz=4"]
    assert file.defaults("base") == ["video.rate_hz=4"]
    path.write_text('profile = "base"\n' + path.read_text())
    assert read(path, is_named=False).defaults("base") == file.defaults("mini")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stor = 'x'", "unknown key 'stor'; valid: store, profile, answerer, options, serve"),
        ("store = 3", "store must be a text in quotes, got 3"),
        ("options = 3", r"options must be a table: \[options\]"),
        ("store = = 1", r"is no TOML: .*line 1"),
        ("profile = 'maxi'", "unknown profile 'maxi'; valid: mini, base"),
        ("answerer = 'oracle:x'", "unknown answer 'oracle'; valid: none, openai, hf"),
        ("[options]\nattention.buget = 3", "unknown option 'attention.buget'; valid: attention"),
        ("[options]\nattenton.budget = 3", "unknown option 'attenton.budget'; valid: video"),
        ("[options]\nbudget = 3", "unknown option 'budget'"),
        ("[options]\nattention.budget = 0", "budget must be at least 1"),
        ("[options]\nattention.budget = [3]", "attention.budget must be a text, a number"),
        ("[options]\nencode.backend = 'dalle'", "unknown encode 'dalle'"),
        ("[options]\nencode.pixels = 3", "unknown option 'encode.pixels'"),
        ("[options]\nanswer.model = 'x'", "answer.model is set by answerer"),
        ("[options]\nactions.min_length_s = 9\nactions.max_length_s = 3", "max_length_s"),
        ("[serve]\nprot = 1", "unknown key 'serve.prot'; valid: host, port"),
        ("[serve]\ntoken = 'x'", "unknown key 'serve.token'"),
        ("[serve]\nport = 99999", "port must be 0 to 65535"),
        ("[serve]\nport = true", "serve.port must be int, got True"),
        ("[serve]\nstate = 3", "serve.state must be a path in quotes"),
        ("[serve]\nmedia = 'videos'", "serve.media must be a list of texts"),
        ("[serve]\nhost = '0.0.0.0'", "serve.host decides who gets your data"),
        ("[serve]\nmedia = ['/']", "serve.media decides who gets"),
        ("[options]\nanswer.base_url = 'http://x/v1'", "answer.base_url decides who gets"),
        ("store = 'http://somewhere:8765'", "store decides who gets"),
    ],
)
def test_a_wrong_file_is_named_with_the_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "seal.toml").write_text(text)
    with pytest.raises(OptionError, match=message):
        read(tmp_path / "seal.toml", is_named=False)
    result = seal("list")
    assert result.exit_code == 1
    assert result.stderr.startswith("seal: seal.toml")
    assert result.stderr.count("\n") == 1


def test_what_decides_who_gets_what_is_read_from_a_named_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'store = "http://127.0.0.1:9"\n[options]\nanswer.base_url = "http://127.0.0.1:9/v1"\n'
        '[serve]\nhost = "0.0.0.0"\nmedia = ["videos"]\ntoken_file = "token"\nmax_clip_s = 9\n'
    )
    file = read(path, is_named=True)
    assert file.store == "http://127.0.0.1:9"
    assert file.serve["media"] == (tmp_path / "videos",)
    assert file.serve["token_file"] == tmp_path / "token"
    shown = printed(seal("config", "--json", SEAL_CONFIG=str(path)))
    assert shown["file"] == str(path)
    assert shown["values"]["serve.media"]["value"] == [str(tmp_path / "videos")]


def test_paths_are_read_from_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "conf" / "seal.toml"
    path.parent.mkdir()
    path.write_text('store = "~/tokens"\n[options]\nfind.head = "./heads/a"\n')
    file = read(path, is_named=False)
    assert file.store == str(Path("~/tokens").expanduser())
    assert file.options["find.head"] == str(path.parent / "heads" / "a")


def test_a_named_file_that_is_missing_is_an_error_and_an_empty_one_stops_the_search(
    tmp_path: Path,
) -> None:
    (tmp_path / "seal.toml").write_text("[options]\nattention.buget = 3\n")
    assert "missing.toml cannot be read" in seal("list", "--config", "missing.toml").stderr
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "none.toml", is_named=True)
    assert "no token store" in seal("list", "--config", os.devnull).stderr


def test_config_shows_each_value_and_where_it_comes_from(tmp_path: Path) -> None:
    assert printed(seal("config", "--json"))["file"] is None
    assert seal("config").stdout == "no configuration file\n"
    (tmp_path / "seal.toml").write_text(
        'profile = "base"\n[options]\nattention.budget = 8\nanswer.max_tokens = 9\n'
        "[serve]\nport = 9000\n"
    )
    values = printed(seal("config", "--json", SEAL_STORE="elsewhere"))["values"]
    assert {key: (row["value"], row["from"]) for key, row in values.items()}.items() >= {
        "store": ("elsewhere", "environment SEAL_STORE"),
        "profile": ("base", "file seal.toml"),
        "answerer": (None, "default"),
        "attention.budget": (8, "file seal.toml"),
        "attention.cost_scene": (1.0, "default"),
        "encode.backend": ("siglip", "profile base"),
        "answer.max_tokens": ("9", "file seal.toml"),
        "serve.port": (9000, "file seal.toml"),
        "serve.max_clip_s": (600.0, "default"),
    }.items()
    lines = seal("config").stdout.splitlines()
    assert "attention.budget = 8  (file seal.toml)" in lines
    assert not any("(default)" in line for line in lines)
    assert "serve.max_clip_s = 600.0  (default)" in seal("config", "--all").stdout


def test_the_server_takes_its_settings_from_the_file(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    (tmp_path / "videos").mkdir()
    (tmp_path / "own.toml").write_text(
        'store = "tokens"\n[options]\nattention.budget = 3\nscenes.interval_s = 3.0\n'
        '[serve]\nport = 0\nmedia = ["videos"]\nmax_uploads = 0\n'
    )
    process = subprocess.Popen(
        [*python(), "-m", "seal.cli", "serve", "--config", "own.toml"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("seal: serving tokens at http://127.0.0.1:")
        address = line.split()[-1]
        with urllib.request.urlopen(f"{address}api/v1/videos", timeout=60) as answer:
            assert json.load(answer)["videos"] == []
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_the_library_reads_no_file_of_the_working_directory(indexed: Path) -> None:
    """A program says what it wants in its calls."""
    opened = library.open(indexed / "tokens")
    (video,) = opened
    assert len(video.find("a ball", top=None).moments) >= 1
    assert len(video.select("a ball")) > 3
    (indexed / "seal.toml").write_text("stor = 3")
    assert len(library.open(indexed / "tokens")) == 1


def test_the_page_shows_a_file_that_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "seal.toml").write_text(block)
    file = read(tmp_path / "seal.toml", is_named=False)
    assert file.options["attention.budget"] == "8"
    named_only = re.search(r"These keys decide(.*?)In a file", page, re.DOTALL)
    assert named_only is not None
    said = set(re.findall(r"`([a-z_.]+)`", named_only[1])) - {"store", "answer.base_url"}
    assert said == set(configfile._HANDED_OUT)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_the_commands(tmp_path: Path, shell: str) -> None:
    """As the page says: the script that a shell loads, and what it then asks `seal`."""
    program = Path(sys.executable).with_name("seal")
    if shutil.which("bash") is None and shell == "bash":
        pytest.skip("click asks bash for its version")
    script = subprocess.run(
        [program], env=os.environ | {"_SEAL_COMPLETE": f"{shell}_source"}, capture_output=True
    )
    assert script.returncode == 0, script.stderr
    assert b"_SEAL_COMPLETE" in script.stdout
    (tmp_path / "script").write_bytes(script.stdout)
    if shutil.which(shell):
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)
    words = {"COMP_WORDS": "seal fin", "COMP_CWORD": "fin" if shell == "fish" else "1"}
    asked = subprocess.run(
        [program],
        env=os.environ | words | {"_SEAL_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
    )
    assert "find" in re.split(r"[\s,]", asked.stdout)
    assert "index" not in asked.stdout


def test_the_version_comes_first_and_imports_nothing_heavy() -> None:
    script = (
        "import sys; from seal.cli import main; main(['--version'], standalone_mode=False);"
        "print([m for m in ('av', 'lancedb', 'numpy', 'onnxruntime', 'torch') if m in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second, *rest, loaded = done.stdout.splitlines()
    assert first == f"seal, version {library.__version__}"
    assert second.startswith("Python 3.")
    assert {"av", "lancedb", "onnxruntime"} <= {line.split()[0] for line in rest}
    assert not any("is missing" in line for line in rest)
    assert loaded == "[]"


def test_no_file_says_nothing() -> None:
    assert ConfigFile().defaults("base") == []
