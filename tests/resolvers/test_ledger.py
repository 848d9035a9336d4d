"""The books through the API: accounts, balances now and then, statements, holds, sums."""

from datetime import UTC, datetime, timedelta
from typing import Any

from core.identifiers import encode, new_id
from ledger import post
from tests.ledger.builders import a_posting, a_transfer, credit, debit
from tests.payments.world import World
from tests.resolvers.asking import Api

BALANCE = """
  balance(at: $at) {
    currency asOfSequence asOf
    debits { decimal } credits { decimal } posted { decimal } pending { decimal }
    held { decimal } available { decimal }
  }
"""
ACCOUNT = f"""query ($path: String, $id: ID, $at: DateTime) {{ account(path: $path, id: $id) {{
  id path name kind currency normalSide allowNegative frozen version {BALANCE} }} }}"""


async def write(world: World, *postings: Any) -> None:
    async with world.database.unit_of_work(world.tenant_id) as tx:
        await post(tx, world.tenant_id, postings)


async def grant(world: World, customer: str, amount: int) -> None:
    await write(world, a_transfer("expense:store_credit", f"customer:{customer}:wallet", amount))


def amounts(balance: dict[str, Any]) -> tuple[str, ...]:
    names = ("debits", "credits", "posted", "pending", "held", "available")
    return tuple(balance[name]["decimal"] for name in names)


async def now_in(world: World) -> datetime:
    found: datetime = (await world.rows("SELECT clock_timestamp() AS now"))[0]["now"]
    return found


async def test_an_account_shows_its_balance_on_its_normal_side(api: Api, world: World) -> None:
    await grant(world, "ann", 1500)

    wallet = (await api.ask(ACCOUNT, path="customer:ann:wallet"))["account"]
    expense = (await api.ask(ACCOUNT, path="expense:store_credit"))["account"]

    assert (wallet["kind"], wallet["normalSide"]) == ("LIABILITY", "CREDIT")
    assert (expense["kind"], expense["normalSide"]) == ("EXPENSE", "DEBIT")
    assert (wallet["allowNegative"], expense["allowNegative"]) == (False, True)
    assert wallet["frozen"] is False
    assert wallet["version"] == wallet["balance"]["asOfSequence"] == "1"
    assert amounts(wallet["balance"]) == ("0.00", "15.00", "15.00", "15.00", "0.00", "15.00")
    assert amounts(expense["balance"]) == ("15.00", "0.00", "15.00", "15.00", "0.00", "15.00")
    by_id = (await api.ask(ACCOUNT, id=wallet["id"]))["account"]
    assert by_id["path"] == "customer:ann:wallet"
    other = await api.ask(ACCOUNT, id=wallet["id"], path="expense:store_credit")
    assert other["account"] is None


async def test_what_is_held_is_not_available(api: Api, world: World) -> None:
    await grant(world, "ann", 1500)
    await world.authorize(1000)

    clearing = f"psp:{world.merchants[0].name}:clearing"
    held = (await api.ask(ACCOUNT, path=clearing))["account"]["balance"]
    sales = (await api.ask(ACCOUNT, path="income:sales"))["account"]["balance"]

    assert amounts(held) == ("0.00", "0.00", "0.00", "10.00", "0.00", "0.00")
    assert amounts(sales) == ("0.00", "0.00", "0.00", "10.00", "0.00", "0.00")


async def test_a_balance_of_the_past_is_what_it_was_then(api: Api, world: World) -> None:
    before = await now_in(world)
    instants = []
    for amount in (100, 200, 400):
        await grant(world, "ann", amount)
        instants.append(await now_in(world))

    async def at(instant: datetime) -> tuple[str, str]:
        found = await api.ask(ACCOUNT, path="customer:ann:wallet", at=instant.isoformat())
        balance = found["account"]["balance"]
        return balance["posted"]["decimal"], balance["asOfSequence"]

    assert await at(before) == ("0.00", "0")
    assert [await at(instant) for instant in instants] == [
        ("1.00", "1"),
        ("3.00", "2"),
        ("7.00", "3"),
    ]


STATEMENT = """query ($path: String!, $period: StatementPeriodInput!, $first: Int, $after: String) {
  account(path: $path) { statement(period: $period, first: $first, after: $after) {
    from to account { path }
    opening { decimal } closing { decimal } totalDebits { decimal } totalCredits { decimal }
    lines { nodes { sequence direction layer amount { decimal } runningBalance { decimal }
                    transaction { kind } account { path } }
            pageInfo { hasNextPage endCursor } } } } }"""


