"""Training windows as `benches/epoch.rs` writes them for its peers."""

import numpy as np


def windows(path):
    """Batches as the runner wrote them: each a list of (tokens, targets), one a window."""
    data, at, batches = np.fromfile(path, dtype="<u4").astype(np.int64), 1, []
    for _ in range(data[0]):
        b, n = data[at], data[at + 1]
        offsets = data[at + 2 : at + 3 + b]
        at += 3 + b
        tokens, targets = data[at : at + n], data[at + n : at + 2 * n]
        at += 2 * n
        batches.append([(tokens[s:e], targets[s:e]) for s, e in zip(offsets[:-1], offsets[1:])])
    return batches
