# SPDX-License-Identifier: Apache-2.0
"""Writes the committed corpus of fuzz_scouting: small orbits in each format, whole, cut off and with bytes changed, from a fixed seed."""
import pathlib
import random
import struct

folder = pathlib.Path(__file__).parent / "corpus/scouting"
folder.mkdir(parents=True, exist_ok=True)
rng = random.Random(1)


def orbit(number, crossings):
    words = []
    for bx in sorted(rng.sample(range(3564), crossings)):
        count = rng.randrange(24)
        words += [2 << 62 | number << 24 | bx << 12 | count] + [rng.getrandbits(61) for _ in range(count)]
    return struct.pack(f"<{len(words)}Q", *words)


def dth(payload):
    out = b""
    for number, at in enumerate(range(0, len(payload), 8160)):
        part = payload[at : at + 8160]
        part += bytes(-len(part) % 32)
        last = at + 8160 >= len(payload)
        word = 0x5A47 | number << 16 | last << 46 | (at == 0) << 47 | len(part) // 32 << 48
        out += struct.pack("<QQ", word, 0) + payload[:8] + bytes(8) + part
    return out


def cmsraw(orbits):
    out = b"RAW_0002" + struct.pack("<HHIIIQ", 32, 20, len(orbits), 7, 1, 0)
    for number, payload in orbits:
        out += struct.pack("<HHIIIII", 6, 0, 7, 1, number, len(payload), 0) + payload
    return out


orbits = [(number, orbit(number, 12)) for number in (5, 6, 9)]
samples = {
    "native64": b"".join(payload for _, payload in orbits),
    "dth256": b"".join(dth(payload) for _, payload in orbits) + dth(orbit(10, 110)),
    "cmsraw": cmsraw(orbits),
}
for name, data in samples.items():
    (folder / f"whole_{name}.bin").write_bytes(data)
    for k in range(3):
        (folder / f"cut_{name}_{k}.bin").write_bytes(data[: rng.randrange(1, len(data))])
        changed = bytearray(data)
        for _ in range(4 * 4**k):
            changed[rng.randrange(len(data))] = rng.randrange(256)
        (folder / f"changed_{name}_{k}.bin").write_bytes(bytes(changed))
print(len(list(folder.iterdir())), "files")
