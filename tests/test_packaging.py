"""The wheel has everything that the package needs, and nothing else.

`make test-package` also installs it, and tries it without a network.
"""

from pathlib import Path

from package_check import build, check_wheel


def test_the_wheel_has_the_files_of_the_package(tmp_path: Path) -> None:
    (wheel,) = build(tmp_path, "--wheel", "--no-isolation")
    check_wheel(wheel)
