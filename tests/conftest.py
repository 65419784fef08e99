"""What all tests share."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import Phase, settings

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
