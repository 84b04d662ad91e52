"""Which shards are read, and that no crash loses or reorders what is in them (§7.4.4): small worlds, explored whole."""

from itertools import product

from tests.unit.core.mapping.test_shard_buffer import record

from kubelambda.core.mapping.shard_buffer import ShardBuffer
from kubelambda.core.mapping.shard_lineage import Shard, ShardProgress, kept, readable
from kubelambda.core.mapping.stream_rules import StreamRecord, StreamRules

SPLIT = [Shard("parent"), Shard("left", ("parent",)), Shard("right", ("parent",))]
DONE = ShardProgress("9", finished=True)


def test_children_wait_for_their_parents() -> None:
    """For both, when two shards were merged."""
    assert readable(SPLIT, {}) == ["parent"]
    assert readable(SPLIT, {"parent": ShardProgress("8")}) == ["parent"]
    assert readable(SPLIT, {"parent": DONE}) == ["left", "right"]
    merged = [Shard("a"), Shard("b"), Shard("child", ("a", "b"))]
    assert readable(merged, {"a": DONE}) == ["b"]
    assert readable(merged, {"a": DONE, "b": DONE}) == ["child"]


def test_parents_that_the_stream_has_forgotten_hold_up_nothing() -> None:
    """They are older than all that it keeps; and so is what is known of them."""
    assert readable([Shard("left", ("parent",))], {}) == ["left"]
    assert kept([Shard("left")], {"parent": DONE, "left": ShardProgress("1")}) == {"left": ShardProgress("1")}


class World:
    """A shard of three records in two lanes, a poller that may die, and the position that outlives it."""

    def __init__(self) -> None:
        self.written: str | None = None
        self.handled: list[int] = []
        self.restart()

    def restart(self) -> None:
        """A new poller: it knows what was written and nothing else."""
        self.buffer = ShardBuffer(StreamRules(size=1, lanes=2), checkpoint=self.written)
        first = 0 if self.written is None else int(self.written) + 1
        for number in range(first, 3):
            self.buffer.add(record(number, key=KEYS[number]), 0.0)
        self.under_way: list[tuple[int, tuple[StreamRecord, ...]]] = []

    def step(self, action: str) -> None:
        """One thing happens; what cannot happen now does not."""
        match action:
            case "take-0" | "take-1":
                lane = int(action[-1])
                if any(busy == lane for busy, _ in self.under_way):
                    return
                batch = self.buffer.take(lane, 0.0)
                if batch:
                    self.under_way.append((lane, batch))
            case "answer":
                if self.under_way:
                    _, batch = self.under_way.pop(0)
                    self.handled += [int(each.sequence) for each in batch]
                    self.buffer.done(batch)
            case "write":
                self.written = self.buffer.checkpoint
            case "die":
                self.restart()


KEYS = ("a", "b", "a")
ACTIONS = ("take-0", "take-1", "answer", "write", "die")


def test_wherever_the_poller_dies_nothing_is_lost_and_each_key_keeps_its_order() -> None:
    """Every history of six steps, each then brought to its end."""
    for history in product(ACTIONS, repeat=6):
        world = World()
        for action in history:
            world.step(action)
            done = set(world.handled)
            assert world.written is None or done >= set(range(int(world.written) + 1)), history
        for action in ("take-0", "take-1", "answer", "answer") * 3:
            world.step(action)
        assert set(world.handled) == {0, 1, 2}, history
        first = [world.handled.index(number) for number in (0, 2)]
        assert first == sorted(first), history
