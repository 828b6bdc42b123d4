"""Tests and measures seqweave on a GPU machine, in one go of under ten minutes. Needs Python 3, no Rust.

Beside it lie `seqweave`, `seqweave-kernel-tests` and `torch_step.py`, as `cargo xtask kernels pack` puts them. Every step
has a time limit of its own, and nothing is begun after the time for all (SEQWEAVE_BENCH_SECONDS, 510) is over; what is found
is appended to gpu.jsonl, and tables of what there is are printed last, whatever went wrong before. PyTorch, cuBLASLt and
compute-sanitizer are used where they are found, and their absence is said.

Single kernels stand beside their floors: the time in which the card's ceilings move their bytes or make their products.
"""

import glob
import json
import os
import shutil
import site
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(HERE, "gpu.jsonl")
# No step is begun later than this after the start, in seconds.
LIMIT = float(os.environ.get("SEQWEAVE_BENCH_SECONDS", "510"))

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


def measurement(name, command, seconds, env=None):
    """The JSON line that a measuring program prints last, kept; None without one."""
    code, text = run(name, command, seconds, env)
    lines = json_lines(text, "{")
    return keep(lines[-1]) if code == 0 and lines else None


def json_lines(text, start):
    """What the lines that begin so say; a line that was cut off says nothing."""
    found = []
    for line in text.splitlines():
        if line.startswith(start):
            try:
                found.append(json.loads(line))
            except ValueError:
                print(f"   not JSON: {line[:100]}", flush=True)
    return found


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


def floors(lines, ceilings):
    """Prints kernels beside their floors; those without a ceiling stand alone."""
    gemm = {"f32": "gemm_f32_TFLOP_s", "f32-fast": "gemm_tf32_TFLOP_s", "bf16": "gemm_bf16_TFLOP_s"}
    # Split operands take three products of TF32 each.
    times = {"f32-fast": 3}
    print(f"\n{'kernel':<42}{'precision':<10}{'µs':>10}{'floor µs':>10}{'times':>8}")
    for line in lines:
        kind, floor, ratio = line["precision"], "-", "-"
        if ceilings and line["bytes"]:
            moved = line["bytes"] / ceilings["copy_GB_s"] / 1e3
            made = times.get(kind, 1) * line["flop"] / ceilings[gemm[kind]] / 1e6
            best = max(moved, made)
            floor, ratio = f"{best:.1f}", f"{line['us'] / best:.2f}"
        print(f"{line['kernel']:<42}{kind:<10}{line['us']:>10.2f}{floor:>10}{ratio:>8}")


class Report:
    """What has been found so far."""

    def __init__(self):
        self.end = time.time() + LIMIT
        self.parity = "not run"
        self.sanitized = {}
        self.ceilings = None
        self.kernels = None
        # (what was measured or None, who, size, mode, batch, precision)
        self.rows = []
        self.late = 0
        self.broken = []

    def is_late(self):
        """Whether there is no time left to begin something; counted."""
        late = time.time() > self.end
        self.late += late
        return late

    def known(self):
        lengths = {"small": 20, "medium": 25, "large": 30}
        return [{"peer": peer, "config": config, "mode": mode, "batch": batch, "precision": precision,
                 "length": lengths[config], "tokens_per_s": found["tokens_per_s"]}
                for found, peer, config, mode, batch, precision in self.rows if found]

    def failed(self):
        return len(self.rows) - len(self.known())

    def show(self):
        """Prints all there is; a part that cannot be printed does not keep back the next."""
        for part in (lambda: floors(self.kernels or [], self.ceilings), lambda: table(self.known()), self.summary):
            try:
                part()
            except Exception:
                self.broken.append("report")
                traceback.print_exc()

    def summary(self):
        print(f"\nparity {self.parity}; sanitizers: {self.sanitized or 'skipped'}; {self.failed()} measurements failed, "
              f"{self.late} left out for time; {RESULTS}")
        if self.broken:
            print("cut short:", ", ".join(self.broken))
        if self.ceilings:
            print("ceilings:", ", ".join(f"{key} {value:.0f}" for key, value in self.ceilings.items() if isinstance(value, float)))

    def is_good(self):
        return (self.parity == "passed" and bool(self.kernels) and "FAILED" not in self.sanitized.values()
                and not self.failed() and not self.broken)


