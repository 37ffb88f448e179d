"""The examples, run to their end on a few samples."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from small_runs import QUICK

from lightning_grok.commands.main import main
from lightning_grok.runs.network import load_model
from lightning_grok.runs.run import read_run

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs ``main`` of an example, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def run(name: str, *sizes: int) -> None:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.main(*sizes)

    return run


IGNORED = pytest.mark.filterwarnings(
    "ignore:enable_nested_tensor",
    "ignore:.*does not have many workers",
    "ignore:.*litlogger",
)


@IGNORED
@pytest.mark.slow
def test_a_convolutional_network(example: Callable[..., None]) -> None:
    example("digits_cnn", 1, 200)
    (file,) = Path("runs/digits_cnn").glob("version_0/metrics.csv")
    table = pd.read_csv(file)
    for key in (
        "kernel_distance/full/own",
        "manifold_capacity/body.5/capacity",
        "linear_probe/own/network",
        "val_acc",
    ):
        assert table[["epoch", key]].dropna()["epoch"].iloc[-1] == 0
    same = table.groupby("epoch").first().loc[0]
    assert same["linear_probe/own/network"] == pytest.approx(same["val_acc"], abs=0.1)


@IGNORED
@pytest.mark.slow
def test_a_transformer_on_tokens(example: Callable[..., None]) -> None:
    example("modular_transformer", 3, 23)
    run = read_run("runs/modular_transformer")
    assert run.state == "finished"
    assert run.series("weight_norm/total")[0].tolist() == [0, 1, 2, 3]
    for key in ("manifold_capacity/readout/capacity", "kernel_distance/full/own"):
        assert run.series(key)[0].tolist() == [0, 3]
    assert run.series("test/accuracy")[0].tolist() == [1, 2, 3]


@IGNORED
@pytest.mark.slow
def test_a_residual_network(example: Callable[..., None]) -> None:
    example("residual_network", 2, 200)
    run = read_run("runs/residual_network")
    assert run.series("participation_ratio/5")[0].tolist() == [0, 1, 2]
    assert run.series("linear_probe/own/representation")[1][-1] > 0.3
    main([
        "fit", f"--config={EXAMPLES / 'residual_network.yaml'}", "--trainer.max_epochs=1",
        "--data.init_args.size=200", "--run.root=runs", "--run.name=by_command", QUICK[0],
        "--manifold_capacity.per_class=10", "--manifold_capacity.restarts=1",
    ])  # fmt: skip
    run = read_run("runs/by_command")
    for key in ("linear_probe/own/network", "kernel_distance/full/own", "umap/preservation"):
        assert run.series(key)[0].tolist() == [0, 1]
    assert load_model(run.path, 1)[-1].out_features == 10


@pytest.mark.slow
@IGNORED
def test_a_vision_transformer(example: Callable[..., None]) -> None:
    example("vision_transformer", 1, 100)
    run = read_run("runs/vision_transformer")
    layer = "manifold_capacity/encoder.layers.encoder_layer_1/capacity"
    for key in (layer, "kernel_distance/sketch/own", "kernel_distance/sketch/own_se"):
        assert run.series(key)[0].tolist() == [0, 1]


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.stem)
def test_examples_are_short(file: Path) -> None:
    """Under 40 lines besides the module and its data."""
    text = file.read_text().split("def main(")
    assert len(text[1].splitlines()) < 40
