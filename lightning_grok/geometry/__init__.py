"""Geometry of representations and kernels: numbers from arrays, with no trainer and no disk.

Every public name is importable from here and is loaded from its file at first use, so that
importing the package costs nothing: ``from lightning_grok.geometry import kernel_distance``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_grok.geometry.capacity.anchor import AnchorGeometry, anchor_geometry
    from lightning_grok.geometry.capacity.center_correlation import (
        CenterStructure,
        center_structure,
    )
    from lightning_grok.geometry.capacity.manifold_capacity import (
        ManifoldCapacity,
        manifold_capacity,
    )
    from lightning_grok.geometry.embedding import Embedding, align, compile_umap, embed
    from lightning_grok.geometry.linear_probe import (
        DirectAccuracy,
        PaperProbe,
        SoundProbe,
        direct_accuracy,
        paper_probe,
        sound_probe,
    )
    from lightning_grok.geometry.ntk.empirical import empirical_ntk, layer_ntk
    from lightning_grok.geometry.ntk.factors import NotALinearStackError, NTKFactors, ntk_factors
    from lightning_grok.geometry.ntk.kernel import (
        kernel_distance,
        kernel_target_alignment,
        kernel_velocity,
    )
    from lightning_grok.geometry.ntk.pairwise import (
        distance_between,
        kernel_distance_floor,
        pairwise_kernel_distance,
    )
    from lightning_grok.geometry.ntk.sketch import (
        KernelSketch,
        kernel_sketch,
        sketched_kernel_distance,
    )
    from lightning_grok.geometry.readout import OwnReadout, own_readout
    from lightning_grok.geometry.spectrum import effective_rank, participation_ratio
    from lightning_grok.geometry.weights import ParameterNorms, parameter_cosine, parameter_norms

_SUBMODULE = {
    "AnchorGeometry": "capacity.anchor",
    "CenterStructure": "capacity.center_correlation",
    "DirectAccuracy": "linear_probe",
    "Embedding": "embedding",
    "KernelSketch": "ntk.sketch",
    "ManifoldCapacity": "capacity.manifold_capacity",
    "NTKFactors": "ntk.factors",
    "NotALinearStackError": "ntk.factors",
    "OwnReadout": "readout",
    "PaperProbe": "linear_probe",
    "ParameterNorms": "weights",
    "SoundProbe": "linear_probe",
    "align": "embedding",
    "anchor_geometry": "capacity.anchor",
    "center_structure": "capacity.center_correlation",
    "compile_umap": "embedding",
    "direct_accuracy": "linear_probe",
    "distance_between": "ntk.pairwise",
    "effective_rank": "spectrum",
    "embed": "embedding",
    "empirical_ntk": "ntk.empirical",
    "kernel_distance": "ntk.kernel",
    "kernel_distance_floor": "ntk.pairwise",
    "kernel_sketch": "ntk.sketch",
    "kernel_target_alignment": "ntk.kernel",
    "kernel_velocity": "ntk.kernel",
    "layer_ntk": "ntk.empirical",
    "manifold_capacity": "capacity.manifold_capacity",
    "ntk_factors": "ntk.factors",
    "own_readout": "readout",
    "pairwise_kernel_distance": "ntk.pairwise",
    "paper_probe": "linear_probe",
    "parameter_cosine": "weights",
    "parameter_norms": "weights",
    "participation_ratio": "spectrum",
    "sketched_kernel_distance": "ntk.sketch",
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
    "OwnReadout",
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
    "own_readout",
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
