# SPDX-License-Identifier: Apache-2.0
"""tools/gpu-check: on the fake driver it goes through; a test that fails, is skipped for no known reason or is missing makes it fail, as
do a missing device, a sanitizer's finding and a missing program that nothing works without."""
import csv
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
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


def gpu_check(folder, *options, build=BUILD, devices=2, path=None, summary="summary", data=None):
    """Its exit code, its steps by name, its output. The fake driver comes before a real one."""
    libraries = os.pathsep.join(filter(None, [str(FAKE_DRIVER), os.environ.get("LD_LIBRARY_PATH")]))
    environment = {**os.environ, "STOA_PACKAGES": str(SOURCE / "build/packages"), "LD_LIBRARY_PATH": libraries,
                   "FAKE_CUDA_DEVICES": str(devices), "PATH": path or os.environ["PATH"]}
    environment.pop("STOA_DATA", None)
    if data:
        environment["STOA_DATA"] = str(data)
    if FAKE_ORT.exists(): # around the library that it was built for
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
    cases = {"passes": "pass", "fails": "fail", "skips": "skip", "test_alpaka": "skip", "rocm_skips": "skip"}
    lines = [f'add_test({name} "{script}" {what})\nset_tests_properties({name} PROPERTIES SKIP_RETURN_CODE 77)' for name, what in cases.items()]
    lines.append('set_tests_properties(rocm_skips PROPERTIES LABELS rocm)')
    (folder / "CTestTestfile.cmake").write_text("\n".join([*lines, f'add_test(is_missing "{folder}/no_such_program")']) + "\n")
    os.environ.pop("STOA_ALPAKA", None)
    for tests, good in (("passes", True), ("passes|test_alpaka", True), ("passes|rocm_skips", True), ("passes|fails", False), ("passes|skips", False),
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
    code, steps, output = gpu_check(folder, "--steps", "machine", devices=0)
    check("no device is a failure with its reason", code == 1 and "CUDA_ERROR_NO_DEVICE" in steps["device"]["text"], output)
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
    words = folder / "data/puppi/puppi_w3pi_pu200.dump"
    words.parent.mkdir(parents=True)
    subprocess.run([BUILD / "cli/stoa", "generate", "scout", "--events", "50", "--seed", "3", "--out", words], check=True)
    code, steps, output = gpu_check(folder, "--steps", "machine,tests_gpu,packages,bench,scout,streams", "--tests", "^gpu_test_(queue|algo)$",
                                    data=folder / "data")
    check("goes through on the fake driver", code == 0 and steps["tests_gpu"]["text"] == "2 passed", output)
    check("scouts on host and device", {"scout real host", "scout real cuda:0", "scout"} <= steps.keys(), output)
    for name in ("machine.json", "summary.csv", "tests_gpu.xml", "streams.csv", "bench/device/device.csv",
                 "bench/device_copy/device_copy.csv", "bench/device_models_selector/device_models.csv", "bench/device_models.csv", "bench/device_sessions.csv", "bench/device_crossover.csv"):
        check(f"leaves {name}", (folder / "out" / name).exists(), output)
    models_are_measured(folder / "out")


def models_are_measured(out):
    """Times mean nothing here; which contenders there are, and what they differ by, do. Who is left out has a reason in the log."""
    with (out / "bench/device_models.csv").open() as file:
        lines = list(csv.DictReader(file))
    log = (out / "bench_device_models_selector.log").read_text()
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
    check("a limit ends a command, and the next one begins", code == 1 and
          all("0.01 s" in steps[name]["text"] for name in ("bench device", "bench device_models_selector")), output)


def listed_tests():
    """What this build's tests may do: {name: properties}."""
    listed = subprocess.run(["ctest", "--test-dir", BUILD, "--show-only=json-v1"], capture_output=True, text=True, check=True).stdout
    tests = json.loads(listed[listed.find("{"):])["tests"]
    return {test["name"]: {p["name"]: p["value"] for p in test["properties"]} for test in tests}


def skips_are_known(_):
    """Each test that can skip is in a row of gpu-check's table, each row is of such a test, and each program that can skip is one to ctest.
    A test on the GPU skips where there is none, which no row excuses; HIP's are not run."""
    loader = importlib.machinery.SourceFileLoader("gpu_check", str(SOURCE / "tools/gpu-check"))
    tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_check", loader))
    loader.exec_module(tool)
    rows = [tests for _, _, _, tests in tool.DEPENDENCIES if tests]
    tests = listed_tests()
    can_skip = {name for name, properties in tests.items() if {"SKIP_RETURN_CODE", "SKIP_REGULAR_EXPRESSION"} & properties.keys()}
    judged = {name for name in can_skip if not {"gpu", "rocm"} & set(tests[name].get("LABELS", []))}
    unknown = sorted(name for name in judged if not any(re.fullmatch(row, name) for row in rows))
    check("each test that can skip has its row", len(judged) > 10 and not unknown, str(unknown))
    stale = [row for row in rows if not any(re.fullmatch(row, name) for name in can_skip)]
    check("each row has its test", not stale or "STOA_ALPAKA" in os.environ, str(stale))
    sources = [path for pattern in ("*.c", "*.py") for path in (SOURCE / "tests").rglob(pattern)]
    skipping = [path for path in sources if re.search(r"(return|exit\() ?77|SKIPPED;|fixture_skip\(\)", path.read_text())]
    names = {path: f"py_{path.stem}" if path.suffix == ".py" else path.stem for path in skipping}
    missed = [name for name in names.values() if name in tests and name not in can_skip]
    check("each program that can skip is one to ctest", len(skipping) > 8 and not missed, str(missed))


def main():
    if not FAKE_DRIVER.exists():
        print("skip: this build has no CUDA back end")
        return 77
    for part in (skips_are_known, tests_are_judged, sanitizers_are_heard, devices_are_needed, programs_are_needed, it_goes_through, parts_go_on):
        with tempfile.TemporaryDirectory() as folder:
            part(pathlib.Path(folder))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
