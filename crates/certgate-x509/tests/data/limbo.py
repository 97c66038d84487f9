#!/usr/bin/env python3
"""Makes limbo.jsonl.gz of the generator of x509-limbo.

    git clone https://github.com/C2SP/x509-limbo && git -C x509-limbo checkout 8a2e6f41023b1716dc16fe63335e4bb972e4c3f6
    pip install 'pydantic~=2.13' 'cryptography~=46.0' pyyaml pyOpenSSL certifi requests Jinja2
    ./limbo.py x509-limbo

The generator makes new keys each time, so the packed file is kept and made anew only for another version. The cases of
BetterTLS, which x509-limbo repeats, are left out: scripts/bettertls runs them. Private keys are not kept.
"""

import datetime
import gzip
import json
import pathlib
import re
import sys

checkout = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(checkout))
from limbo.testcases import registry  # noqa: E402

# Of cases that name no time: their certificates are valid for centuries.
TIME = 1_782_864_000


def der(texts):
    blocks = (re.findall(r"-----BEGIN [A-Z0-9 ]+-----(.*?)-----END", text, re.S) for text in texts)
    return ["".join(block.split()) for found in blocks for block in found]


def convert(case):
    time = case["validation_time"]
    line = {
        "id": case["id"],
        "expected": case["expected_result"] == "SUCCESS",
        "leaf": der([case["peer_certificate"]])[0],
        "trust_anchors": der(case["trusted_certs"]),
        "untrusted": der(case["untrusted_intermediates"]),
        "crls": der(case["crls"]),
        "time": int(datetime.datetime.fromisoformat(time).timestamp()) if time else TIME,
        "usage": case["validation_kind"].lower(),
    }
    if case["max_chain_depth"] is not None:
        line["max_path_length"] = case["max_chain_depth"]
    return line


cases = [json.loads(make().model_dump_json()) for make in registry.values()]
cases += [json.loads(path.read_text()) for path in sorted((checkout / "limbo/_assets/online").glob("*.json"))]
text = "".join(json.dumps(convert(case)) + "\n" for case in sorted(cases, key=lambda case: case["id"]))
packed = pathlib.Path(__file__).with_name("limbo.jsonl.gz")
packed.write_bytes(gzip.compress(text.encode(), mtime=0))
print(f"{packed}: {len(cases)} cases, {packed.stat().st_size} octets")
