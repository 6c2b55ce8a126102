"""What DynamoDB answers is decoded to the same rows as by botocore's own decoder."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import aiobotocore.session
import pytest
from aiobotocore.parsers import AioJSONParser
from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import given
from hypothesis import strategies as st

from runner.ledger.dynamodb.decoding import open_session

MODEL = ServiceModel(Loader().load_service_model("dynamodb", "service-2"))
encoded = st.binary().map(lambda content: b64encode(content).decode())
value = st.deferred(lambda: simple | st.builds(lambda some: {"L": some}, st.lists(value, max_size=4)) | of_map)
simple = st.one_of(
    st.builds(lambda text: {"S": text}, st.text()),
    st.builds(lambda number: {"N": str(number)}, st.integers()),
    st.builds(lambda content: {"B": content}, encoded),
    st.builds(lambda truth: {"BOOL": truth}, st.booleans()),
    st.just({"NULL": True}),
    st.builds(lambda texts: {"SS": texts}, st.lists(st.text(), min_size=1)),
    st.builds(lambda numbers: {"NS": [*map(str, numbers)]}, st.lists(st.integers(), min_size=1)),
    st.builds(lambda contents: {"BS": contents}, st.lists(encoded, min_size=1)),
)
of_map = st.builds(lambda some: {"M": some}, st.dictionaries(st.text(), value, max_size=4))
odd = st.one_of(st.just({}), st.just({"S": None}), st.just({"S": "a", "N": None}), st.just({"ZZ": "later"}))
rows = st.lists(st.dictionaries(st.text(min_size=1), value | odd, max_size=6), max_size=4)
OPERATIONS = {
    "GetItem": lambda found: {"Item": found[0] if found else {}},
    "Query": lambda found: {"Items": found, "Count": len(found)},
    "BatchGetItem": lambda found: {"Responses": {"bulkhead": found}, "UnprocessedKeys": {}},
    "UpdateItem": lambda found: {"Attributes": found[0] if found else {}},
}


def factory_of(session: Any) -> Any:
    return session.get_component("response_parser_factory")


OURS = factory_of(open_session(region_name="eu-central-1")._session).create_parser("json")


async def decoded(parser: Any, answer: object, operation: str) -> object:
    """Return what a parser makes of an answer, or the error that it raises."""
    response = {"body": json.dumps(answer).encode(), "headers": {}, "status_code": 200}
    try:
        return await parser.parse(response, MODEL.operation_model(operation).output_shape)
    except Exception as error:  # noqa: BLE001 - both parsers must raise the same
        return repr(error)


@pytest.mark.parametrize("operation", OPERATIONS)
@given(found=rows)
async def test_any_answer_is_decoded_as_by_botocore(operation: str, found: list[dict[str, Any]]) -> None:
    answer = OPERATIONS[operation](found)
    assert await decoded(OURS, answer, operation) == await decoded(AioJSONParser(), answer, operation)


async def test_other_protocols_keep_the_parsers_of_aiobotocore() -> None:
    factory = factory_of(open_session(region_name="eu-central-1")._session)
    theirs = factory_of(aiobotocore.session.get_session())
    for protocol in ("rest-xml", "query", "rest-json"):
        assert type(factory.create_parser(protocol)) is type(theirs.create_parser(protocol))
