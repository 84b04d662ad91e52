"""What callers of a function URL get of what Invoke answers (§2.5.4)."""

import json

import pytest

from kubelambda.core.file_system.mount_failure import MountError, MountFailure, never_mounted
from kubelambda.core.invoke.invoke_error import InvokeError, not_ready
from kubelambda.core.invoke.url_response import INTERNAL_ERROR, UrlResponse
from kubelambda.frontend.invoke.url_answer import _response

KUBELET = 'MountVolume.SetUp failed for volume "v": mount.nfs: 10.0.0.7:/exports/customers: Permission denied'


def told(error: InvokeError) -> UrlResponse:
    """The HTTP answer."""
    return _response(error.status, error.body(), error.headers())


@pytest.mark.parametrize("error", MountError)
def test_callers_of_a_url_hear_nothing_of_what_cannot_be_mounted(error: MountError) -> None:
    """The kubelet's and the scheduler's words name servers, paths, volumes and nodes: a URL may be open to all."""
    arn = "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/shared"
    assert told(MountFailure(error, KUBELET).answer(arn)) is INTERNAL_ERROR
    never = never_mounted(error.value, KUBELET)
    assert never is not None
    assert told(never) is INTERNAL_ERROR


def test_what_else_invoke_refuses_is_told() -> None:
    """A function that is not ready, for one."""
    found = told(not_ready("later"))
    assert (found.status, json.loads(found.body)["Message"]) == (502, "later")
