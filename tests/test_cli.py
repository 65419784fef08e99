"""The command, end to end, on a film whose contents are known."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from filmed import write_film
from seal.cli import main
from seal.config import FindOptions
from seal.store import Store

PATIENCE_S = 240
"""For what takes seconds, on a machine that does much else."""
TOKEN_KEYS = {"id", "kind", "start_s", "end_s", "box", "text", "score"}
SELECTION_KEYS = {
    "selection",
    "match",
    "objective",
    "upper_bound",
    "gap",
    "reach",
    "cost",
    "candidates",
    "seconds",
}


def seal(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def printed(result: Result) -> object:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(path, seed=0, duration_s=24.0)
    return path


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Path:
    path = tmp_path_factory.mktemp("indexed") / "store"
    result = printed(seal("index", film, "--store", path, "--json"))
    assert isinstance(result, dict)
    assert {"video", "path", "duration_s", "tokens", "seconds", "realtime_factor"} <= result.keys()
    assert result["path"] == str(film)
    assert abs(result["duration_s"] - 24.0) < 0.1
    assert result["tokens"].keys() == {"scene", "object", "action"}
    assert min(result["tokens"].values()) > 0
    return path


def test_tokens_are_listed_with_time_place_and_track(film: Path, store: Path) -> None:
    rows = printed(seal("tokens", film, "--store", store, "--json"))
    assert isinstance(rows, list)
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert row.keys() == TOKEN_KEYS | {"track"}
        assert -0.1 <= row["start_s"] < row["end_s"] <= 24.1
        assert all(0 <= value <= 1 for value in row["box"])
        assert bool(row["track"]) == (row["kind"] == "action")
    actions = printed(seal("tokens", film, "--store", store, "--kind", "action", "--json"))
    assert actions == [row for row in rows if row["kind"] == "action"]


def test_select_prints_the_contract_and_stays_within_the_budget(film: Path, store: Path) -> None:
    got = printed(seal("select", film, "a red ball", "--budget", "5", "--store", store, "--json"))
    assert isinstance(got, dict)
    assert got.keys() == SELECTION_KEYS
    assert len(got["selection"]) == 5
    row_keys = TOKEN_KEYS | {"video", "role", "relevance"}
    assert all(row.keys() == row_keys for row in got["selection"])
    assert {row["role"] for row in got["selection"]} <= {"answer", "context"}
    assert got["objective"] <= got["upper_bound"] + 1e-9
    by_relevance = ["--objective", "normalised", "--alpha", "1", "--budget", "5"]
    top = printed(seal("select", film, "a red ball", *by_relevance, "--store", store, "--json"))
    assert isinstance(top, dict)
    relevance = [row["relevance"] for row in top["selection"]]
    assert relevance == sorted(relevance, reverse=True)
    assert sum(relevance) >= sum(row["relevance"] for row in got["selection"]) - 1e-6


def test_tokens_are_included_excluded_and_priced(film: Path, store: Path, tmp_path: Path) -> None:
    base = ["a red ball", "--budget", "6", "--store", store, "--json"]
    plain = printed(seal("select", film, *base))
    assert isinstance(plain, dict)
    first = [row["id"] for row in plain["selection"]]
    listed = printed(seal("tokens", film, "--store", store, "--json"))
    assert isinstance(listed, list)
    other = next(row["id"] for row in listed if row["id"] not in first)
    ids = ["--include", other, "--exclude", first[0], "--exclude", first[1]]
    got = printed(seal("select", film, *base, *ids))
    assert isinstance(got, dict)
    assert got.keys() == plain.keys()
    assert got["selection"][0]["id"] == other
    assert not set(first[:2]) & {row["id"] for row in got["selection"]}
    costs = ["--set", "attention.cost_action=2", "--set", "attention.cost_scene=0.5"]
    priced = printed(seal("select", film, *base, *costs))
    assert isinstance(priced, dict)
    price = {"scene": 0.5, "object": 1, "action": 2}
    assert priced["cost"] == sum(price[row["kind"]] for row in priced["selection"]) <= 6
    board = tmp_path / "board.html"
    seal("show", film, "a red ball", "-o", board, "--store", store, "--include", other)
    assert other in board.read_text()


def test_find_prints_moments_in_the_video(film: Path, store: Path) -> None:
    got = printed(seal("find", film, "a red ball", "--top", "2", "--store", store, "--json"))
    assert isinstance(got, dict)
    assert got.keys() == {"moments", "match"}
    assert 1 <= len(got["moments"]) <= 2
    for moment in got["moments"]:
        assert moment.keys() == {"video", "start_s", "end_s", "score", "token"}
        assert -0.1 <= moment["start_s"] <= moment["end_s"] <= 24.1


def test_find_and_show_say_when_nothing_matches(film: Path, store: Path, tmp_path: Path) -> None:
    for query, matches in (("a yellow boat", True), ("two people kissing", False)):
        got = printed(seal("find", film, query, "--store", store, "--json"))
        assert isinstance(got, dict)
        assert (got["match"]["verdict"] != "unlikely") is matches
        assert (got["match"]["probability"] >= FindOptions().unsure_probability) is matches
        said = seal("find", film, query, "--store", store).stdout
        verdict = f"{got['match']['verdict']} (probability {got['match']['probability']:.2f})"
        assert said.startswith(verdict)
        assert ("this comes closest" in said) is (got["match"]["verdict"] != "likely")
        # What comes closest is shown all the same.
        assert "score" in said
        output = tmp_path / "board.html"
        shown = printed(seal("show", film, query, "-o", output, "--store", store, "--json"))
        assert isinstance(shown, dict)
        assert shown["match"] == got["match"]
        assert ("A match in this video is unlikely." in output.read_text()) is not matches
        people = seal("show", film, query, "-o", output, "--store", store).stdout
        assert verdict in people
        # The same words wherever a verdict is printed, and in an answer without a model as well.
        chosen = seal("select", film, query, "--store", store).stdout
        assert chosen.startswith(verdict)
        assert "tokens, which take" in chosen
        asked = seal("ask", film, query, "--set", "answer.query=question", "--store", store)
        assert asked.stdout.startswith(verdict)
        table = tmp_path / "moments.csv"
        assert verdict in seal("export", film, query, "-o", table, "--store", store).stdout
    strict = ["--set", "find.min_probability=0.99999", "--set", "find.unsure_probability=0.99999"]
    got = printed(seal("find", film, "a yellow boat", *strict, "--store", store, "--json"))
    assert isinstance(got, dict)
    assert got["match"]["verdict"] == "unlikely"


@pytest.mark.parametrize("suffix", [".html", ".png"])
def test_show_writes_a_storyboard(film: Path, store: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"board{suffix}"
    got = printed(seal("show", film, "a red ball", "-o", output, "--store", store, "--json"))
    assert isinstance(got, dict)
    assert got["tokens"] == 16
    assert output.stat().st_size > 10_000


def test_a_copy_of_an_indexed_file_is_known(film: Path, tmp_path: Path) -> None:
    path, copy = tmp_path / "store", tmp_path / "copy.mp4"
    first = printed(seal("index", film, "--store", path, "--json"))
    copy.write_bytes(film.read_bytes())
    for command in (["find", copy, "a red ball"], ["tokens", copy]):
        assert seal(*command, "--store", path).exit_code == 0
    again = printed(seal("index", copy, "--store", path, "--json"))
    assert isinstance(first, dict)
    assert isinstance(again, dict)
    assert (again["video"], again["seconds"]) == (first["video"], first["seconds"])
    assert again["path"] == str(copy)
    assert len(printed(seal("list", "--store", path, "--json"))) == 1


def test_a_file_that_has_changed_is_not_answered_from_its_old_tokens(
    film: Path, tmp_path: Path
) -> None:
    path, file = tmp_path / "store", tmp_path / "a.mp4"
    file.write_bytes(film.read_bytes())
    old = printed(seal("index", file, "--store", path, "--json"))
    assert isinstance(old, dict)
    write_film(file, seed=5, duration_s=3.0)
    changed = seal("find", file, "a ball", "--store", path)
    assert changed.exit_code == 1
    assert f"has changed since it was indexed as {old['video']}" in changed.stderr
    assert seal("find", old["video"], "a ball", "--store", path).exit_code == 0
    printed(seal("index", file, "--store", path, "--json"))
    assert seal("find", file, "a ball", "--store", path).exit_code == 0


def test_every_command_speaks_to_people_too(film: Path, store: Path) -> None:
    for arguments in (
        ["tokens", film],
        ["select", film, "a ball"],
        ["find", film, "a ball"],
        ["list"],
    ):
        result = seal(*arguments, "--store", store)
        assert result.exit_code == 0
        assert result.stdout.strip()
        assert "{" not in result.stdout


def parts(store: Path) -> dict[str, set[tuple[str, int]]]:
    """kind -> (key, number of tokens) of the one video in a store."""
    opened = Store(store)
    (record,) = opened.videos()
    counts = opened.count(record.id)
    return {kind: {(key, counts[kind])} for kind, key in record.keys.items()}


def test_indexing_twice_does_nothing_and_an_option_redoes_what_it_affects(
    film: Path, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    printed(seal("index", film, "--store", path, "--json"))
    (first,) = Store(path).videos()
    before = parts(path)
    printed(seal("index", film, "--store", path, "--json"))
    said = seal("index", film, "--store", path).stdout
    assert re.search(
        r"\d scene, \d+ object, \d+ action  .*film.mp4  already indexed$", said.strip()
    )
    assert Store(path).videos() == [first]
    sparser = ["--set", "scenes.interval_s=6"]
    result = printed(seal("index", film, "--store", path, *sparser, "--json"))
    assert isinstance(result, dict)
    after = parts(path)
    assert result["tokens"]["scene"] == 4
    assert before["scene"] != after["scene"]
    assert (before["object"], before["action"]) == (after["object"], after["action"])


def test_list_and_remove(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "store"
    indexed = printed(seal("index", film, "--store", path, "--json"))
    assert isinstance(indexed, dict)
    listed = printed(seal("list", "--store", path, "--json"))
    assert isinstance(listed, list)
    assert [row["video"] for row in listed] == [indexed["video"]]
    removed = printed(seal("remove", indexed["video"], "--store", path, "--json"))
    assert removed == [{"video": indexed["video"], "path": str(film)}]
    assert printed(seal("list", "--store", path, "--json")) == []
    gone = seal("find", film, "a ball", "--store", path)
    assert gone.exit_code == 1
    assert "not indexed" in gone.stderr


def test_bad_inputs_are_named_and_the_rest_is_indexed(film: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a video " * 100)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    bad = [text, empty, tmp_path / "missing.mp4", tmp_path]
    path = tmp_path / "store"
    result = seal("index", *bad[:2], film, *bad[2:], "--store", path, "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["path"] for line in result.stdout.splitlines()] == [str(film)]
    for source in bad:
        assert str(source) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "FILM", "--profile", "maxi"], "valid: mini, base, paper"),
        (["index", "FILM", "--set", "actions.minimum=1"], "valid: actions.min_length_s"),
        (["index", "FILM", "--set", "encode.backend=dalle"], "valid: mini"),
        (["tokens", "FILM", "--kind", "noun"], "valid: scene, object, action"),
        (
            ["select", "FILM", "a ball", "--alpha", "0.5"],
            "alpha=0.5 has no effect on the objective",
        ),
        (["select", "FILM", "a ball", "--objective", "best"], "valid: seal, paper, normalised"),
        (["select", "FILM", "a ball", "--solver", "magic"], "valid: swaps, greedy"),
        (["select", "FILM", "a ball", "--budget", "0"], "at least 1"),
        (["select", "FILM", "a ball", "--include", "scene-99"], "no token scene-99"),
        (["show", "FILM", "a ball", "-o", "a.png", "--exclude", "x"], "no token x"),
        (["select", "FILM", "a", "--set", "attention.cost_action=0"], "cost_action must be above"),
        (["select", "FILM", ""], "empty"),
        (["find", "FILM", "   "], "empty"),
        (["find", "FILM", "x" * 10_000], "10,000 characters"),
        (["show", "FILM", "a ball", "-o", "board.gif"], ".html"),
        (["find", "FILM", "a ball", "--set", "encode.backend=clip"], "has no effect here"),
        (["index", "FILM", "--set", "attention.budget=2"], "has no effect here"),
        (["find", "x" * 300, "a ball"], "not indexed"),
        (["find", "another.mp4", "a ball"], "not indexed"),
        (["remove", "another.mp4"], "not indexed"),
    ],
)
def test_wrong_values_get_one_clear_line(
    film: Path, store: Path, arguments: list[str], message: str
) -> None:
    result = seal(*[film if a == "FILM" else a for a in arguments], "--store", store)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "VIDEO", "a ball", "--output"],
        ["eval", "haystack", "--plot"],
        ["eval", "nlq", "--submission"],
        ["eval", "nlq", "--log"],
        ["eval", "moviechat", "--judge", "openai:gpt", "--verdicts"],
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(
    tmp_path: Path, arguments: list[str]
) -> None:
    for path, reason in ((tmp_path / "no" / "x.png", "No such file"), (tmp_path, "Is a directory")):
        result = seal(*arguments, path)
        assert result.exit_code == 1
        assert f"{path} cannot be written: {reason}" in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        (["eval", "haystack"], "videos/needles.json"),
        (["eval", "qfvs"], "QFVS"),
        (["eval", "qmsum"], "QMSum"),
        (["eval", "evidence"], "evidence_val.json"),
        (["train", "ground", "--output", "run"], "the folder with needles.json"),
    ],
)
def test_the_folder_of_data_is_named_by_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], holds: str
) -> None:
    """By --data or SEAL_DATA; what only our tests know is no default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEAL_DATA", raising=False)
    monkeypatch.setenv("SEAL_TEST_DATA", str(tmp_path))
    unnamed = seal(*arguments)
    assert unnamed.exit_code == 2
    assert "give --data DIR or set SEAL_DATA: the folder with" in unnamed.stderr
    assert holds in unnamed.stderr
    monkeypatch.setenv("SEAL_DATA", str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    named = seal(*arguments)
    assert named.exit_code == 1
    assert str(tmp_path / "empty") in named.stderr


def test_a_budget_above_the_number_of_tokens_returns_all_and_says_so(
    film: Path, store: Path
) -> None:
    result = seal("select", film, "a ball", "--budget", "100000", "--store", store, "--json")
    everything = printed(seal("tokens", film, "--store", store, "--json"))
    assert isinstance(everything, list)
    assert len(json.loads(result.stdout)["selection"]) == len(everything)
    assert "all selected" in result.stderr


def test_a_store_that_is_not_there_is_an_error(film: Path, tmp_path: Path) -> None:
    result = seal("find", film, "a ball", "--store", tmp_path / "nothing")
    assert result.exit_code == 1
    assert str(tmp_path / "nothing") in result.stderr


@pytest.mark.parametrize("arguments", [["index"], ["find", "x"], ["fnid"], ["list", "--jsno"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    assert seal(*arguments).exit_code == 2


@pytest.mark.skipif(shutil.which("script") is None, reason="needs script(1) for a terminal")
def test_on_a_terminal_a_bar_shows_any_file_name(film: Path, tmp_path: Path) -> None:
    odd = tmp_path / "talk [bold]x[.mp4"
    odd.write_bytes(film.read_bytes())
    inner = [sys.executable, "-m", "seal.cli", "index", odd, "--store", tmp_path / "store"]
    command = ["script", "-qec", shlex.join(map(str, inner)), "/dev/null"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "x real time" in run.stdout
    assert "[bold]x[.mp4" in run.stdout


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see the workers")
def test_killed_workers_are_replaced_and_the_batch_goes_on(film: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    write_film(other, seed=4, duration_s=4.0)
    path = tmp_path / "store"
    command = [sys.executable, "-m", "seal.cli", "index", film, other, "--store", path]
    command += ["--set", "video.part_s=4", "--jobs", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE_S
    while len(children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    killed = children(process.pid)
    for worker in killed:
        os.kill(worker, signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert len(killed) == 2
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert str(film) in out
    assert str(other) in out


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(c) for task in tasks.iterdir() for c in (task / "children").read_text().split()]


def test_an_interrupt_while_a_module_in_c_loads_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The command ignores Ctrl-C while it ends; this process goes on.
    monkeypatch.setattr("signal.signal", lambda number, handler: None)

    def interrupted(store_path: str) -> None:
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr("seal.cli.library", interrupted)
    result = CliRunner().invoke(main, ["list"])
    assert (result.exit_code, result.output) == (
        130,
        "seal: interrupted; everything that is stored so far is kept\n",
    )
    monkeypatch.setattr("seal.cli.library", lambda store_path: 1 / 0)
    assert isinstance(CliRunner().invoke(main, ["list"]).exception, ZeroDivisionError)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see the workers")
def test_an_interrupt_while_workers_start_is_one_line(film: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "seal.cli", "index", film, "--store", tmp_path / "store"]
    command += ["--set", "video.part_s=4", "--jobs", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + PATIENCE_S
    while len(children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    # As a terminal does it: to all of them.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (
        130,
        "seal: interrupted; everything that is stored so far is kept\n",
    )


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see the workers")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_process_and_the_next_completes_it(
    film: Path, store: Path, tmp_path: Path, how: signal.Signals
) -> None:
    path = tmp_path / "store"
    settings = ["--set", "video.part_s=4"]
    command = [sys.executable, "-m", "seal.cli", "index", str(film), "--store", str(path)]
    process = subprocess.Popen([*command, *settings, "--jobs", "2"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE_S
    # The first part is stored as soon as there are tokens on the disk.
    while not list(path.glob("schema-*/tokens_*/data/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = children(process.pid)
    os.kill(process.pid, how)
    if how == signal.SIGINT:
        # A second one, from a hand that is in a hurry, changes nothing.
        time.sleep(0.05)
        os.kill(process.pid, how)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGINT:
        said = rf"interrupted; \d of 3 parts of {film} are stored \(a part is about 4 s of it"
        assert re.search(said, err.decode()), err
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers outlive the command"
        time.sleep(0.05)
    assert Store(path).videos() == []
    result = printed(seal("index", film, "--store", path, *settings, "--json"))
    assert isinstance(result, dict)
    again = tmp_path / "again"
    fresh = printed(seal("index", film, "--store", again, *settings, "--json"))
    assert isinstance(fresh, dict)
    assert result["tokens"] == fresh["tokens"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs /dev/shm to see semaphores")
def test_a_killed_process_group_leaves_no_semaphore(film: Path, tmp_path: Path) -> None:
    before = {*Path("/dev/shm").iterdir()}
    command = [sys.executable, "-m", "seal.cli", "index", film, "--store", tmp_path / "store"]
    command += ["--set", "video.part_s=4", "--jobs", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + PATIENCE_S
    while len(children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # Those of other tests come and go; what is left by a kill stays.
    deadline = time.monotonic() + 20.0
    while left := {*Path("/dev/shm").glob("sem.*")} - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
