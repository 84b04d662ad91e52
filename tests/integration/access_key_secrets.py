"""Secrets with access keys, as accounts have them."""

import base64
import json
from typing import Any

from kubelambda.core.account.access_key import SECRET_NAME
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import SECRETS


async def write_keys(client: KubeClient, namespace: str, **values: Any) -> None:
    """Writes the Secret with a namespace's access keys; what is no text, as JSON."""
    data = {
        key: base64.b64encode((value if isinstance(value, str) else json.dumps(value)).encode()).decode()
        for key, value in values.items()
    }
    await client.apply(
        SECRETS, {"metadata": {"name": SECRET_NAME, "namespace": namespace}, "data": data}, manager="test"
    )
