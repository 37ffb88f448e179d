"""Claims files: what is refused, what is hashed, arms and variants."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_grok.claims.content import STATISTICS, parse_claims, read_claims, read_variants
from lightning_grok.errors import InputError

LAG = {
    "statistic": "lag", "of": "a/{layer}", "behind": "b",
    "test": "within", "held": 0.1, "failed": 0.5,
}  # fmt: skip
VALUE = {"statistic": "value", "of": "a/{layer}", "at": "end", "held": 0}
PART: dict[str, Any] = {
    "statement": "S", "setups": ["s"],
    "quantities": {"q": {"statistic": "value", "of": "a", "at": 1, "test": "above", "held": 0}},
}  # fmt: skip
REPEAT: dict[str, Any] = {"statement": "S", "setups": ["s"]}
CONTENT: dict[str, Any] = {
    "setups": {"s": {"where": {"setup": "x"}}},
    "arms": {"double": {"model.loss_precision": "float64"}},
    "claims": {
        "C": {"statement": "S", "setups": ["s"], "layers": ["l.0", "l.1"], "quantities": {"q": LAG}}
    },
    "variants": {"wide": {"claims.C.quantities.q.held": 0.5}},
}


def changed(key: str, value: Any) -> dict[str, Any]:
    """The content with another value, or without, under a dotted key."""
    content = yaml.safe_load(yaml.safe_dump(CONTENT))
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return content


def test_quantities_of_every_layer() -> None:
    found = parse_claims(CONTENT, "test").claims["C"].read_quantities()
    assert [(name, layer, each.keys) for name, layer, each in found] == [
        ("q", "l.0", ["a/l.0", "b"]),
        ("q", "l.1", ["a/l.1", "b"]),
    ]


Q = "claims.C.quantities.q"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("claims", ..., "required field `claims`"),
        ("claims.C", 3, "claim C in test: Expected `object`"),
        ("claims.C.statment", "a", r"unknown field `statment` \(did you mean statement\?\)"),
        ("claims.C.setups", [], "length >= 1"),
        ("claims.C.setups", ["t"], "names that are defined, received t"),
        ("claims.C.paired_with", "t", "names that are defined, received t"),
        ("claims.C.level", 1.0, "< 1"),
        ("claims.C.layers", [], "layers where a key holds"),
        ("claims.C.quantities", {}, "expected one of quantities, repeats and published"),
        ("claims.C.repeats", ["C"], "expected one of quantities, repeats and published"),
        (Q, 3, "q of claim C in test: expected a mapping"),
        (f"{Q}.statistic", "leg", r"received 'leg' \(did you mean lag\?\)"),
        (f"{Q}.of", ..., "q of claim C in test: Object missing required field `of`"),
        (f"{Q}.off", "a", r"unknown field `off` \(did you mean of\?\)"),
        (f"{Q}.test", "over", "Invalid enum value 'over'"),
        (f"{Q}.held", "x", "Expected `float"),
        (f"{Q}.held", float("nan"), "expected a finite number"),
        (f"{Q}.held", -0.1, "expected margins above 0"),
        (f"{Q}.behind", {"key": "b", "part": 0.3}, "expected a part of 0.1, 0.5 or 0.9"),
        (f"{Q}.behind", {"key": "b", "from": "unset"}, "expected an epoch, an event of start"),
        (f"{Q}.failed", 0.05, "expected failed at least held beside within, received 0.05"),
        (Q, VALUE | {"test": "above", "failed": 1}, "expected failed at most held beside above"),
        (Q, VALUE | {"test": "below", "failed": -1}, "expected failed at least held beside below"),
        (Q, VALUE | {"test": "share", "held": 90}, r"a share, in \[0, 1\], received \[90.0\]"),
        (Q, {"statistic": "largest_difference", "of": "a", "others": []}, "length >= 1"),
        ("claims.C.needs", -1, ">= 0"),
        ("claims.C.spacing", 0, "> 0"),
        ("claims.C.parts", {"C": PART}, "names of their own in test, received C twice"),
        ("claims.C.parts", {"reason": PART}, "received reason, a word of every verdict"),
        (
            "claims.C.parts",
            {"D": PART | {"parts": {"E": PART}}},
            "parts without parts of their own",
        ),
        ("claims.D", REPEAT | {"repeats": ["D"]}, "repeats of claims with quantities, received D"),
        ("min_seeds", 1, ">= 2"),
        ("arm", "single", "an arm that is defined in test, received single"),
        ("setups.s.where", {}, "length >= 1"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(key: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_claims(changed(key, value), "test")
    assert "\n" not in str(error.value)
    assert "expected" in str(error.value)
    assert "received" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("claims: [", "expected a claims file in YAML"), ("- 1", "expected a claims file")],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_claims(path)


def test_the_hash_is_of_what_decides_only() -> None:
    digest = parse_claims(CONTENT, "test").digest
    for key, value in (
        ("claims.C.statement", "other"),
        ("setups.s.configs", ["a"]),
        ("variants", {}),
    ):
        assert parse_claims(changed(key, value), "test").digest == digest
    for key, value in ((f"{Q}.held", 0.2), ("min_seeds", 6), ("setups.s.where", {"setup": "y"})):
        assert parse_claims(changed(key, value), "test").digest != digest


def test_arms() -> None:
    content = parse_claims(CONTENT, "test")

    def where(arm: str) -> dict[str, object]:
        return content.of_arm(arm).setups["s"].where

    own = content.setups["s"].where
    assert where("") == own
    assert where("double") == {"model.loss_precision": "float64", **own}
    assert where("model.eps=1.0e-6") == where("model.eps=1e-6") == {"model.eps": 1e-6, **own}
    fixed = parse_claims(changed("setups.s.where", {"model.loss_precision": "float32"}), "test")
    assert fixed.of_arm("double").setups["s"].where == {"model.loss_precision": "float32"}
    assert content.of_arm("double").digest != content.digest  # the one that is told is the file's
    with pytest.raises(InputError, match=r"received dubble \(did you mean double\?\)"):
        content.of_arm("dubble")
    with pytest.raises(InputError, match="expected an arm"):
        content.of_arm("=1")


def test_variants_are_the_file_with_other_values(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(CONTENT))
    (wide,) = read_variants(path).values()
    ((_, _, quantity), _) = wide.claims["C"].read_quantities()
    assert (quantity.held, quantity.failed) == (0.5, 0.5)
    assert wide.digest != read_claims(path).digest
    path.write_text(yaml.safe_dump(changed("variants", {"v": {"claims.D.level": 0.9}})))
    with pytest.raises(InputError, match=r"variant v in .*: expected a key of the file, received"):
        read_variants(path)
    with pytest.raises(InputError, match="variant v in"):
        read_claims(path)


def test_every_statistic_is_one_word() -> None:
    assert len(set(STATISTICS)) == len(STATISTICS) >= 15
