"""The nodes of the cluster: processes of one machine, told apart by their addresses, ports and folders."""

from dataclasses import dataclass
from pathlib import Path

from settings import CLUSTER, CNI_NETWORK, CONFIGURATION, FIRST_POD_CIDR, LOGS, NODE_IP, RUN, SECOND_POD_CIDR, STATE


@dataclass(frozen=True)
class Node:
    """A kubelet, a containerd, and the pods that they run; they share the machine's network namespace."""

    name: str
    ip: str
    pods: str
    """Addresses of its pods."""
    zone: str
    ports: tuple[int, int]
    """Of its kubelet, and of the kubelet's health."""
    folder: str = ""
    """What its processes, files and cgroups are told from the first node's by, which has none."""

    @property
    def state(self) -> Path:
        """What is on its disk."""
        return STATE / self.folder

    @property
    def run(self) -> Path:
        """Its sockets and mounts, which a machine that is switched off does not keep."""
        return RUN / self.folder

    @property
    def configuration(self) -> Path:
        """Configuration of its processes."""
        return CONFIGURATION / self.folder

    @property
    def socket(self) -> Path:
        """Its containerd's."""
        return self.run / "containerd" / "containerd.sock"

    @property
    def pod_logs(self) -> Path:
        """What its containers write: a kubelet removes the logs of pods that it does not know."""
        return LOGS / self.folder / "pods"

    @property
    def cgroup(self) -> str:
        """Root of its pods' control groups: a kubelet removes those of pods that it does not know."""
        return f"/{CNI_NETWORK}-{self.folder}" if self.folder else "/"

    def process(self, program: str) -> str:
        """The name of one of its processes."""
        return f"{program}-{self.folder}" if self.folder else program


FIRST = Node(CLUSTER, NODE_IP, FIRST_POD_CIDR, "zone-a", (10250, 10248))
SECOND = Node(f"{CLUSTER}-second", "10.89.0.2", SECOND_POD_CIDR, "zone-b", (10260, 10258), folder="second")
"""There only while a test wants it: in another zone, and to be lost."""
NODES = (FIRST, SECOND)
