"""A value is found however it was encoded, one encoding in another, and cut with what it was encoded with; nothing else is."""

from __future__ import annotations

import base64
import html
import random
import subprocess
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pytest_deploy.record.redaction import Redactor

VALUE = "xyzzy-2026/Grüße+plugh"
REDACTOR = Redactor([("NAME", VALUE)])


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _wrapped(text: str, columns: int, by: str = "\n") -> str:
    return by.join(text[at : at + columns] for at in range(0, len(text), columns))


def _xxd(text: str) -> str:
    """As xxd prints; by itself, since not every machine has it."""
    content, lines = text.encode(), []
    for at in range(0, len(content), 16):
        part = content[at : at + 16]
        pairs = " ".join(part[two : two + 2].hex() for two in range(0, len(part), 2))
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{at:08x}: {pairs:<39}  {shown}")
    return "\n".join(lines)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "wrapped at 8 columns": lambda text: _wrapped(text, 8),
    "wrapped in a traceback": lambda text: "E   " + _wrapped(text, 10, "\nE   "),
    "base64 wrapped at 20 columns": lambda text: _wrapped(_b64(f"user:{text}, and more"), 20),
    "base64 wrapped at 7 columns, in JSON": lambda text: _wrapped(_b64(text), 7, "\\n"),
    "base64 twice": lambda text: _b64(_b64(f"a {text}")),
    "base64 of a URL's": lambda text: _b64(quote(text, safe="")),
    "hex with colons": lambda text: text.encode().hex(":"),
    "hex with spaces, in capitals": lambda text: text.encode().hex(" ").upper(),
    "hex, wrapped": lambda text: _wrapped(text.encode().hex(), 16),
    "hex as C writes it": lambda text: ", ".join(f"0x{byte:02x}" for byte in text.encode()),
    "xxd": lambda text: f"\n{_xxd(text)}\n",
    "each byte as %XX": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "a URL twice": lambda text: quote(quote(text, safe=""), safe=""),
    "a URL three times": lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    "UTF-16": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "UTF-16, the other way round": lambda text: text.encode("utf-16-be").decode("latin-1"),
    "numeric entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "hexadecimal entities, some": lambda text: text.replace("y", "&#x79;").replace("/", "&#X2F;"),
    "entities in entities": lambda text: html.escape("".join(f"&#{ord(char)};" for char in text)),
    "\\uXXXX": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "\\uXXXX in JSON": lambda text: "".join(f"\\\\u{ord(char):04X}" for char in text),
    "\\xXX": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_value_is_cut_however_it_is_encoded(spelling: str) -> None:
    written = SPELLINGS[spelling](VALUE)

    cut = REDACTOR.text(f"before it: {written} :after it")

    assert "[NAME]" in cut
    assert cut.startswith("before it"), "what stands before it stays"
    assert cut.endswith("after it")
    assert len(cut) < len("before it:  :after it") + 60, "nothing is left of it"
    assert REDACTOR.text(cut) == cut, "twice is once"
    assert REDACTOR.left(cut) == ""


@pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be"])
def test_a_value_is_cut_from_a_file_in_utf_16(code: str) -> None:
    for value in (VALUE, "only-ascii-2026"):
        cut = Redactor([("NAME", value)]).data(b"\xff\xfe" + f"before {value} after".encode(code))

        assert b"[NAME]" in cut
        assert value.encode(code) not in cut


def test_what_only_looks_encoded_stays_as_it_is() -> None:
    chance = random.Random(5)  # noqa: S311 -- a sample
    text = "\n".join([
        _wrapped(base64.b64encode(chance.randbytes(300)).decode(), 64),
        chance.randbytes(60).hex(), chance.randbytes(40).hex(":"), _xxd("nothing to see here, move on"),
        quote("a path/with ümlauts"), "&lt;p&gt; &#65; \\u0041 \\\\x41", "2026-11-28T21:47:02Z 12345678 cafebabe",
    ])  # fmt: skip

    assert text == REDACTOR.text(text)
    assert REDACTOR.left(text) == ""


@pytest.mark.parametrize(
    "written, left",
    [
        (VALUE[:-1], True),
        (f"_{VALUE[1:]}", True),
        (VALUE[5:17], True),
        (VALUE[5:15], False),
        (base64.b64encode(VALUE[:-1].encode()).decode(), True),
        (VALUE[:-1].encode().hex(":"), True),
        ("nothing of it", False),
    ],
)
def test_a_long_part_that_is_left_is_named(written: str, left: bool) -> None:  # noqa: FBT001
    text = REDACTOR.text(f"a {written} b")

    assert REDACTOR.left(text) == ("NAME" if left else "")


@pytest.mark.parametrize("value", ["https://token.actions.example.org/", "a sentence of words that a variable holds"])
def test_parts_of_an_address_or_of_words_are_no_secret(value: str) -> None:
    assert Redactor([("URL_OF_TOKENS", value)]).left(f"see {value[:-1]}") == ""


# --- Private keys without the lines around them


def _bodies() -> dict[str, tuple[bytes, bool]]:
    made: dict[str, tuple[bytes, bool]] = {}
    keys: dict[str, Any] = {"ed25519": ed25519.Ed25519PrivateKey.generate(), "P-256": ec.generate_private_key(ec.SECP256R1()), "RSA": rsa.generate_private_key(65537, 2048)}  # fmt: skip
    for name, key in keys.items():
        forms = {
            "PKCS#8": PrivateFormat.PKCS8,
            "its own": PrivateFormat.TraditionalOpenSSL,
            "OpenSSH's": PrivateFormat.OpenSSH,
        }
        for word, form in forms.items():
            if name != "ed25519" or form is not PrivateFormat.TraditionalOpenSSL:
                made[f"{name}, {word}"] = key.private_bytes(Encoding.PEM, form, NoEncryption()), True
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        made[f"{name}, public"] = public, False
    return made


BODIES = _bodies()


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("by", ["\n", "\\n", ""])
def test_the_body_of_a_private_key_is_cut_and_that_of_a_public_one_stays(kind: str, by: str) -> None:
    pem, private = BODIES[kind]
    body = by.join(line for line in pem.decode().splitlines() if "-----" not in line)

    cut = Redactor().text(f"key: {body}\n-- after")

    assert cut == ("key: [private key]\n-- after" if private else f"key: {body}\n-- after")


def test_a_certificate_stays() -> None:
    """OpenSSL's own, whose outer sequence begins as a key's does not."""
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert made == Redactor().text(made)


def test_a_hundred_thousand_characters_take_seconds() -> None:
    text = "".join(
        f"{at:07d} a line of what a step printed, with %41 and \\u0041 in it, 0123456789abcdef\n" for at in range(1_000)
    )
    began = time.monotonic()

    assert text == REDACTOR.text(text)
    assert REDACTOR.left(text) == ""

    assert time.monotonic() - began < 30
