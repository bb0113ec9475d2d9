# SPDX-License-Identifier: Apache-2.0
"""tools/gpu-check: on the fake driver it goes through; a test that fails, is skipped for no known reason or is missing makes it fail, as
do a missing device, a sanitizer's finding and a missing program that nothing works without."""
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ["STOA_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["STOA_BUILD_DIR"])
FAKE_DRIVER = BUILD / "tests/fake_cuda/lib"
FAKE_ORT = FAKE_DRIVER / "libonnxruntime.so"
failures = 0


def check(name, good, text=""):
    global failures
    failures += not good
    print(f"{'ok' if good else 'FAILED'}  {name}{'' if good else ': ' + text}", flush=True)


def gpu_check(folder, *options, build=BUILD, fake=True, path=None, summary="summary"):
    """Its exit code, its steps by name, its output."""
    environment = {**os.environ, "STOA_PACKAGES": str(SOURCE / "build/packages"), "LD_LIBRARY_PATH": str(FAKE_DRIVER) if fake else "", "PATH": path or os.environ["PATH"]}
    if fake and FAKE_ORT.exists(): # around the library that it was built for
        library, = SOURCE.glob(".venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*")
        environment |= {"STOA_ONNXRUNTIME": str(FAKE_ORT), "FAKE_ORT_LIBRARY": str(library)}
    ran = subprocess.run([sys.executable, SOURCE / "tools/gpu-check", "--out", folder / "out", "--build", build, "--quick", *options],
                         capture_output=True, text=True, env=environment)
    found = json.loads((folder / f"out/{summary}.json").read_text())
    return ran.returncode, {s["step"]: s for s in found["steps"]}, ran.stdout + ran.stderr


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def tests_are_judged(folder):
    """A build folder of tests that do what they are called."""
    script = folder / "do"
    write_program(script, "#!/bin/sh\necho it says $1\ncase $1 in pass) exit 0;; skip) exit 77;; esac\nexit 1\n")
    cases = {"passes": "pass", "fails": "fail", "skips": "skip", "test_alpaka": "skip"}
    lines = [f'add_test({name} "{script}" {what})\nset_tests_properties({name} PROPERTIES SKIP_RETURN_CODE 77)' for name, what in cases.items()]
    (folder / "CTestTestfile.cmake").write_text("\n".join([*lines, f'add_test(is_missing "{folder}/no_such_program")']) + "\n")
    os.environ.pop("STOA_ALPAKA", None)
    for tests, good in (("passes", True), ("passes|test_alpaka", True), ("passes|fails", False), ("passes|skips", False),
                        ("passes|is_missing", False), ("there_is_none", False)):
        code, steps, output = gpu_check(folder, "--steps", "tests", "--tests", f"^({tests})$", build=folder)
        check(f"tests {tests}: {'good' if good else 'a failure'}", (code == 0) == good, output)
        for name in tests.split("|")[1:] if not good else []:
            check(f"names {name}", steps.get(name, {}).get("status") == "failed", output)


def sanitizers_are_heard(folder):
    """compute-sanitizer is played by a script that finds something, or not, in the programs it runs."""
    for code_of_sanitizer in (0, 99):
        write_program(folder / "compute-sanitizer", f'#!/bin/sh\nshift 4\n"$@" > /dev/null || exit 1\nexit {code_of_sanitizer}\n')
        code, steps, output = gpu_check(folder, "--steps", "sanitize", path=f"{folder}:{os.environ['PATH']}")
        ran = [name for name in steps if name.startswith(("memcheck", "racecheck"))]
        check(f"sanitizer with exit {code_of_sanitizer}", (code == 0) == (code_of_sanitizer == 0) and len(ran) >= 8, output)


def devices_are_needed(folder):
    code, steps, output = gpu_check(folder, "--steps", "machine", fake=False)
    check("no device is a failure with its reason", code == 1 and "no driver" in steps["device"]["text"], output)
    code, steps, output = gpu_check(folder, "--steps", "machine")
    machine = json.loads((folder / "out/machine.json").read_text())
    check("the machine line names the device", code == 0 and any(d["name"] == "cuda:0" for d in machine["devices"]), output)


def programs_are_needed(folder):
    empty = folder / "empty"
    empty.mkdir()
    code, steps, output = gpu_check(folder, path=str(empty))
    missing = {name for name, step in steps.items() if step["status"] == "failed"}
    check("all that is missing is named at once", code == 1 and {"cmake", "ninja or make", "cc", "pkg-config"} <= missing, output)


def it_goes_through(folder):
    """All steps but configuring and compiling, which this build has behind it."""
    code, steps, output = gpu_check(folder, "--steps", "machine,tests_gpu,packages,bench,streams", "--tests", "^gpu_test_(queue|algo)$")
    check("goes through on the fake driver", code == 0 and steps["tests_gpu"]["text"] == "2 passed", output)
    for name in ("machine.json", "summary.csv", "tests_gpu.xml", "streams.csv", "bench/device.csv", "bench/device_copy.csv",
                 "bench/device_models.csv", "bench/device_sessions.csv", "bench/device_crossover.csv"):
        check(f"leaves {name}", (folder / "out" / name).exists(), output)
    models_are_measured(folder / "out")


def models_are_measured(out):
    """Times mean nothing here; which contenders there are, and what they differ by, do. Who is left out has a reason in the log."""
    with (out / "bench/device_models.csv").open() as file:
        lines = list(csv.DictReader(file))
    log = (out / "bench.log").read_text()
    native = {"native", "native_graph", "native_tfloat32", "native_bfloat16", "native_float16"}
    ort = {"onnxruntime", "tensorrt"} if FAKE_ORT.exists() else set()
    wanted = {"hlt_high_purity": native | ort, "scout_taus": native | ort, "selector": native | ort | {"torchscript"}}
    for network, contenders in wanted.items():
        found = {line["contender"]: line for line in lines if line["name"] == network}
        check(f"{network}: contenders", contenders | {"empty_kernel", "copy", "fma_peak", "host_native"} <= found.keys(), str(found.keys()))
        numbers = [float(found[name][key]) for name in contenders for key in ("median_ns", "of_roofline")]
        check(f"{network}: times and rooflines", all(number > 0 for number in numbers), str(numbers))
        errors = {name: float(found[name]["max_difference"]) for name in contenders}
        good = all(errors[name] < 1e-5 for name in contenders & {"native", "native_graph", "torchscript", "onnxruntime", "tensorrt"})
        check(f"{network}: differences", good and 0 < errors["native_float16"] < errors["native_bfloat16"], str(errors))
    for name in {"aoti", "torchscript_graph", "onnxruntime", "tensorrt"} - ort:
        check(f"selector by {name} is left out with a reason", f"selector by {name} left out: " in log, log)
    with (out / "bench/device_sessions.csv").open() as file:
        queues = [(line["queue"], float(line["driver_bytes"])) for line in csv.DictReader(file) if (line["name"], line["contender"]) == ("selector", "native")]
    check("weights go to a device with the first queue's session", [n for n, _ in queues] == ["1", "2", "3"] and
          queues[0][1] > 0 and not any(taken for _, taken in queues[1:]), str(queues))


def parts_go_on(folder):
    """A part named alone has a summary of its own; what takes longer than its limit is a failure and no hang."""
    code, _, output = gpu_check(folder, "gpu", "--tests", "^gpu_test_queue$", summary="summary_gpu")
    check("a part alone", code == 0, output)
    code, steps, output = gpu_check(folder, "--steps", "bench", "--limit", "0.01")
    check("a limit ends a command", code == 1 and "0.01 s" in steps["bench"]["text"], output)


def main():
    if not FAKE_DRIVER.exists():
        print("skip: this build has no CUDA back end")
        return 77
    for part in (tests_are_judged, sanitizers_are_heard, devices_are_needed, programs_are_needed, it_goes_through, parts_go_on):
        with tempfile.TemporaryDirectory() as folder:
            part(pathlib.Path(folder))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
