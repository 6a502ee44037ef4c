"""services.py OUT PROTO...: write the table that services.h declares: every service of the files."""
import re
import sys


def c_name(full_name):
    """protobuf-c's symbol for a full name: CamelCase to snake_case, dots to __."""
    parts = [re.sub(r"(?<=[^A-Z])(?=[A-Z])", "_", part) for part in full_name.split(".")]
    return "__".join(parts).lower()


found = []
for path in sys.argv[2:]:
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"//[^\n]*", "", file.read())
    package = re.search(r"^package\s+([\w.]+)\s*;", text, re.M).group(1)
    header = re.search(r"((?:aisys|google)/.*)\.proto$", path.replace("\\", "/")).group(1) + ".pb-c.h"
    found += [(header, c_name(f"{package}.{name}"))
              for name in re.findall(r"^service\s+(\w+)", text, re.M)]

with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write('#include "services.h"\n\n')
    for header in sorted({header for header, _ in found}):
        out.write(f'#include "{header}"\n')
    out.write("\nconst ProtobufCServiceDescriptor *const aisys_services[] = {\n")
    for _, name in found:
        out.write(f"    &{name}__descriptor,\n")
    out.write("    0,\n};\n")
