"""The extensions of one life of an environment, from the start of its processes to their end (§4.1)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from kubelambda.core.extension.extension_state import ExtensionRefused, ExtensionState, ExtensionStep, state_after

EXTENSIONS_MAX: Final = 10
INVOKE: Final = "INVOKE"
SHUTDOWN: Final = "SHUTDOWN"
_INTERNAL_ONLY_S: Final = 0.5
_EXTERNAL_S: Final = 2.0


@dataclass(slots=True)
class Extension:
    """One extension. `external`: a process of its own, and not a part of the runtime's."""

    name: str
    identifier: str
    external: bool
    state: ExtensionState = ExtensionState.STARTED
    events: frozenset[str] = frozenset()
    """What it subscribed to."""
    error_type: str = ""
    """What it said of its error, or we of its launch."""

    def take(self, step: ExtensionStep, who: str = "") -> None:
        """Goes to the next state. Raises `ExtensionRefused`."""
        self.state = state_after(self.state, step, who or self.identifier)


class ExtensionRoll:
    """Who is an extension here, and how far all of them are. Identifiers come from outside."""

    def __init__(self) -> None:
        self._all: dict[str, Extension] = {}
        self._closed = False

    def __iter__(self) -> Iterator[Extension]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    # -- who ----------------------------------------------------------------------------------------------------------

    def started(self, name: str, identifier: str) -> Extension:
        """An external extension is about to be started. Raises `ExtensionRefused` when there are too many."""
        if len(self._all) >= EXTENSIONS_MAX:
            raise _too_many()
        found = self._all[identifier] = Extension(name, identifier, external=True)
        return found

    def register(self, name: str, events: Iterable[str], identifier: str) -> Extension:
        """`/register`; `identifier` is that of an internal extension, should it be one. Raises `ExtensionRefused`."""
        wanted = frozenset(events)
        for event in sorted(wanted - {INVOKE, SHUTDOWN}):
            raise ExtensionRefused("Extension.InvalidEventType", f"{event}: ErrorInvalidEventType")
        found = next((each for each in self if each.name == name), None)
        if found is None or not found.external:
            found = self._internal(name, wanted, identifier, known=found is not None)
        found.take(ExtensionStep.REGISTER, name)
        found.events = wanted
        return found

    def close(self) -> None:
        """The runtime has asked for its first event: nobody else registers."""
        self._closed = True

    def known(self, identifier: str) -> Extension:
        """The extension with that identifier. Raises `ExtensionRefused`."""
        if (found := self._all.get(identifier)) is None:
            raise ExtensionRefused("Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}")
        return found

    def _internal(self, name: str, events: frozenset[str], identifier: str, *, known: bool) -> Extension:
        if SHUTDOWN in events:
            why = "ShutdownEventNotSupportedForInternalExtension"
            raise ExtensionRefused("Extension.InvalidEventType", f"{SHUTDOWN}: {why}")
        if self._closed:
            raise ExtensionRefused("Extension.RegistrationClosed", "Extension registration closed already")
        if known:
            raise ExtensionRefused("Extension.InvalidExtensionState", "Extension with this name already registered")
        if len(self._all) >= EXTENSIONS_MAX:
            raise _too_many()
        found = self._all[identifier] = Extension(name, identifier, external=False)
        return found

    # -- what an environment waits for --------------------------------------------------------------------------------

    @property
    def registered(self) -> bool:
        """Whether every external extension has registered: the runtime may start."""
        return not any(each.state is ExtensionState.STARTED for each in self)

    @property
    def ready(self) -> bool:
        """Whether every extension waits for an event: as far as they are concerned, INIT is over."""
        return all(each.state is ExtensionState.READY for each in self)

    @property
    def settled(self) -> bool:
        """Whether every one that an invocation concerns has done its part of the last one."""
        return all(each.state is ExtensionState.READY for each in self if INVOKE in each.events)

    def invoked(self) -> list[Extension]:
        """An invocation begins: those who get its event, and are running from now on."""
        found = [each for each in self if INVOKE in each.events]
        for each in found:
            each.take(ExtensionStep.EVENT)
        return found

    # -- the end ------------------------------------------------------------------------------------------------------

    @property
    def shutdown_s(self) -> float:
        """How long the processes may take to end (§4.1.7): 0 where there are no extensions."""
        if not self._all:
            return 0.0
        return _EXTERNAL_S if any(each.external for each in self) else _INTERNAL_ONLY_S

    def told_to_end(self) -> list[Extension]:
        """Those who get SHUTDOWN, and are waited for."""
        alive = {ExtensionState.REGISTERED, ExtensionState.READY, ExtensionState.RUNNING}
        return [each for each in self if SHUTDOWN in each.events and each.state in alive]

    def ended(self, name: str, *, well: bool) -> None:
        """The process of an external extension has ended, of itself or not."""
        for each in self:
            if each.external and each.name == name and each.state is not ExtensionState.LAUNCH_ERROR:
                each.state = ExtensionState.EXITED if well else ExtensionState.SHUTDOWN_FAILED


def _too_many() -> ExtensionRefused:
    return ExtensionRefused("Extension.TooManyExtensions", f"Extension limit ({EXTENSIONS_MAX}) reached")
