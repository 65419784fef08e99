"""A day of a live stream through `seal watch`: restarts, drops and kills, in fixed memory.

    python benchmarks/endless.py [--hours 24] [--drops 20] [--kills 5] [--seed 0]

A server on loopback sends MPEG-TS (160x90, 25 pictures a second) over TCP as fast as it is read.
Every hour of the stream the encoder restarts without dropping the line: its clock begins at 0
again. At `--drops` random places the server drops the line and answers again after a second. At
`--kills` random windows `seal watch` is killed (SIGKILL) and run again with the same `--state`.

Printed for each hour of the stream: the peak resident memory of the process, the tokens, and the
seconds that no window and no gap covers. The exit code is 1 if a bar is missed:

    memory      the peak of every later hour is at most 5 % above that of hour 1
    loss        every second of the time line lies in a window or in a gap, and every drop and kill
                has a gap
    clock       the clock is carried on at every restart that no drop or kill hides
    state       what was chosen before a kill is among the choices of the first window after it

The stream runs faster than the clock of the world, by which `seal watch` measures how long a line
was gone. A gap is shorter here than what a kill leaves unread.
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE_HZ = 25
SIZE = (160, 90)
WINDOW_S = 60
_SLACK_S = 0.5
"""A picture at 5 a second, and the rounding of clocks."""
_CHUNK_BYTES = 188 * 512
_MEMORY = 1.05


def encode_hour(path: Path, seconds: int) -> None:
    """A recording whose clock begins at 0: a square wanders before a wall, another each minute."""
    rng = np.random.default_rng(0)
    walls = rng.integers(40, 200, (max(1, seconds // 60) + 1, 3)).astype(np.uint8)
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=RATE_HZ, options={"preset": "ultrafast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 2 * RATE_HZ
        for number in range(seconds * RATE_HZ):
            image = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
            image[:] = walls[number // RATE_HZ // 60]
            x, y = 3 * number % (SIZE[0] - 24), number % (SIZE[1] - 24)
            image[y : y + 24, x : x + 24] = (220, 40, 40)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


class Encoder:
    """The server: it goes on where it was, whoever is connected, and restarts every hour."""

    def __init__(self, hour: bytes, hours: int, drops: list[int]) -> None:
        self._hour, self._left = hour, hours * len(hour)
        self._drops = sorted(drops)
        self.sent = 0
        self.lines = 0
        """How often somebody has connected."""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while self.sent < self._left:
            line, _ = self._server.accept()
            self.lines += 1
            with line:
                self._send(line)
            time.sleep(1.0)
        self._server.close()

    def _send(self, line: socket.socket) -> None:
        while self.sent < self._left:
            if self._drops and self.sent >= self._drops[0]:
                self._drops.pop(0)
                return
            at = self.sent % len(self._hour)
            try:
                line.sendall(self._hour[at : at + _CHUNK_BYTES])
            except OSError:
                return
            self.sent += min(_CHUNK_BYTES, len(self._hour) - at)


def peak_mb(process: subprocess.Popen) -> float:
    """The peak resident memory since the last call."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main(hours: int, drops: int, kills: int, seed: int, hour_s: int) -> int:
    rng = random.Random(seed)
    windows_all = hours * hour_s // WINDOW_S
    kill_after = set(rng.sample(range(2, windows_all - 1), kills))
    missed: set[str] = set()
    peaks: dict[int, float] = {}
    reached_s = restarts = lost_s = gaps_s = 0.0
    tokens = gaps = 0
    chosen: set[str] | None = None
    with tempfile.TemporaryDirectory() as folder:
        encode_hour(Path(folder) / "hour.ts", hour_s)
        hour = (Path(folder) / "hour.ts").read_bytes()
        places = [rng.randrange(hours * len(hour)) for _ in range(drops)]
        encoder = Encoder(hour, hours, places)
        command = [sys.executable, "-m", "seal.cli", "watch", encoder.address, "--json"]
        command += ["--query", "a red square", "--state", f"{folder}/state", "--give-up", "5"]
        command += ["--window", str(WINDOW_S)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        seen, is_over, began = 0, False, time.monotonic()
        while not is_over:
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
            ) as process:
                for line in process.stdout:
                    window = json.loads(line)
                    seen += 1
                    start_s = window["start_s"]
                    covered = sorted([*window["gaps"], [start_s, window["end_s"], ""]])
                    for gap_start_s, gap_end_s, _ in covered:
                        if seen > 1 and gap_start_s - reached_s > _SLACK_S:
                            lost_s += gap_start_s - reached_s
                            print(f"not covered: {reached_s:.1f} to {gap_start_s:.1f} s")
                        reached_s = max(reached_s, gap_end_s)
                    gaps += len(window["gaps"])
                    gaps_s += sum(end - start for start, end, _ in window["gaps"])
                    restarts += len(window["notes"])
                    tokens += sum(window["tokens"].values())
                    ids = {row["id"] for row in window["queries"][0]["selection"]}
                    if chosen is not None and not chosen & ids:
                        missed.add("state")
                    chosen = None
                    number = int(reached_s // hour_s)
                    peak = peak_mb(process)
                    peaks[number] = max(peaks.get(number, 0.0), peak)
                    if seen % 60 == 0:
                        rate = reached_s / (time.monotonic() - began)
                        print(
                            f"{reached_s / 3600:5.2f} h, {rate:.0f} x real time, peak"
                            f" {peaks[number]:.0f} MB, {tokens} tokens, {gaps_s:.1f} s in gaps,"
                            f" {restarts:.0f} restarts, {lost_s:.1f} s not covered",
                            flush=True,
                        )
                    if seen in kill_after:
                        chosen = ids
                        process.kill()
                        break
                else:
                    is_over = True
    if lost_s > 0 or gaps < encoder.lines - 1:
        missed.add("loss")
    if restarts < hours - 1 - kills - drops:
        missed.add("clock")
    later = [peak for number, peak in peaks.items() if number > 0]
    if later and max(later) > _MEMORY * peaks[0]:
        missed.add("memory")
    print(
        f"{seen} windows, {reached_s / 3600:.2f} h of {hours * hour_s / 3600:g} h,"
        f" {time.monotonic() - began:.0f} s; memory {peaks[0]:.0f} MB in hour 1,"
        f" {max(later, default=0):.0f} MB at most later; {gaps_s:.1f} s in {gaps} gaps,"
        f" {encoder.lines - 1} drops and kills; {restarts:.0f} restarts carried on;"
        f" missed: {sorted(missed) or 'nothing'}"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--drops", type=int, default=20)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hour-s", type=int, default=3600, help="Length of an hour, to try it.")
    sys.exit(main(**vars(parser.parse_args())))