async def test_a_statement_adds_up_from_its_opening_to_its_closing(api: Api, world: World) -> None:
    await grant(world, "ann", 100)
    begin = await now_in(world)
    await grant(world, "ann", 200)
    await write(world, a_transfer("customer:ann:wallet", "income:sales", 50))
    await grant(world, "ann", 400)
    end = await now_in(world)
    await grant(world, "ann", 800)
    period = {"from": begin.isoformat(), "to": end.isoformat()}

    async def page(after: str | None) -> dict[str, Any]:
        found = await api.ask(
            STATEMENT, path="customer:ann:wallet", period=period, first=2, after=after
        )
        statement: dict[str, Any] = found["account"]["statement"]
        return statement

    first = await page(None)
    second = await page(first["lines"]["pageInfo"]["endCursor"])

    assert first["opening"]["decimal"] == "1.00"
    assert first["totalCredits"]["decimal"] == "6.00"
    assert first["totalDebits"]["decimal"] == "0.50"
    assert first["closing"]["decimal"] == "6.50"
    lines = first["lines"]["nodes"] + second["lines"]["nodes"]
    assert [line["sequence"] for line in lines] == ["2", "3", "4"]
    assert [line["direction"] for line in lines] == ["CREDIT", "DEBIT", "CREDIT"]
    assert [line["runningBalance"]["decimal"] for line in lines] == ["3.00", "2.50", "6.50"]
    assert second["lines"]["pageInfo"]["hasNextPage"] is False
    assert lines[0]["transaction"]["kind"] == "test"


async def test_a_statement_shows_posted_entries_only(api: Api, world: World) -> None:
    begin = await now_in(world)
    payment = await world.authorize(1000)
    await world.capture(payment, 400)
    period = {"from": begin.isoformat(), "to": (await now_in(world)).isoformat()}

    found = await api.ask(STATEMENT, path="income:sales", period=period, first=500)

    statement = found["account"]["statement"]
    assert {line["layer"] for line in statement["lines"]["nodes"]} == {"POSTED"}
    assert statement["closing"]["decimal"] == "4.00"


async def test_a_period_that_ends_before_it_begins_is_refused(api: Api, world: World) -> None:
    await grant(world, "ann", 100)
    period = {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}

    code = await api.refused(STATEMENT, path="customer:ann:wallet", period=period)

    assert code == "BAD_PERIOD"


async def test_more_than_five_hundred_entries_a_page_are_refused(api: Api, world: World) -> None:
    await grant(world, "ann", 100)
    document = """query ($first: Int) { account(path: "customer:ann:wallet") {
      entries(first: $first) { nodes { id } } } }"""

    assert await api.refused(document, first=501) == "BAD_PAGE_SIZE"
    assert len((await api.ask(document, first=500))["account"]["entries"]["nodes"]) == 1


async def test_entries_are_filtered_as_asked(api: Api, world: World) -> None:
    await grant(world, "ann", 100)
    await grant(world, "ann", 300)
    await write(
        world,
        a_posting(debit("customer:ann:wallet", 50), credit("income:sales", 50), recipe="spend@2"),
    )
    document = """query ($filter: EntryFilter) { account(path: "customer:ann:wallet") {
      entries(filter: $filter) { nodes { sequence } } } }"""

    async def found(**filter: object) -> list[str]:
        nodes = (await api.ask(document, filter=filter))["account"]["entries"]["nodes"]
        return [node["sequence"] for node in nodes]

    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()  # noqa: TID251 - any later instant
    assert await found() == ["3", "2", "1"]
    assert await found(direction="DEBIT") == ["3"]
    assert await found(direction="CREDIT") == ["2", "1"]
    assert await found(amount={"currency": "EUR", "gte": 100, "lte": 100}) == ["1"]
    assert await found(amount={"currency": "USD", "gte": 0}) == []
    assert await found(transactionKind=["spend"]) == ["3"]
    assert await found(transactionKind=["spen"]) == []
    assert await found(postedAt={"lt": soon}) == ["3", "2", "1"]
    assert await found(postedAt={"gte": soon}) == []


async def test_an_entry_has_an_id_and_can_be_asked_for(api: Api, world: World) -> None:
    await grant(world, "ann", 100)
    listed = await api.ask(
        'query { account(path: "customer:ann:wallet") { entries { nodes { id sequence } } } }'
    )
    (entry,) = listed["account"]["entries"]["nodes"]
    document = """query ($id: ID!) { node(id: $id) { id ... on Entry {
      sequence account { path } transaction { id entries { id } } } } }"""

    found = (await api.ask(document, id=entry["id"]))["node"]

    assert found["id"] == entry["id"]
    assert found["account"]["path"] == "customer:ann:wallet"
    assert entry["id"] in {each["id"] for each in found["transaction"]["entries"]}
    for wrong in ("ent_", "ent_x", encode("ent", new_id()), entry["id"][:-1] + "z"):
        assert (await api.ask(document, id=wrong))["node"] is None


async def test_accounts_are_listed_by_path_and_filtered(api: Api, world: World) -> None:
    for customer in ("bob", "ann", "a_n"):
        await grant(world, customer, 100)
    document = """query ($filter: AccountFilter, $first: Int, $after: String) {
      accounts(filter: $filter, first: $first, after: $after) {
        nodes { id path } pageInfo { endCursor hasNextPage } } }"""

    async def found(**filter: object) -> list[str]:
        nodes = (await api.ask(document, filter=filter))["accounts"]["nodes"]
        return [node["path"] for node in nodes]

    everything = await found()
    assert everything == sorted(everything)
    assert await found(pathPrefix="customer:") == [
        "customer:a_n:wallet",
        "customer:ann:wallet",
        "customer:bob:wallet",
    ]
    assert await found(pathPrefix="customer:a_") == ["customer:a_n:wallet"]
    assert await found(pathPrefix="%") == []
    assert await found(kind=["EXPENSE"]) == ["expense:store_credit"]
    assert await found(currency=["USD"]) == []
    first = (await api.ask(document, first=1))["accounts"]
    second = await api.ask(document, first=1, after=first["pageInfo"]["endCursor"])
    both = [*first["nodes"], *second["accounts"]["nodes"]]
    assert [node["path"] for node in both] == everything[:2]
    ids = [both[0]["id"]]
    assert await found(ids=ids) == everything[:1]


