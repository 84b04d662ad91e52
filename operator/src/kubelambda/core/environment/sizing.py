"""Memory and CPU of an environment's container (`docs/semantics.md` §1.3, DESIGN §4)."""

from dataclasses import dataclass, replace

from kubelambda.api import limits

_UNITS = {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024}


@dataclass(frozen=True, slots=True)
class Resources:
    """Requests and limits of one container; memory in MB, CPU in thousandths of a core."""

    memory_request_mb: int
    memory_limit_mb: int
    cpu_request_milli: int
    cpu_limit_milli: int

    def manifest(self) -> dict[str, dict[str, str]]:
        """As Kubernetes writes them."""
        return {
            "requests": {"cpu": f"{self.cpu_request_milli}m", "memory": f"{self.memory_request_mb}Mi"},
            "limits": {"cpu": f"{self.cpu_limit_milli}m", "memory": f"{self.memory_limit_mb}Mi"},
        }

    def limits_only(self, unclaimed: "Resources") -> "Resources":
        """These limits above the requests of an unclaimed environment: what every node can grant."""
        return replace(
            self, memory_request_mb=unclaimed.memory_request_mb, cpu_request_milli=unclaimed.cpu_request_milli
        )


def megabytes(quantity: str) -> int:
    """A memory quantity as a kubelet reports it (`1817Mi`, `3Gi`, bytes) in MB; 0 for what is none."""
    number, unit = quantity[:-2], _UNITS.get(quantity[-2:])
    if unit is None:
        number, unit = quantity, 1 / (1024 * 1024)
    return int(int(number) * unit) if number.isdecimal() else 0


def cpu_milli(memory_size: int) -> int:
    """CPU that comes with `memory_size` MB, in thousandths of a core, rounded up."""
    return -(-memory_size * 1000 // limits.MEMORY_MB_PER_VCPU)


def bandwidth_mbit(memory_size: int, per_gb: int) -> int | None:
    """Network of an environment of `memory_size` MB in Mbit/s, of which each GB brings `per_gb`; None: no limit.

    In steps of doubling memory, from the least: whatever pods are made with must be the same for many functions.
    """
    if not per_gb:
        return None
    size = limits.MEMORY_MIN_MB
    while size < memory_size:
        size *= 2
    return max(1, per_gb * min(size, limits.MEMORY_MAX_MB) // 1024)


def function_resources(memory_size: int, *, overhead_mb: int, memory_ratio: float, cpu_ratio: float) -> Resources:
    """Resources of an environment of a function.

    Requests stay below limits, so that the pod keeps the Burstable class of the pool: a resize may not change it.
    """
    cpu = cpu_milli(memory_size)
    return Resources(
        memory_request_mb=max(16, int(memory_size * memory_ratio)),
        memory_limit_mb=memory_size + overhead_mb,
        cpu_request_milli=max(1, int(cpu * cpu_ratio)),
        cpu_limit_milli=cpu,
    )
