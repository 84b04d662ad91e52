"""Signatures of code and layers that are about to be deployed, said at once: the operator looks again (§1.5.4)."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Final

from kubelambda.awsapi.api_error import ApiError, invalid_parameter, unavailable
from kubelambda.awsapi.call import Services
from kubelambda.awsapi.function.function_lookup import FunctionName
from kubelambda.awsapi.function.received_code import ReceivedCode
from kubelambda.awsapi.layer.layer_references import NamedLayer
from kubelambda.awsapi.signing.signing_config_lookup import policy_of
from kubelambda.core.code.code_trust import (
    DeployedArchives,
    TrustFault,
    Untrusted,
    is_refused,
    new_archives,
    refusal_text,
    trust,
)
from kubelambda.core.code.invalid_archive import InvalidArchive
from kubelambda.core.code.signed_content import SignedContent, signed_content
from kubelambda.kube.kube_client import Object
from kubelambda.store.code.code_store import CodeStoreUnavailable
from kubelambda.store.code.stored_content import stored_content

_PIECE_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a call is about to deploy of a function. `shown`: as refusals name the function."""

    name: FunctionName
    shown: str
    code: ReceivedCode | None = None
    layers: Mapping[str, NamedLayer] | None = None
    """By ARN."""


async def require_trusted(
    services: Services, deployment: Deployment, reference: str | None, *, before: Object | None = None
) -> None:
    """Refuses what the code signing configuration that `reference` names does not let be deployed.

    What the function has already is not looked at again. Raises `ApiError`.
    """
    if reference is None:
        return
    policy = await policy_of(services, deployment.name.account, reference)
    new = new_archives(_wanted(deployment), _deployed(before))
    for what, sha256, file in _archives(deployment, new):
        found = trust(await _content(services, sha256, file), policy, datetime.now(UTC))
        if isinstance(found, Untrusted) and is_refused(found, enforced=policy.enforced):
            broken = found.fault is TrustFault.INTEGRITY
            kind = "InvalidCodeSignatureException" if broken else "CodeVerificationFailedException"
            raise ApiError(kind, refusal_text(found, deployment.shown, what))


def _archives(deployment: Deployment, new: DeployedArchives) -> Iterator[tuple[str, str, IO[bytes] | None]]:
    if deployment.code is not None and new.code is not None:
        yield "the code", deployment.code.sha256, deployment.code.file
    for arn, layer in (deployment.layers or {}).items():
        if layer.sha256 in new.layers:
            yield f"layer {arn}", layer.sha256, None


def _wanted(deployment: Deployment) -> DeployedArchives:
    code, layers = deployment.code, deployment.layers or {}
    return DeployedArchives(code.sha256 if code is not None else None, [layer.sha256 for layer in layers.values()])


def _deployed(body: Object | None) -> DeployedArchives:
    found: Mapping[str, Any] = ((body or {}).get("status") or {}).get("deployed") or {}
    code, layers = found.get("code") or {}, found.get("layers") or ()
    return DeployedArchives(code.get("sha256"), [layer["sha256"] for layer in layers])


async def _content(services: Services, sha256: str, file: IO[bytes] | None) -> SignedContent:
    try:
        if file is None:
            return await stored_content(services.store, sha256)
        return await asyncio.to_thread(signed_content, _pieces(file))
    except InvalidArchive as error:
        raise invalid_parameter(str(error)) from error
    except CodeStoreUnavailable as error:
        raise unavailable(f"The code could not be read: {error}") from error


def _pieces(file: IO[bytes]) -> Iterable[bytes]:
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        yield piece
