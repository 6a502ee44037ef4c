/* An engine: a large library (OCR, codes, video) in a shared object of its own beside the actors'
 * modules, opened at its first use so that a node which never needs it never loads it.
 *
 * Threads: pool threads, inside a job; calls of several at once are put in order.
 * Ownership: what is returned belongs to the process and stays until it ends. */
#ifndef AISYS_ENGINE_H
#define AISYS_ENGINE_H

#include <aisys/actor.h>

/* The object that the engine @file ("aisys_ocr_tesseract.so") exports as @symbol. NULL: there is none, or it
 * cannot be loaded; then @why (of @why_bytes) says so. */
AISYS_API const void *aisys_engine(
    const struct aisys_job *job, const char *file, const char *symbol, char *why, size_t why_bytes);

#endif
