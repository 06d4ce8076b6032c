"""sentence-transformers as a bench's worker: a turn encodes all texts of a file."""

import argparse
import resource
import sys
import time
from pathlib import Path

from sentence_transformers import SentenceTransformer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--batch", type=int)
    o = parser.parse_args()
    encoder = SentenceTransformer(o.encoder, device="cpu")
    texts = o.texts.read_text(encoding="utf-8").splitlines()
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        encoder.encode(texts, batch_size=o.batch)
        print(f"{time.perf_counter() - started} {len(texts)}", flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "nan", flush=True)


main()
