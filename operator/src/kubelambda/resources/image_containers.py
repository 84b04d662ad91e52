"""The two containers of a pod whose function is a container image: the agent as a sidecar, and the image itself.

The image stays as it is. Its container runs our launcher, out of a folder that both see, and that runs what the image's
own configuration says once the agent tells it to. Both share the pod's loopback, and with it the Runtime API.
"""

from typing import Any, Final

from kubelambda.api import environment_protocol, labels
from kubelambda.core.environment.sizing import Resources

SHARED: Final = "kubelambda"
SHARED_BYTES: Final = 16 << 20
_FOLDER = "/run/kubelambda"
_AGENT = "agent"
_AGENT_RESOURCES = {"requests": {"cpu": "5m", "memory": "24Mi"}, "limits": {"cpu": "1000m", "memory": "128Mi"}}

type Manifest = dict[str, Any]


def beside_the_agent(agent: Manifest, image: str, resources: Resources) -> dict[str, list[Manifest]]:
    """Containers of the pod; `agent` is the container of any other environment."""
    tmp = [mount for mount in agent["volumeMounts"] if mount["name"] == "tmp"]
    sidecar = {
        **agent,
        "name": _AGENT,
        "restartPolicy": "Always",
        "env": [*agent["env"], {"name": environment_protocol.ENV_SHARED_FOLDER, "value": _FOLDER}],
        "resources": _AGENT_RESOURCES,
        "volumeMounts": [*tmp, {"name": SHARED, "mountPath": _FOLDER}],
    }
    sidecar.pop("resizePolicy")
    function = {
        "name": labels.CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [f"{_FOLDER}/launcher", f"{_FOLDER}/agent.sock", f"{_FOLDER}/output"],
        "resources": resources.manifest(),
        "resizePolicy": agent["resizePolicy"],
        "securityContext": agent["securityContext"],
        "volumeMounts": [*tmp, {"name": SHARED, "mountPath": _FOLDER, "readOnly": True}],
    }
    return {"initContainers": [sidecar], "containers": [function]}
