"""Memory and CPU of an environment's container (`lambda-semantics.md` §1.3, DESIGN §4)."""

from dataclasses import dataclass

from kubelambda.api import limits


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


def cpu_milli(memory_size: int) -> int:
    """CPU that comes with `memory_size` MB, in thousandths of a core, rounded up."""
    return -(-memory_size * 1000 // limits.MEMORY_MB_PER_VCPU)


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
