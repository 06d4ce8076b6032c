"""RecTools' SASRec with its softmax loss, as a bench's worker: a turn is an epoch over the runner's windows.

Each window is given as a user of its own, so that RecTools trains the same pairs. Only the epoch itself is timed, from
the first batch to the last, not RecTools' preparation of the data.
"""

import argparse
import logging
import resource
import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

from windows import windows


class Clock(Callback):
    """Seconds of the last epoch, and its last loss; kept on the class, since RecTools copies its callbacks."""

    started = seconds = loss = float("nan")

    def on_train_epoch_start(self, trainer, module):
        Clock.started = time.perf_counter()

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        Clock.loss = float(outputs["loss"])
        Clock.seconds = time.perf_counter() - Clock.started


def interactions(path):
    """The runner's windows, a user each, and how many pairs they hold."""
    items = [np.append(tokens, targets[-1]) for batch in windows(path) for tokens, targets in batch]
    users = np.repeat(np.arange(len(items)), [len(window) for window in items])
    pairs, items = len(users) - len(items), np.concatenate(items)
    columns = {Columns.User: users, Columns.Item: items, Columns.Weight: 1.0}
    frame = pd.DataFrame(columns | {Columns.Datetime: pd.to_datetime(np.arange(len(items)), unit="s")})
    return frame, pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ["width", "layers", "heads", "window", "items"]:
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--dropout", type=float)
    parser.add_argument("--batches")
    o = parser.parse_args()
    torch.set_num_threads(2)
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    frame, pairs = interactions(o.batches)
    dataset = Dataset.construct(frame)

    def trainer():
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        return Trainer(max_epochs=1, accelerator="cpu", callbacks=[Clock()], enable_model_summary=False, **quiet)

    model = SASRecModel(
        n_factors=o.width, n_blocks=o.layers, n_heads=o.heads, session_max_len=o.window, dropout_rate=o.dropout,
        batch_size=128, loss="softmax", get_trainer_func=trainer, deterministic=False, verbose=0,
    )  # fmt: skip
    print("ready", flush=True)
    for _ in sys.stdin:
        model.fit_partial(dataset, 1, 1)
        print(f"{Clock.seconds} {pairs}", flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, Clock.loss, flush=True)


main()
