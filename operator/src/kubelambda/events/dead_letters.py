"""Takes dead letters back: each becomes an event again, and leaves its queue once that is durable."""

import time
import uuid
from collections.abc import Callable
from typing import Any

from kubelambda.core.event.delivery import accepted
from kubelambda.events.destinations import ARN
from kubelambda.events.function_policies import FunctionPolicies
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import FUNCTIONS
from kubelambda.outbound.record_sender import DestinationFailed, RecordSender
from kubelambda.store.event.event_queue import EventQueue, InvokedFunction, QueuedEvent

_BATCH = 10
_HIDDEN_S = 60


class DeadLetters:
    """The dead-letter queues of functions. Topics keep nothing, so nothing comes back from them."""

    def __init__(
        self,
        client: KubeClient,
        queue: EventQueue,
        policies: FunctionPolicies,
        sender: RecordSender,
        on_accepted: Callable[[int, QueuedEvent], None],
    ) -> None:
        self._client = client
        self._queue = queue
        self._policies = policies
        self._sender = sender
        self._on_accepted = on_accepted

    async def redrive(self, namespace: str, function: str, qualifier: str, limit: int) -> int:
        """Takes at most `limit` letters back, for the version or alias `qualifier`; how many that were.

        Raises `DestinationFailed`, `KubeError` or `QueueUnavailable`; what was not taken stays where it is.
        """
        policy = await self._policies.of(namespace, function, qualifier)
        if policy is None:
            raise DestinationFailed(f"there is no Function {function} in {namespace}")
        if policy.dead_letter is None or ":sqs:" not in policy.dead_letter:
            raise DestinationFailed(f"Function {function} has no dead-letter queue of SQS")
        body = await self._client.get(FUNCTIONS, function, namespace)
        arn = body["status"]["functionArn"] + (f":{qualifier}" if qualifier else "")
        target = InvokedFunction(namespace, function, qualifier)
        taken = 0
        while taken < limit:
            letters = await self._receive(namespace, policy.dead_letter, min(_BATCH, limit - taken))
            if not letters:
                break
            for letter in letters:
                event = _event(letter, target, arn)
                self._on_accepted(await self._queue.append(event), event)
                handle = {"ReceiptHandle": letter["ReceiptHandle"]}
                await self._sender.queue_call(namespace, policy.dead_letter, "delete_message", handle)
                taken += 1
        return taken

    async def _receive(self, namespace: str, queue: str, count: int) -> list[dict[str, Any]]:
        arguments = {
            "MaxNumberOfMessages": count,
            "VisibilityTimeout": _HIDDEN_S,
            "MessageAttributeNames": ["All"],
        }
        answer = await self._sender.queue_call(namespace, queue, "receive_message", arguments)
        found: list[dict[str, Any]] = answer.get("Messages") or []
        return found


def _event(letter: dict[str, Any], target: InvokedFunction, arn: str) -> QueuedEvent:
    """The event that a letter was, with its request id; its chain of invocations begins anew."""
    known = (letter.get("MessageAttributes") or {}).get("RequestID", {}).get("StringValue")
    return QueuedEvent(target, known or str(uuid.uuid4()), letter["Body"].encode(), accepted(time.time()), {ARN: arn})
