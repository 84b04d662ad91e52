"""Which replica of the control API an account's calls go to."""

from kubelambda.frontend.control_api.control_api_servers import AWAY_S, ControlApiServers

URL = "http://kubelambda-awsapi.system.svc:8080"
SERVICE = ("kubelambda-awsapi.system.svc", 8080)
READY = [("10.0.0.1", 8080), ("10.0.0.2", 8080), ("10.0.0.3", 8080)]


def test_every_frontend_says_the_same() -> None:
    """In whatever order it heard of them; and accounts are spread out."""
    one, two = ControlApiServers(URL, lambda: READY), ControlApiServers(URL, lambda: reversed(READY))
    accounts = [f"team-{number}" for number in range(100)]
    assert [one.ranked(each) for each in accounts] == [two.ranked(each) for each in accounts]
    first = [one.ranked(each)[0] for each in accounts]
    assert all(first.count(each) > 15 for each in READY)
    assert {one.ranked(each)[-1] for each in accounts} == {SERVICE}


def test_one_that_is_gone_moves_its_own_accounts_only() -> None:
    """The others are counted where they were."""
    all_of_them, rest = ControlApiServers(URL, lambda: READY), ControlApiServers(URL, lambda: READY[1:])
    for number in range(50):
        before = [each for each in all_of_them.ranked(f"team-{number}") if each != READY[0]]
        assert rest.ranked(f"team-{number}") == before


def test_one_that_cannot_be_reached_comes_last_for_a_while() -> None:
    """Kubernetes needs up to a minute to see that a node is gone."""
    now = 100.0
    servers = ControlApiServers(URL, lambda: READY, lambda: now)
    first, second, third, _ = servers.ranked("team")
    servers.unreachable(first)
    assert servers.ranked("team") == [second, third, first, SERVICE]
    now += AWAY_S
    assert servers.ranked("team") == [first, second, third, SERVICE]


def test_where_none_is_ready_the_service_is_asked() -> None:
    """Its address is in the settings, and may be one outside of the cluster's DNS."""
    assert ControlApiServers(URL).ranked("team") == [SERVICE]
    assert ControlApiServers("http://127.0.0.1").ranked("team") == [("127.0.0.1", 80)]
