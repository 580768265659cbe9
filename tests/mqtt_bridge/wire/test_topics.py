"""The topic table: what is built is parsed back, and hostile topics are not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_py.contracts.errors import ConfigError
from mqtt_bridge.wire import topics

NAMES = st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True)


@pytest.mark.parametrize("row", topics.TABLE, ids=lambda row: row.kind)
@given(name=NAMES, mesh=NAMES)
def test_what_is_built_is_parsed_back_and_fits_its_filter(row: topics.TopicRow, name: str, mesh: str) -> None:
    levels = {level[1:-1]: name for level in row.pattern.split("/") if level.startswith("{")}
    topic = topics.build(row.kind, mesh, **levels)
    found = topics.parse(topic)
    assert found is not None
    assert (found.kind, found.mesh) == (row.kind, mesh)
    assert all(getattr(found, level) == name for level in levels)
    assert topics.matches(topics.build_filter(row.kind, mesh), topic)
    assert topics.matches(topics.share("g", topics.build_filter(row.kind, mesh)), topic)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for topic in (text, f"ciuic/v1/{text}", f"ciuic/v1/home/svc/home/infer/{text}"):
        found = topics.parse(topic)
        assert found is None or topics.is_name(found.mesh)


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a b", "ä", "x" * 65, "a\0", "$share"])
def test_a_name_that_is_no_level_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        topics.build("state", "home", node=name)
    assert topics.parse(f"ciuic/v1/home/svc/home/infer/{name}") is None


@given(st.text(max_size=80), NAMES)
def test_a_client_level_that_is_no_name_is_still_an_address(client: str, task: str) -> None:
    topic = f"ciuic/v1/home/svc/{task}/infer/{client}"
    odd = client != "" and not topics.is_name(client) and not set("+#/\0") & set(client)
    assert topics.unnamed_client(topic) == (("home", client) if odd else None)
    if odd:
        assert len(topics.error_topic("home", client)) <= len(topic)


@pytest.mark.parametrize(
    "topic",
    ["a b", "ciuic/v1/home/node/n1/a b", "ciuic/v1/a b/svc/home/infer/a b", "ciuic/v1/home/reply/a b"],
)
def test_only_a_request_has_a_client_level(topic: str) -> None:
    assert topics.unnamed_client(topic) is None


@given(st.text(max_size=80))
def test_a_reply_topic_is_plain_or_refused(rest: str) -> None:
    """Whatever an asker names, a node publishes only what no broker takes amiss."""
    topic = f"ciuic/v1/home/reply/dev/{rest}"
    taken = topics.reply_topic_fault("home", "dev", topic) is None
    assert taken == (re.fullmatch(r"[A-Za-z0-9_.:/-]+", rest) is not None and rest.count("/") < 16)


@pytest.mark.parametrize("rest", ["1", "a.b:c_d-e/0", "/".join("abcdefghijklmnop")])
def test_a_plain_reply_topic_is_taken(rest: str) -> None:
    assert topics.reply_topic_fault("home", "dev", f"ciuic/v1/home/reply/dev/{rest}") is None


@pytest.mark.parametrize(
    ("topic_filter", "topic", "fits"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/b", "a", False),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$share/g/a/+", "a/b", True),
        ("$share/g/a/+", "a/b/c", False),
    ],
)
def test_filters_match_as_the_standard_says(topic_filter: str, topic: str, fits: bool) -> None:
    assert topics.matches(topic_filter, topic) is fits
