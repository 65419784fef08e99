"""The clock of the machine may be set back: nothing that was indexed is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seal.evaluate.film import write_film
from seal.store import Store


def test_a_clock_set_back_a_day_loses_nothing(tmp_path: Path) -> None:
    faketime = shutil.which("faketime")
    if faketime is None:
        pytest.skip("no faketime command (Debian's package faketime), which shifts a clock")
    film, path = tmp_path / "film.mp4", tmp_path / "store"
    write_film(film, 2, 4.0)
    command = [sys.executable, "-m", "seal.cli", "index", str(film), "--store", str(path)]
    command += ["--jobs", "1"]
    subprocess.run(command, check=True)
    store = Store(path)
    (first,), before = store.videos(), store.tokens(store.videos()[0].id)
    changed = [*command, "--set", "objects.interval_s=1"]
    subprocess.run([faketime, "-f", "-1d", *changed], check=True)
    (second,) = store.videos()
    after = store.tokens(second.id)
    assert second.indexed_at < first.indexed_at
    assert second.keys["object"] != first.keys["object"]
    objects = before.ids[before.kinds == "object"], after.ids[after.kinds == "object"]
    assert len(objects[1]) > len(objects[0]) > 0
    assert not set(objects[0]) & set(objects[1])
    assert len(after) == sum(store.count(second.id).values())
    assert len(store.pictures(second.id, after)) == len(after)
    # The clock is right again, and the first options too.
    subprocess.run(command, check=True)
    assert store.tokens(second.id).ids.tolist() == before.ids.tolist()
