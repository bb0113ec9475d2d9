# SPDX-License-Identifier: Apache-2.0
"""The shared libraries export their prefix and nothing else, plugins their entries; libstoa and the back ends need libc, libm and threads
only: a vendor's library is found when it is asked for. Arguments: LIBRARY=PREFIX_ or LIBRARY=NAME,NAME.."""
import subprocess
import sys

SYSTEM = ("libc", "libm", "libpthread", "libdl", "ld-linux-x86-64", "ld-linux-aarch64")


def lines_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


problems = []
for library, wanted in (argument.split("=") for argument in sys.argv[1:]):
    names = [line.split()[-1] for line in lines_of("nm", "-D", "--defined-only", library)]
    if wanted.endswith("_"):
        problems += [f"{library}: exports {name}" for name in names if not name.startswith(wanted)]
        problems += [] if len(names) > 5 else [f"{library}: exports only {names}"]
    elif sorted(names) != wanted.split(","):
        problems.append(f"{library}: exports {names}, not {wanted}")
    print(f"{library.rsplit('/', 1)[-1]}: {len(names)} names")
    if wanted in ("stoa_", "stoa_backend_entry"):
        needed = [line for line in lines_of("readelf", "-d", library) if "(NEEDED)" in line]
        problems += [f"{library}: {line.strip()}" for line in needed if not any(f"[{system}." in line for system in SYSTEM)]
print("\n".join(problems))
sys.exit(1 if problems or len(sys.argv) < 2 else 0)
