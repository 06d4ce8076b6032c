"""The same model in plain PyTorch, as a bench's worker: sets up, prints "ready", and does one turn a line of input.

A turn's answer is "SECONDS WORK" (work: tokens trained, or requests answered). At the end of input it prints the peak
of its memory in bytes and the last loss. SASRec's decoder (Kang & McAuley 2018, arXiv:1808.09781) with RMSNorm and
SwiGLU, learned positions, a tied table, and the sizes that the runner passes.
"""

import argparse
import resource
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from windows import windows


class Layer(nn.Module):
    """Causal attention and a gated MLP, both pre-norm with the residual outside."""

    def __init__(self, width, heads, hidden, dropout, attention_dropout):
        super().__init__()
        self.heads, self.dropout, self.attention_dropout = heads, dropout, attention_dropout
        self.norm_attention = nn.Parameter(torch.ones(width))
        self.norm_mlp = nn.Parameter(torch.ones(width))
        matrix = lambda rows, columns: nn.Parameter(torch.randn(rows, columns) * 0.02)
        self.qkv, self.out = matrix(3 * width, width), matrix(width, width)
        self.gate_up, self.down = matrix(2 * hidden, width), matrix(width, hidden)

    def heads_of(self, x):
        """Queries, keys and values of `x (b, t, d)`, each `(b, h, t, e)`."""
        b, t, d = x.shape
        qkv = F.linear(F.rms_norm(x, (d,), self.norm_attention, 1e-6), self.qkv)
        return qkv.view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)

    def mlp(self, x):
        gate, up = F.linear(F.rms_norm(x, x.shape[-1:], self.norm_mlp, 1e-6), self.gate_up).chunk(2, -1)
        return x + F.dropout(F.linear(F.silu(gate) * up, self.down), self.dropout, self.training)

    def joined(self, x, attended):
        attended = F.linear(attended.transpose(1, 2).reshape(x.shape), self.out)
        return self.mlp(x + F.dropout(attended, self.dropout, self.training))

    def forward(self, x):
        q, k, v = self.heads_of(x)
        p = self.attention_dropout if self.training else 0.0
        return self.joined(x, F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=p))

    def last(self, x):
        """The last position alone, `(b, 1, d)`: it is all that the last layer of a request needs."""
        q, k, v = self.heads_of(x)
        return self.joined(x[:, -1:], F.scaled_dot_product_attention(q[:, :, -1:], k, v))

    def extend(self, x, keys, values, at):
        """One position more, `x (b, 1, d)`, on caches `(b, h, T, e)` that hold `at` positions."""
        q, k, v = self.heads_of(x)
        keys[:, :, at : at + 1], values[:, :, at : at + 1] = k, v
        return self.joined(x, F.scaled_dot_product_attention(q, keys[:, :, : at + 1], values[:, :, : at + 1]))


