"""Live over HTTP: windows, what each query holds, alerts, webhooks, and restarts."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from filmed import write_film
from serving import Server, serving
from test_serve import media_id
from test_serve_gate import hosting

SEEN, UNSEEN = "an orange hot-air balloon", "a cat"
# The film has two scenes; the first shows a balloon.
FILM_S, WINDOW_S = 24.0, 8.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    (folder / "media").mkdir()
    write_film(folder / "media" / "film.mp4", seed=0, duration_s=FILM_S)
    return folder


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "store", "--media", str(folder / "media")) as server:
        yield server


class Listener:
    """An address that takes alerts; it refuses the first ones."""

    def __init__(self, refuses: int = 0) -> None:
        self.took: list[tuple[str, Any]] = []
        self.refused = 0
        listener, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    is_refused = listener.refused < refuses
                    listener.refused += is_refused
                    if not is_refused:
                        listener.took.append((self.headers["Idempotency-Key"], body))
                self.send_response(503 if is_refused else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.handler = Handler


def asked(folder: Path, **more: Any) -> dict[str, Any]:
    """A watch whose threshold lies between what is seen and what is not."""
    body = {"source": {"media": media_id(folder, "film.mp4")}, "queries": [SEEN, UNSEEN]}
    options = {"find.min_probability": 0.1, "find.unsure_probability": 0.05}
    return {**body, "window_s": WINDOW_S, "budget": 8, "options": options, **more}


def until(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + 120
    while not wanted(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def over(server: Server, name: str) -> Any:
    return until(
        lambda: server.get(f"/api/v1/watch/{name}").json, lambda watch: watch["state"] != "running"
    )


def test_a_source_is_watched_and_an_alert_comes_once(server: Server, folder: Path) -> None:
    made = server.post("/api/v1/watch", asked(folder))
    assert made.status == 201
    name = made.json["id"]
    assert made.headers["location"] == f"/api/v1/watch/{name}"
    events = server.get(f"/api/v1/watch/{name}/events").body.decode()
    assert "event: window" in events
    assert events.count("event: alert") == 1
    assert "event: over" in events
    watch = over(server, name)
    assert watch["state"] == "ended"
    assert watch["window"]["end_s"] == pytest.approx(FILM_S)
    assert [query["query"] for query in watch["window"]["queries"]] == [SEEN, UNSEEN]
    (alert,) = server.get("/api/v1/alerts").json["alerts"]
    assert alert["query"] == SEEN
    assert alert["match"]["verdict"] == "likely"
    assert alert["start_s"] < 10 < FILM_S
    assert alert["token"]["relevance"] > 0
    assert alert["delivery"] == "none"
    assert server.get(f"/api/v1/alerts?after={alert['number']}").json == {"alerts": []}
    assert server.get("/api/v1/watch").json["watches"] == [watch]
    assert server.send("DELETE", f"/api/v1/watch/{name}").status == 204
    assert server.get(f"/api/v1/watch/{name}").status == 404
    assert server.get("/api/v1/alerts").json == {"alerts": []}


def test_an_alert_is_sent_until_it_is_taken(folder: Path, tmp_path: Path) -> None:
    listener = Listener(refuses=1)
    flags = ("--media", str(folder / "media"), "--allow-host", "127.0.0.1", "--allow-private")
    with hosting(listener.handler) as host, serving(tmp_path / "store", *flags) as server:
        name = server.post("/api/v1/watch", asked(folder, webhook=f"{host}/hook?a=b")).json["id"]
        over(server, name)
        sent = until(
            lambda: server.get("/api/v1/alerts").json["alerts"],
            lambda alerts: bool(alerts) and alerts[0]["delivery"] != "pending",
        )
        assert [alert["delivery"] for alert in sent] == ["sent"]
        ((key, body),) = listener.took
        assert key == f"{name}-{sent[0]['number']}"
        assert body["query"] == SEEN
        assert listener.refused == 1


def test_a_webhook_leads_to_an_allowed_host_alone(server: Server, folder: Path) -> None:
    reply = server.post("/api/v1/watch", asked(folder, webhook="http://127.0.0.1:1/"))
    assert reply.status == 403


def test_a_watch_goes_on_after_a_kill(folder: Path, tmp_path: Path) -> None:
    flags = ("--media", str(folder / "media"))
    with serving(tmp_path / "store", *flags, program=[sys.executable]) as server:
        name = server.post("/api/v1/watch", asked(folder)).json["id"]
        until(lambda: server.get(f"/api/v1/watch/{name}").json["window"], lambda found: found)
        server.kill()
    with serving(tmp_path / "store", *flags) as server:
        watch = over(server, name)
        assert watch["state"] == "ended"
        assert watch["window"]["end_s"] == pytest.approx(FILM_S)
        assert len(server.get("/api/v1/alerts").json["alerts"]) == 1


def test_a_watch_is_stopped_and_goes_on(server: Server, folder: Path) -> None:
    name = server.post("/api/v1/watch", asked(folder)).json["id"]
    assert server.post(f"/api/v1/watch/{name}/stop").json["state"] == "stopped"
    resumed = until(
        lambda: server.post(f"/api/v1/watch/{name}/resume"), lambda reply: reply.status != 409
    )
    assert resumed.json["state"] == "running"
    assert server.post(f"/api/v1/watch/{name}/resume").status == 409
    assert over(server, name)["state"] == "ended"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"queries": []}, 422),
        ({"queries": [""]}, 422),
        ({"window_s": 0}, 422),
        ({"source": {}}, 422),
        ({"source": {"url": "rtsp://elsewhere.example/live"}}, 403),
        ({"options": {"answer.backend": "openai"}}, 422),
    ],
)
def test_wrong_watches_are_refused(
    server: Server, folder: Path, body: dict[str, Any], status: int
) -> None:
    assert server.post("/api/v1/watch", asked(folder) | body).status == status
    assert server.get("/api/v1/watch").json == {"watches": []}


def test_the_number_of_watches_is_bounded(folder: Path, tmp_path: Path) -> None:
    flags = ("--media", str(folder / "media"), "--set", "serve.max_watches=1")
    with serving(tmp_path / "store", *flags) as server:
        replies = [server.post("/api/v1/watch", asked(folder)) for _ in range(2)]
        assert [reply.status for reply in replies] == [201, 429]
