"""Floors of measurements: fresh networks, shuffled labels and weights, random walks."""

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from own_training import QUIET, Convolutions, loaders, train
from torch import Tensor, nn

from lightning_grok.callbacks import LayerMeasurement, ModelMeasurement, WeightMeasurement
from lightning_grok.dashboard.run_views import run_views
from lightning_grok.errors import InputError
from lightning_grok.figures import further_figures
from lightning_grok.figures.epoch_axis import find_events
from lightning_grok.geometry import effective_rank, linear_cka
from lightning_grok.loggers.run_logger import RunLogger
from lightning_grok.runs.network import load_model
from lightning_grok.runs.panels import headlines, panels_of
from lightning_grok.runs.run import Run, read_run

LINEAR = "backbone.4"
MATRIX = f"{LINEAR}.weight"


def label_similarity(points: np.ndarray, labels: np.ndarray) -> float:
    return linear_cka(points, np.eye(3)[labels])


def norm(weight: Any) -> float:
    return float(np.linalg.norm(np.asarray(weight)))


def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    return float((model(inputs).argmax(1) == labels).float().mean())


def rank_one(module: L.LightningModule) -> L.LightningModule:
    with torch.no_grad():
        weight = module.get_parameter(MATRIX)
        weight.copy_(torch.outer(torch.arange(1.0, 9), torch.linspace(-1, 1, weight.shape[1])))
    return module


def measured(path: Path, *callbacks: L.Callback, module: Any = None, epochs: int = 2) -> Run:
    train(module, callbacks, logger=RunLogger(path), max_epochs=epochs)
    return read_run(path)


def test_labels_that_mean_nothing_are_like_no_representation(tmp_path: Path) -> None:
    measurement = LayerMeasurement(
        label_similarity, layers=["backbone.0", LINEAR], floor="shuffle", draws=20
    )
    run = measured(tmp_path / "run", measurement)
    for layer in ("backbone.0", LINEAR):
        key = f"label_similarity/{layer}"
        epochs, floor = run.series(f"{key}/floor_shuffle")
        assert epochs.tolist() == run.series(key)[0].tolist() == [0, 1, 2]
        spread = run.series(f"{key}/floor_shuffle_sd")[1]
        assert (np.abs(floor) < 5 * spread / 20**0.5).all()  # debiased: 0 in expectation
        assert (run.series(key)[1] > floor + 5 * spread).all()


def test_a_weight_of_shuffled_entries_has_lost_its_rank_and_kept_its_norm(tmp_path: Path) -> None:
    floors: Any = {"weights": [MATRIX], "floor": ["shuffle"], "epochs": [0, 2]}
    run = measured(
        tmp_path / "run", WeightMeasurement(effective_rank, **floors),
        WeightMeasurement(norm, **floors), module=rank_one(Convolutions()),
    )  # fmt: skip
    ranks = [run.series(f"effective_rank/{MATRIX}{end}")[1][0] for end in ("", "/floor_shuffle")]
    assert ranks[0] == pytest.approx(1, abs=1e-4)
    assert ranks[1] > 5
    floor = run.series(f"norm/{MATRIX}/floor_shuffle")[1]
    np.testing.assert_allclose(floor, run.series(f"norm/{MATRIX}")[1], rtol=1e-6)
    assert (run.series(f"norm/{MATRIX}/floor_shuffle_sd")[1] < 1e-6 * floor).all()


def test_fresh_networks_are_drawn_once_and_walks_go_as_far_as_training(tmp_path: Path) -> None:
    torch.manual_seed(1)
    begun = copy.deepcopy(module := Convolutions())
    measurement = WeightMeasurement(norm, floor=("init", "walk"), draws=8)
    run = measured(tmp_path / "run", measurement, module=module, epochs=3)
    key = f"norm/{MATRIX}"
    fresh = run.series(f"{key}/floor_init")[1]
    assert len(fresh) == 4
    assert len(set(fresh)) == 1
    size = begun.get_parameter(MATRIX).numel()
    bound = 36**-0.5  # of nn.Linear's uniform weights
    assert fresh[0] == pytest.approx(bound * (size / 3) ** 0.5, rel=0.05)
    walks, spreads = (run.series(f"{key}/floor_walk{end}")[1] for end in ("", "_sd"))
    assert spreads[0] == 0
    assert (
        walks[0]
        == run.series(key)[1][0]
        == pytest.approx(norm(begun.get_parameter(MATRIX).detach()))
    )
    np.testing.assert_allclose(walks, norms_of_walks(run), atol=spreads.max())


def norms_of_walks(run: Run) -> list[float]:
    """(‖θ₀‖² + Σ ‖step‖²)^½ at every measured epoch, which walks of many dimensions all have."""
    epochs = run.series(f"norm/{MATRIX}/floor_walk")[0].astype(int).tolist()
    networks = (load_model(run.path, epoch, model=Convolutions()) for epoch in epochs)
    weights = [network.get_parameter(MATRIX).detach() for network in networks]
    squares = [float((now - before).square().sum()) for before, now in pairwise(weights)]
    return [
        (float(weights[0].square().sum()) + sum(squares[:count])) ** 0.5
        for count in range(len(epochs))
    ]


