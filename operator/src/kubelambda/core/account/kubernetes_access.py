"""What the holder of a Kubernetes token must be allowed to do in Kubernetes, for each operation of Lambda's API."""

import re
from dataclasses import dataclass
from typing import Final

_VERBS: Final = (
    ("Get", "get"),
    ("List", "list"),
    ("Describe", "list"),
    ("Create", "create"),
    ("Publish", "create"),
    ("Delete", "delete"),
    ("Remove", "update"),
    ("Untag", "update"),
    ("Deregister", "update"),
)
_RESOURCES: Final = (
    (re.compile("EventSourceMapping"), "eventsourcemappings"),
    (re.compile("LayerVersionPermission"), "layers"),
    (re.compile("Layer"), "layers"),
    (re.compile("^(Create|Update|Delete|Get|List)CodeSigningConfig"), "codesigningconfigs"),
    (re.compile("^(Create|Update|Delete|Get|List)Alias"), "aliases"),
    (re.compile("^(PublishVersion|ListVersionsByFunction)$"), "functionversions"),
    (re.compile("ProvisionedConcurrency|Scal"), "aliases"),
)
_OF_A_FUNCTION: Final = re.compile(
    "^(Delete|Remove)(?!Function$|Alias$|EventSourceMapping$|LayerVersion$|CodeSigningConfig$)|^CreateFunctionUrl"
)
"""What is deleted, or made, is a part of a function's spec: its concurrency, its permission, its URL."""


@dataclass(frozen=True, slots=True)
class ResourceAccess:
    """A verb on one of our resources. An empty name means all of the namespace."""

    namespace: str
    resource: str
    verb: str
    name: str = ""
    subresource: str = ""


def invoke_access(namespace: str, function: str) -> ResourceAccess:
    """What invoking takes: `create` on `functions/invoke`."""
    return ResourceAccess(namespace, "functions", "create", function, "invoke")


def operation_access(operation: str, namespace: str, function: str = "") -> ResourceAccess:
    """What an operation of the control API takes. `function` is the object that it names."""
    verb = "update"
    if not _OF_A_FUNCTION.match(operation):
        verb = next((verb for prefix, verb in _VERBS if operation.startswith(prefix)), "update")
    resource = next((name for pattern, name in _RESOURCES if pattern.search(operation)), "functions")
    named = function if resource == "functions" and verb not in ("create", "list") else ""
    return ResourceAccess(namespace, resource, verb, named)
