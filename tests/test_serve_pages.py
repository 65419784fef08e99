"""The pages in a real browser: what people do on them, and who cannot do what."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import seal
from filmed import write_film
from seal.serve.login import local
from seal.serve.sources import media_files
from seal.store import Store
from serving import Server, serving
from store_worker import make_record
from test_answer_endpoint import Server as Model
from test_answer_endpoint import says

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Page = Any

TOKEN = "0123456789abcdef0123456789abcdef"
AXE = "axe-core@4.10.3"
FLAGS = [
    *("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
CACHE = Path(os.environ.get("SEAL_TEST_CACHE", Path.home() / ".cache" / "seal-tests"))
QUERY = "a red ball"
# A span may have been played to its end before anybody looks, so that its start is counted.
COUNT_STARTS = """
window.starts = 0;
document.addEventListener("playing", () => { window.starts += 1; }, true);
"""
SUBTITLES = """1
00:00:01,000 --> 00:00:03,000
The ball rolls over the hill.

2
00:00:04,000 --> 00:00:06,500
Nobody knows where the <b>kite</b> went.
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of one film that has words, and a folder of media."""
    folder = tmp_path_factory.mktemp("paged")
    write_film(folder / "film.mp4", 0, 8.0)
    (folder / "film.srt").write_text(SUBTITLES)
    (folder / "media").mkdir()
    write_film(folder / "media" / "other.mp4", 1, 6.0)
    (folder / "media" / "broken.mp4").write_bytes(b"no video at all" * 100)
    seal.open(folder / "store").index(folder / "film.mp4", jobs=1)
    return folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    flags = ("--media", str(home / "media"), "--jobs", "1")
    with serving(home / "store", *flags) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


class Watched:
    """A page, and what went wrong on it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.wrong: list[str] = []
        page.add_init_script(COUNT_STARTS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.wrong.append(f"a request to {request.url}")


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Page]:
    """A page of the server, on which nothing may go wrong."""
    context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900})
    watched = Watched(context.new_page(), server.url)
    yield watched.page
    context.close()
    assert watched.wrong == []


def film_id(server: Server) -> str:
    videos = server.get("/api/v1/videos").json["videos"]
    return str(next(video["video"] for video in videos if video["title"] == "film.mp4"))


def player(page: Page, code: str) -> Any:
    """What a function of the player `v` gives back."""
    return page.evaluate(f"(() => {{ const v = document.getElementById('player'); {code} }})()")


