"""YAML is read whole, or refused with a reason within a moment."""

import os
import threading
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from lightning_grok.errors import InputError
from lightning_grok.runs.yaml_file import MOST_BYTES, parse_yaml, read_yaml

LAUGHS = "a0: &a0 [lol]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
)
QUADRATIC = "a: &a [" + "x, " * 5000 + "]\nb: [" + "*a, " * 5000 + "]"

REFUSED = {
    "twice": ("a: 1\nb: 2\na: 3\n", "the key a stands twice, the second time in line 3"),
    "twice below": ("x:\n  a: 1\n  'a': 3\n", "the key a stands twice"),
    "twice on a line": ("{a: 1, a: 2}", "the key a stands twice"),
    "twice in a list": ("- {b: 1}\n- {a: [1], a: 2}\n", "the key a stands twice"),
    "null keys twice": ("a:\na:\n", "the key a stands twice"),
    "laughs": (LAUGHS, "more than 100,000 values"),
    "quadratic": (QUADRATIC, "more than 100,000 values"),
    "itself": ("a: &a [*a]", r"\*a refers to itself, line 1"),
    "itself by a key": ("&a {x: 1, y: {z: *a}}", r"\*a refers to itself"),
    "merged into itself": ("a: &a\n  <<: *a\n", r"\*a refers to itself, line 2"),
    "deep": ("[" * 500, "more than 50 levels"),
    "too deep for libyaml": ("[" * 10_000, "more than 50 levels|maximum nesting"),
    "deep blocks": ("\n".join("  " * i + "a:" for i in range(200)), "more than 50 levels"),
    "long": ("a: " + "x" * MOST_BYTES, "more than 1,000,000 characters"),
    "no such alias": ("a: *b", "undefined alias"),
    "a tag of python": ("!!python/object/apply:os.system [ls]", "could not determine"),
    "no number": ("!!int x", "invalid literal"),
    "no bool": ("!!bool x", "'x'"),
    "no date": ("2024-13-45", "month must be"),
    "an endless number": ("9" * 5000, "limit"),
    "two documents": ("a: 1\n---\nb: 1", "single document"),
    "a list as a key": ("? [a]\n: 1", "unhashable|sequence"),
    "an end": ("a: [1", "expected"),
    "control": ("a: \x00", "control|special"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_how_fast(case: str) -> None:
    text, reason = REFUSED[case]
    start = time.process_time()
    with pytest.raises(InputError, match=reason) as refused:
        parse_yaml(text, "a configuration", "x.yaml")
    assert time.process_time() - start < 1
    assert str(refused.value).startswith("expected a configuration in YAML, received x.yaml: ")
    assert len(str(refused.value).splitlines()) == 1


def test_aliases_and_merges_that_end_are_read() -> None:
    text = "base: &b {x: 1, y: [2]}\none: {<<: *b, x: 3}\ntwo: *b\nx: {x: {x: x}}\n"
    assert parse_yaml(text, "a configuration", "x.yaml") == {
        "base": {"x": 1, "y": [2]}, "one": {"x": 3, "y": [2]}, "two": {"x": 1, "y": [2]},
        "x": {"x": {"x": "x"}},
    }  # fmt: skip


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(plain)
def test_whatever_has_no_fault_is_read_as_pyyaml_reads_it(content: object) -> None:
    text = yaml.safe_dump(content, allow_unicode=True)
    assert parse_yaml(text, "a configuration", "x", exponents=False) == yaml.safe_load(text)


def test_an_exponent_without_a_dot_is_a_number() -> None:
    text = "[1e-8, 2E3, -1e+2, 1.5e-3, '1e-8', 1e, e5, 0x1e5]"
    expected = [1e-8, 2000.0, -100.0, 0.0015, "1e-8", "1e", "e5", 0x1E5]
    assert parse_yaml(text, "a list", "x") == expected
    assert parse_yaml("1e-8", "a name", "x", exponents=False) == "1e-8"


@pytest.mark.parametrize("kind", ["nothing", "near", "folder", "bytes", "endless"])
def test_files_that_are_none(kind: str, tmp_path: Path) -> None:
    path, reason = tmp_path / "grok.yaml", "no such file$"
    match kind:
        case "near":
            (tmp_path / "grook.yaml").touch()
            reason = rf"no such file \(did you mean {tmp_path / 'grook.yaml'}\?\)"
        case "folder":
            path.mkdir()
            reason = "directory"
        case "bytes":
            path.write_bytes(b"\xff\xfe")
            reason = "codec"
        case "endless":
            path, reason = Path("/dev/zero"), "more than 1,000,000 bytes"
    with pytest.raises(InputError, match=reason):
        read_yaml(path, "a configuration")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="without named pipes")
def test_a_pipe_is_read_where_somebody_writes_and_refused_where_nobody_does(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"received .*pipe\.yaml: a pipe into which nobody writes"):
        read_yaml(pipe, "a configuration")
    writer = os.open(pipe, os.O_RDWR)

    def write() -> None:
        os.write(writer, b"a: 1")
        os.close(writer)

    threading.Timer(0.2, write).start()
    assert read_yaml(pipe, "a configuration") == {"a": 1}
