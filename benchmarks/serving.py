"""The server under load: queries against those of Python, hostile clients, and kills.

    python benchmarks/serving.py find [--tokens 175000] [--runs 24]
    python benchmarks/serving.py all [--tokens 1000000] [--videos 200] [--runs 24]
    python benchmarks/serving.py hostile [--requests 1000]
    python benchmarks/serving.py kills [--kills 50]

`find`: a video of ten hours, asked in turn by `Video.find` in this process, by one client of the
server, and by eight clients without pauses. Each query is another one. `all`: a search over many
videos. `hostile`: 32 clients, of whose requests a fifth are attacks. `kills`: the server is killed
at work and started again; everything that a client was told must still be there.
"""

import argparse
import base64
import http.client
import itertools
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

# As `seal serve` does: like is compared with like, and no idle thread spins while another works.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np

from corpus import embeddings, fill
from queries import made_up_record, random_tokens
from seal import Options, encode
from seal.evaluate.film import write_film
from seal.opening import open_library
from seal.serve.sources import media_files
from seal.store import Store

PART = 25_000
CLIENTS = 8
TOKEN = "0123456789abcdef0123456789abcdef"
NOUNS = ("ball", "dog", "car", "tree", "boat", "person", "horse", "bottle", "cloud", "road")
LOOKS = ("red", "green", "small", "large", "fast", "white", "old", "shiny", "wooden", "distant")
PLACES = ("on grass", "at night", "in the snow", "by the sea", "in a kitchen", "on a table")


class Server:
    """A server process and where it listens."""

    def __init__(self, store: Path, *flags: str) -> None:
        command = [sys.executable, "-m", "seal.cli", "serve", "--port", "0", "--store", str(store)]
        # Clients of a benchmark all have one address.
        free = ["--set", "serve.requests_per_s=1e6", "--set", "serve.burst=1000000"]
        self.process = subprocess.Popen(
            [*command, *free, *flags], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        if " at http://" not in line:
            raise SystemExit(line + self.process.stderr.read())
        self.host = line.rpartition(" at http://")[2].strip().rstrip("/")
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        assert self.process.stderr is not None
        with suppress(ValueError):
            self.said = self.process.stderr.read()

    def send(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, bytes]:
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        if body is not None and not isinstance(body, bytes):
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.host, timeout=120)
        try:
            connection.request(method, path, data or None, headers)
            reply = connection.getresponse()
            self.last = reply.headers
            return reply.status, reply.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: object = None, **headers: str) -> dict:
        status, said = self.send(method, path, body, **headers)
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {said.decode()}")
        return json.loads(said)

    def memory_mb(self) -> float:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) / 1e3

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)


@contextmanager
def serving(store: Path, *flags: str) -> Iterator[Server]:
    server = Server(store, *flags)
    try:
        yield server
    finally:
        server.end()


def queries() -> Iterator[str]:
    """Queries of which no two are equal."""
    for number in itertools.count():
        for noun, look, place in itertools.product(NOUNS, LOOKS, PLACES):
            yield f"a {look} {noun} {place}" + (f" number {number}" if number else "")


def milliseconds(call: Callable[[str], object], query: str) -> float:
    began = time.perf_counter()
    call(query)
    return 1000 * (time.perf_counter() - began)


def percentile(times: list[float], share: float) -> float:
    return float(np.percentile(times, 100 * share))


