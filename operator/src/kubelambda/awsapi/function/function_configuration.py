"""A Function object as Lambda's FunctionConfiguration: what it is, and how its last change went (§1.3.1, §1.4)."""

import base64
import uuid
from collections.abc import Mapping
from typing import Any, Final

from kubelambda.api import limits
from kubelambda.core.account import identity
from kubelambda.core.code.layer_reference import layer_version_arn, parse_layer
from kubelambda.core.function.object_name import function_name_of

LATEST: Final = "$LATEST"
CREATING: Final = "The function is being created."


def revision_id(body: Mapping[str, Any]) -> str:
    """Another one after each change of the spec, the same for everybody who reads the same object."""
    metadata = body["metadata"]
    return str(uuid.uuid5(uuid.UUID(metadata["uid"]), str(metadata["generation"])))


def is_current(body: Mapping[str, Any]) -> bool:
    """Whether the status speaks of the spec as it is now."""
    generation: int = body["metadata"]["generation"]
    return bool((body.get("status") or {}).get("observedGeneration") == generation)


def state(body: Mapping[str, Any]) -> dict[str, str]:
    """State and LastUpdateStatus, each with its reason and code."""
    status = body.get("status") or {}
    if status.get("deployed") is None and not is_current(body):
        return {"State": "Pending", "StateReason": CREATING, "StateReasonCode": "Creating"}
    found = _with_reasons("State", "state", status)
    if status.get("deployed") is not None and not is_current(body):
        prefix = "LastUpdateStatus"
        return found | {prefix: "InProgress", f"{prefix}Reason": CREATING, f"{prefix}ReasonCode": "Creating"}
    return found | _with_reasons("LastUpdateStatus", "lastUpdateStatus", status)


def _with_reasons(theirs: str, ours: str, status: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{theirs}{end}": status[f"{ours}{end}"] for end in ("", "Reason", "ReasonCode") if f"{ours}{end}" in status
    }


def configuration(body: Mapping[str, Any], region: str, account: str, qualifier: str | None = None) -> dict[str, Any]:
    """FunctionConfiguration. Its ARN has a qualifier only where one was asked for (§1.2.3)."""
    spec, status, name = body["spec"], body.get("status") or {}, function_name_of(body)
    found = {
        "FunctionName": name,
        "FunctionArn": identity.function_arn(region, account, name, qualifier),
        "Runtime": spec.get("runtime"),
        "ImageConfigResponse": _image(spec),
        "Role": spec.get("role", f"arn:aws:iam::{account}:role/none"),
        "Handler": spec.get("handler"),
        **code_facts(spec, status),
        "Description": spec.get("description", ""),
        "Timeout": spec.get("timeout", limits.TIMEOUT_DEFAULT_S),
        "MemorySize": spec.get("memorySize", limits.MEMORY_MIN_MB),
        "LastModified": status.get("lastModified") or lambda_time(body["metadata"]["creationTimestamp"]),
        "Version": LATEST,
        "Environment": _environment(spec),
        "TracingConfig": {"Mode": (spec.get("tracingConfig") or {}).get("mode", "PassThrough")},
        "RevisionId": revision_id(body),
        "PackageType": spec.get("packageType", "Zip"),
        "Architectures": spec.get("architectures") or ["x86_64"],
        "EphemeralStorage": {"Size": (spec.get("ephemeralStorage") or {}).get("size", limits.EPHEMERAL_STORAGE_MIN_MB)},
        "SnapStart": {"ApplyOn": (spec.get("snapStart") or {}).get("applyOn", "None"), "OptimizationStatus": "Off"},
        "LoggingConfig": _logging(spec, name),
        "RuntimeVersionConfig": _runtime_version(spec, region),
        **_layers(spec, status, region, account),
        **_optional(spec),
        **_signing(status),
        **state(body),
    }
    return {member: value for member, value in found.items() if value is not None}


