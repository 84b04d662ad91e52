"""What a frontend reads out of a pod."""

from typing import Any

import pytest

from kubelambda.frontend.cluster.pod_ends import PodEnds
from kubelambda.frontend.cluster.views import pod_view, ready_servers


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


MAKER = "root-directory-files-0"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {
                "initContainerStatuses": [
                    {"name": MAKER, "state": {"terminated": {"exitCode": 1, "message": "denied\n"}}}
                ]
            },
            "its root directory: denied",
        ),
        (
            {
                "initContainerStatuses": [
                    {
                        "name": MAKER,
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"exitCode": 1, "message": "denied"}},
                    }
                ]
            },
            "its root directory: denied",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "environment",
                        "state": {
                            "waiting": {
                                "reason": "CreateContainerConfigError",
                                "message": "failed to prepare subPath for volumeMount files-0",
                            }
                        },
                    }
                ]
            },
            "failed to prepare subPath for volumeMount files-0",
        ),
        ({"initContainerStatuses": [{"name": MAKER, "state": {"terminated": {"exitCode": 0}}}]}, ""),
        (
            {
                "containerStatuses": [
                    {"name": "environment", "state": {"waiting": {"reason": "ErrImagePull", "message": "mount it"}}}
                ]
            },
            "",
        ),
    ],
)
def test_why_a_container_has_no_file_system_is_read_out_of_its_state(status: dict[str, Any], said: str) -> None:
    """What makes its root directory, and what mounts it; nothing else is a matter of file systems."""
    view = pod_view(pod(**status))
    assert view is not None
    assert view.unmounted == said


def test_the_end_of_a_pod_is_known_when_it_is_gone() -> None:
    """Of its memory, or that its node ended it for what it wrote."""
    ends = PodEnds()
    message = 'Usage of EmptyDir volume "tmp" exceeds the limit "576Mi". '
    ends.changed(("team", "full"), pod_view(pod(phase="Failed", reason="Evicted", message=message)))
    killed = {"name": "environment", "state": {"terminated": {"reason": "OOMKilled"}}}
    ends.changed(("team", "large"), pod_view(pod(containerStatuses=[killed])))
    ends.changed(("team", "good"), pod_view(pod(phase="Running")))
    for name in ("full", "large", "good"):
        ends.changed(("team", name), None)
    assert ends.why("team", "full") == (
        "/tmp holds more than its size (ephemeralStorage): its node ended the environment: "
        'Usage of EmptyDir volume "tmp" exceeds the limit "576Mi".'
    )
    assert ends.why("team", "large") == "Runtime exited with error: signal: killed"
    assert ends.why("team", "good") == ""


def test_a_slice_names_ready_servers_with_their_port() -> None:
    """Not those that start or end, and none where no port is told."""
    endpoints = [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": True, "terminating": False}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False, "serving": True, "terminating": True}},
        {"addresses": ["10.0.0.3"]},
    ]
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert ready_servers({"endpoints": endpoints, "ports": ports}) == {("10.0.0.1", 8080)}
    assert ready_servers({"endpoints": endpoints, "ports": [{"name": "http"}]}) == frozenset()
    assert ready_servers({"endpoints": None, "ports": None}) == frozenset()
