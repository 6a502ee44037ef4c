#include "check.h"

#include <stddef.h>
#include <stdlib.h>

void (*aisys_check_last_words)(const char *condition, const char *file, int line) = NULL;

_Noreturn void aisys_check_failed(const char *condition, const char *file, int line)
{
    if (aisys_check_last_words)
        aisys_check_last_words(condition, file, line);
    abort();
}
