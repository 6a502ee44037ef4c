#include "base.h"

#include <stdarg.h>
#include <stdio.h>

enum aisys_code aisys_vision_fail(
    struct vision_error *err, enum aisys_code code, const char *format, ...)
{
    va_list args;

    err->code = code;
    va_start(args, format);
    vsnprintf(err->words, sizeof(err->words), format, args);
    va_end(args);
    return code;
}

enum aisys_code aisys_vision_fail_stopped(struct vision_error *err, const char *doing)
{
    return aisys_vision_fail(
        err, AISYS_DEADLINE_EXCEEDED, "the deadline passed %s; the work was stopped", doing);
}

bool aisys_vision_stopped(const struct vision_stop *stop)
{
    return stop != NULL && stop->ask != NULL && stop->ask(stop->ctx);
}
