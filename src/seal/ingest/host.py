"""Ray clusters from outside: whether an address answers, and a cluster that this process starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from secrets import token_hex

from seal.errors import BackendError

_ADDRESS = "address:"
_REACH_S = 5.0
"""How long the address of a cluster may take to answer."""
_hosts: list[subprocess.Popen[str]] = []
"""The processes that hold clusters of this process."""


def reach(where: str) -> None:
    """Raise BackendError unless something answers at an address of the form HOST:PORT.

    Ray itself tries for two minutes, and says nothing meanwhile.
    """
    host, separator, port = where.removeprefix("ray://").rpartition(":")
    if not separator:
        # "auto" and "local" are words of Ray.
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
    except (OSError, ValueError) as error:
        raise BackendError(
            f"no Ray cluster answers at {where} ({error}): correct the address, start a cluster"
            " with `ray start --head`, or leave the address out for a cluster on this machine"
        ) from error


def own_cluster() -> str:
    """The address of a cluster on this machine, which ends with this process.

    A process of its own starts it: Ray forks, which the threads of this process may not survive.
    Ray listens to the network; whoever talks to the cluster needs a token that this process makes.
    """
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", token_hex(32)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    # Ray's workers make way for all others, which on this machine is not asked for.
    environment["RAY_worker_niceness"] = "0"
    host = subprocess.Popen(
        [sys.executable, "-c", "from seal.ingest.host import host; host()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # Ctrl-C in a terminal is for the process that started this one.
        start_new_session=True,
    )
    assert host.stdout
    for line in host.stdout:
        if line.startswith(_ADDRESS):
            _hosts.append(host)
            return line.removeprefix(_ADDRESS).strip()
    said = host.communicate()[1].strip().splitlines()
    raise BackendError(
        f"Ray starts no cluster on this machine: {said[-1] if said else 'no reason'}"
    )


def host() -> None:
    """Keep a cluster on this machine until the end of the input."""
    import ray

    cluster = ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    sys.stdout.write(f"{_ADDRESS}{cluster.address_info['gcs_address']}\n")
    sys.stdout.flush()
    sys.stdin.read()
    ray.shutdown()