def until(page: Page, code: str, timeout_s: float = 60.0) -> None:
    """Wait until an expression holds. Playwright's own way is against the policy of the pages."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        # The page may load anew.
        with suppress(sync_api.Error):
            if page.evaluate(code):
                return
        page.wait_for_timeout(50)
    raise AssertionError(code)


def until_player(page: Page, condition: str) -> None:
    until(page, f"(() => {{ const v = document.getElementById('player'); return {condition} }})()")


def test_a_moment_is_found_and_played_to_its_end(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type(QUERY)
    page.keyboard.press("Enter")
    page.locator(".moment .poster").first.wait_for()
    assert "found by" in page.locator(".moment .why").first.inner_text()
    assert page.locator(".verdict b").inner_text() in ("Likely", "Unsure", "Unlikely")
    page.locator(".moment .poster").first.click()
    page.wait_for_url("**/videos/**")
    address = urllib.parse.parse_qs(urllib.parse.urlsplit(page.url).query)
    end_s = float(address["end_s"][0])
    # It plays without a further click, because the page before it was clicked on.
    until(page, "window.starts > 0")
    until_player(page, f"v.paused && Math.abs(v.currentTime - {end_s}) < 0.05 || v.ended")


def test_all_that_shows_a_time_plays_it(page: Page, server: Server) -> None:
    page.goto(f"/videos/{film_id(server)}?q={urllib.parse.quote(QUERY)}")
    for selector in (".moments .play", ".card .frame", ".card .play", ".mark"):
        player(page, "v.pause(); window.starts = 0")
        if selector == ".mark":
            # Marks may lie one above another. A forced click does not wait for the page, which
            # scrolls smoothly after the click before.
            page.locator(selector).first.dispatch_event("click")
        else:
            page.locator(selector).first.click()
        until(page, "window.starts > 0")
        shared = urllib.parse.parse_qs(urllib.parse.urlsplit(page.url).query)
        assert shared["q"] == [QUERY]
        start_s, end_s = float(shared["start_s"][0]), float(shared["end_s"][0])
        assert start_s <= player(page, "return v.currentTime") + 0.05
        assert end_s >= start_s + 2


@pytest.mark.parametrize("lane", ["kind-scene", "kind-action", "kind-speech", "curve"])
def test_a_click_in_a_lane_plays_what_is_there(page: Page, server: Server, lane: str) -> None:
    page.goto(f"/videos/{film_id(server)}?q={urllib.parse.quote(QUERY)}")
    place = page.locator(f".lane.{lane}")
    width = place.bounding_box()["width"]
    place.click(position={"x": 0.31 * width, "y": 2}, force=True)
    until(page, "window.starts > 0")
    address = urllib.parse.parse_qs(urllib.parse.urlsplit(page.url).query)
    at_s = 0.31 * 8
    assert float(address["start_s"][0]) - 2 < at_s < float(address["end_s"][0]) + 2
    if lane == "kind-speech":
        assert (address["start_s"], address["end_s"]) == (["1.000"], ["3.000"])


def test_a_span_ends_where_somebody_seeks_out_of_it(page: Page, server: Server) -> None:
    page.goto(f"/videos/{film_id(server)}?start_s=1&end_s=3")
    until_player(page, "v.readyState > 1")
    assert abs(player(page, "return v.currentTime") - 1) < 0.5
    player(page, "v.currentTime = 5; v.play()")
    until_player(page, "v.currentTime > 5.3")


def test_keys_move_the_player(page: Page, server: Server) -> None:
    page.goto(f"/videos/{film_id(server)}")
    until_player(page, "v.readyState > 1")
    page.locator("h1").click()
    page.keyboard.press("Space")
    until(page, "window.starts > 0")
    page.keyboard.press("k")
    until_player(page, "v.paused")
    player(page, "v.currentTime = 0")
    page.keyboard.press("ArrowRight")
    until_player(page, "v.currentTime === 5")
    page.keyboard.press("ArrowLeft")
    until_player(page, "v.currentTime === 0")
    page.keyboard.press("l")
    until_player(page, "v.currentTime >= 7.9")
    page.keyboard.press("j")
    until_player(page, "v.currentTime === 0")
    page.keyboard.press("/")
    page.keyboard.type("jkl")
    assert page.locator("#here").input_value() == "jkl"
    assert player(page, "return v.currentTime") == 0


def test_boxes_lie_over_the_moving_picture(page: Page, server: Server) -> None:
    page.goto(f"/videos/{film_id(server)}")
    assert page.locator("#which").input_value() == "all"
    page.wait_for_selector("#boxes rect.over", state="attached")
    first = page.locator("#boxes").inner_html()
    player(page, "v.currentTime = 4")
    until(page, f"document.getElementById('boxes').innerHTML !== {json.dumps(first)}")
    page.locator("#which").select_option("none")
    until(page, "document.getElementById('boxes').childElementCount === 0")


def test_boxes_fill_the_screen_with_the_picture(page: Page, server: Server) -> None:
    page.goto(f"/videos/{film_id(server)}")
    page.get_by_role("button", name="Full screen").click()
    until(page, "document.fullscreenElement?.id === 'screen'")
    page.wait_for_selector("#boxes rect.over", state="attached")
    # The drawing and the picture keep the same proportions in the same place.
    assert page.locator("#boxes").get_attribute("preserveAspectRatio") == "xMidYMid meet"
    sizes = [page.locator(name).bounding_box() for name in ("#boxes", "#player")]
    assert sizes[0] == sizes[1]
    page.keyboard.press("f")
    until(page, "document.fullscreenElement === null")


def test_a_library_comes_in_pages(browser: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    for number in range(61):
        place = f"/videos/film{number:02}.mp4"
        store.finish(make_record(f"v{number:02}", location=place), {"scene": "k"})
    with serving(tmp_path / "store") as server:
        page = browser.new_page()
        page.goto(server.url)
        sync_api.expect(page.locator(".library .video")).to_have_count(60)
        assert "61 videos" in page.locator(".lead").inner_text()
        page.get_by_role("link", name="Older videos").click()
        sync_api.expect(page.locator(".library .video")).to_have_count(1)
        assert page.get_by_role("link", name="film00.mp4").count() >= 1
        page.get_by_role("link", name="Newer videos").click()
        sync_api.expect(page.locator(".library .video")).to_have_count(60)
        page.close()


def test_an_own_video_plays_after_four_clicks(browser: Any, tmp_path: Path) -> None:
    write_film(tmp_path / "my film.mp4", 3, 6.0)
    clicks = 0
    with serving(tmp_path / "store", "--jobs", "1") as server:
        context = browser.new_context(base_url=server.url)
        watched = Watched(context.new_page(), server.url)
        page = watched.page
        page.set_default_timeout(120_000)
        page.goto("/")
        assert "no videos yet" in page.locator("main").inner_text()
        with page.expect_file_chooser() as choosing:
            page.get_by_text("Upload videos").click()
            clicks += 1
        choosing.value.set_files(tmp_path / "my film.mp4")
        page.locator(".job").first.wait_for()
        page.locator(".video .caption a").click()
        clicks += 1
        page.wait_for_url("**/videos/*")
        page.keyboard.press("/")
        page.keyboard.type(QUERY)
        page.keyboard.press("Enter")
        page.locator(".moments .play").first.click()
        clicks += 1
        until(page, "window.starts > 0")
        assert "my film.mp4" in page.locator(".kicker").inner_text()
        context.close()
    assert clicks <= 4
    assert watched.wrong == []


def test_an_upload_goes_on_after_the_server_was_killed(browser: Any, tmp_path: Path) -> None:
    film, store = tmp_path / "film.mp4", tmp_path / "store"
    write_film(film, 3, 6.0)
    # Three blocks, of which the first is what a player needs.
    film.write_bytes(film.read_bytes() + b"\0" * (20 << 20))
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(120_000)
    with serving(store, program=[sys.executable]) as server:
        port = server.url.rpartition(":")[2]
        sent: list[Any] = []
        page.on(
            "request", lambda request: sent.append(request) if request.method == "PATCH" else None
        )
        page.goto(server.url)
        page.locator("#file").set_input_files(film)
        while len(sent) < 2:
            page.wait_for_timeout(20)
        server.kill()
    with serving(store, "--port", port) as server:
        page.locator(".job").first.wait_for()
        offsets = [int(request.headers["upload-offset"]) for request in sent]
        assert offsets == sorted(offsets)
        assert offsets.count(0) == 1
    context.close()


def test_without_scripts_one_can_search_play_and_add(
    browser: Any, server: Server, home: Path
) -> None:
    context = browser.new_context(base_url=server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.locator("#all").fill(QUERY)
    page.get_by_role("button", name="Search").click()
    page.locator(".moment .caption a").first.click()
    source = page.locator("#player").get_attribute("src")
    assert re.fullmatch(r"/media/[\w.-]+#t=[\d.]+,[\d.]+", source)
    page.locator(".moments .play").first.click()
    assert "start_s=" in page.url
    page.goto("/")
    page.locator("#media").select_option(label="broken.mp4")
    page.get_by_role("button", name="Add").first.click()
    assert page.url == f"{server.url}/"
    context.close()
    jobs = server.get("/api/v1/jobs").json["jobs"]
    assert jobs[0]["title"] == "broken.mp4"


def test_a_job_that_fails_says_why_and_can_be_tried_again(page: Page, home: Path) -> None:
    page.goto("/")
    page.locator("#media").select_option(label="broken.mp4")
    page.get_by_role("button", name="Add").first.click()
    page.locator(".job.failed .failure").first.wait_for()
    page.goto("/jobs")
    row = page.locator(".job.failed").first
    assert "broken.mp4" in row.inner_text()
    tries = len(page.request.get("/api/v1/jobs").json()["jobs"])
    row.get_by_role("button", name="Retry").click()
    until(page, "document.querySelector('.job').classList.contains('failed')")
    assert len(page.request.get("/api/v1/jobs").json()["jobs"]) == tries
    assert page.url.endswith("/jobs")


@pytest.fixture
def model() -> Iterator[Model]:
    server = Model()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_answer_streams_in_and_its_citations_play(
    browser: Any, home: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    model.replies = [says("It rolls ", "[0:01.0–0:03.0]", " down."), says("Then <b>it</b> stops.")]
    flags = ("--answerer", "openai:m", "--set", f"answer.base_url={model.url}")
    state = home / "another-state"
    with serving(home / "store", "--state", str(state), *flags) as server:
        context = browser.new_context(base_url=server.url)
        watched = Watched(context.new_page(), server.url)
        page = watched.page
        page.goto(f"/videos/{film_id(server)}")
        page.locator("#question").fill("What does the ball do?")
        page.keyboard.press("Enter")
        page.locator(".talk .said .chip").wait_for()
        assert page.locator(".talk .said").inner_text().startswith("It rolls 0:01.0–0:03.0")
        assert page.locator(".talk .chips .chip").count() >= 1
        page.locator(".talk .said .chip").click()
        until(page, "window.starts > 0")
        assert player(page, "return v.currentTime") >= 1
        page.locator(".talk summary").click()
        until(
            page,
            "document.querySelector('.talk pre').textContent.includes('What does the ball do?')",
        )
        page.locator("#question").fill("And then?")
        page.keyboard.press("Enter")
        page.locator(".talk > li:nth-child(2) details").wait_for()
        assert page.locator(".talk > li:nth-child(2) .said").inner_text() == "Then <b>it</b> stops."
        context.close()
    # The second question comes with the first one and its answer.
    assert "What does the ball do?" in str(model.requests[-1]["messages"])
    assert watched.wrong == []


def test_without_a_model_the_evidence_is_the_answer(page: Page) -> None:
    page.goto(f"/search?q={urllib.parse.quote(QUERY)}")
    assert "--answerer" in page.locator("#ask").inner_text()
    page.locator("#question").fill("Where is the ball?")
    page.keyboard.press("Enter")
    chip = page.locator(".talk .chip").first
    chip.wait_for()
    assert "film.mp4" in chip.inner_text() or "other.mp4" in chip.inner_text()
    chip.click()
    page.wait_for_url("**/videos/**start_s=**")


def test_live_shows_what_a_query_holds(page: Page) -> None:
    page.goto("/live")
    page.locator("#media").select_option(label="other.mp4")
    page.locator("#queries").fill(f"{QUERY}\na cat")
    page.get_by_role("button", name="Watch").click()
    until(
        page,
        "document.querySelector('.watches td:nth-child(3)')?.textContent.includes('relevance')",
        timeout_s=120,
    )
    assert page.locator(".watches tbody th").all_inner_texts() == [QUERY, "a cat"]
    page.get_by_role("button", name="Forget other.mp4").click()
    until(page, "!document.querySelector('.watches').childElementCount")


def test_what_browsers_cannot_play_is_shown_in_pictures_and_copied(
    browser: Any, tmp_path: Path
) -> None:
    import av

    write_film(tmp_path / "first.mp4", 2, 4.0)
    with (
        av.open(str(tmp_path / "first.mp4")) as source,
        av.open(str(tmp_path / "film.mp4"), "w") as container,
    ):
        shown = source.streams.video[0]
        # No browser decodes it.
        stream = container.add_stream("mpeg4", rate=shown.average_rate)
        stream.width, stream.height, stream.pix_fmt = shown.width, shown.height, "yuv420p"
        for picture in source.decode(shown):
            picture.pict_type = av.video.frame.PictureType.NONE
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    seal.open(tmp_path / "store").index(tmp_path / "film.mp4", jobs=1)
    with serving(tmp_path / "store") as server:
        context = browser.new_context(base_url=server.url)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"/videos/{film_id(server)}?q={urllib.parse.quote(QUERY)}")
        page.locator("#still").wait_for()
        page.locator(".moments .play").first.click()
        until(
            page,
            "document.querySelector('#still img').complete"
            " && document.querySelector('#still img').naturalWidth > 0",
        )
        page.get_by_role("button", name="Make a copy that plays here").click()
        until_player(page, "v && !v.hidden && v.readyState > 1")
        context.close()


def test_markup_in_names_and_queries_is_text(
    browser: Any, tmp_path_factory: pytest.TempPathFactory, home: Path
) -> None:
    name = '<img src=x onerror=alert(1)> & "quotes".mp4'
    folder = tmp_path_factory.mktemp("marked")
    shutil.copy(home / "film.mp4", folder / name)
    seal.open(folder / "store").index(folder / name, jobs=1)
    with serving(folder / "store") as server:
        context = browser.new_context(base_url=server.url)
        watched = Watched(context.new_page(), server.url)
        page = watched.page
        video = server.get("/api/v1/videos").json["videos"][0]["video"]
        asked = urllib.parse.quote("</script><img src=x onerror=alert(1)>")
        for path in ("/", f"/search?q={asked}", f"/videos/{video}?q={asked}"):
            page.goto(path)
            assert page.locator("img[src='x']").count() == 0
        assert page.locator("h1").inner_text() == urllib.parse.unquote(asked)
        assert page.locator("bdi").inner_text() == name
        context.close()
    assert watched.wrong == []


def test_a_browser_logs_in_and_out(browser: Any, home: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    flags = ("--token-file", str(tmp_path / "token"), "--state", str(tmp_path / "state"))
    with serving(home / "store", *flags) as server:
        context = browser.new_context(base_url=server.url)
        page = context.new_page()
        page.goto("/jobs?x=1")
        assert urllib.parse.urlsplit(page.url).path == "/login"
        page.locator("#token").fill("a wrong one")
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        page.locator("#token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_url("**/jobs?x=1")
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        assert TOKEN not in cookie["value"]
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.goto("/")
        assert urllib.parse.urlsplit(page.url).path == "/login"
        context.close()


@pytest.mark.parametrize(
    ("to", "safe"),
    [
        ("/videos/a?q=b", "/videos/a?q=b"),
        ("//elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
        ("/\t/elsewhere.example", "/"),
        ("https://elsewhere.example", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_to_a_page_of_this_server_alone(to: str, safe: str) -> None:
    assert local(to) == safe


def test_every_address_has_the_prefix_of_the_proxy(home: Path, tmp_path: Path) -> None:
    flags = ("--path-prefix", "/seal", "--state", str(tmp_path / "state"))
    with serving(home / "store", *flags, "--media", str(home / "media")) as found:
        server = Server(found.url.removesuffix("/seal"), found.process)
        video = server.get("/api/v1/videos").json["videos"][0]["video"]
        asked = f"q={urllib.parse.quote(QUERY)}"
        for path in (
            "/",
            f"/search?{asked}",
            f"/videos/{video}?{asked}",
            "/live",
            "/jobs",
            "/login",
        ):
            body = server.get(path).body.decode()
            others = "start|end|span|video|when|confirm|token"
            names = rf"(?:href|src|action|poster|data-(?!(?:{others})=)[a-z]+)"
            addresses = re.findall(rf'\s{names}="([^"]*)"', body)
            assert len(addresses) > 5
            wrong = [each for each in addresses if not each.startswith(("/seal", "#"))]
            assert wrong == []


def test_errors_are_pages(server: Server) -> None:
    for path, status in (("/videos/nothing", 404), (f"/search?q={'x' * 1001}", 422)):
        reply = server.get(path, Accept="text/html")
        assert reply.status == status
        assert reply.headers["content-type"].startswith("text/html")
    # A form cannot name a path.
    for body in (b"media=/etc/passwd", b"video=../film.mp4", b"url=file:///etc/passwd", b"\xff"):
        reply = server.send("POST", "/add", body)
        assert reply.status in (404, 422, 403)


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, as npm has it."""
    place = CACHE / AXE / "package" / "axe.min.js"
    if not place.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed, which fetches axe-core")
        place.parents[1].mkdir(parents=True, exist_ok=True)
        run = subprocess.run(
            [npm, "pack", AXE], cwd=place.parents[1], capture_output=True, text=True
        )
        if run.returncode:
            pytest.skip(f"npm cannot fetch {AXE}: {run.stderr.strip()[-200:]}")
        with tarfile.open(place.parents[1] / run.stdout.strip().splitlines()[-1]) as archive:
            (member,) = (each for each in archive if each.name == "package/axe.min.js")
            content = archive.extractfile(member)
            assert content is not None
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(content.read())
    return place.read_text()


@pytest.mark.parametrize("width", [390, 2560])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_and_fit(
    browser: Any, server: Server, axe: str, scheme: str, width: int
) -> None:
    context = browser.new_context(
        base_url=server.url, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    watched = Watched(context.new_page(), server.url)
    page = watched.page
    asked = f"q={urllib.parse.quote(QUERY)}"
    video = f"/videos/{film_id(server)}"
    found = {}
    for path in ("/", f"/search?{asked}", video, f"{video}?{asked}", "/live", "/jobs", "/login"):
        page.goto(path)
        page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(252, 252, 250)", "dark": "rgb(22, 22, 21)"}[scheme]
        page.evaluate(axe)
        result = page.evaluate(
            "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})"
        )
        found[path] = [
            (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"][:300])
            for each in result["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        for image in page.locator("img").all():
            # Its place is kept before it has come.
            assert image.get_attribute("alt") is not None
            assert image.get_attribute("width")
    context.close()
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
    assert watched.wrong == []


def test_media_files_are_offered_by_name(server: Server, home: Path) -> None:
    body = server.get("/").body.decode()
    for file in media_files((home / "media",)):
        assert f'<option value="{file.id}">{file.name}</option>' in body
