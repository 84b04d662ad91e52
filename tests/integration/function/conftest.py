"""What tests of versions and aliases share."""

from collections.abc import Iterator

import pytest
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.function.objects import Objects
from tests.integration.functions import Functions
from tests.integration.processes import Installation


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Iterator[Installation]:
    """An installation that forgets archives quickly."""
    folder = tmp_path_factory.mktemp("installation")
    found = Installation(folder, control_plane, SYSTEM_NAMESPACE, codeRetentionSeconds=1)
    yield found
    found.stop()


@pytest.fixture
def objects(functions: Functions) -> Objects:
    """Versions and aliases of the test's namespace."""
    return Objects(functions)
