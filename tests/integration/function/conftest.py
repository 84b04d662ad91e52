"""What tests of versions and aliases share."""

import pytest
from tests.integration.function.objects import Objects
from tests.integration.functions import Functions
from tests.integration.processes import Installation
from tests.integration.stage import Stage


@pytest.fixture(scope="module")
def running(stage: Stage) -> Installation:
    """An installation that forgets archives quickly."""
    return stage.operated(codeRetentionSeconds=5)


@pytest.fixture
def objects(functions: Functions) -> Objects:
    """Versions and aliases of the test's namespace."""
    return Objects(functions)
