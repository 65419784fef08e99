"""Watch a camera, a stream or a file, and send an alert when it shows what you ask for.

python examples/watch_webhook.py SOURCE QUERY WEBHOOK [--window 10]

An alert is a POST with JSON: the query, the window, the probability. It is sent when a window is
likely to show the query and the window before was not. `seal serve` does the same with queues,
restarts and a page; this file shows the bare loop.
"""

import argparse
import json
import urllib.request

import seal


def alert(webhook: str, body: dict[str, object]) -> None:
    data = json.dumps(body).encode()
    request = urllib.request.Request(webhook, data, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("query")
    parser.add_argument("webhook")
    parser.add_argument("--window", type=float, default=10.0, help="seconds at a time")
    parser.add_argument("--probability", type=float, default=0.4, help="from where on to alert")
    given = parser.parse_args()
    was_likely = False
    windows = seal.open().watch(given.source, queries=[given.query], window_s=given.window)
    for window in windows:
        (match,) = window.matches
        is_likely = match is not None and match.probability >= given.probability
        print(window)
        if match is not None and is_likely and not was_likely:
            span = {"start_s": window.start_s, "end_s": window.end_s}
            alert(given.webhook, {"query": given.query, "probability": match.probability, **span})
        was_likely = is_likely


if __name__ == "__main__":
    main()
