"""Asks the frontends which keys the Secrets of a namespace have: the operator itself reads none."""

from collections.abc import Iterable

import aiohttp

from kubelambda.api.settings import Settings
from kubelambda.core.environment import secret_keys, tokens
from kubelambda.core.environment.secret_keys import SecretKeys

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=2)


class SecretsUnknown(Exception):
    """No frontend could say; the message says why."""


async def keys_of(settings: Settings, key: bytes, namespace: str, names: Iterable[str]) -> SecretKeys:
    """Keys of each Secret, or why there are none. Raises `SecretsUnknown`."""
    wanted = set(names)
    if not wanted:
        return {}
    url = f"{settings.frontend_url}{secret_keys.PATH.decode()}"
    headers = {"Authorization": f"Bearer {tokens.secret_report_token(key)}"}
    body = secret_keys.question(namespace, wanted)
    try:
        # Asked seldom, and of another frontend each time: a session that stays open would always ask the same.
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(url, data=body, headers=headers) as response,
        ):
            content = await response.read()
            if response.status != 200:
                raise SecretsUnknown(f"a frontend answers {response.status} when asked for the keys of Secrets")
            found = secret_keys.parse_answer(content)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise SecretsUnknown(
            f"no frontend says which keys the Secrets have: {error or type(error).__name__}"
        ) from error
    if missing := wanted - found.keys():
        raise SecretsUnknown(f"a frontend said nothing of the Secrets {sorted(missing)}")
    return found
