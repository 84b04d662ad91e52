"""Who asked the API server for what no event had shown: nobody asks twice for the same."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Self

from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import Resource

_REMEMBERED: Final = 4_096

type What = tuple[Watch[Any] | Resource, str, str]
"""What is asked for: of a kind and a namespace, a name or whatever else it is looked for by."""


@dataclass(frozen=True, slots=True)
class Asker:
    """An object that names others, as it is now. What it names was made before it, or an event will tell of it."""

    key: Key
    uid: str
    generation: int

    @classmethod
    def of(cls, key: Key, body: Object) -> Self:
        """The object that is reconciled."""
        return cls(key, body["metadata"]["uid"], body["metadata"]["generation"])


class Asked:
    """Remembers as much of the latest askers as is worth it: who is forgotten asks once more."""

    def __init__(self) -> None:
        self._asked: OrderedDict[Key, tuple[Asker, set[What]]] = OrderedDict()

    def before(self, asker: Asker, what: What) -> bool:
        """Whether the asker, as it is now, asked already."""
        known = self._asked.get(asker.key)
        return known is not None and known[0] == asker and what in known[1]

    def remember(self, asker: Asker, what: What) -> None:
        """The API server was asked."""
        known = self._asked.pop(asker.key, None)
        found = known[1] if known is not None and known[0] == asker else set()
        self._asked[asker.key] = asker, found | {what}
        if len(self._asked) > _REMEMBERED:
            self._asked.popitem(last=False)
