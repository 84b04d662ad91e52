"""Who belongs to whom: versions and aliases go with their Function, provisioned environments with what wants them."""

from kubelambda.api import labels
from kubelambda.controllers.function.function_facts import FunctionFacts
from kubelambda.controllers.machinery.context import Context
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import Resource
from kubelambda.resources.environment_pod import Manifest, owner_reference


async def adopted(
    context: Context,
    resource: Resource,
    body: Object,
    *,
    name: str,
    function: FunctionFacts | None,
    finalizer: str = "",
) -> Object:
    """The object, owned by its Function and labelled with its name, held by `finalizer`: as it is, or after a patch."""
    metadata = body["metadata"]
    wanted: Object = {}
    if function is not None:
        owners = [each for each in metadata.get("ownerReferences") or [] if each["uid"] != function.uid]
        if len(owners) == len(metadata.get("ownerReferences") or []):
            reference = owner_reference(name, function.uid)
            wanted["ownerReferences"] = [*owners, reference | {"controller": not owners}]
        if (metadata.get("labels") or {}).get(labels.FUNCTION) != name:
            wanted["labels"] = {labels.FUNCTION: name}
    if finalizer and finalizer not in (metadata.get("finalizers") or []):
        wanted["finalizers"] = [*(metadata.get("finalizers") or []), finalizer]
    if not wanted:
        return body
    patch = {"metadata": {**wanted, "resourceVersion": metadata["resourceVersion"]}}
    return await context.client.patch(resource, metadata["name"], patch, metadata["namespace"])


def own_reference(resource: Resource, body: Object) -> Manifest:
    """Makes the garbage collector delete something with the object that wants it."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": body["metadata"]["name"],
        "uid": body["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }
