"""Whether generated code has every operation and every schema of a document.
Usage: complete.py DOCUMENT.json DIRECTORY_OR_FILE…"""

import json
import os
import sys

document = json.load(open(sys.argv[1], encoding="utf-8"))


def plain(name):
    return name.replace("_", "").lower()


def text_of(path):
    """The code at a path, without what generators write in front of or into names."""
    if os.path.isfile(path):
        return plain(open(path, encoding="utf-8", errors="replace").read())
    found = []
    for at, inner, files in os.walk(path):
        inner[:] = [name for name in inner if name not in ("docs", "doc", "test", "api-docs", ".openapi-generator")]
        found += [plain(name) + "\n" + text_of(os.path.join(at, name))
                  for name in files if name.endswith((".py", ".ts", ".go", ".java"))]
    return "\n".join(found)


operations = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
schemas = list(document["components"]["schemas"])
failed = False
for path in sys.argv[2:]:
    text = text_of(path)
    missing = [name for name in operations + schemas if plain(name) not in text]
    if missing:
        failed = True
        print(f"{path}: missing: {', '.join(missing)}")
if not failed:
    count = f"{len(operations)} operations and {len(schemas)} schemas"
    print(f"{os.path.basename(sys.argv[1])}: {count} in each of {len(sys.argv) - 2} outputs")
sys.exit(failed)
