"""Writes ../runtime/ops.jsonl: what every tfjs op that a model needs has to give, by torch in float64.

One case a line: `case` (its name), `op` (a key of OPS in test/runtime/opCases.ts), `attributes`, `inputs`, `outputs`,
and, where a gradient flows, `dy` (one for each output) with `gradients` (one for each float input): the
vector-Jacobian product. Inputs are rounded to float32, so that all sides start from the same numbers.

`ulps` and `gradientUlps` say what float32 itself costs: the largest error of torch's own run in float32, in units of
2^-23 * (|value| + mean |value| of the tensor). 0 means that no rounding is involved at all, as where values only move.

Run: python test/goldens/make/runtime_ops.py    (needs torch; the same numbers on every machine up to their last digit)
"""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

rng = np.random.default_rng(3)
EPSILON = 2.0**-23


def rounded(values):
    return torch.from_numpy(np.asarray(values, dtype=np.float32).astype(np.float64))


def normal(*shape):
    return rounded(rng.standard_normal(shape))


def uniform(low, high, *shape):
    return rounded(rng.uniform(low, high, shape))


def distinct(*shape):
    """Values that are at least 0.1 apart, and none within 0.05 of 0: no ties and no corners."""
    n = math.prod(shape)
    return rounded((rng.permutation(n) - n / 2 + 0.5 + rng.uniform(-0.2, 0.2, n)).reshape(shape) * 0.2)


def signed(low, high, *shape):
    return rounded(rng.uniform(low, high, shape) * rng.choice([-1.0, 1.0], shape))


def ints(low, high, *shape):
    return torch.from_numpy(rng.integers(low, high, shape))


def bools(*shape):
    return torch.from_numpy(rng.integers(0, 2, shape).astype(bool))


def index(*values):
    return torch.tensor(values, dtype=torch.int64)


