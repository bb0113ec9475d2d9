# SPDX-License-Identifier: Apache-2.0
"""Physics of the HLT pixel-track job: three chains and five selectors on simulated, ATLAS and Level-1 tracks.

    .venv/bin/python tools/hlt_physics.py build/release/cli/stoa out/physics

CATrackDNN takes part where its weights are in the data folder; it scores tracks from strict on, so its efficiency is of more tracks.
Writes physics.md (tables), *.csv, and pictures when gnuplot is there; --keep copies those that the documents show, at most 100 kB
each. Definitions, all over the events that ran:
efficiency: selected true tracks over true ones in the input. Fake and duplicate rate: of the selected. A generated vertex counts
when three of its tracks pass the preselection; a found one belongs to the generated vertex of most of its tracks if those are
more than half of them. Found: some vertex belongs to it. Split: found vertices beyond the first of their generated one, over
found ones. Merged: found vertices that hold more than half of the tracks of two generated ones or more. Resolution: 68 % of
|z - true z| for the hard scatter. Near: some vertex is within 1 mm of the hard scatter, or of ATLAS's primary vertex (events with
three usable tracks); for Level-1 tracks the hardest one within 3 mm of the generated one. us: an event in its stream, with
its hits, by `stoa bench hlt`; of real tracks the least of a few runs.
"""
import argparse
import csv
import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import onnx

import ca_track_dnn

CHAINS = {"today": ("--vertexing", "divisive", "--vertices-first"), "studied": ("--vertexing", "divisive"), "device": ()}
SELECTORS = {"dnn": (), "cuts": (), "forest": (), "none": ()}  # and their options; CATrackDNN joins them
RUNS = 5  # of real tracks, for their time
STAGES = ("upload", "preselect", "features", "selector", "compact", "convert", "vertices", "deliver", "total")
KEPT = ("chains.csv", "roc_140.png", "roc_200.png", "times.png", "tracks_200_pt.png", "tracks_200_eta.png", "tracks_200_nHits.png")
GATES = (0.01, 0.03414618, 0.1, 0.3, 0.5, 0.7, 0.9)  # least scores of CATrackDNN; the second is CMS's
PILEUPS = {0: 10, 50: 1, 140: 1, 200: 1}  # and how many times the events asked
NEIGHBOURS = (0.07, 0.04, 0.02, 0.015, 0.01)  # cm, of the density finder; the first is CMS's
BINS = {"pt": np.array([0.9, 1.2, 1.6, 2.2, 3, 5, 8, 14, 30]), "eta": np.linspace(-4, 4, 17), "nHits": np.arange(3.5, 12)}
COLOURS = {"dnn": "#0072b2", "cuts": "#d55e00", "forest": "#009e73", "none": "#888888", "catrack": "#cc79a7"}
EFFICIENCIES = (0.8, 0.85, 0.9, 0.92)  # where the selectors' fake rates are compared


class Sample:
    """Simulated events and what is true of them."""

    def __init__(self, stoa, folder, pileup, events):
        self.path = folder / f"events_{pileup}.npz"
        run(stoa, "generate", "hlt", "--events", events, "--seed", 2026, "--pileup", pileup, "--hits", "--out", self.path)
        self.tracks, self.vertices = np.load(self.path), np.load(self.path.with_suffix(".vertices.npz"))
        self.first = np.searchsorted(self.tracks["event"], np.arange(events))
        self.true = self.tracks["is_true"] > 0
        self.tight = self.tracks["quality"] >= 5
        self.key = self.tracks["event"].astype(np.int64) << 32 | self.tracks["vertex"].clip(0)
        usable, counts = np.unique(self.key[self.true & self.tight], return_counts=True)
        self.size = dict(zip(usable.tolist(), counts.tolist()))
        self.reconstructable = {k for k, n in self.size.items() if n >= 3}
        self.z = dict(zip((self.vertices["event"].astype(np.int64) << 32 | self.vertices["vertex"]).tolist(), self.vertices["z"]))


