"""Reads functions and what belongs to them out of Lambda's API, at AWS or at any other endpoint."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from kubelambda.core.account.request_signing import ClientKey, Question, signed_headers

_TIMEOUT_S: Final = 60
_NOT_THERE: Final = 404


class LambdaApiFailed(Exception):
    """The API answered with an error, or not at all; the message says which."""


class LambdaReader:
    """One account in one region."""

    def __init__(self, endpoint: str, region: str, key: ClientKey) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._region = region
        self._key = key

    def functions(self) -> Iterator[str]:
        """Names of all functions."""
        for page in self._pages("/2015-03-31/functions", {}):
            yield from (each["FunctionName"] for each in page["Functions"])

    def function(self, name: str) -> dict[str, Any]:
        """GetFunction. Raises `LambdaApiFailed`."""
        found = self._get(f"/2015-03-31/functions/{quote(name, safe='')}")
        if found is None:
            raise LambdaApiFailed(f"there is no function {name}")
        return found

    def policy(self, name: str) -> dict[str, Any]:
        """The resource policy; an empty one of a function that has none."""
        found = self._get(f"/2015-03-31/functions/{quote(name, safe='')}/policy")
        policy: dict[str, Any] = json.loads(found["Policy"]) if found else {}
        return policy

    def event_invoke_config(self, name: str) -> dict[str, Any] | None:
        """Of asynchronous invocations."""
        return self._get(f"/2019-09-25/functions/{quote(name, safe='')}/event-invoke-config")

    def code_signing_config(self, name: str) -> str | None:
        """ARN of the code signing configuration, where it has one."""
        found = self._get(f"/2020-06-30/functions/{quote(name, safe='')}/code-signing-config") or {}
        return found.get("CodeSigningConfigArn")

    def url_config(self, name: str, qualifier: str | None = None) -> dict[str, Any] | None:
        """Of the function URL, of a function or of an alias."""
        query = {} if qualifier is None else {"Qualifier": qualifier}
        return self._get(f"/2021-10-31/functions/{quote(name, safe='')}/url", query)

    def provisioned(self, name: str, qualifier: str) -> int | None:
        """Provisioned concurrency of an alias, as it was asked for."""
        path = f"/2019-09-30/functions/{quote(name, safe='')}/provisioned-concurrency"
        found = self._get(path, {"Qualifier": qualifier}) or {}
        return found.get("RequestedProvisionedConcurrentExecutions")

    def aliases(self, name: str) -> list[dict[str, Any]]:
        """All aliases, each with the digest of its version's code as `CodeSha256`."""
        path = f"/2015-03-31/functions/{quote(name, safe='')}"
        found = [each for page in self._pages(f"{path}/aliases", {}) for each in page["Aliases"]]
        for each in found:
            version = self._get(f"{path}/configuration", {"Qualifier": each["FunctionVersion"]}) or {}
            each["CodeSha256"] = version.get("CodeSha256")
        return found

    def mappings(self, name: str) -> list[dict[str, Any]]:
        """Event source mappings of a function."""
        query = {"FunctionName": name}
        pages = self._pages("/2015-03-31/event-source-mappings", query)
        return [each for page in pages for each in page["EventSourceMappings"]]

    def layer(self, arn: str) -> dict[str, Any]:
        """GetLayerVersionByArn. Raises `LambdaApiFailed`."""
        found = self._get("/2018-10-31/layers", {"find": "LayerVersion", "Arn": arn})
        if found is None:
            raise LambdaApiFailed(f"there is no layer version {arn}")
        return found

    def download(self, location: str) -> bytes:
        """What is at a signed address. Raises `LambdaApiFailed`."""
        if urlsplit(location).scheme not in ("http", "https"):
            raise LambdaApiFailed("there is no address of the code")
        try:
            with urllib.request.urlopen(location, timeout=_TIMEOUT_S) as response:  # noqa: S310 - http or https
                content: bytes = response.read()
        except OSError as error:
            raise LambdaApiFailed(f"the code cannot be fetched: {error}") from error
        return content

    def _pages(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        marker: str | None = None
        while True:
            page = self._get(path, query | ({"Marker": marker} if marker else {})) or {}
            yield page
            marker = page.get("NextMarker")
            if not marker:
                return

    def _get(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any] | None:
        encoded = urlencode(sorted((query or {}).items()), quote_via=quote, safe="-_.~")
        question = Question(urlsplit(self._endpoint).netloc, quote(path, safe="/"), encoded, self._region, "lambda")
        headers = signed_headers(question, self._key, datetime.now(UTC))
        url = f"{self._endpoint}{path}" + (f"?{encoded}" if encoded else "")
        try:
            asked = urllib.request.Request(url, headers=headers)  # noqa: S310 - whoever runs it gives the endpoint
            with urllib.request.urlopen(asked, timeout=_TIMEOUT_S) as response:  # noqa: S310
                found: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            if error.code == _NOT_THERE:
                return None
            raise LambdaApiFailed(f"GET {path}: {error.code} {error.read()[:500].decode(errors='replace')}") from error
        except (OSError, ValueError) as error:
            raise LambdaApiFailed(f"GET {path}: {error}") from error
        return found
