"""PyTorch on the network of `seqweave bench --no-input-feed`: a training step or greedy search, each way in each precision.

Prints a JSON line a measurement, with the fields of `seqweave bench --json` that the table reads. A bidirectional LSTM encoder with H/2
units a direction, an LSTM decoder, `general` attention over the whole target at once, attentional state tanh(W[c;h]),
cross entropy, fused Adam, global-norm clip 1; random tokens, full-length sentences, no dropout.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
import traceback

import torch
from torch import nn
from torch.nn import functional as F

# name -> E, H, layers, V, length
SIZES = {"small": (256, 256, 1, 8000, 20), "medium": (512, 512, 2, 16000, 25), "large": (512, 1024, 2, 32000, 30)}


class Model(nn.Module):
    def __init__(self, e, h, layers, v):
        super().__init__()
        self.source, self.target = nn.Embedding(v, e), nn.Embedding(v, e)
        self.encoder = nn.LSTM(e, h // 2, layers, bidirectional=True)
        self.decoder = nn.LSTM(e, h, layers)
        self.score, self.combine = nn.Linear(h, h, bias=False), nn.Linear(2 * h, h, bias=False)
        self.out = nn.Linear(h, v)

    def encode(self, source):
        memory, (h, c) = self.encoder(self.source(source))
        join = lambda x: torch.cat([x[0::2], x[1::2]], dim=2)
        return memory.transpose(0, 1), (join(h), join(c))

    def decode(self, target, state, memory):
        y, state = self.decoder(self.target(target), state)
        y = y.transpose(0, 1)
        weights = torch.softmax(self.score(y) @ memory.transpose(1, 2), dim=2)
        return self.out(torch.tanh(self.combine(torch.cat([weights @ memory, y], dim=2)))), state

    def forward(self, source, given, wanted):
        memory, state = self.encode(source)
        logits, _ = self.decode(given, state, memory)
        return F.cross_entropy(logits.flatten(0, 1), wanted.transpose(0, 1).flatten())


def training_step(model, inputs, way, autocast):
    """A function that makes one step, and one that makes it as `way` says."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True, capturable=way == "graphs")
    run = torch.compile(model) if way == "compile" else model

    def step():
        optimizer.zero_grad(set_to_none=way != "graphs")
        with autocast():
            loss = run(*inputs)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()
        return loss

    if way != "graphs":
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def greedy(model, source, length, autocast):
    """Greedy search over one batch, every output of the same length."""

    @torch.inference_mode()
    def search():
        with autocast():
            memory, state = model.encode(source)
            token = source[:1]
            for _ in range(length):
                logits, state = model.decode(token, state, memory)
                token = logits.argmax(dim=2).transpose(0, 1)
        return token

    return search


def measure(args, precision, way):
    """The fields of one measurement."""
    e, h, layers, v, length = SIZES[args.config]
    allow = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allow
    bf16 = lambda: torch.autocast(args.device, torch.bfloat16)
    autocast = bf16 if precision == "bf16" else contextlib.nullcontext
    torch.manual_seed(0)
    model = Model(e, h, layers, v).to(args.device)
    inputs = [torch.randint(4, v, (length, args.batch), device=args.device) for _ in range(3)]
    if args.mode == "train":
        step = training_step(model, inputs, way, autocast)
    else:
        step = greedy(model, inputs[0], length, autocast)

    wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    for _ in range(3):
        step()
    wait()
    times, end = [], time.perf_counter() + args.seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        wait()
        times.append(time.perf_counter() - start)
    rate = args.batch * length / statistics.median(times)
    return {"peer": f"pytorch {way}", "config": args.config, "mode": args.mode, "batch": args.batch, "precision": precision,
            "step_ms": 1e3 * statistics.median(times), "tokens_per_s": rate}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--config", choices=SIZES, default="small")
    parser.add_argument("--mode", choices=["train", "greedy"], default="train")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], nargs="+", default=["f32"])
    parser.add_argument("--way", choices=["eager", "compile", "graphs"], nargs="+", default=["eager"])
    parser.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    failed = False
    for way in args.way:
        for precision in args.precision:
            try:
                print(json.dumps(measure(args, precision, way)), flush=True)
            except Exception:
                failed = True
                traceback.print_exc()
    sys.exit(1 if failed else 0)


main()