def tests_and_sanitizers(report):
    tests = [os.path.join(HERE, "seqweave-kernel-tests"), "--test-threads=1"]
    need = {"SEQWEAVE_REQUIRE_CUDA": "1"}
    code, text = run("parity", [*tests, "cuda::"], 120, need)
    keep({"step": "parity", "exit": code, "result": [line for line in text.splitlines() if line.startswith("test result")]})
    report.parity = "passed" if code == 0 else "FAILED"

    sanitizer = shutil.which("compute-sanitizer")
    for tool in ("memcheck", "racecheck"):
        if not sanitizer:
            print("no compute-sanitizer on the PATH: skipped")
            break
        some = "cuda::operations::operations_without_a_gradient_agree_with_the_cpu"
        code, _ = run(tool, [sanitizer, "--tool", tool, "--error-exitcode", "9", *tests, "--exact", some], 60, need)
        report.sanitized[tool] = {0: "clean", 124: "took too long"}.get(code, "FAILED")
        keep({"step": tool, "exit": code})


def single_kernels(report, has_torch):
    if has_torch:
        report.ceilings = measurement("ceilings", [sys.executable, "-c", CEILINGS], 60)
    else:
        print("no PyTorch with CUDA: no ceilings, no peers")
    one = [os.path.join(HERE, "seqweave-kernel-tests"), "--test-threads=1", "--exact", "cuda::floors::kernels_beside_their_floors", "--nocapture"]
    code, text = run("kernels beside their floors", one, 60, {"SEQWEAVE_REQUIRE_CUDA": "1", "SEQWEAVE_MEASURE": "1"})
    found = [keep(line) for line in json_lines(text, '{"kernel"')]
    # What a run printed before it died is worth having, but not good.
    report.kernels = found
    if code != 0:
        report.broken.append("kernels beside their floors")


# Between f32 and bf16 stand our products of split operands, and PyTorch's in TF32, which keep fewer bits.
PRECISIONS = {"f32": "f32", "tf32": "f32-fast", "bf16": "bf16"}


def models(report, has_torch):
    work = [("medium", "train", 64), ("medium", "greedy", 64), ("small", "train", 64), ("large", "train", 64)]
    work += [("medium", "train", 256), ("medium", "greedy", 1), ("small", "train", 256), ("large", "train", 256)]
    for config, mode, batch in work:
        common = ["--config", config, "--mode", mode, "--batch", str(batch), "--seconds", "0.7"]
        for precision, our_name in PRECISIONS.items():
            ours = [os.path.join(HERE, "seqweave"), "bench", "--device", "cuda", "--no-input-feed", "--json", *common]
            ours += ["--precision", our_name]
            # Training takes cuBLASLt where it is found, decoding never does.
            ways = [("ours", "seqweave", None)]
            if mode == "train":
                ways.append(("ours, as graphs", "seqweave graphs", {"SEQWEAVE_CUDA_GRAPHS": "on"}))
                if config == "medium":
                    ways.append(("ours, own products", "seqweave own", {"SEQWEAVE_GEMM": "own"}))
            for name, who, env in ways:
                if not report.is_late():
                    report.rows.append((measurement(name, ours, 30, env), who, config, mode, batch, precision))
        ways = ["graphs", "eager"] if mode == "train" else ["eager"]
        # Compiling takes its time: one size and batch stand for it.
        if (config, mode, batch) == ("medium", "train", 64):
            ways.append("compile")
        if has_torch and not report.is_late():
            peers(report, common, ways, config, mode, batch)


def peers(report, common, ways, config, mode, batch):
    """PyTorch, all ways and precisions in one process: importing it takes longer than a measurement."""
    command = [sys.executable, "torch_step.py", *common, "--way", *ways, "--precision", *PRECISIONS]
    _, text = run("pytorch", command, 150)
    found = {(line["peer"], line["precision"]): keep(line) for line in json_lines(text, "{")}
    for way in ways:
        for precision in PRECISIONS:
            who = f"pytorch {way}"
            report.rows.append((found.get((who, precision)), who, config, mode, batch, precision))


def main():
    report = Report()
    try:
        find_libraries()
        tests_and_sanitizers(report)
        has_torch = run("is there PyTorch", [sys.executable, "-c", "import torch; assert torch.cuda.is_available()"], 60)[0] == 0
        for part in (single_kernels, models):
            try:
                part(report, has_torch)
            except Exception:
                report.broken.append(part.__name__)
                traceback.print_exc()
    except (Exception, KeyboardInterrupt) as error:
        report.broken.append(type(error).__name__)
        traceback.print_exc()
    finally:
        report.show()
    sys.exit(0 if report.is_good() else 1)


main()