def number(value):
    if isinstance(value, (bool, int)):
        return int(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    short = float(np.float32(value))
    digits = str(np.float32(value)) if short == value else f"{value:.10g}"
    return json.loads(digits.removesuffix(".0"))


DTYPES = {torch.float64: "float32", torch.float32: "float32", torch.int64: "int32", torch.bool: "bool"}


def encode(tensor):
    tensor = tensor.detach()
    return {
        "shape": list(tensor.shape),
        "dtype": DTYPES[tensor.dtype],
        "values": [number(value) for value in tensor.flatten().tolist()],
    }


def run(forward, inputs, dtype, dys=None):
    """Outputs, upstream gradients and gradients of the float inputs (None where none flows)."""
    leaves = [x.to(dtype).requires_grad_() if x.is_floating_point() else x for x in inputs]
    outputs = forward(*leaves)
    outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    floats = [x for x in leaves if x.is_floating_point()]
    if not floats or not all(out.requires_grad for out in outputs):
        return outputs, None, None
    dys = [normal(*out.shape) for out in outputs] if dys is None else dys
    loss = sum((out * dy.to(dtype)).sum() for out, dy in zip(outputs, dys))
    gradients = torch.autograd.grad(loss, floats, allow_unused=True)
    return outputs, dys, [torch.zeros_like(x) if g is None else g for x, g in zip(floats, gradients)]


def ulps(exact, float32):
    worst = 0.0
    for a, b in zip(exact, float32):
        a, b = a.detach().double(), b.detach().double()
        keep = torch.isfinite(a)
        if not keep.any():
            continue
        scale = EPSILON * (a.abs() + a[keep].abs().mean())
        worst = max(worst, torch.where(scale > 0, (a - b).abs() / scale, 0.0)[keep].max().item())
    return float(f"{worst:.2g}")


cases = []


def case(op, detail, inputs, forward, gradient=True, rounding=0.0, **attributes):
    """`rounding`: the `ulps` of a case that torch runs in one precision only"""
    outputs, dys, gradients = run(forward, inputs, torch.float64)
    outputs32, _, gradients32 = run(forward, inputs, torch.float32, dys)
    entry = {
        "case": f"{op} {detail}".strip(),
        "op": op,
        "attributes": attributes,
        "inputs": [encode(x) for x in inputs],
        "outputs": [encode(x) for x in outputs],
        "ulps": max(rounding, ulps(outputs, outputs32)),
    }
    if gradient and gradients is not None:
        entry |= {
            "dy": [encode(x) for x in dys],
            "gradients": [encode(x) for x in gradients],
            "gradientUlps": ulps(gradients, gradients32),
        }
    assert entry["case"] not in {other["case"] for other in cases}, entry["case"]
    cases.append(entry)


def elementwise():
    unary = {
        "neg": (torch.neg, normal), "abs": (torch.abs, distinct), "square": (torch.square, normal),
        "exp": (torch.exp, normal), "expm1": (torch.expm1, normal), "sigmoid": (torch.sigmoid, normal),
        "tanh": (torch.tanh, normal), "relu": (torch.relu, distinct), "erf": (torch.erf, normal),
        "softplus": (F.softplus, normal), "sin": (torch.sin, normal), "cos": (torch.cos, normal),
        "floor": (torch.floor, distinct), "ceil": (torch.ceil, distinct), "sign": (torch.sign, distinct),
        "logSigmoid": (F.logsigmoid, normal), "step": (lambda x: (x > 0).to(x.dtype), distinct),
    }  # fmt: skip
    for op, (forward, values) in unary.items():
        case(op, "", [values(3, 5)], forward)
    for op, forward in {
        "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "log": torch.log, "log1p": torch.log1p,
    }.items():  # fmt: skip
        case(op, "", [uniform(0.1, 5, 3, 5)], forward)
    case("reciprocal", "", [signed(0.3, 3, 3, 5)], torch.reciprocal)
    case("expm1", "near zero", [uniform(-1e-4, 1e-4, 6)], torch.expm1)
    case("log1p", "near zero", [uniform(-1e-4, 1e-4, 6)], torch.log1p)
    case("exp", "large range", [uniform(-80, 80, 12)], torch.exp)
    case("sigmoid", "large range", [uniform(-40, 40, 12)], torch.sigmoid)
    case("tanh", "large range", [uniform(-12, 12, 12)], torch.tanh)
    case("softplus", "large range", [uniform(-40, 40, 12)], lambda x: F.softplus(x, threshold=1000))
    halves = rounded([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.4, -3.7])
    case("round", "halves to even", [halves], torch.round)
    for op, forward in {"abs": torch.abs, "neg": torch.neg, "square": torch.square, "sign": torch.sign}.items():
        case(op, "int32", [ints(-9, 10, 8)], forward)
    case("round", "int32", [ints(-9, 10, 8)], lambda x: x)
    for lower, upper in ((-1, 1), (0, 6)):
        case("clipByValue", f"{lower} to {upper}", [distinct(4, 5)],
             lambda x, a=lower, b=upper: x.clamp(a, b), min=lower, max=upper)  # fmt: skip


SHAPES = [("alike", (3, 4), (3, 4)), ("row", (2, 3, 4), (4,)), ("both ways", (2, 1, 4), (3, 1)), ("scalar", (3, 4), ())]


def binary():
    for op, forward in {
        "add": torch.add, "sub": torch.sub, "mul": torch.mul,
        "squaredDifference": lambda a, b: (a - b) ** 2,
    }.items():  # fmt: skip
        for detail, a, b in SHAPES:
            case(op, detail, [normal(*a), normal(*b)], forward)
    for detail, a, b in SHAPES:
        case("div", detail, [normal(*a), signed(0.5, 2, *b)], torch.div)
        case("pow", detail, [uniform(0.3, 3, *a), normal(*b)], torch.pow)
        case("maximum", detail, [distinct(*a), normal(*b)], torch.maximum)
        case("minimum", detail, [distinct(*a), normal(*b)], torch.minimum)
        case("mod", detail, [uniform(-5, 5, *a), signed(0.7, 2, *b)], torch.remainder)
        case("add", f"{detail} int32", [ints(-9, 10, *a), ints(-9, 10, *b)], torch.add)
    integers = {
        "sub": torch.sub, "mul": torch.mul, "maximum": torch.maximum, "minimum": torch.minimum,
        "floorDiv": torch.floor_divide, "mod": torch.remainder, "squaredDifference": lambda a, b: (a - b) ** 2,
    }  # fmt: skip
    for op, forward in integers.items():
        b = ints(1, 5, 8) * torch.from_numpy(rng.choice([-1, 1], 8))
        case(op, "int32", [ints(-20, 20, 8), b], forward)
    case("pow", "int32", [ints(-4, 5, 8), ints(0, 4, 8)], torch.pow)
    compare = {
        "equal": torch.eq, "notEqual": torch.ne, "greater": torch.gt,
        "greaterEqual": torch.ge, "less": torch.lt, "lessEqual": torch.le,
    }  # fmt: skip
    for op, forward in compare.items():
        case(op, "float32", [rounded([1, 2, 3, 4, 2.5]), rounded([1, 3, 2, 4, 2.25])], forward)
        case(op, "int32 broadcast", [ints(0, 3, 3, 1), ints(0, 3, 4)], forward)
    case("equal", "bool", [bools(6), bools(6)], torch.eq)
    for op, forward in {
        "logicalAnd": torch.logical_and, "logicalOr": torch.logical_or, "logicalXor": torch.logical_xor,
    }.items():  # fmt: skip
        case(op, "broadcast", [bools(3, 1), bools(4)], forward)
    case("logicalNot", "", [bools(7)], torch.logical_not)


def select():
    case("where", "alike", [bools(3, 4), normal(3, 4), normal(3, 4)], torch.where)
    case("where", "broadcast", [bools(3, 1), normal(3, 4), normal(4)], torch.where)
    case("where", "int32", [bools(5), ints(-9, 9, 5), ints(-9, 9, 5)], torch.where)
    case("whereGreater", "", [distinct(3, 4)], lambda x: torch.where(x > 0, x, 0 * x))
    values = [1.0, math.nan, math.inf, -2.0, -math.inf]
    condition = torch.tensor([True, False, False, True, False])
    case("where", "hides NaN and Infinity", [condition, rounded(values), rounded([9, 8, 7, 6, 5])], torch.where)


def special():
    values = rounded([math.nan, 1, math.inf, -math.inf, -1, 0])
    others = rounded([0, math.nan, 1, 1, math.nan, 0])
    for op, forward in {
        "isNaN": torch.isnan, "isFinite": torch.isfinite, "isInf": torch.isinf, "abs": torch.abs, "relu": torch.relu,
        "exp": torch.exp, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "sqrt": torch.sqrt, "log": torch.log,
    }.items():  # fmt: skip
        case(op, "of NaN and Infinity", [values], forward, gradient=False)
    for op, forward in {
        "maximum": torch.maximum, "minimum": torch.minimum, "add": torch.add, "mul": torch.mul, "div": torch.div,
        "equal": torch.eq, "greater": torch.gt, "lessEqual": torch.le,
    }.items():  # fmt: skip
        case(op, "of NaN and Infinity", [values, others], forward, gradient=False)
    case("clipByValue", "of NaN and Infinity", [values], lambda x: x.clamp(-0.5, 0.5), False, min=-0.5, max=0.5)
    rows = rounded([[1, math.nan, 3], [math.inf, 0, -math.inf], [-math.inf, -math.inf, -2], [1, 2, 3]])
    for op, forward in {
        "max": torch.amax, "min": torch.amin, "sum": torch.sum, "mean": torch.mean,
    }.items():  # fmt: skip
        case(op, "of NaN and Infinity", [rows], lambda x, f=forward: f(x, -1), False, axis=-1, keepDims=False)
    masked = rounded([[1, -math.inf, 3], [0, 0.5, -math.inf]])
    case("softmax", "of -Infinity", [masked], lambda x: x.softmax(-1), False)
    unusual = rounded([[1, math.nan, 3], [0, 0.5, math.inf], [1, 2, 3]])
    case("softmax", "of NaN and Infinity", [unusual], lambda x: x.softmax(-1), False)
    case("logSoftmax", "of NaN and Infinity", [unusual], lambda x: x.log_softmax(-1), False)
    case("logSumExp", "of -Infinity", [masked], lambda x: x.logsumexp(-1), False, axis=-1, keepDims=False)


def products():
    def t(x, flag):
        return x.mT if flag else x

    def product(detail, a, b, gradient=True):
        for ta in (False, True):
            for tb in (False, True):
                case("matMul", f"{detail}{' a^T' if ta else ''}{' b^T' if tb else ''}",
                     [t(normal(*a), ta).contiguous(), t(normal(*b), tb).contiguous()],
                     lambda x, y, ta=ta, tb=tb: t(x, ta) @ t(y, tb),
                     gradient, transposeA=ta, transposeB=tb)  # fmt: skip

    product("2-D", (3, 4), (4, 5))
    product("batched", (2, 3, 4), (2, 4, 5))
    product("rank 4", (2, 3, 2, 4), (2, 3, 4, 3))
    product("broadcast batch", (2, 3, 4), (1, 4, 5))
    case("matMul", "vector of one row", [normal(1, 64), normal(64, 7)], torch.matmul, transposeA=False, transposeB=False)
    case("matMul", "long sum", [normal(2, 256), normal(256, 3)], torch.matmul, transposeA=False, transposeB=False)
    case("matMul", "of rank 3 by rank 2", [normal(2, 3, 4), normal(4, 5)], torch.matmul,
         transposeA=False, transposeB=False)  # fmt: skip
    for equation, a, b in (("bld,vd->blv", (2, 3, 4), (5, 4)), ("bnqd,bnkd->bnqk", (2, 2, 3, 4), (2, 2, 5, 4))):
        case("einsum", equation, [normal(*a), normal(*b)], lambda x, y, e=equation: torch.einsum(e, x, y),
             equation=equation)  # fmt: skip
    case("conv2d", "patches", [normal(2, 8, 8, 3), normal(4, 4, 3, 5)],
         lambda x, w: F.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), stride=4).permute(0, 2, 3, 1),
         stride=4)  # fmt: skip


