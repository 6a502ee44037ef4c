/* Makes the rules of the guide's .proto known before main(), as a line in proto/aisys/meson.build would. */
#include "guide_set.h"
#include "schema/doc.h"

#include <stdlib.h>

__attribute__((constructor)) static void rules_add(void)
{
    if (aisys_schema_add(guide_set, guide_set_bytes) < 0)
        abort();
}
