"""operationResolve through the API: who is asked, what is shown, what is remembered."""

from core.identifiers import encode, new_id
from tests.payments.world import World, a_key
from tests.resolvers.asking import Api

RESOLVE = """mutation($input: OperationResolveInput!) { operationResolve(input: $input) {
  __typename ... on Error { code }
  ... on ValidationError { fields { path code } }
  ... on OperationPayload { approvalsMissing replayed operation { id status decline { code } } }
} }"""
ACTIONS = "query($id: ID!) { payment(id: $id) { status allowedActions } }"
RECORDS = """query($id: ID!) { auditLog(filter: { subjectId: $id }) {
  nodes { actor action refused before after } } }"""


async def test_two_callers_resolve_what_one_cannot(api: Api, world: World) -> None:
    world.simulator.fault("drop_before", match={"method": "POST"}, times=1)
    payment_id = await world.pay()
    payment = {"id": encode("pay", payment_id)}
    operation_id = encode("op", (await world.operation(payment_id)).id)
    anna = api.by(key_id=None, subject="jwt:anna")

    async def say(asker: Api, outcome: str, **more: str) -> dict[str, object]:
        input = {
            "idempotencyKey": a_key(),
            "operationId": operation_id,
            "outcome": outcome,
            "evidenceNote": "ticket 4711",
            **more,
        }
        answer: dict[str, object] = (await asker.ask(RESOLVE, input=input))["operationResolve"]
        return answer

    assert "RESOLVE" in (await api.ask(ACTIONS, **payment))["payment"]["allowedActions"]
    first = await say(anna, "DECLINED")
    again = await say(anna, "DECLINED")
    other = await say(api, "SUCCEEDED", providerRef="ch_1")
    second = await say(api.by(key_id=new_id()), "DECLINED")
    late = await say(api, "DECLINED")

    assert first["approvalsMissing"] == again["approvalsMissing"] == 1
    assert other["fields"] == [{"path": ["input", "outcome"], "code": "OPINIONS_DIFFER"}]
    assert second["approvalsMissing"] == 0
    assert second["operation"] == {
        "id": operation_id,
        "status": "DECLINED",
        "decline": {"code": "declined_says_operator"},
    }
    assert late["__typename"] == "InvalidStateError"
    assert "RESOLVE" not in (await api.ask(ACTIONS, **payment))["payment"]["allowedActions"]
    nodes = (await api.ask(RECORDS, id=operation_id))["auditLog"]["nodes"][::-1]
    assert [(node["actor"][:8], node["refused"]) for node in nodes] == [
        ("jwt:anna", False),
        ("jwt:anna", False),
        ("key:key_", True),
        ("key:key_", False),
    ]
    assert nodes[-1]["before"] == {"status": "UNKNOWN"}
    assert nodes[-1]["after"]["note"] == "ticket 4711"
    assert nodes[-1]["after"]["approvals_missing"] == 0
