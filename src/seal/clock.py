"""Seconds as people read them."""

from __future__ import annotations


def clock(seconds: float, tenths: bool = True) -> str:
    """Seconds as m:ss.s, from one hour on as h:mm:ss.s; `tenths=False` leaves out the tenths."""
    units = 10 if tenths else 1
    total = round(abs(seconds) * units)
    whole, tenth = divmod(total, units)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    sign = "-" if seconds < 0 and total else ""
    return f"{sign}{text}.{tenth}" if tenths else f"{sign}{text}"


def span_clock(start_s: float, end_s: float) -> str:
    """A span such as 0:12.0–0:14.5."""
    return f"{clock(start_s)}–{clock(end_s)}"
