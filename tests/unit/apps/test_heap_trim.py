"""Memory that was freed goes back to the kernel, wherever in the heap it was."""

import subprocess
import sys

PROGRAM = """
from pathlib import Path
from kubelambda.apps.heap_trim import trim

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

bytearray(30_000_000)  # once a block of this size was freed, blocks of less come out of the heap
bodies, kept = [], []
for _ in range(100):
    bodies.append(bytearray(1_000_000))
    kept.append(bytearray(2_000))
del bodies
before = resident_mb()
trim()
print(before - resident_mb())
"""


def test_what_large_bodies_left_between_small_objects_is_given_back() -> None:
    """In a process of its own, whose heap holds nothing else."""
    command = [sys.executable, "-P", "-c", PROGRAM]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert float(found) > 50
