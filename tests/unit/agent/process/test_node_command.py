"""How the Node.js runtime is started."""

import pytest

from kubelambda.agent.process.process import command_of


@pytest.mark.parametrize(
    ("memory", "options"),
    [
        ("128", ["--max-semi-space-size=6", "--max-old-space-size=116"]),
        ("256", ["--max-semi-space-size=12", "--max-old-space-size=231"]),
        ("10240", ["--max-semi-space-size=512", "--max-old-space-size=9216"]),
    ],
)
def test_the_heap_of_node_is_sized_by_the_functions_memory(memory: str, options: list[str]) -> None:
    """And not by the container that it starts in, whose limit is that of any function until the pod is resized."""
    command = command_of([], "node", "index.handler", {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory}, [])
    assert command[1:3] == options
    assert command[-1] == "index.handler"
