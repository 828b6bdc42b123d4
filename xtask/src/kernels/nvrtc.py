"""Compiles CUDA sources with an NVRTC library: jobs as JSON on standard input, results on standard output.

The task runner calls it; it is Python because the library comes as a Python wheel and the task runner has no unsafe code.

Input:  {"library": path, "headers": {name: text}, "jobs": [{"name", "text", "options": [...], "ptx": bool, "output": path}]}
Output: one JSON line a job, in order: {"ok": bool, "log": text}
"""

import concurrent.futures
import ctypes
import json
import os
import sys


def check(lib, code):
    if code != 0:
        lib.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise SystemExit(f"NVRTC: {lib.nvrtcGetErrorString(code).decode()}")


def fetch(lib, size_of, get, program):
    """A string or an image of a program, through the pair of functions that tell its size and copy it."""
    size = ctypes.c_size_t()
    check(lib, size_of(program, ctypes.byref(size)))
    data = ctypes.create_string_buffer(size.value)
    check(lib, get(program, data))
    return data.raw


def compile_one(lib, headers, job):
    program = ctypes.c_void_p()
    names = (ctypes.c_char_p * len(headers))(*(name.encode() for name in headers))
    texts = (ctypes.c_char_p * len(headers))(*(text.encode() for text in headers.values()))
    check(
        lib,
        lib.nvrtcCreateProgram(
            ctypes.byref(program), job["text"].encode(), job["name"].encode(), len(headers), texts, names
        ),
    )
    options = (ctypes.c_char_p * len(job["options"]))(*(option.encode() for option in job["options"]))
    ok = lib.nvrtcCompileProgram(program, len(options), options) == 0
    log = fetch(lib, lib.nvrtcGetProgramLogSize, lib.nvrtcGetProgramLog, program)
    if ok:
        kind = ("nvrtcGetPTXSize", "nvrtcGetPTX") if job["ptx"] else ("nvrtcGetCUBINSize", "nvrtcGetCUBIN")
        image = fetch(lib, getattr(lib, kind[0]), getattr(lib, kind[1]), program)
        with open(job["output"], "wb") as file:
            file.write(image)
    check(lib, lib.nvrtcDestroyProgram(ctypes.byref(program)))
    return {"ok": ok, "log": log.rstrip(b"\0").decode(errors="replace")}


def main():
    request = json.load(sys.stdin)
    lib = ctypes.CDLL(request["library"])
    # NVRTC may be called from several threads at once.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(lambda job: compile_one(lib, request["headers"], job), request["jobs"]):
            print(json.dumps(result))


main()
