"""Initializing the pods of provisioned environments as they appear (`docs/decisions/0016`)."""

import asyncio
import logging
import time
from weakref import WeakKeyDictionary

from kubelambda.api import labels, limits
from kubelambda.core.environment.start_backoff import StartBackoff
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.account.adoption import Adoption
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.specializer import AgentAddress
from kubelambda.frontend.cold_start.start import FailureAnswer, InitFailure, NotStarted, StartFailed, Taken, Target
from kubelambda.frontend.cold_start.starter import Starter
from kubelambda.frontend.dispatch.dispatcher import Dispatcher
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import PODS
from kubelambda.wire.background_tasks import BackgroundTasks

_AGAIN_S = 1.0
_GRACE_S = 30.0
"""Beyond the longest INIT, until a pod that says it is taken, and never by whom, is given up."""
_SHOWN_CHARS = 512
_FAILED = "FUNCTION_ERROR_INIT_FAILURE"

log = logging.getLogger(__name__)

type Kept = tuple[str, str]
"""What provisioned environments of a version are kept for: revision and qualifier."""


class ProvisionedPods:
    """Hands functions over to pods that Kubernetes keeps for them, and adopts those that were handed one before.

    Where INIT fails, one pod after the other tries, more and more rarely; the others say why they wait.
    """

    def __init__(self, client: KubeClient, caches: Caches, starter: Starter, adoption: Adoption) -> None:
        self._client = client
        self._caches = caches
        self._starter = starter
        self._adoption = adoption
        self._at_work: set[str] = set()
        self._taken: dict[str, float] = {}
        """When pods said first that somebody else initializes them, by uid."""
        self._said: dict[str, str] = {}
        """What pods at work were annotated with last, by uid: their views may not have heard of it yet."""
        self._backoffs: WeakKeyDictionary[Dispatcher, dict[Kept, StartBackoff]] = WeakKeyDictionary()
        self._tasks = BackgroundTasks()

    def look(self, dispatcher: Dispatcher, name: str, pod: PodView) -> None:
        """Does for a pod what it needs, in the background."""
        if pod.ready:
            self._adoption.adopt(dispatcher, name, pod)
        elif (
            pod.ip
            and pod.uid not in self._at_work
            and not self._starter.starting(pod.uid)
            and self._wanted(dispatcher, name, pod)
        ):
            self._at_work.add(pod.uid)
            self._tasks.start(self._run(dispatcher, name, pod))

    def _wanted(self, dispatcher: Dispatcher, name: str, pod: PodView) -> bool:
        """Whether the pod is still there, nobody's environment, and ours to initialize."""
        target = dispatcher.target
        known = self._caches.pods.items.get((target.namespace, name))
        return (
            known is not None
            and known.uid == pod.uid
            and not known.ending
            and (pod.function_uid, pod.version) == (target.uid, target.configuration.version)
            and not dispatcher.released
            and not dispatcher.knows(pod.uid)
            and not self._starter.deletions.pending(pod.uid)
        )

    async def _run(self, dispatcher: Dispatcher, name: str, pod: PodView) -> None:
        try:
            while self._wanted(dispatcher, name, pod):
                if await self._attempt(dispatcher, name, pod):
                    return
                await asyncio.sleep(_AGAIN_S)
        finally:
            self._at_work.discard(pod.uid)
            self._taken.pop(pod.uid, None)
            self._said.pop(pod.uid, None)

    async def _attempt(self, dispatcher: Dispatcher, name: str, pod: PodView) -> bool:
        """Whether nothing is left to do: the pod is an environment, somebody else's, or deleted."""
        try:
            if await self._adoption.ask(dispatcher, name, pod):
                return True
        except (OSError, TimeoutError) as error:
            log.info("pod %s/%s does not answer: %s", dispatcher.target.namespace, name, error or type(error).__name__)
            return False
        target = dispatcher.target
        backoff = self._backoff(dispatcher, pod.provisioned)
        refusal: FailureAnswer | None = backoff.refusal(time.monotonic(), pod.uid)
        if refusal is not None:
            await self._say(target, name, refusal)
            return False
        return await self._initialize(dispatcher, name, pod, backoff)

    def _backoff(self, dispatcher: Dispatcher, qualifier: str) -> StartBackoff:
        """How often pods are tried that are kept for the same. It goes with its version, and with its qualifier."""
        known = self._backoffs.setdefault(dispatcher, {})
        kept = (dispatcher.target.configuration.revision, qualifier)
        provisioned = dispatcher.placement.share.provisioned
        for other in [each for each in known if each != kept and (each[0] != kept[0] or each[1] not in provisioned)]:
            del known[other]
        return known.setdefault(kept, StartBackoff())

    async def _initialize(self, dispatcher: Dispatcher, name: str, pod: PodView, backoff: StartBackoff) -> bool:
        target, begun, number = dispatcher.target, time.monotonic(), None

        def lost() -> None:
            if number is not None:
                dispatcher.connection_lost(number)

        handed_over = False
        try:
            prepared = await self._starter.prepare(target)
            address = AgentAddress(name, pod.uid, pod.ip)
            await self._starter.join_network(target, address)
            handed_over = True
            started = await self._starter.provision(target, prepared, address, lost)
        except StartFailed as error:
            log.info("provisioned pod %s/%s does not start: %s", target.namespace, name, error)
            backoff.failed(error.answer, pod.uid, begun, time.monotonic())
            await self._say(target, name, error.answer)
        except Taken as error:
            backoff.ended(pod.uid)
            handed_over = self._is_nobodys(target, pod, begun)
            log.warning("provisioned pod %s/%s: %s", target.namespace, name, error)
        except NotStarted as error:
            backoff.ended(pod.uid)
            log.warning("provisioned pod %s/%s: %s", target.namespace, name, error)
        except BaseException:
            backoff.ended(pod.uid)
            raise
        else:
            backoff.succeeded()
            if dispatcher.released:
                started.connection.close()
                return True
            revision = target.configuration.revision
            number = dispatcher.adopt(started, revision, busy=False, provisioned=pod.provisioned)
            await self._say(target, name, None)
            return True
        if handed_over:  # an agent takes a function once, ever: the pod's successor tries again
            self._starter.deletions.soon(target.namespace, name, pod.uid, 0)
        return handed_over

    def _is_nobodys(self, target: Target, pod: PodView, now: float) -> bool:
        """Whether a pod that is taken has not said by whom for longer than any INIT lasts.

        Until then somebody else's INIT goes on, from before the hand-over: the environment is adopted once it is done.
        """
        longest = max(limits.PROVISIONED_INIT_TIMEOUT_S, float(target.configuration.timeout)) + _GRACE_S
        return now - self._taken.setdefault(pod.uid, now) > longest

    async def _say(self, target: Target, pod: str, failure: FailureAnswer | None) -> None:
        """Shows at the pod why it is not initialized, or that nothing is in the way any more."""
        known = self._caches.pods.items.get((target.namespace, pod))
        message = _message(failure)
        if known is None or self._said.get(known.uid, known.init_failure) == (message or ""):
            return
        # A failed INIT has a name of Lambda's (§5.5); what keeps it from being tried is told as it is.
        reason = _FAILED if isinstance(failure, InitFailure) else message
        annotations = {labels.INIT_FAILURE: reason, labels.INIT_FAILURE_MESSAGE: message}
        try:
            await self._client.patch(PODS, pod, {"metadata": {"annotations": annotations}}, target.namespace)
        except KubeError as error:
            log.info("pod %s/%s cannot be annotated: %s", target.namespace, pod, error)
        else:
            self._said[known.uid] = message or ""


def _message(failure: FailureAnswer | None) -> str | None:
    """A failure in one line."""
    if failure is None:
        return None
    if isinstance(failure, InvokeError):
        return failure.message[:_SHOWN_CHARS]
    error = failure.error if isinstance(failure.error, dict) else {}
    return f"{error.get('errorType', 'Error')}: {error.get('errorMessage', '')}"[:_SHOWN_CHARS]
