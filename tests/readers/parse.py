"""Parses each line of a file with Python's own modules, and prints a JSON value for each: the parsed line, or null for a
line that is not of the format.

    python parse.py json|csv FILE
"""

import csv
import json
import sys


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def parse_json(line):
    return json.loads(line.decode("utf-8"), parse_constant=refuse)


def parse_csv(line):
    return next(csv.reader([line.decode("utf-8")], strict=True))


kind, path = sys.argv[1:]
parse = {"json": parse_json, "csv": parse_csv}[kind]
with open(path, "rb") as file:
    lines = file.read().split(b"\n")[:-1]
for line in lines:
    try:
        value = parse(line)
    except (ValueError, RecursionError, csv.Error, StopIteration):
        value = None
    print(json.dumps(value))
