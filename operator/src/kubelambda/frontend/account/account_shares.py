"""The ledgers of the accounts that a frontend owns, as far as anything runs in them."""

import time
from collections.abc import Iterator, Mapping

from kubelambda.core.account.ledger import Account
from kubelambda.core.account.reserved_concurrency import account_quota
from kubelambda.core.placement.function_share import FunctionShare, function_share
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import FunctionView, NamespaceView
from kubelambda.kube.reflector import Name


class AccountShares:
    """`quota` is that of an account whose namespace names none."""

    def __init__(self, caches: Caches, quota: int) -> None:
        self._caches = caches
        self._quota = quota
        self._accounts: dict[str, Account] = {}
        self._shares: dict[Name, FunctionShare] = {}

    def share(self, namespace: str, function: str, reserved: int | None) -> FunctionShare:
        """The share of a function in its account's ledger. Whoever needs one first may know more than the cache."""
        found = self._shares.get((namespace, function))
        if found is None:
            now = time.monotonic()
            found = function_share(self._account(namespace), function, reserved, now)
            found.provision(self._caches.published.provisioned((namespace, function)), now)
            self._shares[namespace, function] = found
        return found

    def function_changed(self, name: Name, after: FunctionView | None) -> bool:
        """A function has another reservation, or is gone: what it still runs counts against its account alone.

        Returns whether it has.
        """
        namespace, function = name
        reserved = after.reserved if after else None
        found = self._shares.get(name)
        changed = found is not None and found.reserved != reserved
        if found is not None:
            found.reserve(reserved, time.monotonic())
        elif namespace in self._accounts:
            self._accounts[namespace].reserve(function, reserved)
        if after is None and self._shares.pop(name, None) is not None:
            self._accounts[namespace].provision(function, 0)
        return changed

    def published_changed(self, name: Name) -> None:
        """A function's aliases or versions may have another number of provisioned environments."""
        provisioned = self._caches.published.provisioned(name)
        found = self._shares.get(name)
        if found is not None:
            found.provision(provisioned, time.monotonic())
        elif name[0] in self._accounts:
            self._accounts[name[0]].provision(name[1], sum(provisioned.values()))

    def __iter__(self) -> Iterator[tuple[Name, FunctionShare]]:
        """Every share that anything was placed by."""
        return iter(list(self._shares.items()))

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Accounts by namespace."""
        return self._accounts

    def namespace_changed(self, namespace: str, after: NamespaceView | None) -> bool:
        """An account may have another quota. Whether it has."""
        account = self._accounts.get(namespace)
        if account is None or after is None:
            return False
        before = account.quota
        account.change_quota(account_quota(after.quota_annotation, self._quota))
        return account.quota != before

    def forget(self, namespace: str) -> None:
        """Another frontend owns the account; who still has units of it keeps the ledger that they are from."""
        self._accounts.pop(namespace, None)
        for name in [name for name in self._shares if name[0] == namespace]:
            del self._shares[name]

    def _account(self, namespace: str) -> Account:
        account = self._accounts.get(namespace)
        if account is None:
            found = self._caches.namespaces.items.get(("", namespace))
            annotation = found.quota_annotation if found else None
            account = self._accounts[namespace] = Account(account_quota(annotation, self._quota))
            for (other, name), view in self._caches.functions.items.items():
                if other == namespace and view.reserved is not None:
                    account.reserve(name, view.reserved)
            for name in self._caches.published.functions(namespace):
                account.provision(name, sum(self._caches.published.provisioned((namespace, name)).values()))
        return account