def one_video(tokens: int, runs: int) -> None:
    options = Options.load()
    encoder = encode.load(options.encode)
    rng, keys = np.random.default_rng(0), {"scene": "k"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        store, record = Store(path, create=True), made_up_record("v", tokens / 4.86, options)
        store.begin(record, keys)
        for part, first in enumerate(range(0, tokens, PART)):
            some = random_tokens(min(PART, tokens - first), first, encoder.dimension, rng)
            pictures = dict.fromkeys(some.pts[:, 0].tolist(), b"not looked at")
            store.add("v", part, keys, some, pictures)
        store.finish(record, keys)
        video, asked = open_library(path).by_id("v"), queries()
        with serving(path) as server:
            connection = http.client.HTTPConnection(server.host, timeout=600)

            def over_http(query: str, line: http.client.HTTPConnection = connection) -> None:
                body = json.dumps({"query": query, "video": "v"})
                line.request("POST", "/api/v1/find", body, {"Content-Type": "application/json"})
                reply = line.getresponse()
                if reply.read() and reply.status != 200:
                    raise SystemExit(f"find: {reply.status}")

            for warm in (video.find, over_http):
                warm("warm up")
            python, single = [], []
            for _ in range(runs):
                python.append(milliseconds(video.find, next(asked)))
                single.append(milliseconds(over_http, next(asked)))
            lines = [http.client.HTTPConnection(server.host, timeout=600) for _ in range(CLIENTS)]
            mine = [[next(asked) for _ in range(runs)] for _ in lines]

            def client(number: int) -> list[float]:
                line = lines[number]
                return [milliseconds(lambda q: over_http(q, line), q) for q in mine[number]]

            with ThreadPoolExecutor(CLIENTS) as threads:
                many = [each for times in threads.map(client, range(CLIENTS)) for each in times]
            for line in (*lines, connection):
                line.close()
    base = statistics.median(python)
    print(
        f"Video.find over {tokens:,} tokens: p50 {base:.0f} ms, p99 {percentile(python, 0.99):.0f}"
    )
    for name, times in (("one client", single), (f"{CLIENTS} clients", many)):
        middle, late = statistics.median(times), percentile(times, 0.99)
        print(
            f"{name}: p50 {middle:.0f} ms ({middle / base:.2f} times), p99 {late:.0f} ms"
            f" ({late / base:.2f} times)"
        )


def many_videos(tokens: int, videos: int, runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        real = embeddings(None, encode.load(Options.load().encode).dimension)
        fill(Store(path, create=True), tokens, videos, real)
        library, asked = open_library(path), queries()
        with serving(path) as server:

            def over_http(query: str) -> None:
                server.json("POST", "/api/v1/find", {"query": query})

            for _ in range(runs // 2):
                over_http(next(asked))
                library.find(next(asked))
            served = [milliseconds(over_http, next(asked)) for _ in range(runs)]
            python = [milliseconds(library.find, next(asked)) for _ in range(runs)]
            memory = server.memory_mb()
    for name, times in (("server", served), ("Library.find", python)):
        print(f"{name}: p50 {statistics.median(times):.0f} ms, p99 {percentile(times, 0.99):.0f}")
    print(f"memory of the server: {memory:.0f} MB")


def attacks(host: str, video: str) -> list[Callable[[Server], int]]:
    """Requests that must be refused, each giving back its status."""

    def sent(
        method: str, path: str, body: object = None, **headers: str
    ) -> Callable[[Server], int]:
        return lambda server: server.send(method, path, body, **headers)[0]

    token = {"Authorization": f"Bearer {TOKEN}"}
    far = "%2e%2e%2f" * 8 + "etc%2fpasswd"
    asked = {"query": "a ball"}
    return [
        sent("GET", f"/media/{far}", **token),
        sent("GET", "/static/../../../../etc/passwd"),
        sent("GET", f"/api/v1/videos/{far}", **token),
        sent("GET", f"/media/{video}", Range="bytes=-99999999999999999999,5-2,a", **token),
        sent(
            "GET", f"/media/{video}", Range="bytes=" + ",".join("0-1" for _ in range(5000)), **token
        ),
        sent("GET", "/api/v1/videos", Host="attacker.example", **token),
        sent("POST", "/api/v1/find", asked, Origin="http://attacker.example", **token),
        sent("GET", "/api/v1/videos", Authorization="Bearer wrong"),
        sent("GET", "/api/v1/videos", Cookie="seal_session=" + "0" * 64),
        sent("GET", "/api/v1/videos"),
        sent(
            "POST", "/api/v1/find", b"{" * 100_000, **{"Content-Type": "application/json"}, **token
        ),
        sent("POST", "/api/v1/find", {"query": "x" * 100_000}, **token),
        sent("POST", "/api/v1/jobs", {"source": {"url": "http://169.254.169.254/"}}, **token),
        sent("POST", "/api/v1/jobs", {"source": {"url": "file:///etc/passwd"}}, **token),
        sent("POST", "/api/v1/uploads", b"", **{"Upload-Length": "1" * 40}, **token),
        lambda server: huge(host),
    ]


def huge(host: str) -> int:
    """A request that announces more than the server takes."""
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), 60) as line:
        head = f"POST /api/v1/find HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n"
        line.sendall(f"{head}Content-Length: {1 << 40}\r\n\r\n".encode())
        return int(line.recv(64).split()[1])


def hostile(requests: int) -> None:
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_film(folder / "film.mp4", duration_s=12.0)
        video = open_library(folder / "store").index(folder / "film.mp4", jobs=1)
        (folder / "token").write_text(TOKEN)
        with serving(folder / "store", "--token-file", str(folder / "token")) as server:
            token = {"Authorization": f"Bearer {TOKEN}"}
            bad, asked = attacks(server.host, video.id), queries()

            def good(server: Server) -> int:
                path, body = rng.choice(
                    [
                        ("/api/v1/find", {"query": next(asked), "video": video.id}),
                        ("/api/v1/select", {"query": next(asked), "video": video.id}),
                        ("/api/v1/find", {"query": next(asked)}),
                    ]
                )
                return server.send("POST", path, body, **token)[0]

            def run(number: int) -> tuple[bool, int]:
                is_attack = number % 5 == 0
                call = bad[number // 5 % len(bad)] if is_attack else good
                return is_attack, call(server)

            memory, files = [], []
            with ThreadPoolExecutor(32) as clients:
                for _ in range(3):
                    found = Counter(clients.map(run, range(requests)))
                    memory.append(server.memory_mb())
                    files.append(len(os.listdir(f"/proc/{server.process.pid}/fd")))
    for (is_attack, status), count in sorted(found.items()):
        print(f"{'attack' if is_attack else 'query'}: {status}: {count}")
    print("memory after each of three rounds, MB:", ", ".join(f"{each:.0f}" for each in memory))
    print("open files after each:", ", ".join(map(str, files)))


def kills(count: int) -> None:
    """Kill the server in uploads, in indexing and in answers; check what clients were told."""
    rng, outcomes = random.Random(0), Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        media = folder / "media"
        media.mkdir()
        for number in range(3):
            write_film(media / f"film{number}.mp4", seed=number, duration_s=20.0)
        data = (media / "film0.mp4").read_bytes()
        told: set[str] = set()
        uploads: dict[str, int] = {}
        flags = ("--media", str(media))
        for number in range(count):
            with serving(folder / "store", *flags) as server:
                check(server, told, uploads, outcomes)
                work = ("upload", "index", "answer")[number % 3]
                ended = threading.Thread(
                    target=kill_after, args=(server, rng.uniform(0.0, 3.0)), daemon=True
                )
                ended.start()
                with suppress(OSError, http.client.HTTPException, SystemExit):
                    keep_busy(server, work, media, data, told, uploads)
                ended.join()
                outcomes[f"killed in {work}"] += 1
        with serving(folder / "store", *flags) as server:
            check(server, told, uploads, outcomes)
            while any(
                job["state"] in ("queued", "running")
                for job in server.json("GET", "/api/v1/jobs?limit=1000")["jobs"]
            ):
                time.sleep(0.5)
            states = Counter(
                job["state"] for job in server.json("GET", "/api/v1/jobs?limit=1000")["jobs"]
            )
    print("; ".join(f"{name}: {number}" for name, number in sorted(outcomes.items())))
    print("jobs in the end:", dict(states), "of", len(told), "that clients were told of")


def kill_after(server: Server, seconds: float) -> None:
    time.sleep(seconds)
    server.process.kill()


def keep_busy(
    server: Server, work: str, media: Path, data: bytes, told: set[str], uploads: dict[str, int]
) -> None:
    """Work until the server is gone, and write down all that it has confirmed."""
    while True:
        if work == "upload":
            name = base64.b64encode(b"film.mp4").decode()
            said = {"Upload-Length": str(len(data)), "Upload-Metadata": f"filename {name}"}
            server.send("POST", "/api/v1/uploads", b"", **said)
            where = server.last["location"]
            uploads[where] = 0
            step = len(data) // 7 + 1
            for offset in range(0, len(data), step):
                headers = {"Upload-Offset": str(offset)}
                headers["Content-Type"] = "application/offset+octet-stream"
                server.send("PATCH", where, data[offset : offset + step], **headers)
                uploads[where] = int(server.last["upload-offset"])
            told.add(server.last["seal-job"])
            del uploads[where]
            # The jobs have to come to an end.
            time.sleep(1)
        elif work == "index":
            for file in media_files((media,)):
                body = {"source": {"media": file.id}}
                told.add(server.json("POST", "/api/v1/jobs", body)["id"])
            time.sleep(5)
        else:
            server.json("POST", "/api/v1/ask", {"question": "Where is the ball?"})


def check(server: Server, told: set[str], uploads: dict[str, int], outcomes: Counter) -> None:
    """What clients were told must be there."""
    jobs = {job["id"] for job in server.json("GET", "/api/v1/jobs?limit=1000")["jobs"]}
    outcomes["lost jobs"] += len(told - jobs)
    for where, offset in list(uploads.items()):
        server.send("HEAD", where)
        outcomes["lost bytes"] += max(offset - int(server.last["upload-offset"]), 0)
        server.send("DELETE", where)
        del uploads[where]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("find", "all", "hostile", "kills"))
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=50)
    given = parser.parse_args()
    if given.what == "find":
        one_video(given.tokens or 175_000, given.runs)
    elif given.what == "all":
        many_videos(given.tokens or 1_000_000, given.videos, given.runs)
    elif given.what == "hostile":
        hostile(given.requests)
    else:
        kills(given.kills)


if __name__ == "__main__":
    main()
