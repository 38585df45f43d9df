"""Every function, over every face, with every kind of credential: the same result, or the same refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_type_hints

import pytest

from billing_mcp.kernel.registry import Operation
from billing_mcp.operations import REGISTRY
from tests.contract.house import CREDENTIALS, FACES, House, Outcome, housed

OPERATIONS = pytest.mark.parametrize("operation", REGISTRY.values(), ids=lambda operation: operation.name)
REFUSED = {
    "other account's": "not_found",
    "platform": "platform_credential",
    "expired": "key_expired",
    "revoked": "key_revoked",
    "none": "key_missing",
}
"""Who is refused whatever it calls. On one's own machine nobody needs a key: the command line is its owner."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with housed(tmp_path_factory.mktemp("house")) as opened:
        yield opened


def alike(outcome: Outcome) -> Outcome:
    """What is drawn anew for each account left out."""
    drawn = {name for name in ("payment_method_id", "topup_id", "transaction_id") if outcome.result.get(name)}
    return Outcome(result=outcome.result | dict.fromkeys(drawn, "…"))


def expected_refusal(credential: str, operation: Operation) -> str | None:
    if credential in REFUSED:
        return REFUSED[credential]
    if operation.writes:
        return {"viewer": "permission_denied", "read-only": "unknown_function"}.get(credential)
    return None


@OPERATIONS
@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_function_gives_the_same_result_or_refusal_on_every_face(
    house: House, operation: Operation, credential: str
) -> None:
    faces = [face for face in FACES if (face, credential) != ("cli", "none")]

    outcomes = {face: house.ask(face, credential, operation) for face in faces}

    refusal = expected_refusal(credential, operation)
    if refusal is not None:
        assert outcomes == {face: Outcome(refused=refusal) for face in faces}
        return
    first = outcomes["mcp"]
    if operation.writes:
        outcomes, first = {face: alike(outcome) for face, outcome in outcomes.items()}, alike(first)
    assert outcomes == dict.fromkeys(faces, first)
    assert set(first.result) == set(get_type_hints(operation.returns))


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize(
    "operation", [o for o in REGISTRY.values() if o.own_route is not None], ids=lambda operation: operation.name
)
def test_a_function_of_the_credentials_own_account_gives_that_of_the_account_itself(
    house: House, operation: Operation, credential: str
) -> None:
    outcome = house.own(credential, operation)

    refusal = expected_refusal(credential, operation)
    if credential == "other account's" and house.of_account.keys() & house.needed(operation).keys():
        assert outcome == Outcome(refused="not_found")  # it is not its own
    elif credential == "other account's":  # it has an account of its own, which is another one
        assert set(outcome.result) == set(get_type_hints(operation.returns))
        assert operation.writes or outcome != house.ask("rest", "viewer", operation)
    elif refusal is not None:
        assert outcome == Outcome(refused=refusal)
    elif operation.writes:  # it has changed another account than those on which the faces are compared
        assert set(outcome.result) == set(get_type_hints(operation.returns))
    else:
        assert outcome == house.ask("rest", credential, operation)
