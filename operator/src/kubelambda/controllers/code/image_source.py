"""The container image of a function: looked up once for each name that its spec gives, and pinned by its digest.

Of what is deployed, and of versions, the registry is asked again and again.
"""

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
from kubelambda.kube.resources import FUNCTION_VERSIONS, FUNCTIONS

KIND = "ImageLookup"
VERSION_KIND = "VersionImageLookup"
"""Apart from those of functions: nobody waits for an answer, and there may be many more."""
WORKERS = 8
VERSION_WORKERS = 6
PER_NAMESPACE = 4
"""Look-ups that one namespace may have at once; the rest is for the others."""
_REFUSALS = (Reason.IMAGE_DELETED, Reason.IMAGE_ACCESS_DENIED)

log = logging.getLogger(__name__)


def controllers(code: CodeState) -> tuple[Controller[Context], ...]:
    """Look-ups, asked for by Functions and versions; apart from all others, because a registry may take its time."""
    return (
        Controller(KIND, partial(reconcile, code), own_workers=WORKERS),
        Controller(VERSION_KIND, partial(reconcile_version, code), own_workers=VERSION_WORKERS),
    )


def resolve(
    state: CodeState, context: Context, key: Key, spec: FunctionSpec, deployed: DeployedImage | None
) -> DeployedImage | Problem | None:
    """The image to deploy; or the problem; or None while it is looked up.

    What a tag names is looked up when the function names it, and kept: a tag that moves changes nothing (§1.3). Of a
    deployed image its registry is asked again and again: one that is gone is a problem before a node needs it.
    """
    uri = spec.code.image_uri or ""
    pinned = deployed if deployed is not None and deployed.uri == uri else None
    found = _known(state, context, key, KIND, uri)
    if pinned is not None and not (isinstance(found, Problem) and found.reason in _REFUSALS):
        found = pinned
    if not isinstance(found, DeployedImage):
        return found
    image = found.model_copy(update={"config": spec.image_config or ImageConfig()})
    if not image.arguments:
        text = f"Source image {uri} has no entry point and no command, and imageConfig gives none"
        return Problem(Reason.INVALID_IMAGE, text, terminal=True)
    return image


def refusal(state: CodeState, context: Context, key: Key, image: DeployedImage) -> Problem | None:
    """Why the registry gives the image of a version no more; None while it does, and until it was asked."""
    found = _known(state, context, key, VERSION_KIND, image.uri)
    return found if isinstance(found, Problem) and found.reason in _REFUSALS else None


def _known(state: CodeState, context: Context, key: Key, kind: str, uri: str) -> DeployedImage | Problem | None:
    """What the registry said last; None where it is still to be asked, which is begun."""
    known = state.images.get(key)
    if known is not None and known.uri == uri:
        return known.outcome
    lookup = Key(kind, key.namespace, key.name)
    if context.queues.of(kind).is_running(lookup):
        state.image_askers.add(key)  # its end queues us; asked for again now, it would ask the registry twice
    else:
        context.queues.add(lookup)
    return None


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
        _forget(state, context, asker)
        return None
    return await _ask(state, context, asker, uri, _pinned(body, uri))


async def reconcile_version(state: CodeState, context: Context, key: Key) -> Outcome:
    """Asks whether the registry still has the image that a version runs."""
    asker = Key("FunctionVersion", key.namespace, key.name)
    if context.queues.of(key.kind).running(key.namespace) > PER_NAMESPACE:
        return 1.0
    body = await context.client.find(FUNCTION_VERSIONS, key.name, key.namespace) or {}
    image = ((body.get("status") or {}).get("deployed") or {}).get("image")
    if image is None:
        _forget(state, context, asker)
        return None
    pinned = DeployedImage.model_validate(image, extra="ignore")
    return await _ask(state, context, asker, pinned.uri, pinned)


async def _ask(state: CodeState, context: Context, asker: Key, uri: str, pinned: DeployedImage | None) -> Outcome:
    outcome = await _looked_up(context, uri, pinned)
    before, after = state.images.get(asker), ImageLookup(uri, outcome)
    state.images[asker] = after
    if after != before:
        context.queues.add(asker)
    _answer(state, context, asker)
    if isinstance(outcome, Problem):
        log.info("%s %s/%s: %s", asker.kind, asker.namespace, asker.name, outcome.message)
        return None if outcome.terminal else BackOff()
    return spread(context.settings.images.recheck_seconds)


def _forget(state: CodeState, context: Context, asker: Key) -> None:
    """There is no image to ask for."""
    state.images.pop(asker, None)
    _answer(state, context, asker)


def _answer(state: CodeState, context: Context, asker: Key) -> None:
    """Who asked meanwhile may have meant another image: nothing else makes it ask for that one."""
    if asker in state.image_askers:
        state.image_askers.discard(asker)
        context.queues.add(asker)


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
