"""What is left of the API server's words."""

import json

from kubelambda.kube.errors import Invalid, status_error


def test_a_refused_patch_is_told_without_the_object_that_it_would_have_made() -> None:
    """The reason is behind it, and would be cut away with all that is too long."""
    patched = json.dumps(json.dumps({"spec": {"code": {"zipFile": "UEs=" * 2000, "inline": 'print("\\n")'}}}))
    reason = 'strict decoding error: unknown field "spec.wings"'
    error = status_error(422, f' "" is invalid: patch: Invalid value: {patched}: {reason}')
    assert isinstance(error, Invalid)
    assert str(error) == f'422:  "" is invalid: {reason}'
