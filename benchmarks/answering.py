"""Evidence for questions: what is in the prompt, what it costs, and how soon it leaves.

    python benchmarks/answering.py [--store DIR] [--hours 1] [--budget 16] [--runs 20] [--only why]

The hay is an hour: Big Buck Bunny again and again, its tokens disturbed by their differences each
time, as in `corpus.py`. Real clips are spliced into it, as in `seal eval haystack`, and asked for
by their descriptions. Recall: the prompt shows a token of the clip.

    plain      one clip, one question; beside it uniform tokens, and uniform frames (expected)
    why        a clip, the cause, up to half a minute before another, the effect, which alone the
               question names: both are in the prompt
    dialogue   ten questions about five clips in one hour, each clip asked for twice with other
               words, or about ten clips; against ten questions asked alone
    leaving    from the question to the arrival of the request at a server on this machine

Answers with notes are counted: their evidence was left out or cut down, or asked for again with
less.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np

from data import ROOT
from queries import made_up_record
from seal import Options
from seal.answer import Conversation
from seal.answer.endpoint import EndpointAnswerer
from seal.answer.evidence import gather
from seal.attention import Candidates
from seal.attention.baselines import uniform
from seal.config import OpenAIAnswer
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.haystack import (
    FILM,
    Clip,
    Haystack,
    Needle,
    disturbed,
    later,
    material,
    read_needles,
    splice,
)
from seal.scope import Scope
from seal.store import Store

TASKS = ["leaving", "plain", "why", "dialogue"]
LATEST_CAUSE_S = 30.0
DIALOGUES = 24
PLACES = 2
"""How often each clip, or pair of clips, is spliced in, at another place each time."""


def hour_of(film: Scope, hours: float, folder: str) -> Scope:
    """The film again and again, as one video in a store of its own, with its pictures."""
    rng = np.random.default_rng(0)
    tokens, pictures = film.tokens, film.pictures(film.tokens)
    length = Fraction(round(1000 * film.record.duration_s), 1000)
    copies = max(1, round(hours * 3600 / float(length)))
    store, keys = Store(folder, create=True), dict.fromkeys(("scene", "object", "action"), "k")
    record = made_up_record("hour", copies * float(length), film.options)
    store.begin(record, keys)
    for copy in range(copies):
        moved = later(tokens, copy * length)
        moved = disturbed(moved, rng) if copy else moved
        ids = np.char.add(moved.ids, f"-{copy}")
        moved = replace(moved, ids=ids)
        frames = dict(zip(moved.pts.mean(1).astype(int).tolist(), pictures, strict=True))
        store.add("hour", copy, keys, moved, frames)
    store.finish(record, keys)
    return Scope.of(store, "hour", "ask", ["attention.solver=greedy"])


def composite(hour: Scope, stack: Haystack) -> Scope:
    """The hour with clips in it."""
    video = Scope.of(hour.content.store, "hour", "ask", ["attention.solver=greedy"])
    names = [f"{kind}-{i}" for i, kind in enumerate(stack.tokens.kinds)]
    vars(video.content)["tokens"] = replace(stack.tokens, ids=np.array(names))
    vars(video.content)["encoder"] = hour.content.encoder
    return video


def question(text: str) -> str:
    return f"When can {text} be seen?"


class Bench:
    def __init__(self, hour: Scope, clips: list[Clip], budget: int) -> None:
        self.hour, self.clips, self.budget = hour, clips, budget
        self.rng = np.random.default_rng(1)
        self.length_s = float(hour.tokens.end_s.max())

    def splice(self, rows: list[int], places_s: list[float]) -> tuple[Scope, Haystack]:
        stack = splice(self.hour.tokens, [self.clips[i] for i in rows], places_s)
        return composite(self.hour, stack), stack

    def plain(self, needles: list[Needle]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {"seal": [], "uniform tokens": [], "uniform frames": []}
        for i, needle in enumerate(needles):
            scores = []
            # Frames an equal time apart: wherever the clip is, it is as likely to be hit.
            seen = self.clips[i][1].duration_s * self.budget / self.length_s
            for _ in range(PLACES):
                video, stack = self.splice([i], [self.rng.uniform(0, self.length_s)])
                everything = Candidates.of(stack.tokens, np.zeros(len(stack.tokens), np.float32))
                even = (stack.owner[uniform(everything, self.budget)] == 0).any()
                rows = [gather(video, question(text), self.budget).rows for text in needle.texts]
                own = np.mean([(stack.owner[each] == 0).any() for each in rows])
                scores.append((own, even, seen))
            for name, score in zip(found, np.mean(scores, 0), strict=True):
                found[name].append(score)
        return found

    def why(self, needles: list[Needle]) -> dict[str, list[float]]:
        """Each clip as the effect of another one."""
        found: dict[str, list[float]] = {"causal": [], "plain": [], "plain, effect alone": []}
        for i, needle in enumerate(needles):
            scores = []
            for _ in range(PLACES):
                other = int(self.rng.choice([j for j in range(len(needles)) if j != i]))
                effect_s = self.rng.uniform(LATEST_CAUSE_S, self.length_s)
                gap_s = self.rng.uniform(0, LATEST_CAUSE_S)
                video, stack = self.splice([other, i], [effect_s - gap_s, effect_s])
                for text in needle.texts:
                    asked = f"Why is there {text}?"
                    shown = [
                        stack.owner[gather(video, asked, self.budget, causal=causal).rows]
                        for causal in (True, False)
                    ]
                    both = [(rows == 0).any() and (rows == 1).any() for rows in shown]
                    scores.append((*both, (shown[1] == 1).any()))
            for name, score in zip(found, np.mean(scores, 0), strict=True):
                found[name].append(score)
        return found

    def dialogue(self, needles: list[Needle], subjects: int) -> dict[str, list[float]]:
        """Ten questions about so many clips."""
        found: dict[str, list[float]] = {
            name: []
            for name in (
                *("recall", "recall alone", "difference"),
                *("pictures", "pictures alone", "answers with notes"),
            )
        }
        for _ in range(DIALOGUES):
            rows = self.rng.choice(len(needles), subjects, replace=False).tolist()
            video, stack = self.splice(rows, self.rng.uniform(0, self.length_s, subjects).tolist())
            talk, hits, alone, pictures, noted = Conversation(video), [], [], 0, 0
            asked = [(i, k) for i in range(subjects) for k in range(2)]
            for i, k in asked if subjects == 5 else [(i, 0) for i in range(subjects)]:
                text = question(needles[rows[i]].texts[k])
                answer = talk.ask(text)
                noted += bool(answer.notes)
                seen = np.isin(video.tokens.ids, answer.evidence.ids)
                hits.append((stack.owner[seen] == i).any())
                rows_alone = gather(video, text, self.budget).rows
                pictures += len(rows_alone)
                alone.append((stack.owner[rows_alone] == i).any())
            recall, single = np.mean(hits), np.mean(alone)
            values = (recall, single, recall - single, talk.cost, pictures, noted)
            for name, value in zip(found, values, strict=True):
                found[name].append(float(value))
        return found


def leaving(hour: Scope, runs: int) -> dict[str, float]:
    """Milliseconds from the question to the request: wall clock at the server, and CPU time."""
    arrived: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append(time.perf_counter())
            self.rfile.read(int(self.headers["Content-Length"]))
            delta = {"choices": [{"index": 0, "delta": {"content": "yes"}}]}
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(f"data: {json.dumps(delta)}\n\ndata: [DONE]\n\n".encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    model = EndpointAnswerer(OpenAIAnswer(model="m", base_url=url))
    walls, cpus, noted = [], [], 0
    video = Scope.of(hour.content.store, "hour", "ask")
    video.relevance("what is loaded once")
    for i in range(runs):
        began, cpu = time.perf_counter(), time.process_time()
        answer = Conversation(video, model).ask(f"Where is the red ball number {i}?")
        cpus.append(1000 * (time.process_time() - cpu))
        walls.append(1000 * (arrived[-1] - began))
        noted += bool(answer.notes)
    server.shutdown()
    return {
        "wall, best": min(walls),
        "wall, median": statistics.median(walls),
        "CPU, best": min(cpus),
        "CPU, median": statistics.median(cpus),
        "answers with notes": noted,
    }


def report(title: str, figures: dict[str, list[float]]) -> None:
    print(f"\n{title}")
    for name, values in figures.items():
        print(f"  {name:24s}{bootstrap(values)}")


def main(folder: str, hours: float, budget: int, runs: int, only: list[str]) -> None:
    options = Options.load()
    store = Store(folder, create=True)
    film, needles, clips = material(ROOT, store, options, ROOT / FILM, needles=read_needles(ROOT))
    with tempfile.TemporaryDirectory() as temporary:
        hour = hour_of(film, hours, temporary)
        count = len(hour.tokens)
        print(f"{count:,} tokens in {hour.record.duration_s / 3600:.2f} h; budget {budget}")
        if "leaving" in only:
            print("\nleaving, ms", {k: round(v) for k, v in leaving(hour, runs).items()})
        bench = Bench(hour, clips, budget)
        tasks: list[tuple[str, str, Callable[[], dict[str, list[float]]]]] = [
            ("plain", "plain: recall", lambda: bench.plain(needles)),
            ("why", "why: cause and effect", lambda: bench.why(needles)),
            ("dialogue", "dialogue about five clips", lambda: bench.dialogue(needles, 5)),
            ("dialogue", "dialogue about ten clips", lambda: bench.dialogue(needles, 10)),
        ]
        for name, title, task in tasks:
            if name in only:
                report(title, task())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", default=".seal-haystack")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--budget", type=int, default=16)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=TASKS, help="Of the measures.")
    arguments = parser.parse_args()
    main(arguments.store, arguments.hours, arguments.budget, arguments.runs, arguments.only)
