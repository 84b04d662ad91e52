"""The status of an object, as its controller reads and writes it."""

from typing import Any, Final

from pydantic import ValidationError

from kubelambda.api.model import Model
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import Resource

_OF_EVERY_WRITE: Final = {"resourceVersion", "managedFields"}
"""Metadata that our own write changes as well."""


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


async def report_status(
    context: Context, watch: Watch[Any], body: Object, status: Model, *, by: Key, exclude: set[str] | None = None
) -> None:
    """Writes our part of the status of the object that `by` is about, and takes in how it is after that: all but
    `exclude`, which others write.

    What others changed since `body` was read comes with the answer, and their events come too late to tell of it: `by`
    is looked at again. Raises `KubeError`.
    """
    after = await apply_status(context, watch.resource, body, status, exclude=exclude)
    if _of_others(type(status), body, exclude) != _of_others(type(status), after, exclude):
        context.queues.add(by)
    await changes.observe(context, watch, after, by=by)


def _of_others(kind: type[Model], body: Object, exclude: set[str] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What others change of an object: its metadata, which tells of its spec too, and their part of the status."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in _OF_EVERY_WRITE}
    return metadata, read_status(kind, body).model_dump(include=exclude or set())
