# SPDX-License-Identifier: Apache-2.0
"""How `mpirun -n R stoa hlt` scales on this machine: the same events on more ranks (strong), and as many more events (weak).

    .venv/bin/python tools/scale_hlt.py build/release/cli/stoa --ranks 1 2 --out scale.csv

Events lie as CMSSW's blobs in a .soa file, which ranks map and do not read twice. job_s: from the first event to the merged
tables, as the job tells it; process_s: mpirun from start to end. Both are the least of the rounds; a speed-up is that of job_s
over one rank, for weak scaling times the events. One thread a rank; ranks beyond the cores share them.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "PYTHONPATH": str(SOURCE / "python")}


def run(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout


def make_events(stoa, folder, count, pileup):
    events = folder / f"events_{count}.soa"
    if not events.exists():
        source = events.with_suffix(".h5")
        run(stoa, "generate", "hlt", "--events", count, "--seed", 2026, "--pileup", pileup, "--out", source)
        run(sys.executable, "-m", "stoa", "convert", source, events)
    return events


def measure(stoa, folder, events, ranks):
    """Seconds of the job and of the whole command."""
    begin = time.perf_counter()
    summary = json.loads(run("mpirun", "--oversubscribe", "-n", ranks, stoa, "hlt", events, "--no-pictures", "--out", folder / "out", "--json"))
    return 1e-6 * summary["us_per_event"]["wall"] * summary["events"], time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stoa", type=pathlib.Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--events", type=int, default=200, help="of strong scaling, and a rank of weak scaling")
    parser.add_argument("--pileup", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("scale.csv"))
    options = parser.parse_args()
    lines = ["scaling,ranks,events,job_s,process_s,speed_up,efficiency"]
    with tempfile.TemporaryDirectory() as name:
        for kind in ("strong", "weak"):
            one = None
            for ranks in options.ranks:
                count = options.events * (ranks if kind == "weak" else 1)
                events = make_events(options.stoa.resolve(), pathlib.Path(name), count, options.pileup)
                rounds = [measure(options.stoa.resolve(), pathlib.Path(name), events, ranks) for _ in range(options.rounds)]
                job, process = min(r[0] for r in rounds), min(r[1] for r in rounds)
                one = one or job / count
                speed_up = one * count / job
                lines.append(f"{kind},{ranks},{count},{job:.4f},{process:.3f},{speed_up:.2f},{speed_up / ranks:.2f}")
                print(lines[-1], flush=True)
    options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
