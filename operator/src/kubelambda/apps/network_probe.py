"""Tries whether the cluster enforces NetworkPolicies: one pod listens, another tries what a policy keeps from it.

Like an environment that is born closed it goes on until it has been kept away for a moment without a break: an enforcer
may hear of a new pod late.
"""

import argparse
import selectors
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress

from kubelambda.core.network.enforcement_probe import ProbeExit

_CONNECT_S = 0.5
_PAUSE_S = 0.2


def main() -> None:
    """Listens until it is ended, or tries and says by its exit code what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    listener = roles.add_parser("listen", help="takes connections")
    listener.add_argument("--ports", required=True, help="ports, separated by commas")
    prober = roles.add_parser("try", help="tries some ports")
    prober.add_argument("--host", required=True, help="address of the listener")
    prober.add_argument("--allowed", type=int, required=True, help="port that the policy allows")
    prober.add_argument("--refused", required=True, help="ports that it does not, separated by commas")
    prober.add_argument("--settle-seconds", type=float, default=1.0, help="how long it must be kept away")
    prober.add_argument("--seconds", type=float, default=60.0, help="how long it tries at most")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0 if arguments.role == "listen" else 1))
    if arguments.role == "listen":
        _listen([int(port) for port in arguments.ports.split(",")])
    sys.exit(_attempt(arguments))


def _listen(ports: list[int]) -> None:
    with ExitStack() as open_sockets, selectors.DefaultSelector() as selector:
        servers = {}
        for port in ports:
            server = open_sockets.enter_context(_server(port))
            servers[server.fileno()] = server
            selector.register(server, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                with suppress(OSError):
                    servers[key.fd].accept()[0].close()


def _server(port: int) -> socket.socket:
    """At the pod's addresses of either family."""
    if socket.has_dualstack_ipv6():
        with suppress(OSError):  # a node may have it switched off
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _attempt(arguments: argparse.Namespace) -> ProbeExit:
    """What it finds, once that has held for long enough or its time is over."""
    end, since = time.monotonic() + arguments.seconds, None
    refused = [int(port) for port in arguments.refused.split(",")]
    while True:
        passed = [port for port in refused if _reaches(arguments.host, port)]
        allowed = _reaches(arguments.host, arguments.allowed)
        now = time.monotonic()
        since = (since or now) if allowed and not passed else None
        if since is not None and now - since >= arguments.settle_seconds:
            return ProbeExit.ENFORCED
        if now >= end and since is None:
            if passed:
                sys.stdout.write(f"reached {arguments.host} at {passed}\n")
            return ProbeExit.OPEN if passed else ProbeExit.UNREACHED
        time.sleep(_PAUSE_S)


def _reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
