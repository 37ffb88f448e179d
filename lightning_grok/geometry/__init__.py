"""Geometry of representations and kernels: numbers from arrays, with no trainer and no disk.

Every public name is importable from here and is loaded from its file at first use, so that
importing the package costs nothing: ``from lightning_grok.geometry import kernel_distance``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_grok.geometry.anchor import AnchorGeometry, anchor_geometry
    from lightning_grok.geometry.capacity import ManifoldCapacity, manifold_capacity
    from lightning_grok.geometry.center_correlation import CenterStructure, center_structure
    from lightning_grok.geometry.embedding import Embedding, align, compile_umap, embed
    from lightning_grok.geometry.factors import NotALinearStackError, NTKFactors, ntk_factors
    from lightning_grok.geometry.kernel import (
        kernel_distance,
        kernel_target_alignment,
        kernel_velocity,
    )
    from lightning_grok.geometry.linear_probe import (
        DirectAccuracy,
        PaperProbe,
        SoundProbe,
        direct_accuracy,
        paper_probe,
        sound_probe,
    )
    from lightning_grok.geometry.ntk import empirical_ntk, layer_ntk
    from lightning_grok.geometry.pairwise import (
        distance_between,
        kernel_distance_floor,
        pairwise_kernel_distance,
    )
    from lightning_grok.geometry.sketch import KernelSketch, kernel_sketch, sketched_kernel_distance
    from lightning_grok.geometry.spectrum import effective_rank, participation_ratio
    from lightning_grok.geometry.weights import ParameterNorms, parameter_cosine, parameter_norms

_SUBMODULE = {
    "AnchorGeometry": "anchor",
    "CenterStructure": "center_correlation",
    "DirectAccuracy": "linear_probe",
    "Embedding": "embedding",
    "KernelSketch": "sketch",
    "ManifoldCapacity": "capacity",
    "NTKFactors": "factors",
    "NotALinearStackError": "factors",
    "PaperProbe": "linear_probe",
    "ParameterNorms": "weights",
    "SoundProbe": "linear_probe",
    "align": "embedding",
    "anchor_geometry": "anchor",
    "center_structure": "center_correlation",
    "compile_umap": "embedding",
    "direct_accuracy": "linear_probe",
    "distance_between": "pairwise",
    "effective_rank": "spectrum",
    "embed": "embedding",
    "empirical_ntk": "ntk",
    "kernel_distance": "kernel",
    "kernel_distance_floor": "pairwise",
    "kernel_sketch": "sketch",
    "kernel_target_alignment": "kernel",
    "kernel_velocity": "kernel",
    "layer_ntk": "ntk",
    "manifold_capacity": "capacity",
    "ntk_factors": "factors",
    "pairwise_kernel_distance": "pairwise",
    "paper_probe": "linear_probe",
    "parameter_cosine": "weights",
    "parameter_norms": "weights",
    "participation_ratio": "spectrum",
    "sketched_kernel_distance": "sketch",
    "sound_probe": "linear_probe",
}

__all__ = [
    "AnchorGeometry",
    "CenterStructure",
    "DirectAccuracy",
    "Embedding",
    "KernelSketch",
    "ManifoldCapacity",
    "NTKFactors",
    "NotALinearStackError",
    "PaperProbe",
    "ParameterNorms",
    "SoundProbe",
    "align",
    "anchor_geometry",
    "center_structure",
    "compile_umap",
    "direct_accuracy",
    "distance_between",
    "effective_rank",
    "embed",
    "empirical_ntk",
    "kernel_distance",
    "kernel_distance_floor",
    "kernel_sketch",
    "kernel_target_alignment",
    "kernel_velocity",
    "layer_ntk",
    "manifold_capacity",
    "ntk_factors",
    "pairwise_kernel_distance",
    "paper_probe",
    "parameter_cosine",
    "parameter_norms",
    "participation_ratio",
    "sketched_kernel_distance",
    "sound_probe",
]


def __getattr__(name: str) -> Any:
    if name not in _SUBMODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_SUBMODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
