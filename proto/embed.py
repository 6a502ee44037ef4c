"""embed.py IN OUT: write the bytes of IN as the C array that descriptor_set.h declares."""
import sys

with open(sys.argv[1], "rb") as source:
    data = source.read()
with open(sys.argv[2], "w", encoding="ascii") as out:
    out.write('#include "descriptor_set.h"\n\nconst unsigned char aisys_descriptor_set[] = {\n')
    for at in range(0, len(data), 20):
        out.write("".join(f"{byte}," for byte in data[at:at + 20]) + "\n")
    out.write(f"}};\n\nconst size_t aisys_descriptor_set_bytes = {len(data)};\n")