def shapes():
    case("reshape", "", [normal(2, 3, 4)], lambda x: x.reshape(6, 4), shape=[6, 4])
    case("expandDims", "", [normal(2, 3)], lambda x: x.unsqueeze(1), axis=1)
    case("squeeze", "", [normal(2, 1, 3, 1)], lambda x: x.squeeze(1), axes=[1])
    for perm in ([1, 0], [0, 2, 1], [2, 0, 1], [0, 2, 1, 3], [0, 2, 3, 1], [3, 1, 0, 2], [0, 3, 1, 2, 4]):
        case("transpose", f"{perm}", [normal(*(2, 3, 4, 2, 3)[: len(perm)])], lambda x, p=perm: x.permute(p), perm=perm)
    for axis in (0, 1, -1):
        parts = [[2, 3, 4] for _ in range(3)]
        for size, part in zip((1, 2, 3), parts):
            part[axis] = size
        case("concat", f"axis {axis}", [normal(*part) for part in parts],
             lambda *xs, a=axis: torch.cat(xs, a), axis=axis)  # fmt: skip
        case("stack", f"axis {axis}", [normal(2, 3) for _ in range(3)],
             lambda *xs, a=axis: torch.stack(xs, a), axis=axis)  # fmt: skip
    case("split", "in equal parts", [normal(2, 6)], lambda x: x.split(2, 1), sizes=3, axis=1)
    case("split", "by sizes", [normal(6, 2)], lambda x: x.split([1, 2, 3], 0), sizes=[1, 2, 3], axis=0)
    case("split", "last axis", [normal(2, 3, 4)], lambda x: x.split(2, -1), sizes=2, axis=-1)
    case("unstack", "axis 0", [normal(3, 4)], lambda x: x.unbind(0), axis=0)
    case("unstack", "axis 1", [normal(2, 3, 2)], lambda x: x.unbind(1), axis=1)
    case("slice", "rank 1", [normal(7)], lambda x: x[2:5], begin=[2], size=[3])
    case("slice", "rank 3", [normal(2, 6, 8)], lambda x: x[0:2, 1:3, 2:6], begin=[0, 1, 2], size=[2, 2, 4])
    case("slice", "rank 4", [normal(2, 3, 4, 2)], lambda x: x[1:2, 0:3, 1:4, 0:1], begin=[1, 0, 1, 0], size=[1, 3, 3, 1])
    case("slice", "int32", [ints(0, 9, 3, 4)], lambda x: x[1:3, 1:2], begin=[1, 1], size=[2, 1])
    case("stridedSlice", "", [normal(2, 6, 8)], lambda x: x[0:2, 0:6:2, 1:8:3],
         begin=[0, 0, 1], end=[2, 6, 8], strides=[1, 2, 3])  # fmt: skip
    case("stridedSlice", "backwards", [normal(6)], lambda x: x.flip(0)[::2], begin=[5], end=[-7], strides=[-2])
    case("reverse", "axis 1", [normal(2, 3, 2)], lambda x: x.flip(1), axes=[1])
    case("reverse", "both axes", [normal(2, 3)], lambda x: x.flip(0, 1), axes=[0, 1])
    case("pad", "rank 1", [normal(3)], lambda x: F.pad(x, (1, 2)), paddings=[[1, 2]], value=0)
    case("pad", "rank 3", [normal(2, 2, 2)], lambda x: F.pad(x, (0, 0, 1, 1, 0, 2)),
         paddings=[[0, 2], [1, 1], [0, 0]], value=0)  # fmt: skip
    case("pad", "with a value", [normal(2, 2)], lambda x: F.pad(x, (0, 1), value=-7), paddings=[[0, 0], [0, 1]], value=-7)
    case("pad", "int32", [ints(0, 9, 4)], lambda x: F.pad(x, (2, 1), value=3), paddings=[[2, 1]], value=3)
    for shape, reps in (((3,), [2]), ((2, 3), [2, 2]), ((2, 1, 3), [1, 2, 1]), ((1, 2, 1, 3), [2, 1, 2, 1])):
        case("tile", f"{shape} by {reps}", [normal(*shape)], lambda x, r=reps: x.repeat(r), reps=reps)
    for shape, to in (((1, 3), [4, 3]), ((3,), [2, 3]), ((2, 1, 3), [2, 4, 3])):
        case("broadcastTo", f"{shape} to {to}", [normal(*shape)], lambda x, s=to: x.expand(s), shape=to)
    case("broadcastByOnes", "rank 5", [normal(2, 3, 2, 1, 2)], lambda x: x.expand(2, 3, 2, 3, 2), shape=[1, 1, 1, 3, 1])


