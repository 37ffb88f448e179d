from . import analysis as analysis, geometry as geometry
from .callbacks import (
    Evaluation as Evaluation,
    KernelDistance as KernelDistance,
    LayerMeasurement as LayerMeasurement,
    LinearProbe as LinearProbe,
    ManifoldCapacity as ManifoldCapacity,
    Measurement as Measurement,
    ModelMeasurement as ModelMeasurement,
    Onset as Onset,
    Stability as Stability,
    UmapSnapshot as UmapSnapshot,
    WeightMeasurement as WeightMeasurement,
    WeightNorm as WeightNorm,
)
from .loggers.run_logger import RunLogger as RunLogger
from .runs.folders import find_runs as find_runs
from .runs.network import load_model as load_model
from .runs.run import Run as Run, read_run as read_run
from .tasks.images import GrokData as GrokData
from .tasks.mlp import MLP as MLP
from .tasks.module import GrokModule as GrokModule

__version__: str