def test_floors_leave_training_and_the_value_alone(tmp_path: Path) -> None:
    plain = ModelMeasurement(accuracy, samples=40)
    held = ModelMeasurement(accuracy, samples=40, floor=["init", "shuffle", "walk"], draws=3)
    modules = [train(callbacks=given)[1] for given in ((), (held,))]
    for first, second in zip(*(each.state_dict().values() for each in modules), strict=True):
        assert torch.equal(first, second)
    runs = [measured(tmp_path / name, each) for name, each in (("a", plain), ("b", held))]
    series = [run.series("accuracy/value")[1].tolist() for run in runs]
    assert series[0] == series[1]
    again = ModelMeasurement(accuracy, samples=40, floor=["walk", "shuffle", "init"], draws=3)
    repeated = measured(tmp_path / "c", again)
    for kind in ("init", "shuffle", "walk"):
        key = f"accuracy/value/floor_{kind}"
        assert runs[1].series(key)[1].tolist() == repeated.series(key)[1].tolist()


def test_a_resumed_run_goes_on_with_its_floors(tmp_path: Path) -> None:
    def walking() -> WeightMeasurement:
        return WeightMeasurement(norm, floor=["init", "walk"], draws=8, every_n_epochs=1)

    trainer, _ = train(callbacks=[walking()], logger=RunLogger(tmp_path / "run"))
    trainer.save_checkpoint(tmp_path / "part.ckpt")
    resumed = L.Trainer(
        **QUIET, max_epochs=4, callbacks=[walking()], logger=RunLogger(tmp_path / "run")
    )
    resumed.fit(Convolutions(), *loaders(), ckpt_path=tmp_path / "part.ckpt")
    run = read_run(tmp_path / "run")
    key = f"norm/{MATRIX}"
    assert run.series(f"{key}/floor_walk")[0].tolist() == [0, 1, 2, 3, 4]
    assert len(set(run.series(f"{key}/floor_init")[1])) == 1
    spread = run.series(f"{key}/floor_walk_sd")[1].max()
    np.testing.assert_allclose(run.series(f"{key}/floor_walk")[1], norms_of_walks(run), atol=spread)


def test_floors_are_drawn_with_what_is_held_against_them(tmp_path: Path) -> None:
    kinds: Any = ["init", "shuffle", "walk"]
    run = measured(
        tmp_path / "run", LayerMeasurement(label_similarity, layers=[LINEAR], floor=kinds),
        ModelMeasurement(accuracy, samples=40, floor=kinds),
    )  # fmt: skip
    own = [panel for panel in panels_of(run) if any(line.floor for line in panel.lines)]
    assert [[line.key for line in panel.lines] for panel in own] == [
        [key, *(f"{key}/floor_{kind}" for kind in kinds)]
        for key in ("accuracy/value", f"label_similarity/{LINEAR}")
    ]
    views = {view.id: view for view in run_views(run, find_events(run))}
    for panel in own:
        labels = [entry["label"] for entry in views[panel.id].legend]
        assert [label.rpartition(": ")[2] for label in labels[1:]] == [
            "fresh networks", "shuffled", "random walk",
        ]  # fmt: skip
        assert len({entry["color"] for entry in views[panel.id].legend}) == 1
        bands = [t for t in views[panel.id].figure["data"] if t.get("fill") == "toself"]
        assert len(bands) == 3
    assert len(further_figures(run)) == 1
    for use in ("reading", "compared", "lag"):
        assert not [line for _, line in headlines(own, use) if line.floor]


class Scale(nn.Module):
    """Begins nobody knows how."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, points: Tensor) -> Tensor:
        return points * self.scale


def scaled() -> Convolutions:
    module = Convolutions()
    module.backbone[5] = Scale()
    return module


def test_how_a_network_begins_may_be_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"accuracy\.floor: .* backbone\.5\.scale.*; fresh= takes"):
        measured(tmp_path / "run", ModelMeasurement(accuracy, floor="init"), module=scaled())
    assert not (tmp_path / "run").exists()
    told = ModelMeasurement(accuracy, floor="init", fresh=scaled, samples=30)
    run = measured(tmp_path / "run", told, module=scaled())
    found = []
    for draw in range(5):
        torch.manual_seed(int(np.random.default_rng((0, draw)).integers(2**31)))
        found.append(accuracy(scaled().eval(), *(each[:30] for each in told.reference.train)))
    assert run.series("accuracy/value/floor_init")[1][0] == pytest.approx(np.mean(found))


def test_floors_that_are_none_are_refused() -> None:
    unknown: Any = "noise"
    with pytest.raises(InputError, match=r"\.floor of init, shuffle, walk; received \'noise\'"):
        WeightMeasurement(norm, floor=unknown)
    with pytest.raises(InputError, match=r"draws of 2 to 1,000, received 1"):
        WeightMeasurement(norm, floor="walk", draws=1)
    of_points = LayerMeasurement(effective_rank, floor="shuffle")
    with pytest.raises(InputError, match=r"effective_rank\.floor, received a function of points"):
        train(callbacks=[of_points])