def lookups():
    ids = index([1, 3, 1], [0, 4, 3])
    case("gather", "axis 0, repeated ids (embedding)", [normal(5, 4), ids], lambda w, i: w[i], axis=0, batchDims=0)
    case("gather", "axis 0 of rank 3", [normal(4, 2, 3), index(3, 0, 3)], lambda w, i: w[i], axis=0, batchDims=0)
    case("gather", "axis 1", [normal(2, 5, 3), index(4, 0, 4)], lambda x, i: x[:, i], axis=1, batchDims=0)
    case("gather", "axis 2", [normal(2, 2, 4), index(2, 2, 1)], lambda x, i: x[:, :, i], axis=2, batchDims=0)
    case("gather", "one of each row", [normal(3, 5), index([4, 1], [0, 0], [2, 3])],
         lambda x, i: x.gather(1, i), axis=1, batchDims=1)  # fmt: skip
    case("gather", "int32", [ints(0, 99, 6), index(5, 0, 5)], lambda x, i: x[i], axis=0, batchDims=0)
    case("gatherND", "", [normal(2, 3, 4), index([0, 1], [1, 2], [0, 1])], lambda x, i: x[i[:, 0], i[:, 1]])
    case("scatterND", "sums repeated ids", [index([1], [3], [1]), normal(3, 4)],
         lambda i, u: torch.zeros(5, 4, dtype=u.dtype).index_add(0, i[:, 0], u), shape=[5, 4])  # fmt: skip
    case("scatterND", "int32", [index([2], [0]), ints(1, 9, 2)],
         lambda i, u: torch.zeros(4, dtype=u.dtype).index_add(0, i[:, 0], u), shape=[4])  # fmt: skip
    case("tensorScatterUpdate", "", [normal(5, 3), index([1], [4]), normal(2, 3)],
         lambda x, i, u: x.index_put((i[:, 0],), u))  # fmt: skip
    case("unsortedSegmentSum", "", [normal(5, 3), index(2, 0, 2, 3, 0)],
         lambda x, i: torch.zeros(4, 3, dtype=x.dtype).index_add(0, i, x), segments=4)  # fmt: skip
    case("oneHot", "", [index([0, 2], [3, 1])], lambda i: F.one_hot(i, 4), depth=4, on=1, off=0)
    case("oneHot", "other values", [index(1, 0)], lambda i: F.one_hot(i, 3) * 3 - 1, depth=3, on=2, off=-1)


