"""What all tests share."""

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import Phase, settings

import s3_server

# How long an example takes says more about what else the machine does.
settings.register_profile("seal", deadline=None)
# What benchmarks/mutants.py runs: the same few examples each time, which are not made smaller.
settings.register_profile(
    "mutants",
    deadline=None,
    max_examples=10,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("seal")

# Whoever starts the tests in the background may have them ignore Ctrl-C; they are about it, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(os.environ.get("SEAL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real footage, or a skip that says where it was looked for."""
    if not DATA.is_dir():
        pytest.skip(f"no real footage at {DATA} (set SEAL_TEST_DATA)")
    return DATA


OVER_S3 = "test_object_store"
"""The module whose tests of stores run over an object store each time."""


@pytest.fixture(scope="session")
def s3_if_any(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.S3Server | None]:
    """An S3 server on this machine; None where none is installed."""
    if s3_server.executable() is None or find_spec("obstore") is None:
        yield None
        return
    with s3_server.running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(s3_if_any: s3_server.S3Server | None) -> s3_server.S3Server:
    """An S3 server on this machine."""
    if s3_if_any is None:
        pytest.skip("needs the extra `cloud` and moto_server")
    return s3_if_any


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a store may be made, in a folder and in an object store."""
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    if request.module.__name__ != OVER_S3 and "SEAL_TEST_S3" not in os.environ:
        pytest.skip("`make test-variants` runs it over an object store: it takes minutes")
    server: s3_server.S3Server = request.getfixturevalue("s3")
    # Apart from what a test patches, and may undo.
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server.new_address()
