"""The status of an object, as its controller reads and writes it."""

from pydantic import ValidationError

from kubelambda.api.model import Model
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import Resource


def read_status[S: Model](kind: type[S], body: Object) -> S:
    """The status as far as this release understands it: another release may have written more."""
    try:
        return kind.model_validate(body.get("status") or {}, extra="ignore")
    except ValidationError:
        return kind()


async def apply_status(
    context: Context, resource: Resource, body: Object, status: Model, *, exclude: set[str] | None = None
) -> Object:
    """Writes our part of an object's status, without `exclude`; the object after that. Raises `KubeError`."""
    metadata = body["metadata"]
    manifest = {
        "metadata": {name: metadata[name] for name in ("name", "namespace") if name in metadata},
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=exclude),
    }
    return await context.client.apply(resource, manifest, manager=FIELD_MANAGER, subresource="status")
