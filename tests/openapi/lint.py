"""Compares the reports of redocly and spectral with exceptions.txt. Fails on what is not listed there, and on
exceptions that nothing needs any more. Usage: lint.py EXCEPTIONS REDOCLY.json SPECTRAL.json"""

import json
import os
import re
import sys

exceptions, redocly, spectral = sys.argv[1:]
listed = []
for line in open(exceptions, encoding="utf-8"):
    if line.strip() and not line.startswith("#"):
        document, rule, message, reason = (part.strip() for part in line.split(" | "))
        assert reason, f"an exception needs a reason: {line}"
        listed.append((document, rule, re.compile(message), set()))



def reports(path):
    """The JSON documents in a file: redocly writes one for each document that it reads."""
    text, reader = open(path, encoding="utf-8").read().strip(), json.JSONDecoder()
    assert text, f"{path} is empty"
    while text:
        report, end = reader.raw_decode(text)
        yield report
        text = text[end:].lstrip()


problems = []
found = [problem for report in reports(redocly) for problem in report["problems"]]
for problem in found:
    at = problem["location"][0]
    document = os.path.basename(at["source"]["ref"])
    problems.append((document, problem["ruleId"], problem["message"], at.get("pointer", "")))
found = [problem for report in reports(spectral) for problem in report]
for problem in found:
    document = os.path.basename(problem["source"])
    problems.append((document, problem["code"], problem["message"], "/".join(map(str, problem["path"]))))

wrong = []
for document, rule, message, at in problems:
    fits = [one for one in listed if one[0] in ("*", document) and one[1] == rule and one[2].fullmatch(message)]
    for one in fits:
        one[3].add(message)
    if not fits:
        wrong.append(f"{document}: {rule}: {message} ({at})")
wrong += [f"exceptions.txt: nothing needs {one[0]} {one[1]} any more" for one in listed if not one[3]]
print("\n".join(wrong) or f"both linters are clean, with {len(listed)} exceptions")
sys.exit(bool(wrong))
