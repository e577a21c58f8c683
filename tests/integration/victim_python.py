#!/usr/bin/python3 -B
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's Python, which loads what it needs when it needs it. Commands, one a line, one answer each:

	sqlite		import the extension; the version of the library that it brings along
	load NAME, call NAME FUNCTION, unload NAME	a library; a function that returns a string
	user NAME	look a user up, in modules of the name service switch
	twin, scrub	as the other victims
"""
import ctypes
import _ctypes
import sys

libraries = {}


def answer(words):
    if words == ["sqlite"]:
        import sqlite3
        return sqlite3.sqlite_version
    if words[0] == "load":
        libraries[words[1]] = ctypes.CDLL(words[1])
        return "ok"
    if words[0] == "call":
        function = getattr(libraries[words[1]], words[2])
        function.restype = ctypes.c_char_p
        return function().decode()
    if words[0] == "unload":
        _ctypes.dlclose(libraries.pop(words[1])._handle)
        return "ok"
    if words[0] == "user":
        import pwd
        try:
            return "%s %d" % pwd.getpwnam(words[1])[0:3:2]
        except KeyError:
            return "none"
    return "twin 101 201" if words == ["twin"] else "ok"


for line in sys.stdin:
    print(answer(line.split()), flush=True)
