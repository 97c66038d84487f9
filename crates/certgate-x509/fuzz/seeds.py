#!/usr/bin/env python3
"""Fills corpus/ with seeds from the fixtures: seeds.py [FOLDER OF SUITES]...

Certificates, CRLs and OCSP responses come from tests/data/*.jsonl.gz; with folders given, also from the *.jsonl suites
in them. Each seed is named by its SHA-1, as libFuzzer names what it finds. """

import base64
import gzip
import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / "corpus"


def write(target, octets):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(octets).hexdigest()).write_bytes(octets)


def take(case):
    def values(*fields):
        for field in fields:
            value = case.get(field) or []
            yield from (base64.b64decode(text) for text in ([value] if isinstance(value, str) else value))

    for der in values("trust_anchors", "untrusted", "leaf", "issuer"):
        write("certificate", der)
        write("names", der)
    for der in values("crls"):
        write("crl", der)
    for der in values("response"):
        write("ocsp", der)


def main():
    for folder in (HERE / "seeds").iterdir():
        if folder.is_dir():
            for seed in folder.iterdir():
                write(folder.name, seed.read_bytes())
    suites = sorted((HERE.parent / "tests/data").glob("*.jsonl.gz"))
    for folder in sys.argv[1:]:
        suites += sorted(pathlib.Path(folder).glob("*.jsonl"))
    for suite in suites:
        opener = gzip.open if suite.suffix == ".gz" else open
        with opener(suite, "rt") as lines:
            for line in lines:
                take(json.loads(line))
    # Programs: a leaf below an anchor, and every choice once or twice.
    for target in ("path", "constraints"):
        for octet in range(0, 256, 5):
            write(target, bytes((octet * n) % 256 for n in range(1, 200)))
    for target in sorted(CORPUS.iterdir()):
        print(target.name, len(list(target.iterdir())))


if __name__ == "__main__":
    main()
