# SPDX-License-Identifier: Apache-2.0
"""`mpirun -n R stoa hlt` and `stoa scout`: the files of one process, legacy tracks too, also after a rank was killed and the command given again;
parts are taken again only while all that the job reads is what it was.

STOA_BUILD_DIR names the build folder that holds cli/stoa. Skipped, with the reason, where OpenMPI is missing.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(os.environ.get("STOA_SOURCE_DIR") or pathlib.Path(__file__).resolve().parents[2])
BUILD = pathlib.Path(os.environ.get("STOA_BUILD_DIR") or SOURCE / "build" / "release")
STOA = BUILD / "cli" / "stoa"
PLUGIN = BUILD / "cli" / "scale_out" / "libstoa_mpi.so"
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
TIMEOUT = 240
SCOUT_TABLES = ["orbits.csv", "taus.csv", "clusters.csv", "w3pi.csv", "selected.csv"]

failures = 0


def check(name, condition, detail=""):
    global failures
    failures += not condition
    print(f"{'ok  ' if condition else 'FAIL'}  {name}" + (f": {detail}" if detail and not condition else ""), flush=True)


def stoa(*words, program=STOA, env=None):
    return subprocess.run([str(program), *map(str, words)], capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, **(env or {})})


def mpirun(ranks, *words):
    return ["mpirun", "--oversubscribe", "-n", str(ranks), str(STOA), *map(str, words)]


def run_ranks(ranks, *words):
    return subprocess.run(mpirun(ranks, *words), capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, **AS_ROOT})


def same_files(one, other, names):
    return [name for name in names if (one / name).read_bytes() != (other / name).read_bytes()]


def counts(text):
    """What does not depend on the clock."""
    summary = json.loads(text)
    return {key: value for key, value in summary.items() if key not in ("us_per_event", "ranks", "out")}


def processes_of(parent):
    """Processes that run stoa below `parent`."""
    found = []
    for task in pathlib.Path(f"/proc/{parent}/task").iterdir():
        for child in (task / "children").read_text().split():
            if pathlib.Path(f"/proc/{child}/exe").resolve() == STOA.resolve():
                found.append(int(child))
    return found


def kill_a_rank(job, parts):
    """When two parts are finished; False when the job ended before."""
    finished = lambda: [entry for entry in parts.glob("*") if entry.name.isdigit()]
    end = time.time() + TIMEOUT
    while job.poll() is None and time.time() < end:
        if len(finished()) >= 2 and (ranks := processes_of(job.pid)):
            os.kill(ranks[-1], signal.SIGKILL)
            return True
        time.sleep(0.002)
    return False


def test_job(work, verb, inputs, tables, pictures, *words):
    """Files of 2 and 3 ranks are those of one process; a job that lost a rank goes on where it was."""
    one = work / f"{verb}_one"
    alone = stoa(verb, *inputs, *words, "--out", one, "--json")
    check(f"{verb}: one process", alone.returncode == 0, alone.stderr)
    for ranks in (2, 3):
        many = work / f"{verb}_{ranks}"
        done = run_ranks(ranks, verb, *inputs, *words, "--out", many, "--json")
        if done.returncode:
            check(f"{verb}: {ranks} ranks", False, done.stderr)
            continue
        check(f"{verb}: {ranks} ranks, the same files", not (other := same_files(one, many, tables + pictures)), other)
        check(f"{verb}: {ranks} ranks, the same counts", counts(done.stdout) == counts(alone.stdout), done.stdout)
        check(f"{verb}: {ranks} ranks are told", json.loads(done.stdout)["ranks"] == ranks)
        check(f"{verb}: {ranks} ranks, no parts left", not (many / "parts").exists())
    lost = work / f"{verb}_lost"
    command = (verb, *inputs, *words, "--no-pictures", "--out", lost)
    job = subprocess.Popen(mpirun(2, *command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **AS_ROOT})
    killed = kill_a_rank(job, lost / "parts")
    message = job.communicate(timeout=TIMEOUT)[1]
    check(f"{verb}: a rank was killed, mpirun says so", killed and job.returncode != 0 and "signal 9" in message, message)
    done = run_ranks(3, *command)
    check(f"{verb}: the command again goes on", done.returncode == 0 and "from an earlier run" in done.stderr, done.stderr)
    check(f"{verb}: and gives the same files", not (other := same_files(one, lost, tables)), other)
    other_words = run_ranks(2, verb, *inputs, *words, "--no-pictures", "--out", lost, "--streams", 2)
    check(f"{verb}: another command begins anew", other_words.returncode == 0 and "earlier run" not in other_words.stderr, other_words.stderr)


def test_legacy(work, events):
    """The file of legacy tracks, which the first rank writes from all ranks' parts."""
    for name, order in (("legacy_all", ["--vertices-first"]), ("legacy", [])):
        command = ("hlt", events, "--selector", "forest", "--vertexing", "divisive", *order, "--legacy", "legacy.csv", "--no-pictures", "--json")
        files = ["legacy.csv", "tracks.csv", "vertices.csv"]
        alone = stoa(*command, "--out", work / name)
        check(f"{name}: one process", alone.returncode == 0, alone.stderr)
        for ranks in (2, 3):
            many = work / f"{name}_{ranks}"
            done = run_ranks(ranks, *command, "--out", many)
            if done.returncode:
                check(f"{name}: {ranks} ranks", False, done.stderr)
                continue
            check(f"{name}: {ranks} ranks, the same files", not (other := same_files(work / name, many, files)), other)
            check(f"{name}: {ranks} ranks, the same counts", counts(done.stdout) == counts(alone.stdout), done.stdout)
        lines = (work / name / "legacy.csv").read_text().count("\n") - 1
        wanted = json.loads(alone.stdout)["preselected" if order else "selected"]
        check(f"{name}: a line for each track", lines == wanted > 0, (lines, wanted))


