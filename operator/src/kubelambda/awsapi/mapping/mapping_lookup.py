"""From what callers name mappings by to their objects: UUID, source, function."""

from collections.abc import Mapping
from typing import Any, Final

from kubelambda.awsapi.account.directory import AccountView
from kubelambda.awsapi.api_error import not_found
from kubelambda.awsapi.call import Services
from kubelambda.awsapi.mapping.mapping_configuration import SELF_MANAGED, source_of, transition
from kubelambda.awsapi.model.spec_members import members_of
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS

MISSING: Final = "The resource you requested does not exist."
_PAGE: Final = 500


async def mappings_of(services: Services, account: AccountView, function: str | None = None) -> list[Object]:
    """Mappings of an account by age, or those of a function as they name it. One that is going is gone."""
    selector = "" if function is None else f"spec.functionName={function}"
    known = services.client.each(EVENT_SOURCE_MAPPINGS, account.namespace, first=_PAGE, field_selector=selector)
    found = [body async for body in known if transition(body) != "Deleting"]
    return sorted(found, key=lambda body: (body["metadata"]["creationTimestamp"], body["metadata"]["uid"]))


async def find_mapping(services: Services, account: AccountView, uuid: str, missing: str = MISSING) -> Object:
    """The mapping with that UUID. Raises `ApiError`."""
    wanted = uuid.lower()
    selector = f"status.uuid={wanted}"
    known, _ = await services.client.page(EVENT_SOURCE_MAPPINGS, account.namespace, limit=2, field_selector=selector)
    if not known:  # one whose status nobody has written yet
        known = await mappings_of(services, account)
    found = next((body for body in known if body["metadata"]["uid"] == wanted and transition(body) != "Deleting"), None)
    if found is None:
        raise not_found(missing)
    return found


def source_key(services: Services, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Equal of mappings that read the same: one source and function have one mapping at most (§7.1.5)."""
    model = services.model
    members = members_of(model, model.shape("CreateEventSourceMappingRequest"), spec)
    if source_of(members) != SELF_MANAGED:
        access = members.get("SourceAccessConfigurations") or ()
        hosts = [each["URI"] for each in access if each["Type"] == "VIRTUAL_HOST"]
        return (str(members.get("EventSourceArn")), *members.get("Topics", ()), *members.get("Queues", ()), *hosts)
    servers = (members["SelfManagedEventSource"].get("Endpoints") or {}).get("KAFKA_BOOTSTRAP_SERVERS") or ()
    return (",".join(servers), *members.get("Topics", ()))
