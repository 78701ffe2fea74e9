#!/usr/bin/python3
"""Asks the installed fail2ban what it makes of filters and lines, and prints its answers as JSON.

usage: oracle.py REQUEST, where REQUEST is a JSON file:

  {"filters": [{"name": "sshd", "options": {"mode": "ddos"}}, ...], "lines": ["...", ...]}

It prints one object for each filter, in their order:

  {"failregex": [...], ..., "hits": [{"line": 3, "rule": 0, "id": "192.0.2.7", "groups": {...}}, ...],
   "timeouts": [7]}

hits are the lines, each judged alone, on which fail2ban would count a failure; <F-NOFAIL> is none, with
or without a connection's id. Host names are not resolved. A line on which a regex does not come back within a second is in timeouts.
"""
import json
import logging
import os
import signal
import sys
import time

import fail2ban
from fail2ban.client.filterreader import FilterReader
from fail2ban.server.filter import Filter
from fail2ban.server.mytime import MyTime

OPTIONS = ("usedns", "prefregex", "failregex", "ignoreregex", "maxlines", "datepattern", "journalmatch")
NOW = 1124013600  # the clock of fail2ban's own sample logs: 2005-08-14 12:00 in central Europe


class Timeout(Exception):
    pass


def on_alarm(*_):
    raise Timeout()


def read_filter(name, options, base):
    reader = FilterReader(name, "jail", dict(options), basedir=base)
    if not reader.read():
        raise SystemExit("cannot read filter " + name)
    reader.getOptions({})
    return reader.getCombined()


def make_filter(values):
    flt = Filter(None)
    flt.returnRawHost = True
    flt.checkFindTime = False
    if values.get("maxlines"):
        flt.setMaxLines(values["maxlines"])
    if values.get("datepattern"):
        flt.setDatePattern(values["datepattern"])
    if values.get("prefregex"):
        flt.prefRegex = values["prefregex"]
    for regex in filter(None, (values.get("failregex") or "").split("\n")):
        flt.addFailRegex(regex)
    for regex in filter(None, (values.get("ignoreregex") or "").split("\n")):
        flt.addIgnoreRegex(regex)
    return flt


def split_line(values, line, cache):
    """The line without its date: found by a detector that has seen nothing else."""
    key = (values.get("datepattern"), line)
    if key not in cache:
        flt = Filter(None)
        if values.get("datepattern"):
            flt.setDatePattern(values["datepattern"])
        match = flt.dateDetector.matchTime(line)[0]
        if match:
            cache[key] = (line[:match.start(1)], match.group(1), line[match.end(1):])
        else:
            cache[key] = ("", "", line)
    return cache[key]


def judge(flt, parts):
    flt._Filter__mlfidCache = None  # each line alone
    flt._Filter__lineBuffer = []
    return flt.findFailure(parts, NOW)


def ask(spec, lines, cache):
    values = read_filter(spec["name"], spec["options"], spec.get("base") or "/etc/fail2ban")
    answer = {k: values[k] for k in OPTIONS if values.get(k) is not None}
    answer.update(hits=[], timeouts=[])
    flt = make_filter(values)
    journal = spec["options"].get("logtype") == "journal"
    for number, line in enumerate(lines):
        parts = ("", "", line) if journal else split_line(values, line, cache)
        signal.setitimer(signal.ITIMER_REAL, 1)
        try:
            found = judge(flt, parts)
        except Timeout:
            answer["timeouts"].append(number)
            continue
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for rule, fid, _, fail in found:
            if fail.get("nofail"):  # fail2ban's tests take these for no failures, and so do we
                continue
            groups = {k: v for k, v in fail.items() if isinstance(v, str)}
            answer["hits"].append({"line": number, "rule": rule, "id": str(fid), "groups": groups})
    return answer


def main():
    logging.disable(logging.CRITICAL)
    os.environ["TZ"] = "CET-01CEST-02,M3.5.0,M10.5.0"
    time.tzset()
    MyTime.setTime(NOW)
    signal.signal(signal.SIGALRM, on_alarm)
    with open(sys.argv[1]) as f:
        request = json.load(f)
    cache = {}
    for spec in request["filters"]:
        print(json.dumps(ask(spec, request["lines"], cache)), flush=True)


main()
