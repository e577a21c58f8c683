# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the lints share: which files there are, and how a finding is printed."""
import os
import re
import sys

FOLDERS = (".ci", "daemon", "include", "libupatch", "upatchctl", "patches", "man", "scripts", "tests", "docs")
SKIPPED_FOLDERS = {"__pycache__", "corpus"}


class Lint:
    """Collects findings for files below @root; finish() prints the verdict and exits."""

    def __init__(self, root):
        self.root = root
        self.nr_findings = 0
        self.nr_files = 0

    def files(self, suffixes=None, folders=FOLDERS):
        """Paths relative to the root, sorted; @suffixes None means every file."""
        for folder in folders:
            for parent, children, names in os.walk(os.path.join(self.root, folder)):
                children[:] = sorted(set(children) - SKIPPED_FOLDERS)
                for name in sorted(names):
                    if suffixes and not name.endswith(suffixes):
                        continue
                    self.nr_files += 1
                    yield os.path.relpath(os.path.join(parent, name), self.root)

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            return file.read()

    def lines(self, path):
        """Numbered lines."""
        return enumerate(self.text(path).splitlines(), 1)

    def fail(self, path, line, message):
        self.nr_findings += 1
        print(f"{path}:{line}: {message}")

    def warn(self, path, line, message):
        print(f"{path}:{line}: for review: {message}")

    def finish(self):
        if not self.nr_files:
            print("no file was looked at: is the root right?")
            sys.exit(1)
        print(f"{self.nr_findings} findings in {self.nr_files} files")
        sys.exit(1 if self.nr_findings else 0)


def without_comments(text):
    """Comments and the insides of strings blanked, with lines and columns as they were."""

    def blank(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[0]
        return re.sub(r"[^\n]", " ", found)

    return re.sub(
        r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.DOTALL
    )


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1
