#!/usr/bin/env python3
"""Time the softmax family in NumPy, PyTorch, JAX and ONNX Runtime beside `wgpu-softmax bench --lines`.

Without --library, this starts itself once for each library, so that none of them shares its threads with another, and
prints the tables. With it, it is one such process: a JSON line for each case on standard output.
"""

import argparse
import collections
import importlib.util
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

OPERATIONS = ("softmax", "log_softmax", "logsumexp", "cross_entropy", "jacobian")
SHAPES = "1000000x4,65536x32,65536x128,16384x1000,4096x1024,4096x4096,1024x32768,64x128256,1x1000000"
JACOBIAN_SHAPES = "4096x10,1024x100,64x512,16x1000"
LIBRARIES = {"numpy": "numpy", "torch": "torch", "jax": "jax", "onnxruntime": "onnxruntime"}
PROGRAM = Path(__file__).resolve().parents[2] / "target/release/wgpu-softmax"


# What each library is asked: a function from the data to a call for each operation.


def of_numpy(threads):
    import numpy as np

    def centred(x):
        return x - x.max(axis=1, keepdims=True)

    def softmax(x):
        terms = np.exp(centred(x))
        return terms / terms.sum(axis=1, keepdims=True)

    def log_softmax(x):
        distances = centred(x)
        return distances - np.log(np.exp(distances).sum(axis=1, keepdims=True))

    def logsumexp(x):
        return x.max(axis=1) + np.log(np.exp(centred(x)).sum(axis=1))

    def jacobian(x):
        p = softmax(x)
        return p[:, :, None] * (np.eye(x.shape[1], dtype=x.dtype) - p[:, None, :])

    def calls(x, labels):
        return {
            "softmax": lambda: softmax(x),
            "log_softmax": lambda: log_softmax(x),
            "logsumexp": lambda: logsumexp(x),
            "cross_entropy": lambda: -log_softmax(x)[np.arange(len(x)), labels],
            "jacobian": lambda: jacobian(x),
        }

    return calls


def of_torch(threads):
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)

    def jacobian(x):
        p = torch.softmax(x, dim=1)
        return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]

    def calls(x, labels):
        x, labels = torch.from_numpy(x), torch.from_numpy(labels)
        result, row = torch.zeros_like(x), torch.zeros(len(x))
        return {
            "softmax": lambda: torch.softmax(x, dim=1, out=result),
            "log_softmax": lambda: torch.log_softmax(x, dim=1, out=result),
            "logsumexp": lambda: torch.logsumexp(x, dim=1, out=row),
            "cross_entropy": lambda: torch.nn.functional.cross_entropy(x, labels, reduction="none"),
            "jacobian": lambda: jacobian(x),
        }

    return calls


def of_jax(threads):
    import jax
    import jax.numpy as jnp

    def cross_entropy(x, labels):
        return jax.nn.logsumexp(x, axis=1) - jnp.take_along_axis(x, labels[:, None], axis=1)[:, 0]

    def jacobian(x):
        p = jax.nn.softmax(x, axis=1)
        return p[:, :, None] * (jnp.eye(x.shape[1], dtype=x.dtype) - p[:, None, :])

    compiled = {
        "softmax": jax.jit(lambda x, labels: jax.nn.softmax(x, axis=1)),
        "log_softmax": jax.jit(lambda x, labels: jax.nn.log_softmax(x, axis=1)),
        "logsumexp": jax.jit(lambda x, labels: jax.nn.logsumexp(x, axis=1)),
        "cross_entropy": jax.jit(cross_entropy),
        "jacobian": jax.jit(lambda x, labels: jacobian(x)),
    }

    def calls(x, labels):
        x, labels = jnp.asarray(x), jnp.asarray(labels.astype("int32"))
        return {name: lambda f=f: f(x, labels).block_until_ready() for name, f in compiled.items()}

    return calls


