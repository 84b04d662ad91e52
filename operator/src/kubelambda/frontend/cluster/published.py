"""Versions and aliases by the names that callers use, out of the views of their objects."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from kubelambda.core.invoke.routing import LATEST, AliasRoute, alias_rank, is_alias
from kubelambda.frontend.cluster.views import AliasView, VersionView
from kubelambda.kube.reflector import Name

type Objects[V] = dict[Name, dict[str, V]]
"""Views of a function's objects by their names. The function is named by its namespace and object."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a look at a namespace found that the caches do not have yet: few views, by the names of their objects."""

    aliases: dict[str, AliasView] = field(default_factory=dict)
    versions: dict[str, VersionView] = field(default_factory=dict)

    def alias(self, function: Name, name: str) -> AliasView | None:
        """One alias; of two objects that are one, the older one."""
        found = [view for view in self.aliases.values() if (view.function, view.name) == (function[1], name)]
        return min(found, key=_alias_rank, default=None)

    def version(self, function: Name, number: str) -> VersionView | None:
        """One version."""
        found = [view for view in self.versions.values() if (view.function, view.version) == (function[1], number)]
        return min(found, key=_version_rank, default=None)


def _alias_rank(view: AliasView) -> tuple[str, bool]:
    return alias_rank(view.created, routed=view.route is not None)


def _version_rank(view: VersionView) -> tuple[bool, str]:
    """A publish without a change leaves a second object of the same number, be it the older one: it runs nothing."""
    return view.deployed is None, view.created


_NOTHING = Ahead()


class Published:
    """What the functions of the cluster have published. `on_change` gets the function that something changed of."""

    def __init__(self, on_change: Callable[[Name], None]) -> None:
        self._on_change = on_change
        self._versions: Objects[VersionView] = {}
        self._aliases: Objects[AliasView] = {}
        self._by_number: dict[Name, dict[str, VersionView]] = {}
        self._by_alias: dict[Name, dict[str, AliasView]] = {}
        self._ahead: dict[str, Ahead] = {}

    def version(self, function: Name, number: str) -> VersionView | None:
        """A version by its number."""
        found = self._by_number.get(function, {}).get(number)
        return found if found is not None or not self._ahead else self._newer(function[0]).version(function, number)

    def route(self, function: Name, qualifier: str) -> AliasRoute | None:
        """Where an alias leads, or a number to itself; None when there is no such qualifier."""
        if is_alias(qualifier):
            found = self._by_alias.get(function, {}).get(qualifier)
            if (found is None or found.route is None) and self._ahead:
                found = self._newer(function[0]).alias(function, qualifier) or found
            return found.route if found is not None else None
        return AliasRoute(qualifier) if self.version(function, qualifier) is not None else None

    def unrouted(self, function: Name, qualifier: str) -> bool:
        """Whether an alias is there that the operator has not led anywhere yet."""
        if not is_alias(qualifier) or self.route(function, qualifier) is not None:
            return False
        known = qualifier in self._by_alias.get(function, {})
        return known or self._newer(function[0]).alias(function, qualifier) is not None

    def resolvable(self, function: Name, qualifier: str) -> bool:
        """Whether a qualifier leads somewhere, and every version that it leads to is known."""
        route = self.route(function, qualifier)
        return route is not None and all(
            version == LATEST or self.version(function, version) is not None for version in route.versions()
        )

    def unseen(self, namespace: str, aliases: Mapping[str, AliasView], versions: Mapping[str, VersionView]) -> Ahead:
        """Those of a namespace's objects that the caches know less of: until they know more, callers find them here."""
        ahead = Ahead(_better(namespace, aliases, self._aliases), _better(namespace, versions, self._versions))
        self._ahead[namespace] = ahead
        return ahead

    def forget(self, namespace: str, ahead: Ahead) -> None:
        """The caches are certain to have it, or to have seen it go."""
        if self._ahead.get(namespace) is ahead:
            del self._ahead[namespace]

    def _newer(self, namespace: str) -> Ahead:
        return self._ahead.get(namespace, _NOTHING)

    def provisioned(self, function: Name) -> Mapping[str, int]:
        """Provisioned environments that a function's aliases and versions were granted, by qualifier."""
        versions = {number: view.provisioned for number, view in self._by_number.get(function, {}).items()}
        aliases = {name: view.provisioned for name, view in self._by_alias.get(function, {}).items()}
        return {qualifier: units for qualifier, units in (versions | aliases).items() if units}

    def leased_by(self, function: Name, qualifier: str) -> str | None:
        """The qualifier that leases for its invocations are for; empty when any of its version will do.

        None when there must be none: what a weighted alias chose is chosen again by the owner of the account, and
        leases of one version would shift the weights.
        """
        if qualifier == LATEST:
            return ""
        route = self.route(function, qualifier)
        if route is None or route.weights:
            return None
        return qualifier if qualifier in self.provisioned(function) else ""

    def qualifiers(self, function: Name) -> set[str]:
        """Every alias and version number of a function."""
        return {*self._by_number.get(function, ()), *self._by_alias.get(function, ())}

    def functions(self, namespace: str) -> Iterator[str]:
        """Names of the Function objects of a namespace that have published anything."""
        known = self._by_number.keys() | self._by_alias.keys()
        return (name for found, name in known if found == namespace)

    def version_changed(self, name: Name, before: VersionView | None, after: VersionView | None) -> None:
        """A FunctionVersion appeared, changed or is gone."""
        if after is None or _leads(after):
            self._newer(name[0]).versions.pop(name[1], None)
        for function in _replace(self._versions, name, before, after):
            numbered = [view for view in self._versions.get(function, {}).values() if view.version]
            numbered.sort(key=_version_rank, reverse=True)
            _store(self._by_number, function, {view.version: view for view in numbered})
            self._on_change(function)

    def alias_changed(self, name: Name, before: AliasView | None, after: AliasView | None) -> None:
        """An Alias appeared, changed or is gone."""
        if after is None or _leads(after):
            self._newer(name[0]).aliases.pop(name[1], None)
        for function in _replace(self._aliases, name, before, after):
            ranked = sorted(self._aliases.get(function, {}).values(), key=_alias_rank, reverse=True)
            _store(self._by_alias, function, {view.name: view for view in ranked})
            self._on_change(function)


def _leads(view: VersionView | AliasView) -> bool:
    """Whether the operator has given a version its number, or led an alias somewhere."""
    return bool(view.version) if isinstance(view, VersionView) else view.route is not None


def _better[V: (VersionView, AliasView)](namespace: str, found: Mapping[str, V], known: Objects[V]) -> dict[str, V]:
    """What is not known, and what leads somewhere now and does not by what is known of it."""
    better = {}
    for name, view in found.items():
        seen = known.get((namespace, view.function), {}).get(name)
        if seen is None or (_leads(view) and not _leads(seen)):
            better[name] = view
    return better


def _replace[V: (VersionView, AliasView)](
    objects: Objects[V], name: Name, before: V | None, after: V | None
) -> list[Name]:
    """Puts one object's view in its place; the functions that it concerns."""
    namespace, object_name = name
    functions = dict.fromkeys((namespace, view.function) for view in (before, after) if view is not None)
    if before is not None:
        objects.get((namespace, before.function), {}).pop(object_name, None)
    if after is not None:
        objects.setdefault((namespace, after.function), {})[object_name] = after
    for function in functions:
        if not objects.get(function):
            objects.pop(function, None)
    return list(functions)


def _store[V](index: dict[Name, dict[str, V]], function: Name, views: dict[str, V]) -> None:
    if views:
        index[function] = views
    else:
        index.pop(function, None)
