"""Reads utilization from a Prometheus: one range query for every target, so that nothing is lost by a restart."""

import json
import math
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp

from kubelambda.api.settings import PrometheusSettings
from kubelambda.autoscaler.utilization import ScalableTarget, Utilization, UtilizationUnavailable
from kubelambda.core.scaling.target_tracking import Alarms, Sample

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3)
_SKEW_S = 10.0
"""Clocks may differ by this much, or by a period if that is longer: then its newest average is still the newest."""
_SHOWN_CHARS = 200


class PrometheusReader:
    """`settings` name the server, the queries, and the files of the bearer token and of its certificate authority."""

    def __init__(self, settings: PrometheusSettings, alarms: Alarms) -> None:
        self._settings = settings
        self._alarms = alarms
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tls = ssl.create_default_context(cafile=self._settings.ca_file) if self._settings.ca_file else True
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self, now: float) -> Mapping[ScalableTarget, Utilization]:
        """As `UtilizationReader.read`."""
        try:
            await self._compare_clocks(now)
            return await self._read(now)
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise UtilizationUnavailable(
                f"Prometheus's answer is not in its format: {error!r}"[:_SHOWN_CHARS]
            ) from error

    async def _read(self, now: float) -> Mapping[ScalableTarget, Utilization]:
        period = self._alarms.period
        found: dict[ScalableTarget, Utilization] = {}
        for series in await self._query("query", self._settings.allocated_query, {"time": now}):
            found[_target(series)] = Utilization((), _number(series["value"][1]))
        # Aligned, so that every evaluation of a minute sees the same averages.
        end = math.floor(now / period) * period
        window = {"start": end - period * self._alarms.in_datapoints, "end": end, "step": period}
        query = self._settings.utilization_query.replace("$period", f"{math.ceil(period)}s")
        for series in await self._query("query_range", query, window):
            samples = [Sample(float(at), _number(value)) for at, value in series["values"]]
            target = _target(series)
            found[target] = Utilization(samples, found.get(target, Utilization()).allocated)
        return found

    async def _compare_clocks(self, now: float) -> None:
        """Raises `UtilizationUnavailable` when its clock and ours differ: what it has of `now` is of another time."""
        asked = time.monotonic()
        _, theirs = await self._query("query", "time()", {})
        behind = now + time.monotonic() - asked - float(theirs)
        if abs(behind) > max(_SKEW_S, self._alarms.period):
            word = "ahead of" if behind < 0 else "behind"
            raise UtilizationUnavailable(f"Prometheus's clock is {abs(behind):.0f} s {word} the operator's")

    async def _query(self, path: str, query: str, arguments: Mapping[str, float]) -> list[Any]:
        """The result: series, or time and value of a number. Raises `UtilizationUnavailable` for only a part of one."""
        if self._session is None:
            raise RuntimeError("the reader is used outside of its context")
        url = f"{self._settings.url.rstrip('/')}/api/v1/{path}"
        form = {"query": query} | {name: repr(value) for name, value in arguments.items()}
        try:
            async with self._session.post(url, data=form, headers=self._headers()) as response:
                status, body = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UtilizationUnavailable(f"Prometheus does not answer: {error or type(error).__name__}") from error
        answer = _decoded(status, body)
        if status != 200 or answer.get("status") != "success":
            shown = str(answer.get("error", answer))[:_SHOWN_CHARS]
            raise UtilizationUnavailable(f"Prometheus answers {status}: {shown}")
        if answer.get("warnings"):
            raise UtilizationUnavailable(f"Prometheus has only a part: {str(answer['warnings'])[:_SHOWN_CHARS]}")
        result: list[Any] = answer["data"]["result"]
        return result

    def _headers(self) -> dict[str, str]:
        if self._settings.bearer_token_file is None:
            return {}
        return {"Authorization": f"Bearer {Path(self._settings.bearer_token_file).read_text().strip()}"}


def _decoded(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError as error:
        if status != 200:  # whoever guards it answers in a format of their own
            return {"error": body[:_SHOWN_CHARS].decode(errors="replace").strip()}
        raise UtilizationUnavailable("Prometheus's answer is no JSON: is this its URL?") from error
    return answer if isinstance(answer, dict) else {}


def _target(series: Mapping[str, Any]) -> ScalableTarget:
    labels = series["metric"]
    try:
        return ScalableTarget(labels["namespace"], labels["function"], labels["qualifier"])
    except KeyError as error:
        raise UtilizationUnavailable(f"the query's result has no label {error}") from error


def _number(text: str) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
