# SPDX-License-Identifier: Apache-2.0
"""Files of tracks from one format to another.

    python -m stoa convert events.h5 events.soa           # generated events (.csv .npz .h5) to CMSSW's blobs, and back
    python -m stoa convert DAOD_PHYSLITE.root tracks.h5    # ATLAS tracks and vertices, as `stoa hlt` reads them

ROOT files need uproot, HDF5 ones h5py. The .soa format: reco/io/track_file.h.
"""
from __future__ import annotations

import pathlib
import struct
from typing import Any

import numpy as np

ALIGN = 128
# Columns of tracks.def in its order: name, dtype, components (0: a scalar). The block of hits stands behind them, then their positions.
TRACKS = (("quality", "u1", 1), ("chi2", "f4", 1), ("nLayers", "i1", 1), ("eta", "f4", 1), ("pt", "f4", 1), ("state", "f4", 5),
          ("covariance", "f4", 15), ("hitOffsets", "u4", 1), ("nTracks", "i4", 0))
HITS = (("id", "u4", 1), ("detId", "u4", 1))
REC_HITS = (("xGlobal", "f4", 1), ("yGlobal", "f4", 1), ("zGlobal", "f4", 1), ("dPhiDr", "f4", 1), ("dPhiDrError", "f4", 1), ("flags", "u1", 1))

# PHYSLITE: branch after the prefix, and our name. Vertices: likewise.
_TRACK_PREFIX, _VERTEX_PREFIX = "InDetTrackParticlesAuxDyn.", "PrimaryVerticesAuxDyn."
_TRACK_BRANCHES = ("d0", "z0", "vz", "phi", "theta", "qOverP", "chiSquared", "numberDoF", "numberOfPixelHits", "numberOfSCTHits")
_VARIANCES = ("varD0", "varZ0", "varPhi", "varTheta", "varQoverP")


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGN)


def _block(layout: tuple, columns: dict[str, Any], rows: int) -> bytes:
    """A block as stoa/layout.h lays it out: each component of each column padded to the alignment."""
    out = b""
    for name, dtype, components in layout:
        values = np.asarray(columns[name]).astype(dtype)
        parts = values.reshape(rows, components).T if components else values.reshape(1, 1)
        out += b"".join(_pad(part.tobytes()) for part in parts)
    return out


def write_soa(path: pathlib.Path, table: dict[str, np.ndarray], positions: dict[str, np.ndarray] | None = None) -> None:
    """One blob an event. Tables know the number of hits only, so hits are numbered as they come and have no module; `positions` is
    the table of the hits, which `stoa generate hlt --hits` puts beside that of the tracks."""
    with open(path, "wb") as file:
        for event in dict.fromkeys(table["event"].tolist()):
            rows = np.flatnonzero(table["event"] == event)
            columns = {name: table[name][rows] for name, _, _ in TRACKS[:-2]}
            columns["hitOffsets"], columns["nTracks"] = np.cumsum(table["nHits"][rows]), len(rows)
            hits = int(columns["hitOffsets"][-1])
            blob = _block(TRACKS, columns, len(rows))
            blob += _block(HITS, {"id": np.arange(hits), "detId": np.zeros(hits)}, hits)
            at = np.flatnonzero(positions["event"] == event) if positions else []
            if len(at):
                blob += _block(REC_HITS, {name: positions[name][at] for name, _, _ in REC_HITS}, len(at))
            file.write(_pad(struct.pack("<8sqIIQI", b"STOASOA1", event, len(rows), hits, len(blob), len(at))) + blob)