class Model(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.dropout = o.dropout
        layer = lambda: Layer(o.width, o.heads, o.hidden, o.dropout, o.attention_dropout)
        self.layers = nn.ModuleList(layer() for _ in range(o.layers))
        self.positions = nn.Parameter(torch.randn(o.window, o.width) * 0.02)
        self.norm = nn.Parameter(torch.ones(o.width))
        self.scale = o.width**0.5

    def enter(self, rows, at=0):
        x = rows * self.scale + self.positions[at : at + rows.shape[1]]
        return F.dropout(x, self.dropout, self.training)

    def leave(self, x):
        return F.rms_norm(x, x.shape[-1:], self.norm, 1e-6)

    def forward(self, rows):
        x = self.enter(rows)
        for layer in self.layers:
            x = layer(x)
        return self.leave(x)

    def states(self, rows):
        """`(b, d)` states after the last position."""
        x = self.enter(rows)
        for layer in self.layers[:-1]:
            x = layer(x)
        return self.leave(self.layers[-1].last(x))[:, 0]


class Learner:
    """Model, table and optimiser."""

    def __init__(self, o):
        self.o = o
        self.model = Model(o)
        self.table = nn.Parameter(torch.randn(o.items, o.width) * 0.02)
        sparse = o.table == "sparse"
        dense = list(self.model.parameters()) + ([] if sparse else [self.table])
        self.optimizers = [torch.optim.AdamW(dense, lr=1e-3, weight_decay=0.0, fused=True)]
        if sparse:
            self.optimizers.append(torch.optim.SparseAdam([self.table], lr=1e-3))
        self.loss = float("nan")

    def rows(self, ids):
        return F.embedding(ids, self.table, sparse=self.o.table == "sparse")

    def step(self, tokens, targets, valid):
        """`tokens` and `targets` `(b, t)`; `valid (b·t)` are the places that count, or none where all do."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.o.precision == "bf16"):
            states = self.model(self.rows(tokens)).flatten(0, 1)
            targets = targets.flatten()
            if valid is not None:
                states, targets = states[valid], targets[valid]
            if self.o.loss == "full":
                loss = F.cross_entropy(F.linear(states, self.table).float(), targets)
            else:
                negatives = torch.randperm(self.o.items)[: self.o.negatives]
                true = (states * self.rows(targets)).sum(-1, keepdim=True)
                drawn = states @ self.rows(negatives).T
                drawn = drawn.masked_fill(targets[:, None] == negatives, float("-inf"))
                logits = torch.cat([true, drawn], 1).float()
                loss = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        loss.backward()
        if self.o.table != "sparse":
            torch.nn.utils.clip_grad_norm_([*self.model.parameters(), self.table], 1.0, foreach=True)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.loss = loss.item()


def drawn(o, shape, rng):
    """Items, uniform or by Zipf's law."""
    if o.ids == "uniform":
        return torch.from_numpy(rng.integers(0, o.items, shape))
    ranks = np.exp(rng.random(shape) * np.log(o.items)).astype(np.int64) - 1
    return torch.from_numpy(np.clip(ranks, 0, o.items - 1))


def train(o):
    """A turn is a step over one rectangular batch, the same each time."""
    learner, rng = Learner(o), np.random.default_rng(1)
    learner.model.train()
    events = drawn(o, (o.users, o.window + 1), rng)
    tokens, targets = events[:, :-1].contiguous(), events[:, 1:].contiguous()

    def turn():
        started = time.perf_counter()
        learner.step(tokens, targets, None)
        return time.perf_counter() - started, tokens.numel()

    return turn, lambda: learner.loss


def padded(batch, window):
    """Right-padded `(b, t)` tensors: under a causal mask, padding after the end is seen by no position that counts."""
    tokens = np.zeros((len(batch), window), dtype=np.int64)
    targets, valid = np.zeros_like(tokens), np.zeros(tokens.shape, dtype=bool)
    for row, (read, true) in enumerate(batch):
        tokens[row, : len(read)], targets[row, : len(read)], valid[row, : len(read)] = read, true, True
    return [torch.from_numpy(values) for values in (tokens, targets, valid.ravel())]


def epoch(o):
    """A turn is an epoch over the runner's windows, padded to the window or bucketed by length."""
    learner, batches = Learner(o), windows(o.batches)
    learner.model.train()
    if o.layout == "bucketed":
        ordered = sorted((pair for batch in batches for pair in batch), key=lambda pair: len(pair[0]))
        batches = [ordered[at : at + o.users] for at in range(0, len(ordered), o.users)]
    longest = lambda batch: max(len(read) for read, _ in batch)
    batches = [padded(batch, o.window if o.layout == "padded" else longest(batch)) for batch in batches]
    order = np.random.default_rng(1)

    def turn():
        work, started = 0, time.perf_counter()
        for index in order.permutation(len(batches)):
            tokens, targets, valid = batches[index]
            learner.step(tokens, targets, valid)
            work += int(valid.sum())
        return time.perf_counter() - started, work

    return turn, lambda: learner.loss


def request(o):
    """A turn answers `histories` histories with their top 10, `repeats` times over."""
    learner, rng = Learner(o), np.random.default_rng(1)
    learner.model.eval()
    tokens = drawn(o, (o.repeats, o.histories, o.window), rng)

    @torch.inference_mode()
    def turn():
        started = time.perf_counter()
        for ids in tokens:
            scores = learner.model.states(learner.rows(ids)) @ learner.table.T
            torch.topk(scores, 10)
        return time.perf_counter() - started, o.histories * o.repeats

    return turn, lambda: learner.loss


def decode(o):
    """A turn extends a cache of `window - 1` positions by one and takes the top 10, `repeats` times over."""
    learner, rng = Learner(o), np.random.default_rng(1)
    model = learner.model.eval()
    shape = (o.histories, o.heads, o.window, o.width // o.heads)
    caches = [(torch.randn(shape), torch.randn(shape)) for _ in model.layers]
    tokens = drawn(o, (o.repeats, o.histories, 1), rng)

    @torch.inference_mode()
    def turn():
        started = time.perf_counter()
        for ids in tokens:
            x = model.enter(learner.rows(ids), o.window - 1)
            for layer, (keys, values) in zip(model.layers, caches):
                x = layer.extend(x, keys, values, o.window - 1)
            torch.topk(model.leave(x)[:, 0] @ learner.table.T, 10)
        return time.perf_counter() - started, o.histories * o.repeats

    return turn, lambda: learner.loss


def score(o):
    """A turn ranks the items for `histories` states, `repeats` times over."""
    states, table = torch.rand(o.histories, o.width) * 2 - 1, torch.rand(o.items, o.width) * 2 - 1

    @torch.inference_mode()
    def turn():
        started = time.perf_counter()
        for _ in range(o.repeats):
            torch.topk(states @ table.T, 10)
        return time.perf_counter() - started, o.histories * o.repeats

    return turn, lambda: float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=list(TASKS))
    for name, default in [
        ("width", 64), ("layers", 2), ("heads", 2), ("hidden", 172), ("window", 200), ("users", 128),
        ("items", 3416), ("negatives", 256), ("histories", 1), ("repeats", 1), ("threads", 2),
    ]:  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--attention-dropout", type=float, default=0.2)
    parser.add_argument("--loss", choices=["sampled", "full"], default="sampled")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--table", choices=["dense", "sparse"], default="dense")
    parser.add_argument("--ids", choices=["uniform", "zipf"], default="uniform")
    parser.add_argument("--layout", choices=["padded", "bucketed"], default="padded")
    parser.add_argument("--batches", help="the runner's windows, for an epoch")
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    turn, loss = TASKS[o.task](o)
    print("ready", flush=True)
    for _ in sys.stdin:
        seconds, work = turn()
        print(f"{seconds} {work}", flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, loss(), flush=True)


TASKS = {"train": train, "epoch": epoch, "request": request, "decode": decode, "score": score}

main()
