# SPDX-License-Identifier: Apache-2.0
"""The shared libraries export their prefix and nothing else, plugins their entry alone, and libstoa needs libc, libm and threads only."""
import subprocess
import sys

problems = []
for library, prefix in (argument.split("=") for argument in sys.argv[1:]):
    lines = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.split()[-1] for line in lines]
    problems += [f"{library}: exports {name}" for name in names if not name.startswith(prefix)]
    problems += [] if len(names) > 5 or prefix.endswith("_entry") else [f"{library}: exports only {names}"]
    print(f"{library.rsplit('/', 1)[-1]}: {len(names)} names")
    if prefix == "stoa_":
        needed = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
        for line in needed.splitlines():
            if "(NEEDED)" in line and not any(f"[{lib}." in line for lib in ("libc", "libm", "libpthread", "libdl", "ld-linux-x86-64")):
                problems.append(f"{library}: {line.strip()}")
print("\n".join(problems))
sys.exit(1 if problems else 0)
