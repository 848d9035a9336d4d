"""How much a caller may do in a while, and that strangers cannot make us remember them."""

from uuid import UUID, uuid5

import pytest

from counterfoil.access import NOBODY, ApiCaller
from counterfoil.rate_limits import COUNTED_MAX, KNOWN_MAX, RateLimits, _seconds_until
from schema.endpoint import Caller, HttpRequest, RateLimited, Unauthenticated
from tests.endpoint.sample import Client, codes

NAMES = UUID(int=7)


def a_request(client: str | None = "192.0.2.1", secret: str | None = None) -> HttpRequest:
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    return HttpRequest("POST", "/graphql", b"", headers, client)


def a_server(name: str = "a") -> ApiCaller:
    return ApiCaller(tenant_id=1, key_id=uuid5(NAMES, name))


def a_browser(name: str = "a") -> ApiCaller:
    return ApiCaller(tenant_id=1, payment_id=uuid5(NAMES, name))


async def test_a_key_spends_its_own_budget_and_is_told_what_is_left() -> None:
    limits = RateLimits(cost_per_minute=100, browser_requests_per_second=0)

    left = await limits.spend(a_server("a"), 60)
    with pytest.raises(RateLimited) as refused:
        await limits.spend(a_server("a"), 60)
    other = await limits.spend(a_server("b"), 60)

    assert left == other == {"limit": 100, "remaining": 40, "windowSeconds": 60}
    assert 0 < refused.value.retry_after_seconds <= 120


async def test_what_was_refused_costs_nothing() -> None:
    limits = RateLimits(cost_per_minute=100, browser_requests_per_second=0)
    await limits.spend(a_server(), 60)

    for _ in range(5):
        with pytest.raises(RateLimited):
            await limits.spend(a_server(), 60)

    assert await limits.spend(a_server(), 40) == {"limit": 100, "remaining": 0, "windowSeconds": 60}


async def count_until_refused(limits: RateLimits, request: HttpRequest, caller: Caller) -> int:
    for number in range(1_000):
        try:
            await limits.count(request, caller)
        except RateLimited:
            return number
    return 1_000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((a_request(), a_browser("a")), (a_request(), a_browser("b"))),
        ((a_request("192.0.2.1"), NOBODY), (a_request("192.0.2.2"), NOBODY)),
        ((a_request("2001:db8::1"), NOBODY), (a_request("2001:db8:0:1::1"), NOBODY)),
        ((a_request("::ffff:192.0.2.1"), NOBODY), (a_request("::ffff:192.0.2.2"), NOBODY)),
    ],
    ids=["payments", "addresses", "networks", "mapped"],
)
async def test_browsers_are_counted_apart(
    one: tuple[HttpRequest, Caller], other: tuple[HttpRequest, Caller]
) -> None:
    limits = RateLimits(cost_per_minute=0, browser_requests_per_second=50)

    # The second may turn while we count: then there is room for some more.
    assert 50 <= await count_until_refused(limits, *one) <= 100
    assert 50 <= await count_until_refused(limits, *other) <= 100


async def test_an_ipv6_network_is_one_client() -> None:
    limits = RateLimits(cost_per_minute=0, browser_requests_per_second=50)
    passed = 0

    with pytest.raises(RateLimited):
        for number in range(200):
            await limits.count(a_request(f"2001:db8::{number:x}"), NOBODY)
            passed += 1

    assert 50 <= passed <= 100


async def test_servers_pay_by_cost_and_not_by_request() -> None:
    limits = RateLimits(cost_per_minute=0, browser_requests_per_second=1)

    assert await count_until_refused(limits, a_request(), a_server()) == 1_000
    assert await limits.spend(a_server(), 10**9) is None
    assert await limits.spend(a_browser(), 10**9) is None


class Door:
    """Knows one key, and counts who knocks."""

    def __init__(self) -> None:
        self.knocks = 0
        self.open = True

    async def __call__(self, request: HttpRequest) -> Caller:
        self.knocks += 1
        if not self.open or request.headers.get("authorization") != "Bearer good":
            raise Unauthenticated
        return a_server()


