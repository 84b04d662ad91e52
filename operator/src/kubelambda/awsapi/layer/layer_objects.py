"""From layers as callers name them to their objects (§1.2.5)."""

import re
from dataclasses import dataclass
from typing import Final

from kubelambda.awsapi.account.directory import AccountView
from kubelambda.awsapi.api_error import ApiError, invalid_parameter, not_found
from kubelambda.awsapi.call import Call, Services
from kubelambda.awsapi.layer.layer_lookup import layer_object, version_permissions
from kubelambda.core.code.layer_reference import layer_arn, layer_object_name, layer_version_arn
from kubelambda.core.code.layer_sharing import is_shared_with, layer_denial, layer_grants
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import LAYER_VERSIONS

MISSING: Final = "The resource you requested does not exist."
_ARN = re.compile(r"arn:[^:]+:lambda:(?P<region>[^:]+):(?P<account>\d{12}):layer:(?P<layer>[^:]+)(:(?P<number>\d+))?")
_PAGE: Final = 250


@dataclass(frozen=True, slots=True)
class LayerName:
    """A layer in an account, as a caller named it; `number` of one version."""

    account: AccountView
    region: str
    layer: str
    number: int | None = None

    @property
    def arn(self) -> str:
        """Of the layer."""
        return layer_arn(self.region, self.account.id, self.layer)

    @property
    def version_arn(self) -> str:
        """Of the version."""
        return layer_version_arn(self.region, self.account.id, self.layer, self.number or 0)


def layer_named(services: Services, call: Call) -> LayerName:
    """The layer that `LayerName` is, and the version that `VersionNumber` or `Arn` is: one of the caller's own.

    Raises `ApiError`.
    """
    name = _parsed(services, call)
    if name.account.id != call.caller.id:
        raise out_of_reach(call, name)
    return name


async def readable_layer_named(services: Services, call: Call) -> LayerName:
    """As `layer_named`; also a version of another account that shares it with the caller's. Raises `ApiError`."""
    name = _parsed(services, call)
    if name.account.id != call.caller.id:
        await require_shared(services, call, name, call.caller)
    return name


async def require_shared(services: Services, call: Call, name: LayerName, account: AccountView) -> None:
    """Refuses a version of another account that this one may not have: in the same words whether or not there is one.

    An account id that is another namespace's opens nothing. Raises `ApiError`.
    """
    rightful = services.accounts.by_id(account.id)
    if name.account.namespace and rightful is not None and rightful.namespace == account.namespace:
        namespace = name.account.namespace
        permissions = await version_permissions(services.client, namespace, name.layer, name.number)
        if is_shared_with(layer_grants(permissions), name.number or 0, account.id):
            return
    raise ApiError("AccessDeniedException", layer_denial(call.user, name.version_arn))


def _parsed(services: Services, call: Call) -> LayerName:
    text: str = call.parameters.get("Arn") or call.parameters["LayerName"]
    number: int | None = call.parameters.get("VersionNumber")
    region = services.settings.region
    found = _ARN.fullmatch(text)
    if found is None:
        name = LayerName(call.caller, region, text, number)
    else:
        account = services.accounts.by_id(found["account"]) or AccountView("", found["account"], None)
        number = int(found["number"]) if found["number"] else number
        name = LayerName(account, found["region"], found["layer"], number)
    if name.number is not None and name.number < 1:
        raise invalid_parameter("Layer Version Cannot be less than 1")
    if name.region != region:
        raise out_of_reach(call, name)
    return name


def out_of_reach(call: Call, name: LayerName) -> ApiError:
    """A layer of somebody else, with which no policy lets others do this."""
    what = name.arn if name.number is None else name.version_arn
    return ApiError("AccessDeniedException", layer_denial(call.user, what, f"lambda:{call.operation}"))


async def find_layer(services: Services, name: LayerName) -> Object | None:
    """The Layer object, whatever it is called."""
    return await layer_object(services.client, name.account.namespace, name.layer)


async def layer_versions_of(services: Services, account: AccountView, layer: str | None = None) -> list[Object]:
    """Versions of a layer, or of all layers of an account, the newest first. One that is going is gone."""
    selector = "" if layer is None else f"spec.layerName={layer}"
    known = services.client.each(LAYER_VERSIONS, account.namespace, first=_PAGE, field_selector=selector)
    found = [body async for body in known if "deletionTimestamp" not in body["metadata"]]
    return sorted(found, key=lambda body: -int(body["spec"]["version"]))


async def find_layer_version(services: Services, name: LayerName, missing: str = MISSING) -> Object:
    """One version. Raises `ApiError`."""
    body = await find_layer_version_object(services, name)
    if body is None or "deletionTimestamp" in body["metadata"]:
        raise not_found(missing)
    return body


async def find_layer_version_object(services: Services, name: LayerName) -> Object | None:
    """The object of a version, also while it is going."""
    object_name = f"{layer_object_name(name.layer)}-{name.number}"
    body = await services.client.find(LAYER_VERSIONS, object_name, name.account.namespace)
    if body is None or (body["spec"]["layerName"], body["spec"]["version"]) != (name.layer, name.number):
        return None
    return body
