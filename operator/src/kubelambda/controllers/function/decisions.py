"""What one process decided of objects, ahead of what their statuses say yet."""

from kubelambda.controllers.machinery.work_queue import Key


class Decisions[V]:
    """By the uids of the objects; forgotten by their keys: of what is gone, nobody may know the uid any more."""

    def __init__(self) -> None:
        self._uids: dict[Key, str] = {}
        self._of: dict[str, V] = {}

    def __len__(self) -> int:
        return len(self._of)

    def of(self, uid: str, otherwise: V) -> V:
        """What was decided of an object, or what its status says."""
        return self._of.get(uid, otherwise)

    def decide(self, key: Key, uid: str, decided: V) -> None:
        """Of the object that has the key now. What was decided of another that had it goes."""
        if self._uids.get(key) != uid:
            self.forget(key)
        self._uids[key] = uid
        self._of[uid] = decided

    def forget(self, key: Key) -> None:
        """There is no such object."""
        uid = self._uids.pop(key, None)
        if uid is not None:
            del self._of[uid]
