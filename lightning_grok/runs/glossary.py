"""The terms of this package: one definition each, which page, report and docs show alike."""

GLOSSARY = {
    "Epoch": "Completed passes over the training set; 0 is the initialization of the same run.",
    "Memorization, t_mem": "The epoch from which on train accuracy is at least 99 %.",
    "Plateau, final level": "Test accuracy after memorization, and at the end.",
    "Onset, t_10; half, t_half": "The epochs at which test accuracy has made a tenth, and half, of "
    "its rise from plateau to final level.",
    "Begins": "The epoch from which on test accuracy stays above half of the least rise that "
    "counts, after twice t_mem. The least rise is above counting noise, plateau and chance.",
    "Grokked": "A rise after memorization counts, t_half is at least five times t_mem, and twice "
    "the time would change the final level by less than a third of the rise.",
    "Breakdown": "The training set, memorized long before, is lost for a while.",
    "Collapse": "Half of the training samples have a loss of exactly 0 in the precision of the "
    "loss: they no longer move the weights.",
    "Instability": "After memorization the training loss rises at least a thousandfold within "
    "0.05 decades of epochs, and falls again: the optimizer took a step too long.",
    "Neural tangent kernel (NTK)": "Inner products of the gradients of outputs with respect to "
    "all parameters: which samples learn from which.",
    "Kernel distance S": "1 − ⟨K₁, K₂⟩ / (‖K₁‖ ‖K₂‖): 0 where two kernels are equal up to a "
    "factor. Own: to the run's own start. Foreign: to another random network. Floor: between fresh "
    "networks, what no training explains.",
    "Class manifold": "The activations of one layer for the samples of one class.",
    "Capacity, radius, dimension": "How many classes a dimension can part linearly (2 for points); "
    "how far a manifold reaches, in units of its center's norm, and along how many directions, as "
    "a separating plane sees them.",
    "Linear probe": "A linear readout fitted to a layer: what the layer knows, whatever the "
    "network does with it.",
    "Reference set": "The fixed samples that measurements look at, the same every time.",
    "Run": "The directory of one training: configuration, log, arrays and snapshots. It can be "
    "read while it grows.",
    "Setup, seed": "A configuration without its seed; what is drawn anew: training samples, "
    "initialization, order of batches.",
    "Floor, null": "What a measurement gives where nothing was learned: on fresh networks, "
    "shuffled labels or weights, or a random walk of the same step sizes.",
}
"""Term -> what it means, in reading order."""

EVENT_MEANINGS = {
    "memorization": "train accuracy ≥ 99 %",
    "onset": "a tenth of the rise",
    "generalization": "half of the rise",
}
"""Name of an event -> its definition, short enough for a legend."""
