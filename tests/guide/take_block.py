"""take_block.py PAGE NAME OUT: write the code block of a Markdown page that is marked ```language NAME."""
import re
import sys

page, name, out = sys.argv[1:]
with open(page, encoding="utf-8") as file:
    found = re.findall(r"^```\w+ " + re.escape(name) + r"\n(.*?)^```$", file.read(), re.M | re.S)
if len(found) != 1:
    sys.exit(f"{page}: {len(found)} blocks are marked {name}, not 1")
with open(out, "w", encoding="utf-8") as file:
    file.write(found[0])