def reductions():
    axes = [("of all", None, False), ("axis 0", 0, False), ("last axis", -1, True), ("two axes", [0, 2], False)]
    for detail, axis, keep in axes:
        over = tuple(range(3)) if axis is None else axis
        kept = {"axis": axis, "keepDims": keep}
        for op, forward, values in (
            ("sum", torch.sum, normal), ("mean", torch.mean, normal), ("max", torch.amax, distinct),
            ("min", torch.amin, distinct), ("logSumExp", torch.logsumexp, normal),
        ):  # fmt: skip
            case(op, detail, [values(2, 3, 4)], lambda x, f=forward: f(x, over, keep), **kept)
        for op, forward in (("any", torch.any), ("all", torch.all)):
            case(op, detail, [bools(2, 3, 2)], lambda x, f=forward: f(x, over, keep), **kept)
        case("sum", f"{detail} int32", [ints(-9, 9, 2, 3, 4)], lambda x: torch.sum(x, over, keep), **kept)
    case("sum", "long", [normal(3, 1000)], lambda x: x.sum(1), axis=1, keepDims=False)
    case("mean", "int32", [ints(0, 9, 3, 4)], lambda x: x.double().mean(1), axis=1, keepDims=False)
    case("max", "int32", [ints(-50, 50, 3, 4)], lambda x: x.amax(1), axis=1, keepDims=False)
    case("min", "int32", [ints(-50, 50, 3, 4)], lambda x: x.amin(1), axis=1, keepDims=False)
    case("sum", "bool", [bools(3, 4)], lambda x: x.sum(1), axis=1, keepDims=False)
    case("prod", "axis 1", [signed(0.5, 2, 3, 4)], lambda x: x.prod(1), axis=1, keepDims=False)
    case("prod", "axis 0 kept", [signed(0.5, 2, 3, 4)], lambda x: x.prod(0, True), axis=0, keepDims=True)
    case("prod", "int32", [ints(1, 5, 3, 4)], lambda x: x.prod(1), axis=1, keepDims=False)
    case("logSumExp", "of large values", [uniform(80, 120, 2, 5)], lambda x: x.logsumexp(-1), axis=-1, keepDims=False)
    for shape in ((3, 7), (2, 2, 3, 5)):
        case("softmax", f"{shape}", [normal(*shape)], lambda x: x.softmax(-1))
        case("logSoftmax", f"{shape}", [normal(*shape)], lambda x: x.log_softmax(-1))
    case("softmax", "of large values", [uniform(-90, 90, 3, 6)], lambda x: x.softmax(-1))
    case("logSoftmax", "of large values", [uniform(-90, 90, 3, 6)], lambda x: x.log_softmax(-1))

    def cumulative(x, exclusive, backwards):
        x = x.flip(1) if backwards else x
        total = x.cumsum(1) - (x if exclusive else 0)
        return total.flip(1) if backwards else total

    for exclusive in (False, True):
        for backwards in (False, True):
            detail = f"{'exclusive' if exclusive else ''}{' reverse' if backwards else ''}".strip() or "axis 1"
            case("cumsum", detail, [normal(2, 5, 3)],
                 lambda x, e=exclusive, b=backwards: cumulative(x, e, b),
                 axis=1, exclusive=exclusive, reverse=backwards)  # fmt: skip
    case("cumsum", "last axis", [normal(3, 6)], lambda x: x.cumsum(1), axis=1, exclusive=False, reverse=False)
    case("cumsum", "last axis exclusive reverse", [normal(3, 6)], lambda x: cumulative(x, True, True),
         axis=1, exclusive=True, reverse=True)  # fmt: skip
    case("cumsum", "int32", [ints(-9, 9, 2, 6)], lambda x: x.cumsum(1), axis=1, exclusive=False, reverse=False)
    for k in (1, 3):
        case("topkValues", f"{k}", [distinct(2, 3, 8)], lambda x, k=k: x.topk(k).values, k=k)
        case("topkIndices", f"{k}", [distinct(2, 3, 8)], lambda x, k=k: x.topk(k).indices, k=k)
    case("topkIndices", "first of ties", [rounded([[1, 3, 3, 0, 3]])], lambda x: index([1, 2]), k=2)
    for axis in (0, -1):
        case("argMax", f"axis {axis}", [distinct(3, 5)], lambda x, a=axis: x.argmax(a), axis=axis)
        case("argMin", f"axis {axis}", [distinct(3, 5)], lambda x, a=axis: x.argmin(a), axis=axis)
    case("argMax", "first of ties", [rounded([[1, 3, 3], [2, 2, 2]])], lambda x: index(1, 0), axis=-1)
    case("norm", "euclidean, last axis", [normal(3, 4)], lambda x: x.norm(dim=-1), ord="euclidean", axis=-1)
    case("norm", "1, last axis", [distinct(3, 4)], lambda x: x.norm(1, dim=-1), ord=1, axis=-1)
    case("globalNorm", "", [normal(3, 4), normal(5)], lambda a, b: torch.cat([a.flatten(), b]).norm())
    case("moments", "last axis", [normal(3, 6)], lambda x: (x.mean(-1), x.var(-1, correction=0)), axis=-1)