async def test_balances_are_summed_under_a_prefix(api: Api, world: World) -> None:
    await grant(world, "ann", 100)
    then = await now_in(world)
    await grant(world, "bob", 250)
    await write(
        world,
        a_posting(debit("expense:store_credit", 7, "JPY"), credit("customer:ann:wallet", 7, "JPY")),
    )
    document = f"""query ($prefix: String!, $at: DateTime) {{
      balances(pathPrefix: $prefix, at: $at) {{ {BALANCE.strip()[len("balance(at: $at) {") : -1]} }}
    }}"""

    now = (await api.ask(document, prefix="customer:"))["balances"]
    past = (await api.ask(document, prefix="customer:", at=then.isoformat()))["balances"]

    assert [(each["currency"], each["posted"]["decimal"]) for each in now] == [
        ("EUR", "3.50"),
        ("JPY", "7"),
    ]
    assert [(each["currency"], each["posted"]["decimal"]) for each in past] == [("EUR", "1.00")]
    assert (await api.ask(document, prefix="nothing:"))["balances"] == []


async def test_the_trial_balance_is_even_now_and_at_any_time(api: Api, world: World) -> None:
    await world.pay()
    then = await now_in(world)
    await world.authorize()
    await world.refund(await world.pay(amount=700), 300)
    document = """query ($at: DateTime) { trialBalance(at: $at) {
      currency layer debits { amountMinor } credits { amountMinor } } }"""

    for at in (None, then.isoformat(), "2020-01-01T00:00:00Z"):
        lines = (await api.ask(document, at=at))["trialBalance"]
        assert all(line["debits"] == line["credits"] for line in lines)
        assert bool(lines) is (at != "2020-01-01T00:00:00Z")
    now = (await api.ask(document))["trialBalance"]
    posted = next(line for line in now if line["layer"] == "POSTED")
    assert int(posted["debits"]["amountMinor"]) > 1700


async def test_holds_show_what_is_reserved(api: Api, world: World) -> None:
    kept = await world.authorize(1000)
    used = await world.authorize(500)
    await world.capture(used)
    document = """query ($status: HoldStatus) { holds(status: $status) { nodes {
      id status reason amount { decimal } payment { id }
      legs { layer direction amount { decimal } account { path } } } } }"""

    active = (await api.ask(document, status="ACTIVE"))["holds"]["nodes"]
    everything = (await api.ask(document))["holds"]["nodes"]

    assert [hold["payment"]["id"] for hold in active] == [encode("pay", kept)]
    assert {hold["status"] for hold in everything} == {"ACTIVE", "SETTLED"}
    assert {leg["layer"] for leg in active[0]["legs"]} == {"PENDING"}
    assert active[0]["amount"]["decimal"] == "10.00"
    of_account = await api.ask(
        """query ($path: String) { account(path: $path) { holds { nodes { id } } } }""",
        path=f"psp:{world.merchants[0].name}:clearing",
    )
    assert [hold["id"] for hold in of_account["account"]["holds"]["nodes"]] == [active[0]["id"]]


async def test_transactions_are_found_by_what_they_are_about(api: Api, world: World) -> None:
    payment = await world.pay(amount=1000)
    operation = await world.operation(payment)
    await grant(world, "ann", 100)
    document = """query ($filter: TransactionFilter) { transactions(filter: $filter) { nodes {
      id kind sequence externalId description correlationId effectiveAt postedAt
      reverses { id } reversedBy { id } refund { id } metadata { key value } } } }"""

    async def found(**filter: object) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = (await api.ask(document, filter=filter))["transactions"][
            "nodes"
        ]
        return nodes

    everything = await found()
    sequences = [int(node["sequence"]) for node in everything]
    assert sequences == sorted(sequences, reverse=True)
    of_payment = await found(paymentId=encode("pay", payment))
    assert {node["kind"] for node in of_payment} == {"sale", "psp_fee"}
    assert [node["kind"] for node in await found(kind=["sale"])] == ["sale"]
    assert await found(kind=["SALE"]) == []
    assert {n["kind"] for n in await found(externalId=operation.provider_ref)} <= {
        "sale",
        "psp_fee",
    }
    wallet = (await api.ask(ACCOUNT, path="customer:ann:wallet"))["account"]["id"]
    assert [node["kind"] for node in await found(accountId=wallet)] == ["test"]
    assert await found(accountId=encode("acc", new_id())) == []
    assert await found(postedAt={"lt": "2020-01-01T00:00:00Z"}) == []
