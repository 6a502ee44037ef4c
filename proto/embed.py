"""embed.py IN OUT HEADER NAME: write the bytes of IN as the C array NAME that HEADER declares."""
import sys

source, target, header, name = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
with open(target, "w", encoding="ascii") as out:
    out.write(f'#include "{header}"\n\nconst unsigned char {name}[] = {{\n')
    for at in range(0, len(data), 20):
        out.write("".join(f"{byte}," for byte in data[at:at + 20]) + "\n")
    out.write(f"}};\n\nconst size_t {name}_bytes = {len(data)};\n")
