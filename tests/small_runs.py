"""Options of runs that take seconds."""

SMALL = (
    "--data.dataset=digits",
    "--data.train_size=64",
    "--model.hidden=[16,16]",
    "--trainer.enable_model_summary=false",
)
"""A network and data so small that an epoch takes milliseconds."""

QUICK = (
    "--run.figures=false",
    "--umap.enabled=false",
    "--manifold_capacity.layers=[layers.3]",
)
