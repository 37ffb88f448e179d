from .activations import (
    record as record,
)
from .capacity.anchor import (
    AnchorGeometry as AnchorGeometry,
    anchor_geometry as anchor_geometry,
)
from .capacity.center_correlation import (
    CenterStructure as CenterStructure,
    center_structure as center_structure,
)
from .capacity.glue import (
    Glue as Glue,
    glue as glue,
)
from .capacity.manifold_capacity import (
    ManifoldGeometry as ManifoldGeometry,
    manifold_capacity as manifold_capacity,
)
from .collapse import (
    NeuralCollapse as NeuralCollapse,
    ReadoutCollapse as ReadoutCollapse,
    neural_collapse as neural_collapse,
    readout_collapse as readout_collapse,
)
from .curvature import (
    Commutator as Commutator,
    GradientNoise as GradientNoise,
    adaptive_sharpness as adaptive_sharpness,
    commutator as commutator,
    gradient_noise as gradient_noise,
    sharpness as sharpness,
    split_commutator as split_commutator,
)
from .embedding import (
    Embedding as Embedding,
    align as align,
    compile_umap as compile_umap,
    embed as embed,
)
from .fourier import (
    PartLosses as PartLosses,
    fourier_losses as fourier_losses,
    inverse_participation as inverse_participation,
    key_frequencies as key_frequencies,
    losses_of_part as losses_of_part,
    means_by_answer as means_by_answer,
)
from .gradients import (
    AdamUpdate as AdamUpdate,
    adam_update as adam_update,
    optimizer_scale as optimizer_scale,
    perpendicular_gradient as perpendicular_gradient,
)
from .intrinsic_dimension import (
    IntrinsicDimension as IntrinsicDimension,
    intrinsic_dimension as intrinsic_dimension,
)
from .irreps import (
    IsotypicParts as IsotypicParts,
    irrep_losses as irrep_losses,
    isotypic_parts as isotypic_parts,
)
from .langevin import (
    LearningCoefficient as LearningCoefficient,
    learning_coefficient as learning_coefficient,
)
from .linear_probe import (
    DirectAccuracy as DirectAccuracy,
    PaperProbe as PaperProbe,
    SoundProbe as SoundProbe,
    direct_accuracy as direct_accuracy,
    paper_probe as paper_probe,
    sound_probe as sound_probe,
)
from .local_complexity import (
    local_complexity as local_complexity,
)
from .losses import (
    log_stablemax as log_stablemax,
    logit_margins as logit_margins,
    sample_losses as sample_losses,
    zero_loss_share as zero_loss_share,
)
from .metrics import (
    AlignmentMetric as AlignmentMetric,
    CapacityMetric as CapacityMetric,
    ParticipationRatioMetric as ParticipationRatioMetric,
)
from .ntk.empirical import (
    empirical_ntk as empirical_ntk,
    layer_ntk as layer_ntk,
)
from .ntk.factors import (
    NTKFactors as NTKFactors,
    ntk_factors as ntk_factors,
)
from .ntk.floor import (
    DistanceFloor as DistanceFloor,
    fresh_copy as fresh_copy,
    kernel_distance_floor as kernel_distance_floor,
)
from .ntk.kernel import (
    KernelVelocity as KernelVelocity,
    kernel_distance as kernel_distance,
    kernel_target_alignment as kernel_target_alignment,
    kernel_velocity as kernel_velocity,
)
from .ntk.pairwise import (
    distance_between as distance_between,
    pairwise_kernel_distance as pairwise_kernel_distance,
)
from .ntk.sketch import (
    DistanceEstimate as DistanceEstimate,
    KernelSketch as KernelSketch,
    kernel_sketch as kernel_sketch,
    sketched_kernel_distance as sketched_kernel_distance,
)
from .random_walk import (
    random_walk as random_walk,
    squared_steps as squared_steps,
)
from .readout import (
    OwnReadout as OwnReadout,
    own_readout as own_readout,
)
from .similarity import (
    layer_cka as layer_cka,
    linear_cka as linear_cka,
)
from .spectrum import (
    effective_rank as effective_rank,
    numerical_rank as numerical_rank,
    participation_ratio as participation_ratio,
    spectral_entropy as spectral_entropy,
)
from .weight_spectra import (
    WeightSpectrum as WeightSpectrum,
    weight_spectrum as weight_spectrum,
)
from .weights import (
    ParameterNorms as ParameterNorms,
    parameter_cosine as parameter_cosine,
    parameter_norms as parameter_norms,
)
