"""The pollers of an account's queues share what one process has: batches at once, and the memory of those that run."""

from tests.pollers.conftest import Source, eventually

from kubelambda.core.mapping.fair_shares import ShareLimits
from kubelambda.core.mapping.held_bytes import ByteLimits
from kubelambda.core.mapping.provisioned_pollers import ProvisionedPollers
from kubelambda.core.mapping.sqs_batch import BatchRules
from kubelambda.pollers.batch_room import BatchRoom
from kubelambda.pollers.share_ledger import ShareLedger


async def test_the_mappings_of_an_account_share_what_it_may_have(source: Source) -> None:
    """Fifty provisioned pollers want 500 long polls: they hold what the account may have, and the mapping says so."""
    source.ledger = ShareLedger(ShareLimits(account=6, all_accounts=9))
    source.poll(uid="greedy", provisioned=ProvisionedPollers(50, 50))
    await eventually(lambda: any(report.pollers == 6 for report in source.reports))
    assert "6 of 500 batches at once: all mappings of an account share 6" in source.reports[0].note
    await source.send(*[str(number) for number in range(20)])
    await source.until_empty()
    assert source.function.most <= 6
    other = "arn:aws:lambda:us-east-1:210987654321:function:hello"
    source.poll(uid="other", function_arn=other, provisioned=ProvisionedPollers(2, 2))
    await eventually(lambda: [report.pollers for report in source.reports] == [4, 5])


async def test_the_batches_of_an_account_share_the_memory_that_it_may_have(source: Source) -> None:
    """Nothing is received while those at the function hold it, a metric says who waits, and nothing is lost."""

    def waiting() -> float:
        lines = source.metrics.page().decode().splitlines()
        return sum(float(each.split()[-1]) for each in lines if each.startswith("kubelambda_mapping_memory_waits{"))

    source.room = BatchRoom(ByteLimits(account=300_000, all_accounts=600_000))
    source.function.pause.clear()
    await source.send(*["x" * 100_000 + str(number) for number in range(20)])
    source.poll(rules=BatchRules(1, 0), provisioned=ProvisionedPollers(3, 3))
    await eventually(lambda: source.function.running > 0 and waiting() > 0)
    assert source.function.running < 20
    source.function.pause.set()
    await eventually(lambda: len({record["body"] for record in source.function.records}) == 20)
    await source.until_empty()
    await eventually(lambda: waiting() == 0)
