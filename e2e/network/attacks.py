"""What user code tries against everything that is not its own, and what it gets (§10.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

BLOCKED = "blocked"
REACHED = "reached"


@dataclass(frozen=True)
class Attack:
    """A connection and a request on it."""

    target: str
    port: int
    request: str
    """Method and path of an HTTP request; empty: none, it is only connected."""
    by_open: str
    """What a function without a vpcConfig gets: an HTTP status, that it is connected, or that it is not."""
    by_closed: str
    """What one with a vpcConfig gets, of a group without rules."""
    note: str = ""

    @property
    def name(self) -> str:
        """As it is reported."""
        return f"{self.target}:{self.port} {self.request}".rstrip()


_BLOB = "0" * 64
_OPENED = "unless `networkPolicies.environments.apiServer` says so"
ATTACKS = (
    Attack("agent of another function", 9010, "POST /invoke", BLOCKED, BLOCKED, "frontends only"),
    Attack("agent of a pool's pod", 9010, "POST /specialize", BLOCKED, BLOCKED, "frontends only"),
    Attack("agent of another namespace", 9010, "GET /state", BLOCKED, BLOCKED, "frontends only"),
    Attack("frontend", 8080, "GET /metrics", "404", BLOCKED, "nothing but invocations is served there"),
    Attack("frontend", 9090, "GET /metrics", BLOCKED, BLOCKED),
    Attack("operator", 8081, "GET /metrics", BLOCKED, BLOCKED),
    Attack("control API", 8080, "GET /2015-03-31/functions/", BLOCKED, BLOCKED, "frontends only"),
    Attack("code store", 8080, f"GET /blobs/{_BLOB}", "403", "403", "for code; the address must be signed"),
    Attack("code store", 8080, f"PUT /blobs/{_BLOB}", "401", "401", "needs a token that no environment has"),
    Attack("code store", 8080, "GET /blobs", "401", "401", "needs a token that no environment has"),
    Attack("code fetcher", 8080, "GET /healthz", BLOCKED, BLOCKED),
    Attack("event queue", 8080, "GET /healthz", BLOCKED, BLOCKED, "frontends only"),
    Attack("event queue", 9090, "GET /metrics", BLOCKED, BLOCKED),
    Attack("pollers", 9090, "GET /metrics", BLOCKED, BLOCKED),
    Attack("API server", 6443, "", BLOCKED, BLOCKED, _OPENED),
    Attack("API server's Service", 443, "", BLOCKED, BLOCKED, _OPENED),
    Attack("169.254.169.254", 80, "GET /latest/meta-data/", BLOCKED, BLOCKED, "metadata of clouds"),
    Attack("169.254.170.2", 80, "GET /v2/credentials", BLOCKED, BLOCKED, "credentials of ECS"),
    Attack("100.100.100.200", 80, "GET /latest/meta-data/", BLOCKED, BLOCKED, "metadata of Alibaba Cloud"),
    Attack("168.63.129.16", 80, "GET /machine", BLOCKED, BLOCKED, "Azure's wire server"),
    Attack("user's pod of the namespace", 5432, "", REACHED, BLOCKED, "as pods reach each other"),
    Attack("user's pod of another namespace", 5432, "", REACHED, BLOCKED, "as pods reach each other"),
)  # fmt: skip


def attack_table() -> str:
    """The attacks as a document has them."""
    rows = []
    for attack in ATTACKS:
        request = f" `{attack.request.replace(_BLOB, '…')}`" if attack.request else ""
        rows.append(
            f"| {attack.target}, port {attack.port}{request} | {attack.by_open} | {attack.by_closed} | {attack.note} |"
        )
    head = "| target | without a vpcConfig | with one | why |"
    return "\n".join([head, "|---|---|---|---|", *rows])


SOURCE = """
import socket
from concurrent.futures import ThreadPoolExecutor

def attempt(target):
    host, port, request = target
    try:
        with socket.create_connection((host, port), timeout=3) as connection:
            if not request:
                return "reached"
            connection.settimeout(30)
            head = f"{request} HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n"
            connection.sendall(head.encode())
            return connection.recv(64).split()[1].decode()
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "blocked"

def handler(event, context):
    with ThreadPoolExecutor(len(event)) as pool:
        return list(pool.map(attempt, event))
"""


def targets(addresses: Mapping[str, str]) -> list[tuple[str, int, str]]:
    """The event of a function that tries all; targets that are no addresses are looked up in `addresses`."""
    return [(addresses.get(each.target, each.target), each.port, each.request) for each in ATTACKS]
