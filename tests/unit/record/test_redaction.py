"""A known value never gets through, however it is written; nothing else is harmed; and twice is once."""

from __future__ import annotations

import base64
import html
import json
import random
from collections.abc import Callable
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_deploy.record.redaction import SHORTEST, Redactor, redacted

AWKWARD = "pä&s<w>\"'/\\d=+%20`$(x)"
characters = st.characters(exclude_categories=("C", "Zl", "Zp"))
values = st.text(characters, min_size=SHORTEST, max_size=24).filter(lambda value: bool(value.strip("█ ")))
texts = st.text(max_size=60)


@settings(deadline=None)
@given(value=values, before=texts, after=texts)
def test_a_value_never_gets_through_and_twice_is_once(value: str, before: str, after: str) -> None:
    redactor = Redactor([("NAME", value)])

    cut = redactor.text(before + value + after)

    assert value not in cut
    assert redactor.text(cut) == cut


@settings(max_examples=40, deadline=None)
@given(known=st.lists(values, min_size=2, max_size=4), text=texts)
def test_values_that_overlap_or_hold_one_another_or_a_name_do_not_get_through(known: list[str], text: str) -> None:
    redactor = Redactor([(f"N{at}", value) for at, value in enumerate(known)])
    joined = text.join([*known, *(one[:4] + other[2:] for one in known for other in known)])

    cut = redactor.text(joined)

    assert [value for value in known if value in cut] == []
    assert redactor.text(cut) == cut


@settings(deadline=None)
@given(text=st.text(alphabet="abc [].\n", max_size=200))
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert text == Redactor([("NAME", "xyzzy-2026"), ("OTHER", AWKWARD)]).text(text)


@settings(deadline=None)
@given(before=st.text(alphabet="abc .\n", max_size=40), after=st.text(alphabet="abc .\n", max_size=40))
def test_what_stands_beside_a_value_stays(before: str, after: str) -> None:
    cut = Redactor([("NAME", "xyzzy-2026")]).text(f"{before}xyzzy-2026{after}")

    assert f"{before}[NAME]{after}" == cut


WRITERS: dict[str, Callable[[str], str]] = {
    "Python": repr,
    "Python, in ASCII": ascii,
    "Python, as bytes": lambda value: repr(value.encode()),
    "JSON": json.dumps,
    "JSON, not ASCII": lambda value: json.dumps(value, ensure_ascii=False),
    "HTML": html.escape,
    "XML": escape,
    "an XML attribute": quoteattr,
    "a URL": lambda value: quote(value, safe=""),
    "a URL's path": quote,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "hex": lambda value: value.encode().hex(),
    "SQL": lambda value: value.replace("'", "''"),
}


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=25, deadline=None)
@given(value=values)
def test_a_value_is_known_in_every_spelling(writer: str, value: str) -> None:
    written = WRITERS[writer](value)
    inside = written[1:-1] if writer in {"Python", "JSON", "an XML attribute"} else written

    assert inside not in Redactor([("NAME", value)]).text(f"x {written} y")


@settings(deadline=None)
@given(value=values)
def test_a_python_repr_in_json_in_html_is_known(value: str) -> None:
    """As pytest-html keeps an assertion's message."""
    written = html.escape(json.dumps(f"assert {value!r}"))

    assert html.escape(json.dumps(repr(value)[1:-1])[1:-1]) not in Redactor([("NAME", value)]).text(written)


