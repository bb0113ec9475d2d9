# SPDX-License-Identifier: Apache-2.0
"""Every public function is documented with the lines that are mandatory: a first sentence, owns, threads, errors, since."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
problems, functions = [], 0
for header in sorted((root / "include/stoa").glob("*.h")):
    text = header.read_text()
    for match in re.finditer(r"^STOA_API\b[^;{]*?\b(stoa_\w+)\s*\(", text, re.M):
        functions += 1
        before = text[: match.start()].rstrip()
        comment = before[before.rfind("/**"):] if before.endswith("*/") else ""
        missing = [word for word in ("owns", "threads", "errors", "since") if not re.search(rf"\b{word}\b", comment)]
        if missing:
            problems.append(f"{header.name}: {match.group(1)}: no {', '.join(missing)}")
    if not text.startswith("/* SPDX"):
        problems.append(f"{header.name}: no SPDX line")
print("\n".join(problems))
print(f"{functions} public functions, {len(problems)} problems")
sys.exit(1 if problems or functions < 80 else 0)