def of_onnxruntime(threads):
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    def session(nodes, labelled=False, constants=(), square=False):
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "k"])]
        if labelled:
            inputs.append(helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]))
        if square:
            inputs.append(helper.make_tensor_value_info("identity", TensorProto.FLOAT, ["k", "k"]))
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        graph = helper.make_graph(nodes, "one_operation", inputs, outputs, list(constants))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])

    def axis(name, value):
        return helper.make_tensor(name, TensorProto.INT64, [1], [value])

    node = helper.make_node
    softmax = session([node("Softmax", ["x"], ["y"], axis=1)])
    log_softmax = session([node("LogSoftmax", ["x"], ["y"], axis=1)])
    logsumexp = session([node("ReduceLogSumExp", ["x"], ["y"], axes=[1], keepdims=0)])
    loss = session([node("SoftmaxCrossEntropyLoss", ["x", "labels"], ["y"], reduction="none")], labelled=True)
    jacobian = session(
        [
            node("Softmax", ["x"], ["p"], axis=1),
            node("Unsqueeze", ["p", "last"], ["column"]),
            node("Unsqueeze", ["p", "middle"], ["row"]),
            node("Sub", ["identity", "row"], ["difference"]),
            node("Mul", ["column", "difference"], ["y"]),
        ],
        constants=[axis("middle", 1), axis("last", 2)],
        square=True,
    )

    def calls(x, labels):
        result = np.zeros_like(x)

        def into(opened):
            binding = opened.io_binding()
            binding.bind_cpu_input("x", x)
            binding.bind_output("y", "cpu", 0, np.float32, x.shape, result.ctypes.data)

            def call():
                opened.run_with_iobinding(binding)
                return result

            return call

        return {
            "softmax": into(softmax),
            "log_softmax": into(log_softmax),
            "logsumexp": lambda: logsumexp.run(None, {"x": x})[0],
            "cross_entropy": lambda: loss.run(None, {"x": x, "labels": labels})[0],
            "jacobian": lambda: jacobian.run(None, {"x": x, "identity": np.eye(x.shape[1], dtype=x.dtype)})[0],
        }

    return calls


# How a case is timed and judged.


def measured(call, seconds):
    """The median, the least and the number of the times of single calls."""

    def once():
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    if once() < seconds:
        once()
    times = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 5000):
        times.append(once())
    return statistics.median(times), min(times), len(times)


def moved(operation, n, k):
    """Bytes of each input and each result, once."""
    logits = 4 * n * k
    return logits + {"logsumexp": 4 * n, "cross_entropy": 8 * n, "jacobian": logits * k}.get(operation, logits)