def test_changes(work):
    """A job whose last step fails keeps its parts: they are taken again as long as all that it reads is what it was."""
    place = work / "place"
    program, model, events = place / "bin" / "stoa", place / "share" / "stoa" / "models" / "hlt_high_purity.forest", place / "events.h5"
    for path in (program.parent / "scale_out", model.parent):
        path.mkdir(parents=True)
    shutil.copy(STOA, program)
    shutil.copy(PLUGIN, program.parent / "scale_out")
    shutil.copy(SOURCE / "models" / model.name, model)
    stoa("generate", "hlt", "--events", 20, "--pileup", 20, "--hits", "--out", events)
    out = place / "out"
    (out / "tracks.csv").mkdir(parents=True)  # so no table can be written there

    def run(*more):
        done = subprocess.run(["mpirun", "--oversubscribe", "-n", "2", program, "hlt", events, "--selector", "forest", "--no-pictures", "--out", out, *more],
                              capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, **AS_ROOT})
        if done.returncode == 0 or "tracks.csv" not in done.stderr:
            check("changes: the job fails in the end", False, done.stderr)
        return "from an earlier run" in done.stderr

    check("changes: the first run finds no parts, the next one all", not run() and run())
    files = {"the events": events, "their hits": place / "events.hits.h5", "their vertices": place / "events.vertices.h5", "the installed model": model,
             "the program": program}
    for name, path in files.items():
        os.utime(path, (1, 1))
        check(f"changes: {name}: begins anew, once", not run() and run())
    given = [f"--model={place / 'given.forest'}"]
    shutil.copy(model, place / "given.forest")
    check("changes: a model that is given: begins anew, once", not run(*given) and run(*given))
    os.utime(place / "given.forest", (1, 1))
    check("changes: another one of its name: begins anew, once", not run(*given) and run(*given))


def test_files(work, words):
    """Tables of several files are those of each, one behind the other; counts are sums."""
    each = [json.loads(stoa("scout", path, "--no-pictures", "--out", work / path.stem, "--json").stdout) for path in words[:2]]
    both = json.loads(stoa("scout", *words[:2], "--out", work / "both", "--json").stdout)
    for key in ("events", "candidates", "clusters", "taus", "selected", "orbits"):
        check(f"scout: {key} of two files are the sum", both[key] == each[0][key] + each[1][key], both[key])
    for name in SCOUT_TABLES:
        first, second = ((work / path.stem / name).read_text() for path in words[:2])
        check(f"scout: {name} of two files", (work / "both" / name).read_text() == first + second.split("\n", 1)[1])
    truths = [one["truth"] for one in (both, *each)]
    check("scout: clusters at taus of two files are the sum", truths[0]["clusters_at_taus"] == sum(t["clusters_at_taus"] for t in truths[1:]), truths)
    weights = [t["clusters_at_taus"] for t in truths[1:]]
    for key in ("pt_response_mean", "right_charge"):
        mean = sum(w * t[key] for w, t in zip(weights, truths[1:])) / sum(weights)
        check(f"scout: {key} of two files", abs(truths[0][key] - mean) < 1e-7, truths)
    areas = [t["score_auc"] for t in truths]
    check("scout: area of two files", min(areas[1:]) - 1e-3 <= areas[0] <= max(areas[1:]) + 1e-3, areas)
    check("scout: scripts of the pictures of two files", all((work / "both" / f"{name}.gp").exists() for name in ("event", "score", "roc", "response")))
    done = stoa("scout", *words[:2], "--features", work / "f", "--out", work / "x")
    check("scout: features of two files are refused", done.returncode == 2 and "--features" in done.stderr, done.stderr)


def test_failures(work, events):
    done = run_ranks(2, "hlt", work / "none.h5", "--out", work / "x")
    check("a file that is not there fails on all ranks", done.returncode != 0 and "STOA_EIO" in done.stderr, done.stderr)
    moved = work / "bin" / "stoa"
    moved.parent.mkdir()
    shutil.copy(STOA, moved)
    done = stoa("hlt", events, "--out", work / "x", program=moved, env={"OMPI_COMM_WORLD_SIZE": "2"})
    check("under mpirun without the plugin", done.returncode == 1 and "STOA_ENOTSUP" in done.stderr and "libstoa_mpi" in done.stderr, done.stderr)


def main():
    if not STOA.exists() or not PLUGIN.exists() or not shutil.which("mpirun"):
        print(f"skip  ranks: OpenMPI is missing (mpirun: {shutil.which('mpirun')}) or {PLUGIN} was not built")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        events = work / "events.h5"
        made = stoa("generate", "hlt", "--events", 150, "--seed", 6, "--pileup", 140, "--out", events)
        if "STOA_ENOTSUP" in made.stderr:
            print(f"skip  ranks: {made.stderr}")
            return 77
        check("events", made.returncode == 0, made.stderr)
        test_failures(work, events)
        test_job(work, "hlt", [events], ["tracks.csv", "vertices.csv"], ["roc.dat", "score.dat", "event_tracks.dat"], "--selector", "forest")
        test_legacy(work, events)
        test_changes(work)
        words = [work / f"words_{seed}.raw" for seed in range(6)]
        for seed, path in enumerate(words):
            made = stoa("generate", "scout", "--events", 40000, "--seed", seed, "--out", path)
            check(f"words {seed}", made.returncode == 0, made.stderr)
        test_job(work, "scout", words, SCOUT_TABLES, [])
        test_files(work, words)
    print(f"{failures} checks failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