def conversions():
    case("cast", "float32 to int32", [rounded([1.9, -1.9, 0.5, -0.5, 3])], lambda x: x.detach().long(), dtype="int32")
    case("cast", "float32 to bool", [rounded([0, -1.5, 0.25])], lambda x: x.detach().bool(), dtype="bool")
    case("cast", "int32 to float32", [ints(-9, 9, 5)], lambda x: x.double(), dtype="float32")
    case("cast", "int32 to bool", [ints(0, 2, 5)], lambda x: x.bool(), dtype="bool")
    case("cast", "bool to float32", [bools(5)], lambda x: x.double(), dtype="float32")
    case("cast", "bool to int32", [bools(5)], lambda x: x.long(), dtype="int32")
    case("cast", "float32 to float32", [normal(5)], lambda x: x * 1, dtype="float32")
    case("zerosLike", "", [normal(2, 3)], lambda x: x * 0)
    case("onesLike", "", [normal(2, 3)], lambda x: x * 0 + 1)
    case("zerosLike", "int32", [ints(0, 9, 3)], lambda x: x * 0)
    case("range", "int32", [], lambda: torch.arange(2, 11, 3), start=2, stop=11, step=3, dtype="int32")
    case("range", "float32", [], lambda: torch.arange(0, 1, 0.25).double(), start=0, stop=1, step=0.25, dtype="float32")
    case("linspace", "", [], lambda: torch.linspace(-1, 1, 7, dtype=torch.float64), rounding=1.0,
         start=-1, stop=1, num=7)  # fmt: skip
    case("fill", "float32", [], lambda: torch.full((2, 3), 2.5).double(), shape=[2, 3], value=2.5, dtype="float32")
    case("fill", "int32", [], lambda: torch.full((2, 3), -4), shape=[2, 3], value=-4, dtype="int32")
    case("eye", "", [], lambda: torch.eye(3).double(), num=3)
    case("bandPart", "causal", [normal(4, 4)], lambda x: x.tril())


