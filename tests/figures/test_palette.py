"""Colors against the definitions of contrast (WCAG 2) and of color blindness (Machado 2009)."""

from itertools import combinations

import numpy as np
import pytest

from lightning_grok.figures import palette

# Machado, Oliveira and Fernandes (2009), table 1: full severity, on linear RGB.
BLIND = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
LINES = list(palette.ON_DARK)
LAYERS = [palette.layer_color(k, 7) for k in range(7)]


def linear(color: str) -> np.ndarray:
    srgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def luminance(color: str) -> float:
    return float(linear(color) @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB, D65."""
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    x, y, z = np.cbrt(to_xyz @ np.clip(rgb, 1e-4, 1) / [0.95047, 1, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("color", LINES + LAYERS)
def test_lines_stand_out_from_white(color: str) -> None:
    assert contrast(color, "#ffffff") >= 2.99


def test_lines_stand_out_from_a_dark_page() -> None:
    layers = [palette.layer_color(k, 7, dark=True) for k in range(7)]
    for color in [*palette.ON_DARK.values(), *layers]:
        assert contrast(color, "#14181f") >= 3


def test_layers_run_from_dark_to_bright() -> None:
    lightness = [luminance(color) for color in LAYERS]
    assert lightness == sorted(lightness)
    assert len(set(LAYERS)) == 7


@pytest.mark.parametrize("eye", BLIND)
def test_ten_classes_are_told_apart(eye: str) -> None:
    seen = [lab(BLIND[eye] @ linear(palette.class_color(k))) for k in range(10)]
    # 2.3 is just noticeable side by side; tab10 falls to 4.6 here.
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 12


@pytest.mark.parametrize("eye", BLIND)
def test_train_and_test_and_the_two_kernels_are_told_apart(eye: str) -> None:
    for pair in [(palette.TRAIN, palette.TEST), (palette.FULL_KERNEL, palette.TRACE_KERNEL)]:
        one, other = (lab(BLIND[eye] @ linear(color)) for color in pair)
        assert np.linalg.norm(one - other) > 25


def test_sixty_two_classes_differ_in_color_or_marker() -> None:
    looks = {(palette.class_color(k), palette.class_marker(k)) for k in range(62)}
    assert len(looks) == 62
