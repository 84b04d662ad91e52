"""Client of the code fetcher, which alone has the keys of accounts to where their code is."""

import json
from dataclasses import dataclass
from typing import Any, Self

from kubelambda.core.code.remote_source import FetchFailed, FetchFailure, RemoteSource, encoded
from kubelambda.core.environment import tokens
from kubelambda.wire.session import Session

FETCH_S = 120.0
"""The longest that a fetch may take."""
_MARGIN_S = 10.0


@dataclass(frozen=True, slots=True)
class FetchedCode:
    """An archive that is in the code store now."""

    sha256: str
    size: int
    resolved: str | None = None
    """What the name of its source stood for, where that is not all of it."""


class CodeFetcher:
    """The fetcher at `url`. `code_key`: see `tokens.code_key`."""

    def __init__(self, url: str, code_key: bytes) -> None:
        self._token = tokens.fetch_token(code_key)
        self._session = Session(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(self, namespace: str, source: RemoteSource, seconds: float = FETCH_S) -> FetchedCode:
        """Fetches code into the code store, as `namespace` and within `seconds`. Raises `FetchFailed`."""
        asked = json.dumps({"namespace": namespace, "source": encoded(source), "seconds": seconds}).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            status, _, body = await self._session.call("POST", "/fetch", headers, asked, seconds=seconds + _MARGIN_S)
        except OSError as error:
            text = f"the code fetcher does not answer: {error or type(error).__name__}"
            raise FetchFailed(FetchFailure.UNAVAILABLE, text) from error
        return _outcome(status, body)


def _outcome(status: int, body: bytes) -> FetchedCode:
    try:
        found: dict[str, Any] = json.loads(body)
        if status == 200:
            return FetchedCode(found["sha256"], found["size"], found.get("resolved"))
        raise FetchFailed(FetchFailure(found["kind"]), found["message"])
    except (ValueError, KeyError, TypeError) as error:
        raise FetchFailed(FetchFailure.UNAVAILABLE, f"the code fetcher answers {status}") from error