def rms(x, w):
    return x * torch.rsqrt((x * x).mean(-1, True) + 1e-6) * w


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def attend(q, k, v):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    causal = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return torch.where(causal, scores, torch.tensor(-1e9, dtype=q.dtype)).softmax(-1) @ v


def clipped(ratio, advantage):
    return torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)


def compositions():
    case("silu", "", [normal(3, 5)], F.silu)
    case("gelu", "by erf", [normal(3, 5)], F.gelu)
    case("swiglu", "", [normal(3, 4), normal(6, 4), normal(6, 4), normal(4, 6)],
         lambda x, g, u, d: (F.silu(x @ g.T) * (x @ u.T)) @ d.T)  # fmt: skip
    case("layerNorm", "", [normal(3, 8), normal(8), normal(8)], lambda x, w, b: F.layer_norm(x, (8,), w, b, 1e-6))
    case("rmsNorm", "", [normal(2, 3, 8), normal(8)], rms)
    case("rmsNorm", "of small values", [uniform(-1e-3, 1e-3, 2, 8), normal(8)], rms)
    angles = np.outer(np.arange(3), 1e4 ** (-np.arange(2) / 2)).repeat(2, 0).reshape(3, 2, 2).swapaxes(1, 2)
    angles = angles.reshape(3, 4)
    case("rotary", "", [normal(2, 2, 3, 4), rounded(np.cos(angles)), rounded(np.sin(angles))], rotate)
    case("attention", "causal", [normal(2, 2, 5, 4), normal(2, 2, 5, 4), normal(2, 2, 5, 4)], attend)
    case("crossEntropy", "", [normal(4, 7), index(3, 0, 6, 3)], lambda x, i: F.cross_entropy(x, i, reduction="none"))
    case("clippedRatio", "", [uniform(0.5, 1.5, 12), signed(0.3, 2, 12)], clipped)
    case("klEstimate", "", [normal(8), normal(8)], lambda a, b: torch.exp(b - a) - (b - a) - 1)
    case("straightThrough", "rounds, passes the gradient on", [distinct(6)], lambda x: x + (x.round() - x).detach())
    case("adam", "one step", [normal(6), normal(6), normal(6), uniform(0.1, 1, 6)],
         lambda p, g, m, v: adam(p, g, m, v), gradient=False)  # fmt: skip


def adam(p, g, m, v, rate=1e-3, decay=0.1):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return p * (1 - rate * decay) - rate * (m / (1 - 0.9**3)) / (torch.sqrt(v / (1 - 0.999**3)) + 1e-8), m, v


for group in (elementwise, binary, select, special, products, shapes, lookups, reductions, conversions, compositions):
    group()

target = pathlib.Path(__file__).parent.parent / "runtime" / "ops.jsonl"
target.write_text("".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in cases))
print(f"{target.name}: {len(cases)} cases, {sum('gradients' in entry for entry in cases)} with gradients, "
      f"{target.stat().st_size / 1000:.0f} kB")  # fmt: skip
