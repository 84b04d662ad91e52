"""The container image of a function: looked up once for each name that its spec gives, and pinned by its digest."""

import logging
from functools import partial

from pydantic import ValidationError

from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.kinds.function_image import DeployedImage, ImageConfig
from kubelambda.api.reasons import Reason
from kubelambda.controllers.code import image_registry
from kubelambda.controllers.code.code_state import CodeState, ImageLookup
from kubelambda.controllers.code.image_registry import RegistryAway, RegistryRefused
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Controller
from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome
from kubelambda.core.code.image_manifest import UnusableImage
from kubelambda.core.code.image_reference import parse_image
from kubelambda.core.function.observation import Problem
from kubelambda.kube.errors import NotFound
from kubelambda.kube.jitter import spread
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS

KIND = "ImageLookup"
WORKERS = 8
PER_NAMESPACE = 4
"""Look-ups that one namespace may have at once; the rest is for the others."""
_REFUSALS = (Reason.IMAGE_DELETED, Reason.IMAGE_ACCESS_DENIED)

log = logging.getLogger(__name__)


def controller(code: CodeState) -> Controller[Context]:
    """Look-ups, asked for by Functions; apart from all others, because a registry may take its time."""
    return Controller(KIND, partial(reconcile, code), own_workers=WORKERS)


def resolve(
    state: CodeState, context: Context, key: Key, spec: FunctionSpec, deployed: DeployedImage | None
) -> DeployedImage | Problem | None:
    """The image to deploy; or the problem; or None while it is looked up.

    What a tag names is looked up when the function names it, and kept: a tag that moves changes nothing (§1.3). Of a
    deployed image its registry is asked again and again: one that is gone is a problem before a node needs it.
    """
    uri = spec.code.image_uri or ""
    pinned = deployed if deployed is not None and deployed.uri == uri else None
    known = state.images.get(key)
    if known is None or known.uri != uri:
        lookup = Key(KIND, key.namespace, key.name)
        if not context.queues.of(KIND).is_running(lookup):
            context.queues.add(lookup)
    found = known.outcome if known is not None and known.uri == uri else None
    if pinned is not None and not (isinstance(found, Problem) and found.reason in _REFUSALS):
        found = pinned
    if not isinstance(found, DeployedImage):
        return found
    image = found.model_copy(update={"config": spec.image_config or ImageConfig()})
    if not image.arguments:
        text = f"Source image {uri} has no entry point and no command, and imageConfig gives none"
        return Problem(Reason.INVALID_IMAGE, text, terminal=True)
    return image


async def reconcile(state: CodeState, context: Context, key: Key) -> Outcome:
    """Looks up the image that a Function names now; what comes of it is remembered for its own reconciliation."""
    asker = Key("Function", key.namespace, key.name)
    if context.queues.of(key.kind).running(key.namespace) > PER_NAMESPACE:
        return 1.0
    try:
        body = await context.client.get(FUNCTIONS, key.name, key.namespace)
        uri = FunctionSpec.model_validate(body["spec"]).code.image_uri
    except (NotFound, ValidationError):
        uri = None
    if uri is None:
        state.images.pop(asker, None)
        return None
    outcome = await _looked_up(context, uri, _pinned(body, uri))
    before, after = state.images.get(asker), ImageLookup(uri, outcome)
    if after != before:
        state.images[asker] = after
        context.queues.add(asker)
    if isinstance(outcome, Problem):
        log.info("function %s/%s: %s", key.namespace, key.name, outcome.message)
        return None if outcome.terminal else BackOff()
    return spread(context.settings.images.recheck_seconds)


def _pinned(body: Object, uri: str) -> DeployedImage | None:
    """The deployed image; None when the function names another one."""
    image = ((body.get("status") or {}).get("deployed") or {}).get("image") or {}
    return DeployedImage.model_validate(image) if image.get("uri") == uri else None


async def _looked_up(context: Context, uri: str, pinned: DeployedImage | None) -> DeployedImage | Problem:
    reference = parse_image(pinned.reference if pinned is not None else uri)
    if isinstance(reference, Problem):
        return reference
    try:
        if pinned is None:
            return await image_registry.look_up(context.settings, uri, reference)
        await image_registry.look_again(context.settings, uri, reference)
    except RegistryRefused as error:
        return Problem(error.reason, str(error))
    except RegistryAway as error:
        return Problem(Reason.CODE_UNAVAILABLE, str(error))
    except UnusableImage as error:
        # What is deployed by its digest was valid once: it is the registry that answers nonsense, and not for ever.
        text = f"Source image {uri} is not valid: {error}"
        return Problem(Reason.INVALID_IMAGE, text, terminal=pinned is None)
    return pinned
