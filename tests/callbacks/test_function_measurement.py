"""Functions of the whole network and of weights as measurements, in anyone's training."""

from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import pytest
import torch
from own_training import QUIET, Convolutions, blobs, loaders, train
from torch import Tensor, nn

from lightning_grok.callbacks import LayerMeasurement, ModelMeasurement, WeightMeasurement
from lightning_grok.errors import InputError
from lightning_grok.geometry import (
    adaptive_sharpness,
    effective_rank,
    gradient_noise,
    layer_cka,
    linear_cka,
    record,
    sharpness,
    weight_spectrum,
)
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.runs.network import load_model
from lightning_grok.runs.run import read_run


class Parts(NamedTuple):
    right: float
    gradient: np.ndarray


def spoiling(model: nn.Module, inputs: Tensor, labels: Tensor) -> Parts:
    """Trains its copy, leaves gradients and draws random numbers."""
    outputs = model(inputs)
    nn.functional.cross_entropy(outputs, labels).backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    torch.rand(3)
    return Parts(float((outputs.argmax(1) == labels).float().mean()), gradient.numpy())


def fit(path: Path | None, *callbacks: L.Callback) -> dict[str, Tensor]:
    _, module = train(callbacks=callbacks, logger=RunLogger(path) if path else False)
    return module.state_dict()