@settings(deadline=None)
@given(value=values, before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_base64_is_known_wherever_the_value_begins_in_what_is_encoded(value: str, before: bytes, after: bytes) -> None:
    """`user:password` of an Authorization header: what decodes is not the value."""
    cut = Redactor([("NAME", value)]).text(base64.b64encode(before + value.encode() + after).decode())

    assert "[NAME]" in cut


@pytest.mark.parametrize(
    "text, cut",
    [
        ("{'password': 'hunter2-is-to...", "{'password': '[NAME]..."),
        ("...o-long-a-word', 'x': 1", "...[NAME]', 'x': 1"),
        ("hunter2-is…", "[NAME]…"),
        ("hunter...", "[NAME]..."),
        ("hunt...", "hunt..."),
        ("hunter2 is a name", "hunter2 is a name"),
    ],
)
def test_what_is_left_of_a_value_beside_dots_is_cut_too(text: str, cut: str) -> None:
    assert cut == Redactor([("NAME", "hunter2-is-too-long-a-word")]).text(text)


@pytest.mark.parametrize("long", [517, 1200, 3001])
def test_a_token_of_any_length_is_cut_and_so_is_what_is_left_of_it(long: int) -> None:
    """Those that CI is given are signed texts: over a thousand characters."""
    value = "".join(f"{number:x}" for number in range(long))[:long]
    redactor = Redactor([("TOKEN", value)])

    assert redactor.text(f"a {value} b") == "a [TOKEN] b"
    for length in (6, 7, long // 2, long - 1):
        assert redactor.text(f"a {value[:length]}... b") == "a [TOKEN]... b"
        assert redactor.text(f"a ....{value[-length:]} b") == "a ....[TOKEN] b"


def test_names_that_hold_one_anothers_values_end_as_blocks() -> None:
    """Putting the one's name in place of its value brings the other's value in, without end."""
    secrets = [("KEY_OF_tango9", "sierra7"), ("KEY_OF_sierra7", "tango9")]

    cut = Redactor(secrets).text("it is sierra7, he said")

    assert not [value for _, value in secrets if value in cut]
    assert (cut.startswith("it is "), cut.endswith(", he said")) == (True, True)
    assert Redactor(secrets[:1]).text("it is sierra7, he said") == "it is [KEY_OF_tango9], he said"


def test_a_private_key_is_cut_whatever_it_is() -> None:
    text = "a\n-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\nb"

    assert Redactor().text(text) == "a\n[private key]\nb"
    assert Redactor().text(text.partition("-----END")[0]) == "a\n[private key]"


def test_a_value_is_cut_from_a_file_that_is_no_text_as_well() -> None:
    redactor = Redactor([("NAME", AWKWARD)])

    assert redactor.data(b"\xff\x00" + AWKWARD.encode() + b"\xfe") == b"\xff\x00[NAME]\xfe"
    assert "ä [NAME]".encode() == redactor.data(f"ä {AWKWARD}".encode())
    assert redactor.data(b"\xff\x00") == b"\xff\x00"


@pytest.mark.parametrize("value", ["", "short", "██████"])
def test_a_value_that_cannot_be_cut_without_harm_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="NAME has fewer than 6 characters"):
        Redactor([("NAME", value)])


def test_texts_lie_deep_and_keys_are_texts() -> None:
    redact = Redactor([("NAME", "xyzzy-2026")]).text

    found = redacted({"xyzzy-2026": [1, None, ("a xyzzy-2026", {"k": 2.5})]}, redact)

    assert found == {"[NAME]": [1, None, ["a [NAME]", {"k": 2.5}]]}


@pytest.mark.parametrize("length", [16, 17, 100, 1500, 6000])
def test_a_token_of_any_length_is_cut_whole_and_torn_anywhere(length: int) -> None:
    chance = random.Random(length)  # noqa: S311 -- a sample
    token = "".join(chance.choices("abcdefghijklmnopqrstuvwxyzABCDEF0123456789-_", k=length))
    cut = Redactor([("TOKEN", token)])
    assert cut.text(f"a {token} b") == "a [TOKEN] b"
    for at in {6, 7, length // 2, length - 6}:
        assert cut.text(f"{token[:at]}... b") == "[TOKEN]... b"
        assert cut.text(f"a ....{token[-at:]} b") == "a ....[TOKEN] b"
    assert f"{token[:5]}..." == cut.text(f"{token[:5]}...")
