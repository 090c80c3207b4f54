"""Checks that python-dotenv reads the cases as the table says. Needs Debian's package python3-dotenv.

    /usr/bin/python3 tests/secrets/verify_dotenv.py tests/secrets/dotenv_cases.tsv
"""

import io
import logging
import os
import sys
from importlib.metadata import version
from urllib.parse import unquote

import dotenv


def cases(path):
    with open(path, encoding="ascii", newline="\n") as table:
        for number, line in enumerate(table, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            text, expected, agreeing = line.split("\t")
            variables = (pair.split("=", 1) for pair in expected.split("&") if pair)
            yield number, unquote(text), {name: unquote(value) for name, value in variables}, agreeing


def main():
    os.environ.clear()
    os.environ.update(OUTSIDE="there", EMPTY="")
    logging.disable(logging.CRITICAL)  # it reports malformed lines
    same = failures = different = 0
    for number, text, expected, agreeing in cases(sys.argv[1]):
        found = dict(dotenv.dotenv_values(stream=io.StringIO(text, newline="")))
        if agreeing not in ("both", "python"):
            different += 1  # a newer version may agree by now
        elif found == expected:
            same += 1
        else:
            failures += 1
            print(f"{sys.argv[1]}:{number}: python-dotenv has {found}, not {expected}")
    print(f"python-dotenv {version('python-dotenv')}: {same} cases agree with the table, {failures} do not")
    print(f"{different} cases differ on purpose")
    return 1 if failures or not same else 0


sys.exit(main())
