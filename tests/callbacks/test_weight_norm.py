import pytest
import torch
from small_runs import Fit

from lightning_grok.runs.network import load_model


def test_norms_of_a_run_are_those_of_its_snapshots(fit: Fit) -> None:
    others = ("kernel_distance", "manifold_capacity", "linear_probe")
    run = fit(*(f"--{group}.enabled=false" for group in others))
    start = flat(load_model(run.path, 0))
    for epoch in (0, 1, 2, 3):
        network = load_model(run.path, epoch)
        now = flat(network)
        expected = {
            "total": now.norm(),
            "relative": now.norm() / start.norm(),
            "cosine": now @ start / now.norm() / start.norm(),
            "layers.4": flat(network.layers[4]).norm(),
        }
        for key, value in expected.items():
            epochs, values = run.series(f"weight_norm/{key}")
            assert values[epochs.tolist().index(epoch)] == pytest.approx(float(value), rel=1e-9)


def flat(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in module.parameters()])
