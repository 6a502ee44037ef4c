#include "engines.h"

#include <stdlib.h>
#include <string.h>

void aisys_vision_text_deinit(struct vision_text *text)
{
    if (text == NULL)
        return;
    for (size_t i = 0; i < text->words_nr; i++)
        free(text->words[i].text);
    free(text->words);
    free(text->full);
    memset(text, 0, sizeof(*text));
}

void aisys_vision_codes_deinit(struct vision_codes *codes)
{
    if (codes == NULL)
        return;
    for (size_t i = 0; i < codes->codes_nr; i++)
        free(codes->codes[i].data);
    free(codes->codes);
    memset(codes, 0, sizeof(*codes));
}
