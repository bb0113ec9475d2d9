# SPDX-License-Identifier: Apache-2.0
"""What docs/hlt.md says of the physics, on fewer events: the network has at least half as many fakes as the cuts where both keep as many
true tracks, and the hardest vertex of Level-1 tracks lies where it was generated.
"""
import pathlib
import sys
import tempfile

from test_cli import DATA, SOURCE, STOA, check, skip

sys.path[:0] = [str(SOURCE / "tools"), str(SOURCE / "python")]
try:
    import hlt_physics
except ImportError as missing:
    print(f"skip: {missing.name} is not in this Python")
    sys.exit(77)

EVENTS = {50: 20, 140: 10, 200: 10}


def test_fakes(work):
    for pileup, events in EVENTS.items():
        sample = hlt_physics.Sample(STOA, work, pileup, events)
        cuts, _, _ = hlt_physics.job(STOA, sample.path, work / "run", "cuts", "today")
        curve = hlt_physics.by_score(STOA, work, sample, "dnn")
        least, efficiency, fakes = hlt_physics.at_efficiency(curve, cuts["efficiency"])
        check(f"pile-up {pileup}: the network has at most half the fakes of the cuts at their efficiency",
              fakes > 0 and cuts["fake_rate"] >= 2 * fakes and efficiency >= cuts["efficiency"] - 1e-6,
              f"{fakes:.4f} at score {least:.3f}, the cuts {cuts['fake_rate']:.4f} at {cuts['efficiency']:.4f}")


def test_level1(work):
    folder = DATA / "l1tracks"
    if not folder.exists():
        return skip("Level-1 tracks", f"no {folder}: STOA_DATA names another place")
    found = hlt_physics.level1(STOA, work, folder)
    return check("Level-1 tracks: the hardest vertex within 3 mm of the generated one in at least 90 % of 250 events",
                 found["events"] == 250 and found["near"] >= 0.9, found)


def main():
    import test_cli

    with tempfile.TemporaryDirectory() as folder:
        test_fakes(pathlib.Path(folder))
        test_level1(pathlib.Path(folder))
    sys.exit(1 if test_cli.failures else 0)


if __name__ == "__main__":
    main()
