#!/usr/bin/python3
"""Asks Python's re what it makes of regexes and texts.

usage: research.py REQUEST, where REQUEST is a JSON file: [{"regex": "...", "texts": ["...", ...]}, ...]

It prints one object for each regex, in their order: {"error": "..."} or {"matches": [null | {"start": 0,
"groups": {"name": [start, end], ...}}, ...]}; places are counted in characters. Where Python takes more than
a tenth of a second, matches ends early.
"""
import json
import re
import signal
import sys
import warnings


class Timeout(Exception):
    pass


def on_alarm(*_):
    raise Timeout()


signal.signal(signal.SIGALRM, on_alarm)

warnings.simplefilter("ignore")
with open(sys.argv[1]) as f:
    request = json.load(f)
for item in request:
    try:
        regex = re.compile(item["regex"])
    except (re.error, OverflowError, RecursionError) as e:
        print(json.dumps({"error": str(e)}))
        continue
    matches = []
    for text in item["texts"]:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            m = regex.search(text)
        except Timeout:
            break
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        matches.append(m and {"start": m.start(), "groups": {k: m.span(k) for k in regex.groupindex if m.span(k)[0] >= 0}})
    print(json.dumps({"matches": matches}))
