"""Compiled modules that lie in a checkout, held against what its sources compile to.

Where commits are deployed none of them is read (committed.py). One that would be taken for its source and is not what that
compiles to was put there to be run, and is named.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Final

import pytest
from _pytest.assertion.rewrite import PYC_TAIL, rewrite_asserts

_HEADER: Final = 16
"""Bytes before the code: magic number, flags, and what it was made of."""
_BY_HASH, _CHECKED = 0b01, 0b10
_WITHOUT_REFERENCES: Final = 2
"""The version of marshal whose bytes depend on nothing but the code: later ones also say what is shared in memory."""

_Compiler = Callable[[bytes, str], CodeType]


def foreign(root: Path, sources: Iterable[str], config: pytest.Config) -> tuple[str, ...]:
    """A line for each compiled module that Python or pytest would take for its source, and that is not of it.

    One that is out of date is not named: nobody reads it. `sources` are relative to the checkout `root`; those that the
    commit does not hold, or that differ from it, are for release/tree.py to name.
    """
    return tuple(line for name in sources if name.endswith(".py") for line in _foreign_of(root, name, config))


def _foreign_of(root: Path, name: str, config: pytest.Config) -> Iterator[str]:
    source = root / name
    folder = source.parent / "__pycache__"
    for ending, compiler in _compilers(config).items():
        cached = folder / f"{source.stem}{ending}"
        try:
            kept = cached.read_bytes()
            text = source.read_bytes()
            taken = _is_taken(kept, source, text)
        except OSError:
            continue  # it is not there; or the source is not, which is named elsewhere
        if taken and not _is_of(kept[_HEADER:], text, compiler):
            yield f"{cached.relative_to(root).as_posix()} is not what {name} compiles to; remove it"


def _compilers(config: pytest.Config) -> Mapping[str, _Compiler]:
    """How each kind of compiled module was made, by what follows the module's name."""
    tag = f".{sys.implementation.cache_tag}"
    return {
        f"{tag}.pyc": partial(_compiled, optimize=0),
        f"{tag}.opt-1.pyc": partial(_compiled, optimize=1),
        f"{tag}.opt-2.pyc": partial(_compiled, optimize=2),
        PYC_TAIL: partial(_rewritten, config=config),
    }


def _compiled(source: bytes, name: str, *, optimize: int) -> CodeType:
    code: CodeType = compile(source, name, "exec", dont_inherit=True, optimize=optimize)
    return code


def _rewritten(source: bytes, name: str, *, config: pytest.Config) -> CodeType:
    """As pytest compiles tests, conftests and plug-ins: with asserts that say what they compared."""
    tree = ast.parse(source, filename=name)
    rewrite_asserts(tree, source, name, config)
    code: CodeType = compile(tree, name, "exec", dont_inherit=True)
    return code


def _is_taken(kept: bytes, source: Path, text: bytes) -> bool:
    """Whether a compiled module says that it is of this source, or that nobody is to look."""
    if len(kept) < _HEADER or not kept.startswith(importlib.util.MAGIC_NUMBER):
        return False
    flags = int.from_bytes(kept[4:8], "little")
    if not flags & _BY_HASH:
        status = source.stat()
        return kept[8:_HEADER] == b"".join(
            (int(value) & 0xFFFFFFFF).to_bytes(4, "little") for value in (status.st_mtime, status.st_size)
        )
    return not flags & _CHECKED or kept[8:_HEADER] == importlib.util.source_hash(text)


def _is_of(kept: bytes, source: bytes, compiler: _Compiler) -> bool:
    """Whether compiled code is what its source compiles to; the file names that it states are taken as they are."""
    try:
        code = marshal.loads(kept)  # noqa: S302 -- read to be compared, never run
        if not isinstance(code, CodeType):
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = compiler(source, code.co_filename)
    except (ValueError, TypeError, EOFError, SyntaxError, RecursionError, MemoryError):
        return False
    return marshal.dumps(code, _WITHOUT_REFERENCES) == marshal.dumps(expected, _WITHOUT_REFERENCES)