def code_facts(spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    """Size and digest of the code: of what was uploaded last, also before it is deployed, else of what is deployed."""
    stored = (spec.get("code") or {}).get("stored")
    if stored is not None:
        digest = base64.b64encode(bytes.fromhex(stored["sha256"])).decode()
        return {"CodeSize": stored["size"], "CodeSha256": digest}
    return {"CodeSize": status.get("codeSize", 0), "CodeSha256": status.get("codeSha256", "")}


def lambda_time(rfc3339: str) -> str:
    """A time of Kubernetes as Lambda writes it."""
    return rfc3339.removesuffix("Z") + ".000+0000"


def _environment(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Values out of Secrets and ConfigMaps are not shown: who reads the API may not be allowed to read those."""
    variables = (spec.get("environment") or {}).get("variables")
    return {"Variables": variables} if variables else None


def _logging(spec: Mapping[str, Any], name: str) -> dict[str, Any]:
    given = spec.get("loggingConfig") or {}
    found = {
        "LogFormat": given.get("logFormat", "Text"),
        "ApplicationLogLevel": given.get("applicationLogLevel"),
        "SystemLogLevel": given.get("systemLogLevel"),
        "LogGroup": given.get("logGroup", f"/aws/lambda/{name}"),
    }
    return {member: value for member, value in found.items() if value is not None}


def _runtime_version(spec: Mapping[str, Any], region: str) -> dict[str, str] | None:
    runtime = spec.get("runtime")
    return {"RuntimeVersionArn": f"arn:aws:lambda:{region}::runtime:{runtime}"} if runtime else None


def _image(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    given = spec.get("imageConfig") or {}
    members = {"EntryPoint": "entryPoint", "Command": "command", "WorkingDirectory": "workingDirectory"}
    found = {theirs: given[ours] for theirs, ours in members.items() if given.get(ours)}
    return {"ImageConfig": found} if found else None


def _layers(spec: Mapping[str, Any], status: Mapping[str, Any], region: str, account: str) -> dict[str, Any]:
    """Layers by ARN, however the Function names them; their sizes once they are deployed."""
    sizes = {layer["arn"]: layer["size"] for layer in (status.get("deployed") or {}).get("layers") or ()}
    found = []
    for name in spec.get("layers") or ():
        layer = parse_layer(name)
        arn = name if layer is None or layer.account else layer_version_arn(region, account, layer.layer, layer.number)
        found.append({"Arn": arn, "CodeSize": sizes.get(arn, 0)})
    return {"Layers": found} if found else {}


def _optional(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What is left out while it is not set."""
    found: dict[str, Any] = {}
    network = spec.get("vpcConfig")
    if network:
        found["VpcConfig"] = {
            "SubnetIds": network.get("subnetIds", []),
            "SecurityGroupIds": network.get("securityGroupIds", []),
            "VpcId": "",
        }
        if network.get("ipv6AllowedForDualStack") is not None:
            found["VpcConfig"]["Ipv6AllowedForDualStack"] = network["ipv6AllowedForDualStack"]
    if spec.get("fileSystemConfigs"):
        found["FileSystemConfigs"] = [
            {"Arn": mount["arn"], "LocalMountPath": mount["localMountPath"]} for mount in spec["fileSystemConfigs"]
        ]
    if spec.get("deadLetterConfig"):
        found["DeadLetterConfig"] = {"TargetArn": spec["deadLetterConfig"]["targetArn"]}
    return found


def _signing(status: Mapping[str, Any]) -> dict[str, str]:
    """Who signed the code that is deployed, and which signature of theirs it is."""
    found = (status.get("deployed") or {}).get("signing") or {}
    publisher = found.get("profileVersionArn")
    if publisher is None:
        return {}
    owner = ":".join(publisher.split(":")[:5])
    return {"SigningProfileVersionArn": publisher, "SigningJobArn": f"{owner}:/signing-jobs/{found.get('job', '')}"}
