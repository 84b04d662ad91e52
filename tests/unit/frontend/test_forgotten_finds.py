"""What a frontend found before its caches had it, and what these tell of it then."""

from typing import Any, cast

import pytest
from tests.unit.frontend.empty_caches import nowhere

from kubelambda.api.settings import Settings
from kubelambda.frontend.cluster import views
from kubelambda.frontend.frontend import Frontend


@pytest.mark.parametrize("spec", [{}, {"functionName": "My_Function"}])
async def test_a_function_that_was_found_and_is_gone_is_found_no_more(spec: dict[str, Any]) -> None:
    """Whatever its object is called: for a minute it would run though nobody has it."""
    nothing = cast("Any", None)
    frontend = Frontend(nowhere(), nothing, Settings(), b"", address="127.0.0.1", service="frontend", port=1)
    view = views.function_view({"metadata": {"uid": "u"}, "spec": spec})
    assert view is not None
    name = ("team", spec.get("functionName", "f-1"))
    frontend._function_changed(("team", "f-1"), None, view)
    frontend._unseen._remember(name, ("f-1", view))  # the answer was under way when the caches heard of it
    assert frontend._unseen.found(name) is not None
    frontend._function_changed(("team", "f-1"), view, None)
    assert frontend._unseen.found(name) is None