def errors(operation, x, labels, result):
    """The largest relative and absolute error against f64, over rows at even distances."""
    import numpy as np

    n, k = x.shape
    width = k * k if operation == "jacobian" else k
    count = min(n, -(-(1 << 21) // width))
    rows = np.arange(count) * n // count
    found = np.asarray(result, dtype=np.float64).reshape(n, -1)[rows]
    x, labels = x[rows].astype(np.float64), labels[rows]
    largest = x.argmax(axis=1)
    at_largest = np.arange(count), largest
    terms = np.exp(x - x[at_largest][:, None])
    terms[at_largest] = 0
    # All but the largest, so that nothing is lost where it is nearly everything.
    rest = terms.sum(axis=1, keepdims=True)
    terms[at_largest] = 1
    p = terms / (1 + rest)
    log_sum = x[at_largest][:, None] + np.log1p(rest)
    if operation == "softmax":
        truth, least = p, 1e-30
    elif operation == "log_softmax":
        truth, least = x - log_sum, 1
    elif operation == "logsumexp":
        truth, least = log_sum, 1
    elif operation == "cross_entropy":
        truth, least = log_sum - x[np.arange(count), labels][:, None], 1
    else:
        pairs = -p[:, :, None] * p[:, None, :]
        diagonal = p * (1 - p)
        diagonal[at_largest] = p[at_largest] * (rest / (1 + rest))[:, 0]
        pairs[:, np.arange(k), np.arange(k)] = diagonal
        truth, least = pairs.reshape(count, -1), 1e-30
    difference = np.nan_to_num(np.abs(found - truth), nan=1e308, posinf=1e308)
    return float((difference / np.maximum(np.abs(truth), least)).max()), float(difference.max())


def shapes_of(text):
    return [tuple(int(length) for length in shape.split("x")) for shape in text.split(",") if shape]


def time_library(asked):
    """One process: a JSON line for each case of one library."""
    import numpy as np

    calls_of = globals()["of_" + asked.alone](asked.threads)
    on_rows = [operation for operation in asked.ops.split(",") if operation != "jacobian"]
    cases = [(shape, on_rows) for shape in shapes_of(asked.shapes)]
    if "jacobian" in asked.ops.split(","):
        cases += [(shape, ["jacobian"]) for shape in shapes_of(asked.jac_shapes)]
    for (n, k), operations in cases:
        random = np.random.default_rng([n, k])
        x = random.standard_normal((n, k), dtype=np.float32) * np.float32(5)
        labels = random.integers(0, k, n)
        calls = calls_of(x, labels)
        for operation in operations:
            try:
                relative, absolute = errors(operation, x, labels, calls[operation]())
                median, least, repeats = measured(calls[operation], asked.seconds)
            except Exception as why:  # what one case cannot do, the others may
                print(f"{asked.alone}: {operation} {n}x{k}: {why!r}"[:300], file=sys.stderr)
                continue
            line = dict(
                peer=asked.alone, op=operation, n=n, k=k, threads=asked.threads, mode="cpu", median_s=median,
                min_s=least, reps=repeats, gb_per_s=moved(operation, n, k) / median / 1e9,
                max_rel_err_vs_f64=relative, max_abs_err_vs_f64=absolute,
            )  # fmt: skip
            print(json.dumps(line), flush=True)


# All of them, one after the other.


def runners(asked):
    """A command for each library that is installed, and for the program."""
    for library, module in LIBRARIES.items():
        if asked.only and library not in asked.only.split(","):
            continue
        if importlib.util.find_spec(module) is None:
            print(f"{library} is not installed, and left out", file=sys.stderr)
            continue
        yield [sys.executable, __file__, "--library", library]
    for mode in asked.modes.split(","):
        yield [*shlex.split(asked.ours), "bench", "--lines", "--mode", mode]


def compare(asked):
    flags = ["--threads", str(asked.threads), "--seconds", str(asked.seconds), "--ops", asked.ops]
    flags += ["--shapes", asked.shapes, "--jac-shapes", asked.jac_shapes]
    names = ("OMP", "MKL", "OPENBLAS", "RAYON", "LP")
    environment = {**os.environ, **{f"{name}_NUM_THREADS": str(asked.threads) for name in names}}
    kept = []
    for turn in range(asked.rounds):
        for command in runners(asked):
            print(f"round {turn + 1} of {asked.rounds}: {' '.join(command[-4:])}", file=sys.stderr, flush=True)
            # JAX has no setting for it: as many cores as threads are all that any of them sees.
            pinned = None
            if hasattr(os, "sched_setaffinity"):
                cores = sorted(os.sched_getaffinity(0))[-asked.threads :]
                pinned = lambda: os.sched_setaffinity(0, cores)
            ran = subprocess.run(command + flags, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=pinned)
            kept += [json.loads(line) for line in ran.stdout.splitlines()]
            if ran.returncode != 0:
                print(f"  it ended with status {ran.returncode}", file=sys.stderr)
    if asked.lines:
        Path(asked.lines).write_text("".join(json.dumps(line) + "\n" for line in kept))
    for operation in asked.ops.split(","):
        print_table(operation, [line for line in kept if line["op"] == operation])


def print_table(operation, lines):
    """Milliseconds by library and shape, the fastest of each shape in bold, and the largest relative error."""
    if not lines:
        return
    shapes = list(dict.fromkeys((line["n"], line["k"]) for line in lines))
    times, worst = collections.defaultdict(list), collections.defaultdict(float)
    for line in lines:
        who = line["peer"] if line["mode"] == "cpu" else f"{line['peer']}, {line['mode']}"
        times[who, line["n"], line["k"]].append(line["median_s"])
        worst[who] = max(worst[who], line["max_rel_err_vs_f64"])
    medians = {case: statistics.median(found) for case, found in times.items()}
    print(f"\n{operation}, median ms\n")
    print("| | " + " | ".join(f"{n}×{k}" for n, k in shapes) + " | error |")
    print("| --- |" + " --- |" * (len(shapes) + 1))
    for who in dict.fromkeys(case[0] for case in medians):
        cells = []
        for shape in shapes:
            of_shape = [median for (_, *other), median in medians.items() if tuple(other) == shape]
            median = medians.get((who, *shape))
            cell = "–" if median is None else f"{median * 1e3:.3g}"
            cells.append(f"**{cell}**" if median == min(of_shape) else cell)
        print(f"| {who} | " + " | ".join(cells) + f" | {worst[who]:.0e} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each case")
    parser.add_argument("--ops", default=",".join(OPERATIONS))
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--jac-shapes", default=JACOBIAN_SHAPES)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", help="these libraries, with commas between them")
    parser.add_argument("--ours", default=str(PROGRAM), help="the program, built with `cargo build --release --workspace`")
    parser.add_argument("--modes", default="cpu", help="cpu, gpu-resident, gpu-e2e")
    parser.add_argument("--lines", help="keep every result in this file, a JSON object a line")
    parser.add_argument("--library", dest="alone", choices=LIBRARIES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        time_library(asked)
    else:
        compare(asked)


if __name__ == "__main__":
    main()
