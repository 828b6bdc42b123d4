"""Tests and measures seqweave on a GPU machine, in one go of under ten minutes. Needs Python 3, no Rust.

Beside it lie `seqweave`, `seqweave-kernel-tests` and `torch_step.py`, as `cargo xtask kernels pack` puts them. Every step
has a time limit of its own; what it finds is appended to gpu.jsonl, and a table is printed last. PyTorch and
compute-sanitizer are used where they are found, and their absence is said.

Not measured here: the grid barrier alone, and single kernels beside their floors.
"""

import glob
import json
import os
import shutil
import site
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(HERE, "gpu.jsonl")
# No measurement is begun later than this after the start, in seconds.
LIMIT = 510

CEILINGS = """
import json, time, torch
def rate(work, call):
    for _ in range(3): call()
    torch.cuda.synchronize(); start = time.perf_counter(); n = 20
    for _ in range(n): call()
    torch.cuda.synchronize(); return work * n / (time.perf_counter() - start)
n = 8192
x = torch.empty(1 << 28, device="cuda"); y = torch.empty_like(x)
found = {"step": "ceilings", "gpu": torch.cuda.get_device_name(), "torch": torch.__version__,
         "copy_GB_s": rate(8 * x.numel(), lambda: y.copy_(x)) / 1e9}
for name, kind, tf32 in [("f32", torch.float32, False), ("tf32", torch.float32, True), ("bf16", torch.bfloat16, False)]:
    torch.backends.cuda.matmul.allow_tf32 = tf32
    a = torch.randn(n, n, device="cuda", dtype=kind)
    found[f"gemm_{name}_TFLOP_s"] = rate(2 * n ** 3, lambda: a @ a) / 1e12
print(json.dumps(found))
"""


def keep(result):
    with open(RESULTS, "a") as file:
        file.write(json.dumps(result) + "\n")
    return result


def run(name, command, seconds, env=None):
    """(exit code or None, output) of a step; 124 if it took too long."""
    print(f"== {name}: {' '.join(command)[:150]}", flush=True)
    start = time.time()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=HERE, env={**os.environ, **(env or {})})
        code, text = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        code, text = 124, (late.stdout or b"").decode(errors="replace")
    except OSError as error:
        code, text = None, str(error)
    print(f"   exit {code}, {time.time() - start:.0f} s", flush=True)
    if code != 0:
        print("   " + "\n   ".join(text.splitlines()[-12:]), flush=True)
    return code, text


def measurement(name, command, seconds):
    """The JSON line that a measuring program prints last, kept; None without one."""
    code, text = run(name, command, seconds)
    lines = [line for line in text.splitlines() if line.startswith("{")]
    return keep(json.loads(lines[-1])) if code == 0 and lines else None


def find_libraries():
    """cuBLAS and its like often lie in Python packages, where the loader does not look."""
    folders = [path for root in site.getsitepackages() for path in glob.glob(os.path.join(root, "nvidia", "*", "lib"))]
    os.environ["LD_LIBRARY_PATH"] = ":".join(folders + [os.environ.get("LD_LIBRARY_PATH", "")])


def table(rows):
    print(f"\n{'size':<8}{'mode':<8}{'batch':>6} {'precision':<10}{'who':<18}{'ms a step':>10}{'tokens/s':>12}{'ours ÷ it':>10}")
    for row in rows:
        same = lambda other: all(other[key] == row[key] for key in ("config", "mode", "batch", "precision"))
        ours = [other for other in rows if same(other) and other["peer"] == "seqweave"]
        ratio = f"{ours[0]['tokens_per_s'] / row['tokens_per_s']:.2f}" if ours else "-"
        step = f"{1e3 * row['batch'] * row['length'] / row['tokens_per_s']:.2f}"
        print(f"{row['config']:<8}{row['mode']:<8}{row['batch']:>6} {row['precision']:<10}{row['peer']:<18}{step:>10}{row['tokens_per_s']:>12.0f}{ratio:>10}")


def main():
    find_libraries()
    end = time.time() + LIMIT
    tests = [os.path.join(HERE, "seqweave-kernel-tests"), "--test-threads=1"]
    need = {"SEQWEAVE_REQUIRE_CUDA": "1"}
    code, text = run("parity", [*tests, "cuda::"], 120, need)
    keep({"step": "parity", "exit": code, "result": [line for line in text.splitlines() if line.startswith("test result")]})
    parity = "passed" if code == 0 else "FAILED"

    sanitizer = shutil.which("compute-sanitizer")
    sanitized = {}
    for tool in ("memcheck", "racecheck"):
        if not sanitizer:
            print("no compute-sanitizer on the PATH: skipped")
            break
        some = "cuda::operations::operations_without_a_gradient_agree_with_the_cpu"
        code, _ = run(tool, [sanitizer, "--tool", tool, "--error-exitcode", "9", *tests, "--exact", some], 60, need)
        sanitized[tool] = {0: "clean", 124: "took too long"}.get(code, "FAILED")
        keep({"step": tool, "exit": code})

    has_torch = run("is there PyTorch", [sys.executable, "-c", "import torch; assert torch.cuda.is_available()"], 60)[0] == 0
    if has_torch:
        ceilings = measurement("ceilings", [sys.executable, "-c", CEILINGS], 60)
    else:
        print("no PyTorch with CUDA: no ceilings, no peers")

    rows, late, lengths = [], 0, {"small": 20, "medium": 25, "large": 30}
    work = [(config, "train", batch) for config in ("medium", "small", "large") for batch in (64, 256)]
    work += [("medium", "greedy", batch) for batch in (1, 64)]
    for config, mode, batch in work:
        # TF32 is no mode of ours yet; PyTorch's is measured for comparison.
        for precision in ("f32", "tf32", "bf16"):
            common = ["--config", config, "--mode", mode, "--batch", str(batch), "--precision", precision, "--seconds", "1"]
            if precision != "tf32":
                ours = [os.path.join(HERE, "seqweave"), "bench", "--device", "cuda", "--no-input-feed", "--json", *common]
                rows.append((measurement("ours", ours, 30), "seqweave", config, mode, batch, precision))
            ways = ["graphs", "eager", "compile"] if mode == "train" else ["eager"]
            for way in ways if has_torch else []:
                # Compiling takes its time: one size and batch stand for it.
                if way == "compile" and (config, batch) != ("medium", 64):
                    continue
                if time.time() > end:
                    late += 1
                    continue
                peer = [sys.executable, "torch_step.py", "--way", way, *common]
                rows.append((measurement("pytorch", peer, 90), f"pytorch {way}", config, mode, batch, precision))

    known = []
    for found, peer, config, mode, batch, precision in rows:
        if found:
            known.append({"peer": peer, "config": config, "mode": mode, "batch": batch, "precision": precision,
                          "length": lengths[config], "tokens_per_s": found["tokens_per_s"]})
    table(known)
    print(f"\nparity {parity}; sanitizers: {sanitized or 'skipped'}; {len(rows) - len(known)} measurements failed, {late} of peers left out for time; {RESULTS}")
    if has_torch and ceilings:
        print("ceilings:", ", ".join(f"{key} {value:.0f}" for key, value in ceilings.items() if isinstance(value, float)))
    sys.exit(0 if parity == "passed" and "FAILED" not in sanitized.values() and len(known) == len(rows) else 1)


main()
