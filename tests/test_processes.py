"""Ctrl-C goes to all processes of a terminal, and is for the one that started the others."""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing import resource_tracker

import pytest

from seal.processes import uninterrupted


@pytest.mark.parametrize("after_s", [0.0, 0.5])
def test_what_is_started_does_not_hear_of_an_interrupt(after_s: float) -> None:
    resource_tracker.ensure_running()
    with uninterrupted():
        process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(1,))
        process.start()
    time.sleep(after_s)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 0


def test_the_one_that_starts_them_does() -> None:
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_that_another_thread_hears_waits() -> None:
    stop, waited = threading.Event(), False
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with pytest.raises(KeyboardInterrupt), uninterrupted():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        waited = True
    stop.set()
    thread.join()
    assert waited
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
