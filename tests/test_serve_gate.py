"""The way out: allowed hosts alone, at addresses that were checked, redirections included."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from filmed import write_film
from seal.config import VideoOptions
from seal.errors import OptionError, VideoError
from seal.serve.gate import Gate, all_through, is_public
from seal.serve.problems import RefusedError
from seal.video import VideoReader
from seal.video import open_video as open_any
from serving import serving
from test_serve import waited


def open_video(address: str) -> VideoReader:
    return open_any(address, VideoOptions())


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hosting(handler: object) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def redirecting(target: str) -> type[BaseHTTPRequestHandler]:
    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Redirect


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hosted")
    write_film(folder / "film.mkv", seed=0, duration_s=4.0)
    return folder


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "0.0.0.0"),
        *("::1", "::", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("2002:7f00:1::", "224.0.0.1", "100.64.0.1", "192.0.2.1", "ff02::1"),
        *("::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "::ffff:0:7f00:1", "fec0::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    ["film.mkv", "/etc/passwd", "http://", "http://host:port/", "http://[::1", "file:///x", ""],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(OptionError):
        Gate(("*",)).check(url)


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (("example.org",), "https://example.org.attacker.example/film.mkv"),
        (("example.org",), "https://attacker.example/example.org"),
        (("example.org",), "https://example.org@attacker.example/film.mkv"),
        (("*.example.org",), "https://example.org/film.mkv"),
        ((), "https://example.org/film.mkv"),
    ],
)
def test_hosts_that_are_not_allowed(hosts: tuple[str, ...], url: str) -> None:
    with pytest.raises(RefusedError, match="not allowed"):
        Gate(hosts).check(url)


def test_hosts_that_are_allowed() -> None:
    gate = Gate(("Example.org", "*.films.example"))
    assert gate.check("https://EXAMPLE.org:8443/film.mkv") == "example.org"
    assert gate.check("rtsp://a.b.films.example/1") == "a.b.films.example"


def test_an_allowed_host_may_not_lie_in_a_private_network() -> None:
    with pytest.raises(RefusedError, match="private network"):
        Gate(("*",)).pinned("rtsp://localhost/live")
    pinned = Gate(("localhost",), allow_private=True).pinned("rtsp://me:pass@localhost/live?a=b")
    assert pinned in ("rtsp://me:pass@127.0.0.1:554/live?a=b", "rtsp://me:pass@[::1]:554/live?a=b")


@pytest.mark.parametrize(
    "url", ["udp://localhost:1234", "tcp://localhost:1?listen", "ftp://localhost/x"]
)
def test_protocols_that_are_not_allowed(url: str) -> None:
    with pytest.raises(RefusedError, match="rtsp"):
        Gate(("localhost",), allow_private=True).pinned(url)


def test_ffmpeg_and_urllib_go_through_the_gate(folder: Path) -> None:
    with hosting(partial(_Quiet, directory=str(folder))) as host:
        with all_through(Gate(("127.0.0.1",), allow_private=True)):
            with urllib.request.urlopen(f"{host}/film.mkv") as reply:
                assert reply.read() == (folder / "film.mkv").read_bytes()
            with open_video(f"{host}/film.mkv") as video:
                assert video.info.duration_s == pytest.approx(4.0, abs=0.1)
        with all_through(Gate(("127.0.0.1",))):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"{host}/film.mkv")
            with pytest.raises(VideoError):
                open_video(f"{host}/film.mkv")


def test_a_redirection_to_another_host_leads_nowhere(folder: Path) -> None:
    with hosting(partial(_Quiet, directory=str(folder))) as hidden:
        elsewhere = hidden.replace("127.0.0.1", "localhost")
        with hosting(redirecting(f"{elsewhere}/film.mkv")) as host:
            for gate, reached in (
                (Gate(("127.0.0.1",), allow_private=True), False),
                (Gate(("127.0.0.1", "localhost"), allow_private=True), True),
            ):
                with all_through(gate):
                    if reached:
                        open_video(f"{host}/film.mkv").close()
                    else:
                        with pytest.raises(VideoError):
                            open_video(f"{host}/film.mkv")


def test_the_environment_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.delenv("http_proxy", raising=False)
    import os

    with all_through(Gate(())):
        assert "NO_PROXY" not in os.environ
        assert os.environ["http_proxy"].startswith("http://seal:")
    assert os.environ["NO_PROXY"] == "example.org"
    assert "http_proxy" not in os.environ


def test_the_proxy_serves_its_own_process_alone(folder: Path) -> None:
    import os

    with (
        hosting(partial(_Quiet, directory=str(folder))) as host,
        all_through(Gate(("127.0.0.1",), allow_private=True)),
    ):
        stranger = "http://127.0.0.1:" + os.environ["http_proxy"].rpartition(":")[2]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": stranger}))
        with pytest.raises(urllib.error.HTTPError, match="407"):
            opener.open(f"{host}/film.mkv")


def test_an_address_is_indexed_by_the_server(folder: Path, tmp_path: Path) -> None:
    with hosting(partial(_Quiet, directory=str(folder))) as host:
        flags = ("--allow-host", "127.0.0.1", "--allow-private")
        body = {"source": {"url": f"{host}/film.mkv"}}
        with serving(tmp_path / "store", *flags) as server:
            job = waited(server, server.post("/api/v1/jobs", body).json["id"])
            assert job["state"] == "done", job
        with serving(tmp_path / "store", *flags[:2]) as server:
            job = waited(server, server.post("/api/v1/jobs", body).json["id"])
            assert job["state"] == "failed"
            assert "403" in job["failure"]
