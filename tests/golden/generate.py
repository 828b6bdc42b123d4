"""Writes the golden files: what PyTorch computes for inputs given by formula.

    python tests/golden/generate.py FOLDER     # needs numpy and torch, nothing else; `cargo xtask golden` runs it

Everything runs in float64 on the CPU. A file maps names to {"shape": [..], "values": [..]}; only results are stored,
since inputs and weights come from `formula`, which the Rust tests repeat.
"""

import json
import pathlib
import sys

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures"
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def formula(shape, k):
    """Tensor number k of a test: 0.5·cos(a·i + b), `wave` of the testkit."""
    n = int(torch.Size(shape).numel())
    return (0.5 * torch.cos((0.3 + 0.07 * k) * torch.arange(n) + 0.2 * k)).reshape(shape)


def leaf(shape, k):
    return formula(shape, k).requires_grad_()


def weighted(*outputs):
    """One number that depends on every element of every output."""
    return sum((y * formula(y.shape, 50 + i)).sum() for i, y in enumerate(outputs))


def write(name, **tensors):
    entries = {}
    for key, value in tensors.items():
        value = torch.as_tensor(value).detach()
        values = [float(f"{x:.9g}") for x in value.reshape(-1).tolist()]
        entries[key] = {"shape": list(value.shape) or [1], "values": values}
    lines = [f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in sorted(entries.items())]
    (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def matmul():
    x, w = leaf([4, 5], 0), leaf([5, 3], 1)
    y = x @ w
    weighted(y).backward()
    write("matmul", y=y, dx=x.grad, dw=w.grad)


def linear():
    x, w, b = leaf([2, 4, 5], 0), leaf([3, 5], 1), leaf([3], 2)
    y = torch.nn.functional.linear(x, w, b)
    weighted(y).backward()
    write("linear", y=y, dx=x.grad, dw=w.grad, db=b.grad)


def each(name, ops, *shapes):
    """One entry a result and a gradient: `y add`, `d0 add`, `d1 add`, … for each (name, function) of `ops`."""
    results = {}
    for key, op in ops.items():
        x = [leaf(shape, k) for k, shape in enumerate(shapes)]
        y = op(*x)
        weighted(y).backward()
        results[f"y {key}"] = y
        results |= {f"d{k} {key}": x.grad for k, x in enumerate(x) if x.grad is not None}
    write(name, **results)


def pointwise():
    each("pointwise_one", {
        "scale": lambda x: -2.5 * x,
        "tanh": lambda x: torch.tanh(8 * x),
        "sigmoid": lambda x: torch.sigmoid(8 * x),
        "relu": torch.relu,
        "sum": torch.sum,
        "mean": torch.mean,
    }, [4, 5])
    each("pointwise_two", {"add": torch.add, "sub": torch.sub, "mul": torch.mul}, [4, 5], [4, 5])
    each("add_bias", {"add_bias": torch.add}, [2, 4, 5], [5])


def moves():
    each("moves", {
        "concat_first": lambda x, z: torch.cat([x, z, x], 0),
        "concat_last": lambda x, z: torch.cat([x, z, x], -1),
        "stack": lambda x, z: torch.stack([x, z, x]),
        "slice_last": lambda x, z: x[..., 1:3],
        "rows": lambda x, z: x[1:3],
        "step": lambda x, z: x[2],
        "swap01": lambda x, z: x.transpose(0, 1),
        "reshape": lambda x, z: x.reshape(6, 4),
    }, [3, 2, 4], [3, 2, 4])


def reductions():
    x = 2 * formula([3, 7], 0)
    write("reductions", sum_rows=x.sum(0), sum_last=x.sum(-1), max_last=x.amax(-1), argmax_last=x.argmax(-1),
          sum_squares=x.square().sum(), select_rows=x[[2, 0, 2]])


def softmax():
    x, z = leaf([3, 7], 0), leaf([3, 7], 1)
    y = torch.softmax(8 * x, -1)
    l = torch.log_softmax(8 * z, -1)
    weighted(y, l).backward()
    write("softmax", softmax=y, dx_softmax=x.grad, log_softmax=l, dx_log_softmax=z.grad)


def cross_entropy():
    logits = leaf([6, 7], 0)
    targets = torch.tensor([3, 0, 6, 0, 2, 5])
    loss = torch.nn.functional.cross_entropy(8 * logits, targets, ignore_index=0, label_smoothing=0.1, reduction="sum")
    nll = torch.nn.functional.cross_entropy(8 * logits, targets, ignore_index=0, reduction="sum")
    correct = ((logits.argmax(-1) == targets) & (targets != 0)).sum()
    loss.backward()
    write("cross_entropy", loss=loss, nll=nll, correct=correct, dlogits=logits.grad)


def layer_norm():
    x, w, b = leaf([2, 3, 7], 0), leaf([7], 1), leaf([7], 2)
    y = torch.nn.functional.layer_norm(x, [7], w, b, eps=1e-5)
    weighted(y).backward()
    write("layer_norm", y=y, dx=x.grad, dw=w.grad, db=b.grad)


def embedding():
    w = leaf([5, 3], 0)
    ids = torch.tensor([[1, 4], [0, 1], [1, 2]])
    y = torch.nn.functional.embedding(ids, w, padding_idx=0)
    weighted(y).backward()
    write("embedding", y=y, dw=w.grad)


def recurrent(kind, name, layers, bidirectional, lengths):
    T, B, E, H = 5, 3, 4, 3
    directions = 2 if bidirectional else 1
    net = getattr(torch.nn, kind)(E, H, num_layers=layers, bidirectional=bidirectional)
    names = []
    with torch.no_grad():
        for k, (key, p) in enumerate(net.named_parameters()):
            p.copy_(2 * formula(p.shape, k))
            names.append(key)
    x = leaf([T, B, E], 30)
    h0 = leaf([layers * directions, B, H], 31)
    c0 = leaf([layers * directions, B, H], 32)
    state = (h0, c0) if kind == "LSTM" else h0
    if lengths is None:
        y, last = net(x, state)
    else:
        packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
        y, last = net(packed, state)
        y, _ = pad_packed_sequence(y, total_length=T)
    outputs = [y, *last] if kind == "LSTM" else [y, last]
    weighted(*outputs).backward()
    results = {"y": y, "h_n": outputs[1], "dx": x.grad, "dh0": h0.grad}
    if kind == "LSTM":
        results |= {"c_n": outputs[2], "dc0": c0.grad}
    for key, p in zip(names, net.parameters()):
        # weight_ih_l1_reverse is l1.rev.weight_ih in this project
        base, layer = key.removesuffix("_reverse").rsplit("_", 1)
        direction = "rev" if key.endswith("_reverse") else "fwd"
        results[f"d {layer}.{direction}.{base}"] = p.grad
    write(name, **results)


def attention():
    T, S, B, H, D, A = 2, 4, 3, 3, 3, 5
    lengths = torch.tensor([4, 1, 3])
    mask = torch.arange(S)[None, None, :] >= lengths[:, None, None]  # [B,1,S]

    def attend(scores, states):  # scores [B,T,S]
        align = torch.softmax(scores.masked_fill(mask, float("-inf")), -1)
        context = align @ states.transpose(0, 1)  # [B,T,D]
        return context.transpose(0, 1), align.transpose(0, 1)

    for kind in ["dot", "scaled-dot", "general", "additive"]:
        D = 4 if kind in ("general", "additive") else H
        q, states = leaf([T, B, H], 0), leaf([S, B, D], 1)
        qb, kb = q.transpose(0, 1), states.transpose(0, 1)  # batch first
        parameters = {}
        if kind == "dot":
            scores = qb @ kb.transpose(1, 2)
        elif kind == "scaled-dot":
            scores = qb @ kb.transpose(1, 2) / H**0.5
        elif kind == "general":
            parameters = {"weight": leaf([H, D], 2)}
            scores = qb @ parameters["weight"] @ kb.transpose(1, 2)
        else:
            parameters = {"query.weight": leaf([A, H], 2), "key.weight": leaf([A, D], 3), "v": leaf([A], 4)}
            hidden = torch.tanh((qb @ parameters["query.weight"].T)[:, :, None] + (kb @ parameters["key.weight"].T)[:, None])
            scores = hidden @ parameters["v"]
        context, align = attend(scores, states)
        weighted(context).backward()
        results = {"context": context, "align": align, "dq": q.grad, "dstates": states.grad}
        results |= {f"d {key}": p.grad for key, p in parameters.items()}
        write(f"attention_{kind}", **results)


def optimizers():
    kinds = {
        "adam": lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.95), eps=1e-6),
        "adam_decay": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    }
    results = {}
    for name, make in kinds.items():
        p = leaf([7], 0)
        optimizer = make([p])
        path = []
        for step in range(5):
            p.grad = formula([7], 1 + step)
            optimizer.step()
            path.append(p.detach().clone())
        results[name] = torch.stack(path)
    write("optimizers", **results)


def clip():
    a, b = leaf([4], 0), leaf([2, 3], 1)
    optimizer = torch.optim.SGD([a, b], lr=1.0)
    norms = []
    for step, limit in enumerate([0.5, 100.0]):
        a.grad, b.grad = formula([4], 2 + step), formula([2, 3], 4 + step)
        norms.append(torch.nn.utils.clip_grad_norm_([a, b], limit))
        optimizer.step()
    write("clip", norms=torch.stack(norms), a=a, b=b)


if __name__ == "__main__":
    matmul()
    linear()
    pointwise()
    moves()
    reductions()
    softmax()
    cross_entropy()
    layer_norm()
    embedding()
    for kind in ["LSTM", "GRU", "RNN"]:
        recurrent(kind, f"{kind.lower()}_one_layer", 1, False, None)
        recurrent(kind, f"{kind.lower()}_two_layers_both_ways_ragged", 2, True, [3, 5, 1])
    attention()
    optimizers()
    clip()
