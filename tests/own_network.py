"""A network of its own for one command, in which no packet goes unseen.

    run = watched([sys.executable, "script.py"])
    assert not run.packets

The command runs in namespaces of Linux that have a loopback device and nothing else. All addresses
are routed to that device, where a socket sees every packet, whoever sends it and by whatever
library. Names are looked up by DNS, at 127.0.0.1. Nothing answers.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_NEW_NS, _NEW_USER, _NEW_NET = 0x00020000, 0x10000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_SIOCADDRT, _SIOCSIFFLAGS, _SIOCSIFADDR = 0x890B, 0x8914, 0x8916
_UP, _ROUTE_UP = 1, 1
_OUTGOING = 4
_ALL_PROTOCOLS = 3
_FILES = {
    "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    # Some machines ask a service over a local socket, which no network sees.
    "/etc/nsswitch.conf": "hosts: files dns\n",
}


@dataclass
class Watched:
    code: int
    output: str
    packets: list[bytes]
    """All that was sent, from the header of the network layer on."""


def watched(
    command: Sequence[str], environment: Mapping[str, str] | None = None, timeout_s: float = 120
) -> Watched:
    """Run a command and see what it sends; skips the test where namespaces are not permitted."""
    run = subprocess.run(
        [sys.executable, __file__, *command], env=environment, capture_output=True, text=True,
        check=False, timeout=timeout_s,
    )  # fmt: skip
    if not run.stdout:
        pytest.skip(f"no network namespace here: {run.stderr.strip().splitlines()[-1]}")
    found = json.loads(run.stdout)
    return Watched(found["code"], found["output"], [bytes.fromhex(p) for p in found["packets"]])


def _system(name: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _leave() -> None:
    """Into namespaces of our own, as their root."""
    user, group = os.getuid(), os.getgid()
    _system("unshare", _NEW_NET | _NEW_NS | (_NEW_USER if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _system("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)


def _name_servers(folder: str) -> None:
    for path, text in _FILES.items():
        if os.path.exists(path):
            own = Path(folder) / Path(path).name
            own.write_text(text)
            place = os.path.realpath(path).encode()
            _system("mount", bytes(own), place, None, _MS_BIND, None)


def _address(text: str) -> bytes:
    """`struct sockaddr_in` without a port."""
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def _routes() -> None:
    """The loopback device, an address to send from, and all other addresses behind it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP))
        fcntl.ioctl(control, _SIOCSIFADDR, struct.pack("16s16s", b"lo:1", _address("10.0.0.1")))
        device = ctypes.create_string_buffer(b"lo")
        anywhere = _address("0.0.0.0")
        # struct rtentry: destination, gateway, mask, flags, metric, device.
        route = struct.pack(
            "@L16s16s16sHhLPhP", 0, anywhere, anywhere, anywhere, _ROUTE_UP, 0, 0, 0, 0,
            ctypes.addressof(device),
        )  # fmt: skip
        fcntl.ioctl(control, _SIOCADDRT, route + bytes(32))
    if Path("/proc/net/if_inet6").exists():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
            # struct in6_rtmsg: destination, source, gateway, type, two lengths, metric, info,
            # flags, number of the device.
            index = socket.if_nametoindex("lo")
            route = struct.pack("@48xIHHILIi", 0, 0, 0, 1024, 0, _ROUTE_UP, index)
            fcntl.ioctl(control, _SIOCADDRT, route)


def main() -> None:
    _leave()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        _name_servers(folder)
        _routes()
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
        wire.bind(("lo", _ALL_PROTOCOLS))
        command = subprocess.Popen(sys.argv[1:], stdout=output, stderr=output)
        packets = []
        while command.poll() is None or select.select([wire], [], [], 0)[0]:
            if select.select([wire], [], [], 0.2)[0]:
                packet, (_, _, kind, *_) = wire.recvfrom(65536)
                packets += [packet.hex()] if kind == _OUTGOING else []
        output.seek(0)
        text = output.read().decode(errors="replace")
        json.dump({"code": command.returncode, "output": text, "packets": packets}, sys.stdout)


if __name__ == "__main__":
    main()
