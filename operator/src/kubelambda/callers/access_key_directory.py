"""All access keys of the cluster, kept current by one watch (decision 24)."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubelambda.core.account.access_key import SECRET_NAME, AccessKey, access_keys
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.late_news import LateNews
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import SECRETS

_TOLD_MAX: Final = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessKeysView:
    """The keys of one Secret by their ids, and why other entries are none."""

    keys: Mapping[str, AccessKey]
    wrong: Mapping[str, str]


class AccessKeyDirectory:
    """Knows the keys of every Secret that is called `SECRET_NAME`, the only Secrets that our role lets it read."""

    def __init__(self, client: KubeClient) -> None:
        self.news = LateNews()
        """For who signs with a key that was made a moment ago."""
        self._by_id: defaultdict[str, dict[str, AccessKey]] = defaultdict(dict)
        self.secrets: Reflector[AccessKeysView] = Reflector(
            client,
            SECRETS,
            _view,
            on_change=self._changed,
            field_selector=f"metadata.name={SECRET_NAME}",
        )

    def find(self, key_id: str) -> list[AccessKey]:
        """The keys with that id: more than one where accounts chose the same, and the signature tells whose it is.

        Of accounts that have the same secret, too, the first by name is meant.
        """
        found = self._by_id.get(key_id)
        return [found[namespace] for namespace in sorted(found)] if found else []

    def _changed(self, name: Name, before: AccessKeysView | None, after: AccessKeysView | None) -> None:
        namespace = name[0]
        for key_id in before.keys if before is not None else ():
            self._by_id[key_id].pop(namespace, None)
            if not self._by_id[key_id]:
                del self._by_id[key_id]
        if after is None:
            return
        for key_id, key in after.keys.items():
            self._by_id[key_id][namespace] = key
        self.news.heard()
        known = before.wrong if before is not None else {}
        told = [(key_id, why) for key_id, why in after.wrong.items() if known.get(key_id) != why]
        for key_id, why in told[:_TOLD_MAX]:
            log.warning("Secret %s/%s: %s is no access key: %s", namespace, SECRET_NAME, key_id, why)


def _view(body: Mapping[str, Any]) -> AccessKeysView:
    return AccessKeysView(*access_keys(body))
