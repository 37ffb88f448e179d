from . import analysis as analysis
from . import geometry as geometry
from .callbacks import Evaluation as Evaluation
from .callbacks import KernelDistance as KernelDistance
from .callbacks import LayerMeasurement as LayerMeasurement
from .callbacks import LinearProbe as LinearProbe
from .callbacks import ManifoldCapacity as ManifoldCapacity
from .callbacks import Measurement as Measurement
from .callbacks import Onset as Onset
from .callbacks import UmapSnapshot as UmapSnapshot
from .callbacks import WeightNorm as WeightNorm
from .loggers.run_logger import RunLogger as RunLogger
from .runs.run import Run as Run
from .runs.run import find_runs as find_runs
from .runs.run import load_model as load_model
from .runs.run import read_run as read_run
from .tasks.images import GrokData as GrokData
from .tasks.mlp import MLP as MLP
from .tasks.module import GrokModule as GrokModule

__version__: str