def read_soa(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All tracks as a table; nHits instead of the offsets, the hits themselves left behind."""
    data, at, parts = path.read_bytes(), 0, []
    while at < len(data):
        magic, event, tracks, _, size = struct.unpack_from("<8sqIIQ", data, at)
        if magic != b"STOASOA1":
            raise ValueError(f"{path}: byte {at}: no STOASOA1")
        part, column = {}, at + ALIGN
        for name, dtype, components in TRACKS:
            stride = -(-np.dtype(dtype).itemsize * (tracks if components else 1) // ALIGN) * ALIGN
            starts = [column + k * stride for k in range(components or 1)]
            values = [np.frombuffer(data, "<" + dtype, tracks if components else 1, start) for start in starts]
            part[name] = np.stack(values, axis=-1) if components > 1 else values[0]
            column = starts[-1] + stride
        used = int(part.pop("nTracks")[0])
        offsets = part.pop("hitOffsets")[:used].astype(np.int64)
        columns = {k: v[:used] for k, v in part.items()}
        parts.append({"event": np.full(used, event), **columns, "nHits": np.diff(offsets, prepend=0)})
        at += ALIGN + size
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _covariance_columns(tree: Any) -> dict[str, Any]:
    """Variances and the ten correlations, which the file keeps as vectors of five and of ten a track."""
    import awkward

    diagonal = tree[_TRACK_PREFIX + "definingParametersCovMatrixDiag"].array()
    off = tree[_TRACK_PREFIX + "definingParametersCovMatrixOffDiag"].array()
    columns = {name: diagonal[:, :, k] for k, name in enumerate(_VARIANCES)}
    columns |= {f"corr{k}": off[:, :, k] for k in range(10)}
    return {name: awkward.to_numpy(awkward.flatten(values)) for name, values in columns.items()}


def _flat(tree: Any, prefix: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    import awkward

    columns = {name: tree[prefix + name].array() for name in names}
    counts = awkward.to_numpy(awkward.num(next(iter(columns.values()))))
    flat = {name: awkward.to_numpy(awkward.flatten(values)) for name, values in columns.items()}
    return {"event": np.repeat(np.arange(len(counts)), counts), **flat}


def read_physlite(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Tracks and vertices of a PHYSLITE file, in its units (mm, 1/MeV, rad); events are numbered as they come."""
    import awkward
    import uproot

    tree = uproot.open(path)["CollectionTree"]
    tracks = _flat(tree, _TRACK_PREFIX, _TRACK_BRANCHES) | _covariance_columns(tree)
    link = tree[_TRACK_PREFIX + "truthParticleLink/" + _TRACK_PREFIX + "truthParticleLink.m_persKey"].array()
    tracks["truth_linked"] = (awkward.to_numpy(awkward.flatten(link)) != 0).astype(np.int64)
    vertices = _flat(tree, _VERTEX_PREFIX, ("x", "y", "z", "vertexType"))
    first = np.r_[True, np.diff(vertices["event"]) > 0]
    starts = np.flatnonzero(first)
    vertices["vertex"] = np.arange(len(first)) - starts[np.cumsum(first) - 1]
    return tracks, vertices


def read_table(path: pathlib.Path) -> dict[str, np.ndarray]:
    """A file of columns that `stoa` writes; state_0.. of CSV become one array."""
    if path.suffix == ".npz":
        return dict(np.load(path))
    if path.suffix in (".h5", ".hdf5"):
        import h5py

        with h5py.File(path) as file:
            group = file if any(isinstance(item, h5py.Dataset) for item in file.values()) else next(iter(file.values()))
            return {name: item[()] for name, item in group.items()}
    table = np.genfromtxt(path, delimiter=",", names=True)
    columns = {name: table[name] for name in table.dtype.names}
    for name, count in (("state", 5), ("covariance", 15)):
        if f"{name}_0" in columns:
            columns[name] = np.stack([columns.pop(f"{name}_{k}") for k in range(count)], axis=1)
    columns["event"] = columns["event"].astype(np.int64)
    return columns


def write_table(path: pathlib.Path, table: dict[str, np.ndarray]) -> None:
    if path.suffix == ".npz":
        return np.savez(path, **table)
    if path.suffix in (".h5", ".hdf5"):
        import h5py

        with h5py.File(path, "w") as file:
            for name, values in table.items():
                file[name] = values
        return None
    names = [n for name, v in table.items() for n in ([name] if v.ndim == 1 else [f"{name}_{k}" for k in range(v.shape[1])])]
    columns = [c for v in table.values() for c in ([v] if v.ndim == 1 else list(v.T))]
    text = lambda value: str(value) if isinstance(value, (int, np.integer)) else f"{value:.9g}"
    rows = (",".join(text(value) for value in row) for row in zip(*columns))
    path.write_text("\n".join([",".join(names), *rows]) + "\n")
    return None


def convert(source: pathlib.Path, target: pathlib.Path) -> None:
    """From and to what the extensions say."""
    if source.suffix == ".root":
        tracks, vertices = read_physlite(source)
        write_table(target, tracks)
        return write_table(target.with_suffix(".vertices" + target.suffix), vertices)
    table = read_soa(source) if source.suffix == ".soa" else read_table(source)
    if target.suffix != ".soa":
        return write_table(target, table)
    beside = source.with_suffix(".hits" + source.suffix)
    return write_soa(target, table, read_table(beside) if beside.exists() else None)