def run(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


def table(path):
    """A CSV file as a structured array of doubles."""
    with open(path) as file:
        names = file.readline().strip().split(",")
        rows = np.loadtxt(file, delimiter=",", ndmin=2).reshape(-1, len(names))
    return np.ascontiguousarray(rows).view([(name, "f8") for name in names])[:, 0]


def job(stoa, events, out, selector, chain, *more):
    words = ("--selector", selector, *CHAINS[chain], *more)
    summary = json.loads(run(stoa, "hlt", events, *words, "--no-pictures", "--out", out, "--json"))
    return summary, table(out / "tracks.csv"), table(out / "vertices.csv")


def vertex_measures(sample, tracks, rows, vertices):
    """Share found, split, merged, resolution and how often the hard scatter is the hardest vertex."""
    inside = tracks["vertex"] >= 0
    found = tracks["event"][inside].astype(np.int64) << 32 | tracks["vertex"][inside].astype(np.int64)
    truth = np.where(sample.true[rows[inside]], sample.key[rows[inside]], -1)
    sizes = dict(zip(*(column.tolist() for column in np.unique(found, return_counts=True))))
    pairs, counts = np.unique(np.stack([found, truth]), axis=1, return_counts=True)
    owner, holds = {}, {}
    for (vertex, true), n in zip(pairs.T.tolist(), counts.tolist()):
        if true >= 0 and 2 * n > sizes[vertex]:
            owner[vertex] = true
        if true in sample.reconstructable and 2 * n > sample.size[true]:
            holds[vertex] = holds.get(vertex, 0) + 1
    owners = set(owner.values())
    z = dict(zip((vertices["event"].astype(np.int64) << 32 | vertices["vertex"].astype(np.int64)).tolist(), vertices["z"]))
    hard = [k for k in sample.reconstructable if k & 0xFFFFFFFF == 0]
    best = {k: min((abs(z[v] - sample.z[k]) for v, o in owner.items() if o == k), default=np.nan) for k in hard}
    first = vertices[np.r_[True, np.diff(vertices["event"]) != 0]]  # hardest first
    hardest = {int(v["event"]) << 32: owner.get(int(v["event"]) << 32 | int(v["vertex"])) for v in first}
    return {"vertex_efficiency": len(owners & sample.reconstructable) / max(len(sample.reconstructable), 1),
            "split": (len(owner) - len(owners)) / max(len(vertices), 1),
            "merged": sum(n > 1 for n in holds.values()) / max(len(vertices), 1),
            "resolution_um": 1e4 * np.nanquantile(list(best.values()), 0.68) if hard else np.nan,
            "hard_is_hardest": np.mean([hardest.get(k) == k for k in hard]) if hard else np.nan}


def curves(sample, rows):
    """Efficiency and fake rate in bins of pt, eta and hits."""
    chosen = np.zeros(len(sample.true), bool)
    chosen[rows] = True
    fake = chosen & ~sample.true & (sample.tracks["is_duplicate"] == 0)
    count = lambda mask, name: np.histogram(sample.tracks[name][mask], BINS[name])[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: (count(chosen & sample.true, name) / count(sample.true, name), count(fake, name) / count(chosen, name))
                for name in BINS}


def measured(summary, us):
    """What any file gives."""
    return {key: summary[key] for key in ("efficiency", "fake_rate", "duplicate_rate")} | {
        "near": summary["vertex_within_1mm"] / summary["vertex_events"] if summary["vertex_events"] else None, "us": us}


def bench_times(stoa, out, path, model):
    """Time of each stage of an event with hits, {(pile-up, chain, selector): {stage: us}}."""
    if not path:
        env = {**os.environ, "STOA_CATRACK": str(model)} if "catrack" in SELECTORS else None
        subprocess.run([str(stoa), "bench", "hlt", "--out", str(out / "bench")], check=True, capture_output=True, env=env)
        path = out / "bench" / "hlt.csv"
    times = {}
    with open(path) as file:
        for row in csv.DictReader(file):
            if row["input"] == "hits":
                times.setdefault((int(row["pileup"]), row["chain"], row["selector"]), {})[row["stage"]] = float(row["median_us_per_event"])
    return times


def simulated(stoa, out, pileup, sample, times):
    lines, seen = [], {}
    for chain in CHAINS:
        for selector, words in SELECTORS.items():
            summary, tracks, vertices = job(stoa, sample.path, out / "run", selector, chain, *words)
            rows = sample.first[tracks["event"].astype(int)] + tracks["track"].astype(int)
            lines.append({"sample": f"simulated, pile-up {pileup}", "chain": chain, "selector": selector} |
                         measured(summary, times.get((pileup, chain, selector), {}).get("total")) | vertex_measures(sample, tracks, rows, vertices))
            if chain == "device":
                seen[selector] = curves(sample, rows)
    return lines, seen


def by_score(stoa, out, sample, selector, *more):
    """Least score, efficiency and fake rate with each track that a lower one adds, [tracks, 3]."""
    _, tracks, _ = job(stoa, sample.path, out / "run", selector, "device", "--score-min", 0, *more)
    order = np.argsort(-tracks["score"], kind="stable")
    true, duplicate = tracks["is_true"][order] > 0, tracks["is_duplicate"][order] > 0
    fake = np.cumsum(~true & ~duplicate) / np.arange(1, len(order) + 1)
    return np.stack([tracks["score"][order], np.cumsum(true) / sample.true.sum(), fake], axis=1)


def at_efficiency(curve, efficiency):
    """The line of a curve of by_score that reaches it, or None."""
    last = np.searchsorted(curve[:, 1], efficiency - 1e-9)
    return curve[last] if last < len(curve) else None


def equal_efficiency(curves, lines):
    """Fake rate of the cuts over that of a score cut that keeps as many true tracks."""
    cuts = next(line for line in lines if line["selector"] == "cuts" and line["chain"] == "today")
    result = []
    for selector in ("dnn", "forest"):
        score, _, fake = at_efficiency(curves[selector], cuts["efficiency"])
        result.append({"selector": selector, "score_min": score, "efficiency": cuts["efficiency"], "fake_rate": fake,
                       "fake_rate_cuts": cuts["fake_rate"], "ratio": cuts["fake_rate"] / fake})
    return result


def same_efficiency(pileup, curves):
    """Fake rates of the selectors with a score, each cut where it keeps the same share of true tracks."""
    lines = []
    for efficiency in EFFICIENCIES:
        found = {selector: at_efficiency(curve, efficiency) for selector, curve in curves.items()}
        lines.append({"pileup": pileup, "efficiency": efficiency} |
                     {f"{selector}_fake_rate": np.nan if line is None else line[2] for selector, line in found.items()})
    return lines


def fixed_points(stoa, out, sample):
    """Efficiency and fake rate of what has no score to cut on: the cuts' working points and no selection."""
    words = {f"cuts, {name}": ("cuts", "device", "--working-point", name) for name in ("loose", "tight", "highpurity")}
    for name, choice in ({"no selection": ("none", "device")} | words).items():
        summary, _, _ = job(stoa, sample.path, out / "run", *choice)
        yield name, summary["efficiency"], summary["fake_rate"]


def gate(stoa, out, pileup, sample, model):
    """CATrackDNN against the cut on chi2 that it stands in for: of the tracks from strict on, which are tight."""
    _, tracks, _ = job(stoa, sample.path, out / "run", "catrack", "device", "--model", model, "--score-min", 0)
    rows = sample.first[tracks["event"].astype(int)] + tracks["track"].astype(int)
    true, duplicate = sample.true[rows], sample.tracks["is_duplicate"][rows] > 0
    fake = ~true & ~duplicate
    passes = {"chi2": sample.tight[rows]} | {f"score {least:.3g}": tracks["score"] >= least for least in GATES}
    return [{"pileup": pileup, "gate": name, "true_kept": kept[true].mean(), "fakes_kept": kept[fake].mean(),
             "fake_rate": fake[kept].mean()} for name, kept in passes.items()]


def neighbour_scan(stoa, out, pileup, sample):
    """The density finder with neighbours nearer than CMS's, behind the network."""
    lines = []
    for eps in NEIGHBOURS:
        _, tracks, vertices = job(stoa, sample.path, out / "run", "dnn", "device", "--eps", eps)
        rows = (tracks["track"] + sample.first[tracks["event"].astype(int)]).astype(int)
        lines.append({"pileup": pileup, "eps_cm": eps} | vertex_measures(sample, tracks, rows, vertices))
    return lines


def real(stoa, out, path):
    """Without CATrackDNN: the file says nothing of where the hits are."""
    lines = []
    for chain in CHAINS:
        for selector, words in SELECTORS.items():
            if selector == "catrack":
                continue
            summaries = [job(stoa, path, out / "run", selector, chain, *words)[0] for _ in range(RUNS)]
            us = min(one["us_per_event"]["total"] for one in summaries)
            lines.append({"sample": "ATLAS tracks", "chain": chain, "selector": selector} | measured(summaries[0], us))
    return lines


def level1(stoa, out, folder):
    """The hardest vertex of the Level-1 tracks against the generated one, by density; what selectors and conversion ask for, covariances
    and layers, is not in the file. Nor is the z error: it grows with |eta| from 1 mm, the resolution of the trigger's fit."""
    tracks, events = table(folder / "ttbar_pu140_tracks.csv"), table(folder / "ttbar_pu140_events.csv")
    eta = np.abs(tracks["eta"])
    good = tracks["pt"] >= 2
    rows = np.stack([tracks["event"], tracks["z0"], 0.08 + 0.05 * eta**2, tracks["pt"].clip(max=50)], axis=1)[good]
    source, target = out / "level1.csv", out / "level1_vertices.csv"
    np.savetxt(source, rows, delimiter=",", header="event,z,z_err,pt", comments="", fmt=["%d", "%.6g", "%.6g", "%.6g"])
    run(stoa, "vertices", source, "--errmax", 1, "--eps", 0.2, "--chi2max", 4, "--pt-min", 2, "--out", target)
    found = table(target)
    order = np.lexsort((-found["pt2_sum"], found["event"]))
    found = found[order]
    first = found[np.r_[True, np.diff(found["event"]) != 0]]
    z = dict(zip(first["event"].astype(int), first["z"]))
    near = [abs(z.get(int(e["event"]), np.inf) - e["z0_gen"]) <= 0.3 for e in events]
    return {"sample": "Level-1 tracks", "chain": "device", "selector": "none", "near": float(np.mean(near)), "events": len(events)}


# ---- Tables and pictures. ----

PERCENT = ("efficiency", "fake_rate", "fake_rate_cuts", "duplicate_rate", "vertex_efficiency", "split", "merged", "hard_is_hardest",
           "near", "true_kept", "fakes_kept", "dnn_fake_rate", "forest_fake_rate", "catrack_fake_rate")


ONE_TABLE = ("sample", "chain", "selector", "efficiency", "fake_rate", "duplicate_rate", "vertex_efficiency", "split", "merged",
             "resolution_um", "hard_is_hardest", "near", "us")


def cell(name, value):
    if value is None or value != value:
        return "-"
    if name in PERCENT:
        return f"{100 * value:.1f} %"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def markdown(lines):
    names = list(lines[0])
    head = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|" + "---|" * len(names)]
    return "\n".join(head + ["| " + " | ".join(cell(name, line[name]) for name in names) + " |" for line in lines])


def stages(times):
    """Time by stage, one line a chain and selector."""
    return [dict(zip(("pileup", "chain", "selector"), key)) | {f"{name}_us": one.get(name, 0.0) for name in STAGES} for key, one in times.items()]


def write_csv(path, lines):
    text = lambda value: "" if value is None or value != value else f"{value:.6g}" if isinstance(value, float) else f'"{value}"' if "," in str(value) else str(value)
    path.write_text("\n".join([",".join(lines[0]), *(",".join(text(value) for value in line.values()) for line in lines)]) + "\n")


def picture(out, pileup, name, seen):
    edges = BINS[name]
    stem = f"tracks_{pileup}_{name}"
    columns = [0.5 * (edges[1:] + edges[:-1])] + [curve for selector in SELECTORS for curve in seen[selector][name]]
    head = "centre, then efficiency and fake rate of " + " ".join(SELECTORS)
    np.savetxt(out / f"{stem}.dat", np.stack(columns, axis=1), fmt="%.5g", header=head)
    label = {"pt": "pT [GeV]", "eta": "{/Symbol h}", "nHits": "hits"}[name]
    plot = lambda which: ", ".join(f"'{stem}.dat' u 1:{2 * k + 2 + which} w linespoints pt 7 lw 2 lc rgb '{COLOURS[s]}' t '{s}'"
                                   for k, s in enumerate(SELECTORS))
    (out / f"{stem}.gp").write_text(
        f"set terminal pngcairo size 1300,560 font 'Sans,13'\nset output '{stem}.png'\nset datafile missing 'nan'\n"
        f"set multiplot layout 1,2\nset grid lc rgb '#dddddd'\nset border 3\nset tics nomirror\nset xlabel '{label}'\n" +
        ("set logscale x\n" if name == "pt" else "") +
        f"set key bottom right\nset yrange [0.5:1]\nset ylabel 'efficiency, pile-up {pileup}'\nplot {plot(0)}\n"
        f"unset key\nset yrange [0:*]\nset ylabel 'fake rate'\nplot {plot(1)}\n")
    return stem


def picture_roc(out, pileup, curves, points):
    """Fake rate against efficiency: a line for each selector with a score, a point for the others."""
    stem = f"roc_{pileup}"
    for selector, curve in curves.items():
        np.savetxt(out / f"{stem}_{selector}.dat", curve[:: max(1, len(curve) // 500)], fmt="%.5g", header="least score, efficiency, fake rate")
    (out / f"{stem}_points.dat").write_text("".join(f'"{name}" {efficiency:.5g} {fake:.5g}\n' for name, efficiency, fake in points))
    lines = [f"'{stem}_{s}.dat' u 2:3 w lines lw 2 lc rgb '{COLOURS[s]}' t '{s}'" for s in curves]
    lines += [f"'{stem}_points.dat' u 2:3 w points pt 7 ps 1.2 lc rgb '{COLOURS['cuts']}' t 'cuts, three working points'",
              f"'{stem}_points.dat' u 2:3:1 every 3 w labels right offset -1,0.2 notitle"]
    (out / f"{stem}.gp").write_text(
        f"set terminal pngcairo size 760,560 font 'Sans,13'\nset output '{stem}.png'\nset grid lc rgb '#dddddd'\nset border 3\n"
        f"set tics nomirror\nset key top left\nset xrange [0.6:1]\nset yrange [0:*]\nset xlabel 'efficiency, pile-up {pileup}'\n"
        f"set ylabel 'fake rate'\nplot {', '.join(lines)}\n")
    return stem


def picture_times(out, lines):
    names = [name for name in lines[0] if name not in ("pileup", "chain", "selector", "total_us")]
    chosen = [line for line in lines if line["pileup"] == max(PILEUPS)]
    text = "\n".join(" ".join([f"{line['chain']}/{line['selector']}"] + [str(line[name]) for name in names]) for line in chosen)
    (out / "times.dat").write_text("chain " + " ".join(names) + "\n" + text + "\n")
    (out / "times.gp").write_text(
        "set terminal pngcairo size 1300,640 font 'Sans,13'\nset output 'times.png'\nset style data histograms\n"
        "set style histogram rowstacked\nset style fill solid 0.8\nset boxwidth 0.7\nset xtics rotate by -30\n"
        f"set grid y lc rgb '#dddddd'\nset key outside right\nset ylabel 'us an event, pile-up {max(PILEUPS)}'\n"
        f"plot for [i=2:{len(names) + 1}] 'times.dat' u i:xtic(1) t columnheader(i) noenhanced\n")
    return "times"


def draw(out, stems):
    if not shutil.which("gnuplot"):
        return print("no pictures: gnuplot is not installed; the scripts are there")
    for stem in stems:
        subprocess.run(["gnuplot", f"{stem}.gp"], cwd=out, check=True)
    return print("pictures: " + ", ".join(f"{stem}.png" for stem in stems))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stoa", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--events", type=int, default=50, help="a pile-up; ten times as many without any (50)")
    parser.add_argument("--times", type=pathlib.Path, help="hlt.csv of `stoa bench hlt`, from a machine that did nothing else (it is run)")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for what the documents show")
    options = parser.parse_args()
    stoa, out = options.stoa.resolve(), options.out
    data = pathlib.Path(os.environ.get("STOA_DATA") or pathlib.Path(__file__).resolve().parents[2] / "shared" / "data")
    out.mkdir(parents=True, exist_ok=True)
    weights, model = data / "models" / "ca_track_dnn_prompt.weights.txt", out / "ca_track_dnn.onnx"
    if weights.exists():
        onnx.save(ca_track_dnn.build(ca_track_dnn.read_weights(weights)), model)
        SELECTORS["catrack"] = ("--model", model)
    times = bench_times(stoa, out, options.times, model)
    lines, equal, same, scan, gates, stems = [], [], [], [], [], []
    for pileup, more_events in PILEUPS.items():
        sample = Sample(stoa, out, pileup, options.events * more_events)
        more, seen = simulated(stoa, out, pileup, sample, times)
        lines += more
        stems += [picture(out, pileup, name, seen) for name in BINS]
        if pileup:
            curves_of = {selector: by_score(stoa, out, sample, selector) for selector in ("dnn", "forest")}
            if weights.exists():
                curves_of["catrack"] = by_score(stoa, out, sample, "catrack", "--model", model)
            equal += [{"pileup": pileup} | line for line in equal_efficiency(curves_of, more)]
            same += same_efficiency(pileup, curves_of)
            stems.append(picture_roc(out, pileup, curves_of, fixed_points(stoa, out, sample)))
            scan += neighbour_scan(stoa, out, pileup, sample)
            gates += gate(stoa, out, pileup, sample, model) if weights.exists() else []
    times = stages(times)
    if (data / "tracks" / "physlite_tracks.csv").exists():
        lines += real(stoa, out, data / "tracks" / "physlite_tracks.csv")
    if (data / "l1tracks").exists():
        lines.append(level1(stoa, out, data / "l1tracks"))
    parts = {"chains": ("Three chains, all selectors", [{name: line.get(name) for name in ONE_TABLE} for line in lines]),
             "equal": ("At the efficiency of the cuts (today's chain)", equal), "same": ("At equal efficiency", same),
             "neighbours": ("Density finder by --eps", scan), "times": ("Time by stage, an event", times)}
    if gates:
        parts["gates"] = "CATrackDNN and the cut on chi2, of tracks from strict on", gates
    for name, (_, part) in parts.items():
        write_csv(out / f"{name}.csv", part)
    (out / "physics.md").write_text("\n\n".join(f"## {title}\n\n{markdown(part)}" for title, part in parts.values()) + "\n")
    print((out / "physics.md").read_text())
    draw(out, stems + [picture_times(out, times)])
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            shutil.copy(out / name, options.keep / f"hlt_{name}")


if __name__ == "__main__":
    main()
