# SPDX-License-Identifier: Apache-2.0
"""Every function of the public headers, inline ones, templates and those of kernels too, is documented: a first sentence, then owns, threads,
errors and since; also sync and alloc where it takes a queue or runs on one. Headers begin with the licence and say what they are for."""
import pathlib
import re
import sys

FUNCTION = re.compile(r"^(?:(?:STOA|RECO)_API\b|STOA_DEVICE\b|static inline\b|inline\b|template <[^;{}()]*>)[^;{}()]*(?:(?:STOA_PRINTF|sizeof\.\.\.)\([^)]*\)[^;{}()]*)?"
                      r"\b(\w+)\s*\(([^;{]*)\)[^;{()]*[;{]", re.M)
NO_FUNCTION = re.compile(r"^template <[^;{}()]*> (?:class|struct) ")
OF_THE_HEADERS_OWN = re.compile(r"^namespace detail\n.*?^} // namespace detail$", re.M | re.S)
LINES = ("owns", "threads", "errors", "since")
LINES_ON_QUEUES = ("sync", "alloc")
KEYWORD = r"(?:\n *|   )(?=(?:shape|units|owns|sync|alloc|threads|errors|since)\b)"


def takes_queue(name, arguments):
    """Getters take a const one; a session runs on the queue that it was made with."""
    return re.search(r"(?<!const )stoa_queue \*(?!\*)", arguments) or name.startswith("stoa_session_run")


def missing_of(comment, name, arguments):
    text = re.sub(r"\n \*", "\n", comment.removeprefix("/**").removesuffix("*/"))
    if not re.search(r"[.:](\s|$)", re.split(KEYWORD, text)[0].strip()):
        yield "first sentence"
    for word in LINES + (LINES_ON_QUEUES if takes_queue(name, arguments) else ()):
        if not re.search(rf"\b{word}\b", text):
            yield word


def functions_of(text):
    """Name, arguments and the comment that ends where the function begins."""
    text = OF_THE_HEADERS_OWN.sub("", text)
    for match in FUNCTION.finditer(text):
        before = text[: match.start()].rstrip()
        if not NO_FUNCTION.match(match.group(0)):
            yield *match.groups(), before[before.rfind("/**"):] if before.endswith("*/") else ""


def problems_of(header):
    text = header.read_text()
    if not text.startswith("/* SPDX"):
        yield "no SPDX line"
    if not text.split("\n", 2)[1].startswith(("/** ", "/* ")):
        yield "does not say what it is for"
    for name, arguments, comment in functions_of(text):
        missing = list(missing_of(comment, name, arguments))
        if missing:
            yield f"{name}: no {', '.join(missing)}"


def main():
    root = pathlib.Path(sys.argv[1])
    headers = sorted(root.glob("include/stoa/*.h*")) + [path for path in sorted(root.glob("reco/*/*.h")) if "RECO_API" in path.read_text()]
    problems = [f"{header.name}: {problem}" for header in headers for problem in problems_of(header)]
    functions = sum(len(list(functions_of(header.read_text()))) for header in headers)
    print("\n".join(problems))
    print(f"{functions} public functions in {len(headers)} headers, {len(problems)} problems")
    return 1 if problems or functions < 220 else 0


if __name__ == "__main__":
    sys.exit(main())
