"""What is logged of both splits against the geometry of the run's own snapshot."""

from collections.abc import Callable

import numpy as np
import pytest

from lightning_grok.geometry import manifold_capacity
from lightning_grok.geometry.activations import record
from lightning_grok.runs.network import load_model
from lightning_grok.runs.run import Run
from lightning_grok.tasks.images import GrokData

OTHERS = [f"--{group}.enabled=false" for group in ("kernel_distance", "linear_probe", "umap")]


def test_both_splits_have_as_many_images_a_class(fit: Callable[..., Run]) -> None:
    run = fit(
        *OTHERS,
        "--data.train_size=64",
        "--trainer.max_epochs=1",
        "--manifold_capacity.splits=[train,test]",
        "--manifold_capacity.per_class=6",
        "--manifold_capacity.num_vectors=10",
        "--manifold_capacity.restarts=1",
        "--manifold_capacity.repeats=3",
        "--manifold_capacity.layers=[layers.1]",
    )
    data = GrokData(dataset="digits", train_size=64)
    data.prepare_data()
    data.setup("fit")
    fewest = int(np.bincount(data.reference_set.part("train")[1]).min())
    assert fewest < 6  # else the test images would not be cut
    network = load_model(run.path, 0)
    for split, prefix in (("train", "train/"), ("test", "")):
        images, labels = data.reference_set.manifold_points(split, fewest, 0)
        assert np.bincount(labels).tolist() == [fewest] * 10
        points = record(network, ["layers.1"], images)["layers.1"].double().numpy()
        expected = [
            manifold_capacity(points, labels.numpy(), num_vectors=10, restarts=1, seed=seed)
            for seed in range(3)
        ]
        for name in ("capacity", "radius", "dimension"):
            key = f"manifold_capacity/{prefix}layers.1/{name}"
            values = [getattr(each, name) for each in expected]
            assert run.series(key)[1][0] == pytest.approx(values[0], rel=1e-6)
            spread = np.std(values, ddof=1)
            assert spread > 0
            assert run.series(f"{key}_sd")[1][0] == pytest.approx(spread, rel=1e-6)
