"""`python -m seal.cli` is `seal`."""

from seal.cli import main

main()