class Undefined:
    """A measure that not every network has: of a network at its start there is none."""

    def __init__(self, start: nn.Module) -> None:
        self.start = [p.detach().clone() for p in start.parameters()]

    def __call__(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
        if all(map(torch.equal, self.start, model.parameters())):
            raise ArithmeticError("expected weights at a minimum, received others")
        return 1.0


def test_a_network_without_a_value_is_passed_over_the_first_one_too(tmp_path: Path) -> None:
    L.seed_everything(0)
    undefined = Undefined(Convolutions())
    rehearsed = ModelMeasurement(undefined, name="rehearsed", epochs=[1, 2])  # not due at 0
    fit(tmp_path / "later", rehearsed)
    assert read_run(tmp_path / "later").series("rehearsed/value")[0].tolist() == [1, 2]
    measurement = ModelMeasurement(undefined, name="undefined", epochs=[0, 1, 2])
    with pytest.warns(UserWarning, match="undefined at epoch 0 failed, training goes on"):
        fit(tmp_path / "run", measurement)
    run = read_run(tmp_path / "run")
    assert run.series("undefined/value")[0].tolist() == [1, 2]
    (error,) = (event for event in run.events if event["event"] == "error")
    assert (error["epoch"], error["measurement"]) == (0, "undefined")


def test_a_function_of_the_network_leaves_no_trace(tmp_path: Path) -> None:
    measurement = ModelMeasurement(spoiling, samples=40, epochs=[0, 2])
    curvature = ModelMeasurement(sharpness, samples=40, epochs=[0, 2])
    noise = ModelMeasurement(
        "lightning_grok.geometry.gradient_noise", samples=40, epochs=[2], arguments={"loss": "mse"}
    )
    measured = fit(tmp_path / "run", measurement, curvature, noise)
    plain = fit(None)
    assert all(torch.equal(plain[name], measured[name]) for name in plain)
    run = read_run(tmp_path / "run")
    network = load_model(run.path, 2, model=Convolutions())
    inputs, labels = measurement.reference.train
    given = inputs[:40], labels[:40]
    assert run.series("spoiling/right")[0].tolist() == [0, 2]
    expected = float((network.eval()(given[0]).argmax(1) == given[1]).float().mean())
    assert run.series("spoiling/right")[1][-1] == pytest.approx(expected)
    assert run.series("sharpness/value")[1][-1] == pytest.approx(sharpness(network, *given), 1e-3)
    found = gradient_noise(network, *given, loss="mse")
    assert run.series("gradient_noise/signal_to_noise")[1][-1] == pytest.approx(
        found.signal_to_noise, rel=1e-3
    )


def emptied(*given: Any) -> float:
    """Writes into all that it is given."""
    total = 0.0
    for each in given:
        total += float(each.sum()) if not isinstance(each, nn.Module) else 0.0
        for values in each.parameters() if isinstance(each, nn.Module) else [each]:
            with torch.no_grad():
                values[...] = 0
    return total


@pytest.mark.parametrize("kind", [WeightMeasurement, LayerMeasurement, ModelMeasurement])
def test_a_function_may_write_into_what_it_is_given(kind: Any, tmp_path: Path) -> None:
    """Neither the training nor a measurement after it is any the wiser."""
    inputs, labels = blobs().tensors
    given = inputs.clone(), labels.clone()
    found = kind(emptied, name="first", epochs=[0, 2], inputs=inputs, labels=labels)
    again = kind(emptied, name="second", epochs=[0, 2], inputs=inputs, labels=labels)
    measured, plain = fit(tmp_path, found, again), fit(None)
    assert all(torch.equal(measured[name], value) for name, value in plain.items())
    assert torch.equal(inputs, given[0])
    assert torch.equal(labels, given[1])
    run = read_run(tmp_path)
    keys = [key for key in run.keys if key.startswith("first/") and "seconds" not in key]
    assert keys
    for key in keys:
        other = run.series(key.replace("first/", "second/"))[1]
        assert run.series(key)[1].tolist() == other.tolist()


def test_arrays_of_objects_are_refused_before_training(tmp_path: Path) -> None:
    measurement = ModelMeasurement(
        lambda *_: {"names": np.array([None, 1.0])}, name="objects", epochs=[0]
    )
    with pytest.raises(InputError, match="expected numbers as names, received an array of object"):
        fit(tmp_path, measurement)


def test_a_function_of_weights_sees_every_matrix(tmp_path: Path) -> None:
    spectra, rank = WeightMeasurement(weight_spectrum), WeightMeasurement(effective_rank)
    fit(tmp_path / "run", spectra, rank)
    run = read_run(tmp_path / "run")
    network = load_model(run.path, 2, model=Convolutions())
    matrices = {n: p.detach().flatten(1) for n, p in network.named_parameters() if p.ndim > 1}
    assert len(matrices) > 1
    for name, matrix in matrices.items():
        assert run.series(f"effective_rank/{name}")[1][-1] == pytest.approx(effective_rank(matrix))
        assert run.series(f"weight_spectrum/{name}/stable_rank")[1][-1] == pytest.approx(
            weight_spectrum(matrix).stable_rank
        )


def test_what_is_not_there_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected effective_rank\.weights among .*received no"):
        fit(tmp_path / "run", WeightMeasurement(effective_rank, weights=["no"]))
    with pytest.raises(InputError, match=r"the dotted path of a function, received no\.where"):
        ModelMeasurement("no.where")
    assert not (tmp_path / "run").exists()


LAYERS = ["backbone.0", "backbone.4"]


def test_a_function_may_ask_for_what_was_and_what_is_below(tmp_path: Path) -> None:
    measurement = LayerMeasurement(layer_cka, layers=LAYERS, name="cka", floor="shuffle", draws=2)
    fit(tmp_path / "run", measurement)
    run = read_run(tmp_path / "run")
    inputs, _ = measurement.reference.manifold_points("test", 200, 0)
    seen = [
        {name: each.numpy() for name, each in record(network, LAYERS, inputs).items()}
        for network in (load_model(run.path, epoch, model=Convolutions()) for epoch in range(3))
    ]
    for layer in LAYERS:
        epochs, starts = run.series(f"cka/{layer}/start")
        assert epochs.tolist() == [0, 1, 2]
        expected = [linear_cka(each[layer], seen[0][layer]) for each in seen]
        np.testing.assert_allclose(starts, expected, rtol=1e-5)
        epochs, previous = run.series(f"cka/{layer}/previous")
        assert epochs.tolist() == [1, 2]
        expected = [linear_cka(seen[i][layer], seen[i + 1][layer]) for i in (0, 1)]
        np.testing.assert_allclose(previous, expected, rtol=1e-5)
        assert len(run.series(f"cka/{layer}/labels/floor_shuffle")[1]) == 3
    assert f"cka/{LAYERS[0]}/below" not in run.keys
    expected = [linear_cka(*each.values()) for each in seen]
    np.testing.assert_allclose(run.series(f"cka/{LAYERS[1]}/below")[1], expected, rtol=1e-5)


def way(weight: np.ndarray, *, start: np.ndarray, previous: np.ndarray | None) -> Any:
    lengths = {"start": float(np.linalg.norm(weight - start))}
    if previous is not None:
        lengths["previous"] = float(np.linalg.norm(weight - previous))
    return lengths


def turned(model: nn.Module, inputs: Tensor, labels: Tensor, *, start: nn.Module) -> float:
    return (model(inputs) - start(inputs)).abs().max().item()


def test_what_was_outlives_a_resume(tmp_path: Path) -> None:
    def measurements() -> list[L.Callback]:
        return [
            WeightMeasurement(way, every_n_epochs=1),
            ModelMeasurement(turned, samples=20, every_n_epochs=1),
        ]

    options: Any = {"logger": RunLogger(tmp_path / "run"), **QUIET}
    trainer, _ = train(callbacks=measurements(), **options)
    trainer.save_checkpoint(tmp_path / "part.ckpt")
    resumed = L.Trainer(max_epochs=3, callbacks=measurements(), **options)
    resumed.fit(Convolutions(), *loaders(), ckpt_path=tmp_path / "part.ckpt")
    run = read_run(tmp_path / "run")
    networks = [load_model(run.path, epoch, model=Convolutions()) for epoch in range(4)]
    name = "backbone.4.weight"
    weights = [network.get_parameter(name).detach() for network in networks]
    expected = [float((weight - weights[0]).norm()) for weight in weights]
    np.testing.assert_allclose(run.series(f"way/{name}/start")[1], expected, rtol=1e-5)
    expected = [float((weights[i + 1] - weights[i]).norm()) for i in range(3)]
    np.testing.assert_allclose(run.series(f"way/{name}/previous")[1], expected, rtol=1e-5)
    changes = run.series("turned/value")[1]
    assert changes[0] == 0 < changes[1] < changes[3]


def test_sharpness_in_units_of_the_optimizers_steps(tmp_path: Path) -> None:
    measurement = ModelMeasurement(adaptive_sharpness, arguments={"loss": "mse"})
    measurement.inputs, measurement.labels = blobs().tensors
    trainer, module = train(callbacks=[measurement], logger=RunLogger(tmp_path / "run"))
    epochs, values = read_run(tmp_path / "run").series("adaptive_sharpness/value")
    assert epochs.tolist() == [0, 1, 2]
    assert np.isnan(values[0])  # there is no step yet
    (group,), state = trainer.optimizers[0].param_groups, trainer.optimizers[0].state
    scales = {
        name: ((state[p]["exp_avg_sq"] / (1 - 0.999**6)).sqrt() + group["eps"]) / group["lr"]
        for name, p in module.named_parameters()
    }
    expected = sharpness(module, *blobs().tensors, "mse", preconditioner=scales)
    assert values[2] == pytest.approx(expected, rel=1e-3)
    assert not measurement.keeps_snapshots


def test_two_of_one_name_are_refused_in_words() -> None:
    twice = [WeightMeasurement(effective_rank), WeightMeasurement(effective_rank)]
    with pytest.raises(InputError, match="different names of measurements, received 'effective_ra"):
        fit(None, *twice)
    fit(None, WeightMeasurement(effective_rank), WeightMeasurement(effective_rank, name="again"))
