"""ONNX Runtime as a bench's worker: a turn ranks the items for some states, one product and one TopK."""

import argparse
import resource
import sys
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def session(width, table):
    """States `(b, d)` to scores and ids of their best 10."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["states", "table"], ["scores"]),
            helper.make_node("TopK", ["scores", "k"], ["best", "ids"], axis=-1, largest=1, sorted=1),
        ],
        "score",
        [helper.make_tensor_value_info("states", TensorProto.FLOAT, ["b", width])],
        [
            helper.make_tensor_value_info("best", TensorProto.FLOAT, ["b", 10]),
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["b", 10]),
        ],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([10]), "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ["histories", "repeats", "width", "items"]:
        parser.add_argument(f"--{name}", type=int)
    o = parser.parse_args()
    rng = np.random.default_rng(1)
    table = rng.uniform(-1, 1, (o.width, o.items)).astype(np.float32)
    scorer = session(o.width, table)
    states = rng.uniform(-1, 1, (o.histories, o.width)).astype(np.float32)
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        for _ in range(o.repeats):
            scorer.run(None, {"states": states})
        print(f"{time.perf_counter() - started} {o.histories * o.repeats}", flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "nan", flush=True)


main()
