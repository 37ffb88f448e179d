"""What a fit does when its run has come to the end, and something stands in the way."""

from collections.abc import Callable

import pytest

from lightning_grok.runs.run import Run

Fit = Callable[..., Run]
OFF = [
    f"--{group}.enabled=false"
    for group in ("kernel_distance", "manifold_capacity", "linear_probe", "umap")
]


@pytest.mark.parametrize(
    ("error", "said"), [(KeyboardInterrupt(), "interrupted"), (OSError(28, "no room"), "no room")]
)
def test_a_run_without_figures_is_whole(
    fit: Fit,
    error: BaseException,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(path: object) -> None:
        raise error

    monkeypatch.setattr("lightning_grok.figures.write_run_figures", interrupted)
    run = fit(*OFF, "--run.figures=true")
    assert run.state == "finished"
    assert f"figures: not written ({said})" in capsys.readouterr().out.replace("[Errno 28] ", "")
