"""Thin Lightning shells: when to measure, without disturbing training, where the numbers go."""

from lightning_grok.extras import named_extra

with named_extra():
    from lightning_grok.callbacks.evaluation import Evaluation
    from lightning_grok.callbacks.kernel_distance import KernelDistance
    from lightning_grok.callbacks.layer_measurement import LayerMeasurement
    from lightning_grok.callbacks.linear_probe import LinearProbe
    from lightning_grok.callbacks.manifold_capacity import ManifoldCapacity
    from lightning_grok.callbacks.measurement import Measurement
    from lightning_grok.callbacks.model_measurement import ModelMeasurement
    from lightning_grok.callbacks.onset import Onset
    from lightning_grok.callbacks.stability import Stability
    from lightning_grok.callbacks.umap_snapshot import UmapSnapshot
    from lightning_grok.callbacks.weight_measurement import WeightMeasurement
    from lightning_grok.callbacks.weight_norm import WeightNorm

__all__ = [
    "Evaluation",
    "KernelDistance",
    "LayerMeasurement",
    "LinearProbe",
    "ManifoldCapacity",
    "Measurement",
    "ModelMeasurement",
    "Onset",
    "Stability",
    "UmapSnapshot",
    "WeightMeasurement",
    "WeightNorm",
]
