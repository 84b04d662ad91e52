"""How the operator, which cannot read Secrets, asks a frontend which keys they have: names only, never a value."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

PATH: Final = b"/internal/secret-keys"

type SecretKeys = Mapping[str, frozenset[str] | str]
"""Keys by name of a Secret, or why it has none, as the end of a sentence."""


def question(namespace: str, names: Iterable[str]) -> bytes:
    """The body of the request."""
    return json.dumps({"namespace": namespace, "names": sorted(names)}).encode()


def parse_question(body: bytes) -> tuple[str, list[str]]:
    """Namespace and names. Raises `ValueError`."""
    try:
        found = json.loads(body)
        return str(found["namespace"]), [str(name) for name in found["names"]]
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"no question about Secrets: {error}") from error


def answer(keys: SecretKeys) -> bytes:
    """The body of the answer."""
    return json.dumps(
        {name: found if isinstance(found, str) else sorted(found) for name, found in keys.items()}
    ).encode()


def parse_answer(body: bytes) -> SecretKeys:
    """What was found. Raises `ValueError`."""
    try:
        found = json.loads(body)
        return {name: keys if isinstance(keys, str) else frozenset(keys) for name, keys in found.items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(f"no answer about Secrets: {error}") from error
