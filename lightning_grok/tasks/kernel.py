"""An epoch of a network of linear layers as one compiled call: no graph, no call a step.

Everything a step does lies in one function of machine code that reads and writes PyTorch's own
memory: forward and backward pass by hand, matrix products by the BLAS that SciPy brings, and the
update of PyTorch's optimizers by their formulas. Numbers agree with PyTorch's up to rounding; a NaN
or an infinity passes through as it does there.
"""

import math

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from lightning_grok.geometry.compilation import compiled, inlined

IDENTITY, RELU, TANH, SIGMOID, SILU, GELU, SQUARE = range(7)
CROSS_ENTROPY, STABLEMAX, MSE = range(3)
ADAMW, ADAM, SGD = range(3)
RATE, DECAY, BETA1, BETA2, EPS, STEPS = range(6)
"""Columns of the optimizer's options; SGD's momentum stands as BETA1."""
PARAMETER, GRADIENT, FIRST, SECOND = range(4)
"""Rows of the addresses."""


@intrinsic
def _pointer(context, address):  # type: ignore[no-untyped-def]  # as Numba reads it
    """Where an address, an integer, points to."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), generate


@compiled
def _memory(address, shape):  # type: ignore[no-untyped-def]
    """The array of float32 at an address."""
    return numba.carray(_pointer(address), shape)  # type: ignore[call-arg]


@inlined
def _activate(kind, values, bias, slopes):  # type: ignore[no-untyped-def]
    """Add the bias (d,) to values (b, d), put them through the activation; its slopes (b, d)."""
    zero, one = np.float32(0), np.float32(1)
    if kind == RELU:
        for i in range(values.shape[0]):
            for j in range(values.shape[1]):
                x = values[i, j] + bias[j]
                values[i, j] = zero if x <= zero else x  # a NaN stays
                slopes[i, j] = zero if x <= zero else one
        return
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            values[i, j], slopes[i, j] = _elementwise(kind, values[i, j] + bias[j])


@inlined
def _elementwise(kind, x):  # type: ignore[no-untyped-def]
    """Value and slope at x."""
    one = np.float32(1)
    if kind == TANH:
        y = math.tanh(x)
        return y, one - y * y
    if kind == SQUARE:
        return x * x, x + x
    if kind == GELU:
        below = np.float32(0.5) * (one + math.erf(x * np.float32(math.sqrt(0.5))))
        density = np.float32(1 / math.sqrt(2 * math.pi)) * np.exp(np.float32(-0.5) * x * x)
        return x * below, below + x * density
    if kind == IDENTITY:
        return x, one
    y = one / (one + np.exp(-x))
    if kind == SIGMOID:
        return y, y * (one - y)
    return x * y, y + x * y * (one - y)


@inlined
def _cross_entropy(outputs, labels, gradient):  # type: ignore[no-untyped-def]
    """Mean loss of outputs (b, C), and its derivative by them, in their own precision."""
    total, n = 0.0, outputs.dtype.type(len(labels))
    for i, label in enumerate(labels):
        top = outputs[i, 0]
        for j in range(1, outputs.shape[1]):
            top = max(top, outputs[i, j])
        for j in range(outputs.shape[1]):
            gradient[i, j] = np.exp(outputs[i, j] - top)
        mass = gradient[i].sum()
        total += np.log(mass) - (outputs[i, label] - top)
        for j in range(outputs.shape[1]):
            gradient[i, j] /= mass * n
        gradient[i, label] = (np.exp(outputs[i, label] - top) / mass - 1) / n
    return total / n


@inlined
def _stablemax(outputs, labels, gradient):  # type: ignore[no-untyped-def]
    """The same of the cross-entropy whose exponential grows linearly: see `log_stablemax`."""
    total, n, one = 0.0, outputs.dtype.type(len(labels)), outputs.dtype.type(1)
    for i, label in enumerate(labels):
        for j in range(outputs.shape[1]):
            x = outputs[i, j]
            gradient[i, j] = one / (one - x) if x < 0 else one + x
        mass = gradient[i].sum()
        total -= np.log(gradient[i, label] / mass)
        for j in range(outputs.shape[1]):
            share = gradient[i, j] / mass - (one if j == label else one - one)
            gradient[i, j] = share / ((one + abs(outputs[i, j])) * n)
    return total / n


@inlined
def _squares(outputs, labels, gradient):  # type: ignore[no-untyped-def]
    """The same of the mean squared error to one-hot targets."""
    total, size = 0.0, outputs.size
    for i, label in enumerate(labels):
        for j in range(outputs.shape[1]):
            lack = outputs[i, j] - (1 if j == label else 0)
            total += lack * lack
            gradient[i, j] = 2 * lack / size
    return total / size


@compiled
def _loss(kind, outputs, labels, gradient):  # type: ignore[no-untyped-def]
    if kind == CROSS_ENTROPY:
        return _cross_entropy(outputs, labels, gradient)
    if kind == STABLEMAX:
        return _stablemax(outputs, labels, gradient)
    return _squares(outputs, labels, gradient)


@inlined
def _update(kind, parameter, gradient, first, second, options, step):  # type: ignore[no-untyped-def]
    """One step of an optimizer on one parameter, all flat; `step` counts from 1."""
    rate, decay, eps = options[RATE], np.float32(options[DECAY]), np.float32(options[EPS])
    kept1, kept2 = np.float32(options[BETA1]), np.float32(options[BETA2])
    if kind == SGD:
        small = np.float32(rate)
        for i in range(parameter.size):
            slope = gradient[i] + decay * parameter[i]
            if kept1 != 0:
                slope += kept1 * first[i]
                first[i] = slope
            parameter[i] -= small * slope
        return
    new1, new2 = np.float32(1 - options[BETA1]), np.float32(1 - options[BETA2])
    stride = np.float32(rate / (1 - options[BETA1] ** step))
    stretch = np.float32(1 / math.sqrt(1 - options[BETA2] ** step))
    left = np.float32(1 - rate * options[DECAY]) if kind == ADAMW else np.float32(1)
    added = decay if kind == ADAM else np.float32(0)
    for i in range(parameter.size):
        slope = gradient[i] + added * parameter[i]
        first[i] = kept1 * first[i] + new1 * slope
        second[i] = kept2 * second[i] + new2 * slope * slope
        update = stride * first[i] / (np.sqrt(second[i]) * stretch + eps)
        parameter[i] = left * parameter[i] - update


@compiled
def _at(buffer, ends, widths, layer, rows):  # type: ignore[no-untyped-def]
    """What a buffer of all layers holds of one: (rows, d_layer)."""
    width = widths[layer]
    return buffer[ends[layer] : ends[layer] + rows * width].reshape(rows, width)


@inlined
def _forward(values, slopes, ends, widths, rows, activations, addresses, no_bias):  # type: ignore[no-untyped-def]
    for layer, activation in enumerate(activations):
        weight = _memory(addresses[PARAMETER, 2 * layer], (widths[layer + 1], widths[layer]))
        bias = no_bias
        if addresses[PARAMETER, 2 * layer + 1] != 0:
            bias = _memory(addresses[PARAMETER, 2 * layer + 1], widths[layer + 1])
        out = _at(values, ends, widths, layer + 1, rows)
        np.dot(_at(values, ends, widths, layer, rows), weight.T, out)
        _activate(activation, out, bias, _at(slopes, ends, widths, layer + 1, rows))


@inlined
def _backward(values, slopes, deltas, ends, widths, rows, addresses):  # type: ignore[no-untyped-def]
    for layer in range(len(widths) - 2, -1, -1):
        shape = (widths[layer + 1], widths[layer])
        delta = _at(deltas, ends, widths, layer + 1, rows)
        slope = _at(slopes, ends, widths, layer + 1, rows)
        for i in range(rows):
            for j in range(shape[0]):
                delta[i, j] *= slope[i, j]
        by_weight = _memory(addresses[GRADIENT, 2 * layer], shape)
        np.dot(delta.T, _at(values, ends, widths, layer, rows), by_weight)
        if addresses[GRADIENT, 2 * layer + 1] != 0:
            by_bias = _memory(addresses[GRADIENT, 2 * layer + 1], shape[0])
            for j in range(shape[0]):
                by_bias[j] = 0
            for i in range(rows):
                for j in range(shape[0]):
                    by_bias[j] += delta[i, j]
        if layer > 0:
            weight = _memory(addresses[PARAMETER, 2 * layer], shape)
            np.dot(delta, weight, _at(deltas, ends, widths, layer, rows))


@compiled
def _scale(values, factor):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            values[i, j] *= factor


@inlined
def _loss_of(kind, is_double, scale, outputs, labels, by_outputs):  # type: ignore[no-untyped-def]
    """Loss of outputs (b, C) times a scale, in float64 or not; its derivative by the outputs."""
    factor = np.float32(scale)
    if not is_double:
        _scale(outputs, factor)
        loss = float(_loss(kind, outputs, labels, by_outputs))
        _scale(by_outputs, factor)
        return loss
    wide, gradient = np.empty(outputs.shape), np.empty(outputs.shape)
    for i in range(outputs.shape[0]):
        for j in range(outputs.shape[1]):
            wide[i, j] = outputs[i, j] * factor
    loss = _loss(kind, wide, labels, gradient)
    for i in range(outputs.shape[0]):
        for j in range(outputs.shape[1]):
            by_outputs[i, j] = np.float32(gradient[i, j]) * factor
    return loss


@inlined
def _step(kind, addresses, sizes, options, taken):  # type: ignore[no-untyped-def]
    for each, size in enumerate(sizes):
        if size == 0:
            continue
        parameter = _memory(addresses[PARAMETER, each], size)
        gradient = _memory(addresses[GRADIENT, each], size)
        first, second = gradient, gradient  # of an optimizer without moments
        if addresses[FIRST, each] != 0:
            first = _memory(addresses[FIRST, each], size)
        if addresses[SECOND, each] != 0:
            second = _memory(addresses[SECOND, each], size)
        step = options[each, STEPS] + taken
        _update(kind, parameter, gradient, first, second, options[each], step)


@compiled
def train_epoch(  # type: ignore[no-untyped-def]
    inputs, labels, order, batch, widths, activations, addresses, sizes, options, optimizer,
    loss, is_double, scale,
):  # fmt: skip
    """Take a step on every minibatch.

    Args:
        inputs: (n, d_0) float32.
        labels: (n,) int64.
        order: (m,) rows, which are taken `batch` at a time.
        batch: samples a step; the last step may have fewer.
        widths: (L + 1,) d_0 to d_L.
        activations: (L,) behind each linear layer, the last one IDENTITY.
        addresses: (4, 2 L) of float32 memory: weight (d_l, d_(l-1)) and bias (d_l,) of every layer,
            each with its gradient and the optimizer's moments; 0 where there is no such thing.
        sizes: (2 L,) of the parameters, 0 of a bias that there is not.
        options: (2 L, 6) of each parameter, STEPS being those taken so far.
        optimizer, loss: which.
        is_double: whether the loss is that of the outputs cast to float64.
        scale: factor on the outputs.

    Returns:
        Loss of the last minibatch, before its step.
    """
    ends, widest = np.zeros(len(widths) + 1, np.int64), 0
    for layer, width in enumerate(widths):
        ends[layer + 1] = ends[layer] + width * batch
        widest = max(widest, width)
    values = np.empty(ends[-1], np.float32)
    deltas, slopes = np.empty_like(values), np.empty_like(values)
    no_bias = np.zeros(widest, np.float32)
    targets, found, last = np.empty(batch, np.int64), 0.0, len(activations)
    for step in range(-(-len(order) // batch)):
        rows = order[step * batch : (step + 1) * batch]
        b = len(rows)
        features = values[: b * widths[0]].reshape(b, widths[0])
        for i, row in enumerate(rows):
            for j in range(features.shape[1]):
                features[i, j] = inputs[row, j]
            targets[i] = labels[row]
        _forward(values, slopes, ends, widths, b, activations, addresses, no_bias)
        outputs = _at(values, ends, widths, last, b)
        by_outputs = _at(deltas, ends, widths, last, b)
        found = _loss_of(loss, is_double, scale, outputs, targets[:b], by_outputs)
        _backward(values, slopes, deltas, ends, widths, b, addresses)
        _step(optimizer, addresses, sizes, options, step + 1)
    return found
