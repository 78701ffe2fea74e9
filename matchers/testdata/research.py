#!/usr/bin/python3
"""Asks Python's re what it makes of regexes and texts.

usage: research.py REQUEST, where REQUEST is a JSON file: [{"regex": "...", "texts": ["...", ...]}, ...]

It prints one object for each regex, in their order: {"error": "..."} or {"matches": [null | {"start": 0,
"groups": {"name": [start, end], ...}}, ...]}; places are counted in characters. Where Python takes more than
a tenth of a second of CPU time, matches ends early.
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


signal.signal(signal.SIGVTALRM, on_alarm)  # of CPU time: a busy machine is no slow regex

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
        try:
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0.1)
                m = regex.search(text)
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        except Timeout:  # whenever it came
            break
        matches.append(m and {"start": m.start(), "groups": {k: m.span(k) for k in regex.groupindex if m.span(k)[0] >= 0}})
    print(json.dumps({"matches": matches}))
