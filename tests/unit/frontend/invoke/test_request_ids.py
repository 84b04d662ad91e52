"""Ids of requests."""

import uuid

from kubelambda.frontend.invoke.request_ids import fresh_id


def test_every_request_has_an_id_of_its_own_in_the_form_of_lambdas() -> None:
    """UUIDs of version 4 and its variant, over several draws."""
    ids = [fresh_id() for _ in range(2_000)]
    found = [uuid.UUID(each) for each in ids]
    assert [str(each) for each in found] == ids
    assert {(each.version, each.variant) for each in found} == {(4, uuid.RFC_4122)}
    assert len(set(ids)) == len(ids)


def test_every_bit_of_an_id_that_is_not_fixed_is_drawn() -> None:
    """122 of them: each is 0 in some ids and 1 in others."""
    drawn = [uuid.UUID(fresh_id()).int for _ in range(512)]
    ever, always = 0, (1 << 128) - 1
    for each in drawn:
        ever |= each
        always &= each
    assert (ever & ~always).bit_count() == 122
