"""usearch as a bench's worker: a turn looks some states up in a graph over the items (HNSW, inner product, f32).

`build FOLDER` makes the graph of `items.npy` once and tells its seconds; `ask FOLDER EXPANSION` is the worker, one thread, one
state at a time. What it prints as its last loss is its recall of `exact.npy`.
"""

import os
import resource
import sys
import time

import numpy as np
from usearch.index import Index


def build(folder):
    items = np.load(f"{folder}/items.npy", mmap_mode="r")
    index = Index(ndim=items.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_add=128)
    started = time.perf_counter()
    index.add(np.arange(len(items)), items, threads=os.cpu_count())
    print(f"{time.perf_counter() - started:.0f} s to build, {index.memory_usage >> 20} MiB", flush=True)
    index.save(f"{folder}/graph")


def ask(folder, expansion):
    states, exact = np.load(f"{folder}/states.npy"), np.load(f"{folder}/exact.npy").astype(np.uint64)
    index = Index(ndim=states.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_search=expansion)
    index.load(f"{folder}/graph")
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        found = [index.search(state, exact.shape[1], threads=1).keys for state in states]
        print(f"{time.perf_counter() - started} {len(states)}", flush=True)
    recall = np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, exact)])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, recall, flush=True)


if sys.argv[1] == "build":
    build(sys.argv[2])
else:
    ask(sys.argv[2], int(sys.argv[3]))