async def test_an_address_that_guesses_is_refused_before_the_database_is_asked() -> None:
    door = Door()
    find = RateLimits(cost_per_minute=0, browser_requests_per_second=20).guard(door)
    outcomes: list[type[Exception]] = []

    for number in range(200):
        with pytest.raises((Unauthenticated, RateLimited)) as raised:
            await find(a_request(secret=f"guess-{number}"))
        outcomes.append(raised.type)

    assert outcomes[:20] == [Unauthenticated] * 20
    assert 20 <= door.knocks <= 60
    assert RateLimited in outcomes


async def test_who_was_good_lately_is_not_shut_out_by_a_neighbour_who_guesses() -> None:
    door = Door()
    find = RateLimits(cost_per_minute=0, browser_requests_per_second=3).guard(door)
    await find(a_request(secret="good"))

    for number in range(20):
        with pytest.raises((Unauthenticated, RateLimited)):
            await find(a_request(secret=f"guess-{number}"))

    assert await find(a_request(secret="good")) == a_server()


async def test_a_key_that_was_revoked_is_a_stranger_again() -> None:
    door = Door()
    find = RateLimits(cost_per_minute=0, browser_requests_per_second=2).guard(door)
    await find(a_request(secret="good"))
    door.open = False
    outcomes = []

    for _ in range(20):
        with pytest.raises((Unauthenticated, RateLimited)) as raised:
            await find(a_request(secret="good"))
        outcomes.append(raised.type)

    assert outcomes[0] is Unauthenticated
    assert RateLimited in outcomes


async def test_strangers_cannot_make_us_remember_without_end() -> None:
    limits = RateLimits(cost_per_minute=0, browser_requests_per_second=5)
    find = limits.guard(Door())

    for number in range(3 * COUNTED_MAX):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        with pytest.raises((Unauthenticated, RateLimited)):
            await find(a_request(address, secret=f"guess-{number}"))

    # Whoever is counted already has a second window when the second turns.
    assert len(limits._requests.storage) <= 2 * COUNTED_MAX
    assert len(limits._requests.locks) <= 2 * COUNTED_MAX
    assert len(limits._known) == 0


async def test_known_credentials_are_bounded() -> None:
    async def anybody(_request: HttpRequest) -> Caller:
        return a_server()

    limits = RateLimits(cost_per_minute=0, browser_requests_per_second=0)
    find = limits.guard(anybody)

    for number in range(KNOWN_MAX + 50):
        await find(a_request(secret=str(number)))

    assert len(limits._known) == KNOWN_MAX


@pytest.mark.parametrize(
    ("room", "counts", "seconds"),
    [
        (0, (0, 0.0, 60, 120.0), 120.0),
        (30, (0, 0.0, 60, 90.0), 30.0 + 30.0),
        (50, (60, 30.0, 40, 90.0), 20.0),
        (10, (60, 10.0, 10, 70.0), 10.0),
    ],
)
def test_it_is_said_when_there_is_room_again(
    room: int, counts: tuple[int, float, int, float], seconds: float
) -> None:
    assert _seconds_until(room, 60, counts) == pytest.approx(seconds)


class Metered(Client):
    """A client of the sample endpoint with a key of ours."""

    async def authenticate(self, request: HttpRequest) -> ApiCaller:  # type: ignore[override] # ours is a Caller too
        return ApiCaller(key_id=NAMES, scopes=(await super().authenticate(request)).scopes)


async def test_an_answer_says_what_is_left_and_a_refusal_when_to_come_back() -> None:
    client = Metered(budget=RateLimits(cost_per_minute=1_000, browser_requests_per_second=0))

    answer = await client.query("{ books(first: 400) { id } }")
    await client.query("{ books(first: 400) { id } }")
    refused = await client.query("{ books(first: 400) { id } }")
    cheap = await client.query("{ hello }")

    assert answer.json()["extensions"]["cost"] == {
        "requested": 400,
        "limit": 1000,
        "remaining": 600,
        "budget": {"limit": 1000, "remaining": 600, "windowSeconds": 60},
    }
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert codes(refused) == ["RATE_LIMITED"]
    assert refused.json()["errors"][0]["extensions"]["retryable"] is True
    assert cheap.json()["extensions"]["cost"]["budget"]["remaining"] == 199


async def test_looking_at_a_bad_document_is_paid_for() -> None:
    client = Metered(budget=RateLimits(cost_per_minute=10, browser_requests_per_second=0))

    statuses = [(await client.query(f"{{ nope{n} }}")).status_code for n in range(12)]

    assert statuses == [400] * 10 + [429] * 2
