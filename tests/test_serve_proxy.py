"""Behind a real nginx that offers the server under a path, as docs/serving.md has it."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import seal
from filmed import write_film
from serving import Server, serving

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
TOKEN = "0123456789abcdef0123456789abcdef"
DOCUMENTED = Path(__file__).parents[1] / "docs" / "serving.md"
CONF = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/replies;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; {location} }}
}}"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as its clients reach it: at the path /seal of nginx."""
    folder = tmp_path_factory.mktemp("proxied")
    write_film(folder / "film.mp4", seed=0, duration_s=6.0)
    seal.open(folder / "store").index(folder / "film.mp4", jobs=1)
    (folder / "token").write_text(TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = ("--path-prefix", "/seal", "--trust-proxy", "--token-file", str(folder / "token"))
    with serving(folder / "store", *flags) as server:
        upstream = server.url.removesuffix("/seal").removeprefix("http://")
        (location,) = re.findall(r"```nginx\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)
        location = location.replace("127.0.0.1:8765", upstream)
        # The host as browsers send it has the port of this nginx.
        location = location.replace("$host", "$http_host")
        conf = folder / "nginx.conf"
        conf.write_text(CONF.format(folder=folder, port=port, location=location))
        nginx = subprocess.Popen([str(NGINX), "-c", str(conf), "-p", str(folder)])
        try:
            for _ in range(100):
                with socket.socket() as line:
                    if line.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield Server(f"http://127.0.0.1:{port}/seal", server.process)
        finally:
            nginx.terminate()
            nginx.wait()


def test_the_client_works_through_a_proxy(proxy: Server, tmp_path: Path) -> None:
    library = seal.open(proxy.url, token=TOKEN)
    (video,) = library
    assert video.find("a red ball").moments
    write_film(tmp_path / "other.mp4", seed=1, duration_s=3.0)
    added = library.index(tmp_path / "other.mp4")
    assert {each.id for each in library} == {video.id, added.id}


def test_locations_and_ranges_are_those_of_the_proxy(proxy: Server) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    (video, *_) = proxy.get("/api/v1/videos", **bearer).json["videos"]
    part = proxy.get(f"/media/{video['video']}", Range="bytes=10-19", **bearer)
    assert (part.status, len(part.body)) == (206, 10)
    name = base64.b64encode(b"film.mp4").decode()
    headers = {**bearer, "Upload-Length": "5", "Upload-Metadata": f"filename {name}"}
    begun = proxy.send("POST", "/api/v1/uploads", b"", headers)
    assert begun.headers["location"].startswith("/seal/api/v1/uploads/")
    rest = begun.headers["location"].removeprefix("/seal")
    assert proxy.send("DELETE", rest, headers=bearer).status == 204


def test_events_come_at_once(proxy: Server) -> None:
    host, _, port = proxy.url.removeprefix("http://").removesuffix("/seal").partition(":")
    with socket.create_connection((host, int(port)), 20) as line:
        line.sendall(
            f"GET /seal/api/v1/events HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        said = b""
        while b"event: jobs" not in said:
            said += line.recv(4096)
    # The stream has no end: what is here has come before it.
    assert said.startswith(b"HTTP/1.1 200")


def test_strangers_stay_out_behind_a_proxy(proxy: Server) -> None:
    assert proxy.get("/api/v1/videos").status == 401
    assert proxy.get("/api/v1/videos", Authorization="Bearer wrong").status == 401
