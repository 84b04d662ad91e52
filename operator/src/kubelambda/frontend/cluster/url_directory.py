"""Which function or alias a function URL is of, by its id (§2.5.1)."""

from dataclasses import dataclass

from kubelambda.frontend.cluster.views import AliasView, FunctionView, UrlView
from kubelambda.kube.late_news import LateNews
from kubelambda.kube.reflector import Name


@dataclass(frozen=True, slots=True)
class UrlEntry:
    """What a URL leads to."""

    url: UrlView
    namespace: str
    function: str
    """Name of the Function object."""
    qualifier: str | None
    """The alias; None: the unqualified function."""


class UrlDirectory:
    """Every function URL that the caches know."""

    def __init__(self) -> None:
        self.news = LateNews()
        """For who calls a URL that was made, or opened, a moment ago."""
        self._entries: dict[str, UrlEntry] = {}

    def find(self, url_id: str) -> UrlEntry | None:
        """What a URL is of."""
        return self._entries.get(url_id)

    def function_changed(self, name: Name, before: FunctionView | None, after: FunctionView | None) -> None:
        """A Function appeared, changed or is gone."""
        self._forget(before)
        if after is not None and after.url is not None:
            self._entries[after.url.id] = UrlEntry(after.url, *name, None)
        self.news.heard()

    def alias_changed(self, name: Name, before: AliasView | None, after: AliasView | None) -> None:
        """An Alias appeared, changed or is gone."""
        self._forget(before)
        if after is not None and after.url is not None:
            self._entries[after.url.id] = UrlEntry(after.url, name[0], after.function, after.name)
        self.news.heard()

    def _forget(self, before: FunctionView | AliasView | None) -> None:
        if before is not None and before.url is not None:
            self._entries.pop(before.url.id, None)
