"""LayerVersion objects as Lambda answers them: pure."""

import base64
from collections.abc import Mapping
from typing import Any

from kubelambda.awsapi.function.function_configuration import lambda_time
from kubelambda.core.code.layer_reference import layer_arn, layer_version_arn
from kubelambda.kube.kube_client import Object


def listed_version(body: Object, region: str, account: str) -> dict[str, Any]:
    """LayerVersionsListItem."""
    spec = body["spec"]
    found = {
        "LayerVersionArn": layer_version_arn(region, account, spec["layerName"], spec["version"]),
        "Version": spec["version"],
        "Description": spec.get("description", ""),
        "CreatedDate": lambda_time(body["metadata"]["creationTimestamp"]),
        "CompatibleRuntimes": spec.get("compatibleRuntimes") or None,
        "CompatibleArchitectures": spec.get("compatibleArchitectures") or None,
        "LicenseInfo": spec.get("licenseInfo"),
    }
    return {member: value for member, value in found.items() if value is not None}


def whole_version(body: Object, region: str, account: str, location: str) -> dict[str, Any]:
    """What GetLayerVersion answers; `location` is an address of the archive."""
    content = body["spec"]["content"]
    return {
        "LayerArn": layer_arn(region, account, body["spec"]["layerName"]),
        **listed_version(body, region, account),
        "Content": {
            "Location": location,
            "CodeSha256": base64.b64encode(bytes.fromhex(content["sha256"])).decode(),
            "CodeSize": content["size"],
        },
    }


def is_compatible(body: Object, parameters: Mapping[str, Any]) -> bool:
    """Whether a version says that it is for the runtime and the architecture that a list is asked for."""
    wanted = {
        "compatibleRuntimes": parameters.get("CompatibleRuntime"),
        "compatibleArchitectures": parameters.get("CompatibleArchitecture"),
    }
    return all(value is None or value in body["spec"].get(field, ()) for field, value in wanted.items())
