"""What a frontend reads out of a pod."""

from typing import Any

from kubelambda.frontend.cluster.views import pod_view


def pod(**status: Any) -> dict[str, Any]:
    """A pod with that status."""
    metadata = {"uid": "u", "resourceVersion": "1", "labels": {"kubelambda.dev/function": "f"}}
    return {"metadata": metadata, "spec": {"nodeName": "n"}, "status": status}


def test_only_the_environments_own_container_counts() -> None:
    """Another one beside it may end of its memory or start again: the function goes on."""
    killed = {"name": "beside", "restartCount": 3, "lastState": {"terminated": {"reason": "OOMKilled"}}}
    good = {"name": "environment", "restartCount": 0}
    view = pod_view(pod(containerStatuses=[killed, good]))
    assert view is not None
    assert (view.restarts, view.out_of_memory) == (0, False)


def test_the_end_of_the_environment_is_seen_wherever_its_container_is_listed() -> None:
    """Also as a sidecar, which Kubernetes lists among the init containers."""
    killed = {"name": "environment", "restartCount": 1, "lastState": {"terminated": {"reason": "OOMKilled"}}}
    for statuses in (
        {"containerStatuses": [{"name": "code", "restartCount": 0}], "initContainerStatuses": [killed]},
        {"containerStatuses": [{"name": "code", "restartCount": 0}, killed]},
    ):
        view = pod_view(pod(**statuses))
        assert view is not None
        assert (view.restarts, view.out_of_memory) == (1, True)


def test_a_pod_that_has_said_nothing_yet_is_no_fault() -> None:
    """No container, no address, no node."""
    view = pod_view({"metadata": {"uid": "u", "resourceVersion": "1"}})
    assert view is not None
    assert (view.ip, view.ready, view.restarts, view.node) == ("", False, 0, "")
