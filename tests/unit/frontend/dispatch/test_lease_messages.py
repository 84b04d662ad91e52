"""What frontends say to each other about leases."""

import json

from kubelambda.core.placement.lease_use import LeaseUse
from kubelambda.frontend.dispatch.lease_messages import (
    GivenBack,
    LeaseTerms,
    RecallAnswer,
    parse_given_back,
    parse_recall_answer,
    parse_returned,
    parse_terms,
    returned,
)


def test_messages_of_an_earlier_release_are_understood() -> None:
    """It knows of no qualifier and of no time."""
    terms = LeaseTerms("1", "t", "uid", "1", "r1", "pod", "pod-uid", 2.0, 4, "live")
    line = terms.header().split(b": ", 1)[1]
    assert parse_terms(line) == terms
    found = json.loads(line)
    del found["qualifier"]
    assert parse_terms(json.dumps(found).encode()).qualifier == ""
    uses = {"a.1": LeaseUse(3), "a.2": LeaseUse(4, 1200)}
    assert returned(uses) == b"x-kubelambda-returned: a.1=3,a.2=4/1200\r\n"
    assert dict(parse_returned(b"a.1=3,a.2=4/1200,a.3=x,a.4=1/,a.5=1/-2")) == uses | {"a.4": LeaseUse(1)}
    assert parse_given_back(b'[{"id": "1", "used": 2, "outcome": "free"}]') == [GivenBack("1", LeaseUse(2))]
    answer = RecallAnswer(uses, {"a.6": LeaseUse(1)}, recalled=True)
    assert parse_recall_answer(answer.encode()) == answer
    old = b'{"returned": {"a.1": 3}, "kept": {}, "recalled": false}'
    assert parse_recall_answer(old) == RecallAnswer({"a.1": LeaseUse(3)}, {}, recalled=False)
