/* From a text to what is stored of it. */
#include "memory/memory_orchestrator.h"

#include <stdlib.h>
#include <string.h>

#include "memory/embed.h"
#include "memory/words.h"

static const char *prepare_copy(char **at, const char *text)
{
    const char *copy = *at;

    if (text == NULL)
        return NULL;
    *at = stpcpy(*at, text) + 1;
    return copy;
}

static size_t prepare_bytes(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

struct memory_prepared *memory_prepared_new(
    const struct memory_record *record, char *const *tags, size_t n_tags)
{
    const size_t text_bytes = strlen(record->text);
    size_t bytes = prepare_bytes(record->text) + prepare_bytes(record->session) +
                   prepare_bytes(record->source) + prepare_bytes(record->request_id) +
                   MEMORY_NORMAL_ROOM(text_bytes) + 1;
    struct memory_prepared *p = calloc(1, sizeof(*p));
    char *at;

    for (size_t i = 0; i < n_tags; i++)
        bytes += strlen(tags[i]) + 1;
    if (p == NULL || (p->block = malloc(bytes)) == NULL) {
        free(p);
        return NULL;
    }
    at = p->block;
    p->record = *record;
    p->text_bytes = text_bytes;
    p->record.text = prepare_copy(&at, record->text);
    p->record.session = prepare_copy(&at, record->session);
    p->record.source = prepare_copy(&at, record->source);
    p->record.request_id = prepare_copy(&at, record->request_id);
    p->record.tags = at;
    for (size_t i = 0; i < n_tags && i < MEMORY_TAGS_MAX; i++) {
        p->tags[i] = memory_name_hash(tags[i], strlen(tags[i]));
        at = stpcpy(at, tags[i]);
        *at++ = '\n';
        p->record.row.n_tags++;
    }
    *at++ = '\0';
    p->words = at;
    p->record.words = p->words;
    p->record.vector = p->vector;
    if (record->session != NULL)
        p->record.row.session = memory_name_hash(record->session, strlen(record->session));
    return p;
}

void memory_prepared_free(void *prepared)
{
    struct memory_prepared *p = prepared;

    if (p == NULL)
        return;
    free(p->block);
    free(p);
}

struct memory_prepared *memory_prepared_move(struct memory_prepared *prepared)
{
    struct memory_prepared *p = malloc(sizeof(*p));

    if (p == NULL)
        return NULL;
    *p = *prepared;
    p->record.vector = p->vector;
    prepared->block = NULL;
    return p;
}

void memory_prepare(struct memory_prepared *prepared)
{
    const size_t bytes =
        memory_normalise(prepared->record.text, prepared->text_bytes, prepared->words);

    prepared->record.row.normal = memory_hash(prepared->words, bytes, 0);
    prepared->record.row.simhash = memory_simhash(prepared->words, bytes);
    memory_embedder_lexical.embed(prepared->record.text, prepared->text_bytes, prepared->vector);
}
