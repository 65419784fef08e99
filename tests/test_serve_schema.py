"""The REST API does what its OpenAPI description says, with requests that Schemathesis makes up."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import seal
from filmed import write_film
from serving import serving

PAGE = Path(__file__).parents[1] / "docs" / "serving.md"
# Events have no end, and a watch is a process: other tests have them. Schemathesis has no
# serializer for the pieces of an upload.
LEFT_OUT = r"events$|/watch$"
PIECES = "append_api_v1_uploads__upload__patch"
# Of an upload Schemathesis takes a header that nobody knows for wrong; HTTP has it ignored.
HEADERS = """
[[operations]]
include-operation-id = "create_api_v1_uploads_post"
checks.negative_data_rejection.enabled = false
"""
# A wrong key in `options` fits the description of the API, and is refused with 422.
UNCHECKED = "positive_data_acceptance"


def test_the_page_names_every_operation(tmp_path: Path) -> None:
    """`GET` below /media answers `HEAD` as well, as the page says."""
    with serving(tmp_path / "store") as server:
        paths = server.get("/openapi.json").json["paths"]
    served = {f"{method.upper()} {path}" for path, of in paths.items() for method in of}
    served -= {f"HEAD {path}" for path in paths if path.startswith("/media/")}
    named = re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(named) == sorted(operation.replace(":path", "") for operation in served)


def test_the_api_is_as_described(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", seed=0, duration_s=4.0)
    seal.open(tmp_path / "store").index(tmp_path / "film.mp4", jobs=1)
    (tmp_path / "config.toml").write_text(HEADERS)
    command = [
        *(Path(sys.executable).parent / "schemathesis", "--config-file", tmp_path / "config.toml"),
        *("run", "--max-examples", "3"),
        *("--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--no-color"),
        *("--exclude-path-regex", LEFT_OUT, "--exclude-operation-id", PIECES),
        *("--exclude-checks", UNCHECKED, "--suppress-health-check", "all"),
        "--generation-deterministic",
    ]
    # As many requests as Schemathesis sends, from one address.
    rates = ("--set", "serve.requests_per_s=1e6", "--set", "serve.burst=1000000")
    with serving(tmp_path / "store", *rates) as server:
        run = subprocess.run(
            [*map(str, command), f"{server.url}/openapi.json"],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert run.returncode == 0, run.stdout[-4000:]
    assert "passed" in run.stdout
