#include "port/http_parse.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static int http_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Whether the @len bytes at @text are UTF-8: no overlong forms, surrogates or cut characters. */
static bool http_utf8(const unsigned char *text, size_t len)
{
    static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    for (size_t i = 0; i < len;) {
        const unsigned char c = text[i];
        const size_t more = c < 0x80             ? 0
                            : (c & 0xe0) == 0xc0 ? 1
                            : (c & 0xf0) == 0xe0 ? 2
                            : (c & 0xf8) == 0xf0 ? 3
                                                 : 9;
        unsigned cp = more ? c & (0x3fu >> more) : c;

        if (more == 9 || len - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++) {
            if ((text[i + k] & 0xc0) != 0x80)
                return false;
            cp = cp << 6 | (text[i + k] & 0x3fu);
        }
        if (more && (cp < least[more + 1] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)))
            return false;
        i += more + 1;
    }
    return true;
}

/* Decode the @len bytes at @text in place and close them with a NUL. */
static const char *http_decode(char *text, size_t len, bool query)
{
    size_t to = 0;

    for (size_t from = 0; from < len; from++) {
        unsigned char c = (unsigned char)text[from];

        if (c == '%') {
            const int high = len - from > 2 ? http_hex(text[from + 1]) : -1;
            const int low = len - from > 2 ? http_hex(text[from + 2]) : -1;

            if (high < 0 || low < 0)
                return "a % in the request target is not followed by two hexadecimal digits";
            c = (unsigned char)(high << 4 | low);
            from += 2;
            if (c == 0)
                return "the request target holds an encoded NUL (%00)";
            if (c == '/' && !query)
                return "the path holds an encoded slash (%2F)";
        } else if (c == '+' && query) {
            c = ' ';
        }
        if ((c < 0x20 || c == 0x7f) && !query)
            return "the path holds a control character";
        text[to++] = (char)c;
    }
    text[to] = '\0';
    return http_utf8((const unsigned char *)text, to) ? NULL : "the request target is not UTF-8";
}

/* Drop the empty and "." segments of @path in place; a trailing slash stays. */
static const char *http_normalise(char *path)
{
    char *to = path;
    const char *from = path;

    while (*from) {
        const char *segment = from + 1; /* from is at a slash */
        const size_t len = strcspn(segment, "/");

        if (len == 2 && segment[0] == '.' && segment[1] == '.')
            return "the path holds a \"..\" segment";
        from = segment + len;
        if (len == 0 || (len == 1 && segment[0] == '.'))
            continue;
        *to++ = '/';
        memmove(to, segment, len);
        to += len;
    }
    /* `from` is at the end: did the path end in a slash? */
    if (to == path || from[-1] == '/')
        *to++ = '/';
    *to = '\0';
    return NULL;
}

size_t aisys_http_target_params(const char *target)
{
    const char *query = strchr(target, '?');
    size_t count = 0;

    while (query) {
        count++;
        query = strchr(query + 1, '&');
    }
    return count;
}

const char *aisys_http_target_parse(char *target, const char **ret_path,
    struct aisys_http_pair *params, size_t params_max, size_t *ret_params_len)
{
    const size_t path_len = strcspn(target, "?");
    char *query = target[path_len] ? target + path_len + 1 : NULL;
    const char *problem;
    size_t params_len = 0;

    if (target[0] != '/')
        return "the request target does not start with a slash";
    problem = http_decode(target, path_len, false);
    if (!problem)
        problem = http_normalise(target);
    if (problem)
        return problem;

    while (query) {
        const size_t len = strcspn(query, "&");
        char *next = query[len] ? query + len + 1 : NULL;
        char *value = memchr(query, '=', len);
        const size_t name_len = value ? (size_t)(value - query) : len;

        if (len > 0) {
            if (params_len == params_max)
                return "the query has too many parameters";
            if (value)
                problem = http_decode(value + 1, len - name_len - 1, true);
            if (!problem)
                problem = http_decode(query, name_len, true);
            if (problem)
                return problem;
            params[params_len].name = query;
            params[params_len].value = value ? value + 1 : query + strlen(query);
            params_len++;
        }
        query = next;
    }
    *ret_path = target;
    *ret_params_len = params_len;
    return NULL;
}

bool aisys_http_host_is(const char *host, const char *allowed)
{
    const size_t allowed_len = strlen(allowed);
    size_t len;

    if (host[0] == '[') {
        len = strcspn(++host, "]");
        if (host[len] != ']' || (host[len + 1] != '\0' && host[len + 1] != ':'))
            return false;
        if (host[len + 1] == ':' && host[len + 2 + strspn(host + len + 2, "0123456789")])
            return false;
    } else {
        len = strcspn(host, ":");
        if (host[len] && host[len + 1 + strspn(host + len + 1, "0123456789")])
            return false;
    }
    return len == allowed_len && strncasecmp(host, allowed, len) == 0;
}

bool aisys_http_origin_is_host(const char *origin, const char *host)
{
    if (strncmp(origin, "http://", 7) == 0)
        origin += 7;
    else if (strncmp(origin, "https://", 8) == 0)
        origin += 8;
    else
        return false;
    return strcasecmp(origin, host) == 0;
}

bool aisys_http_length_parse(const char *text, uint64_t *ret_bytes)
{
    uint64_t value = 0;

    if (!text[0] || text[strspn(text, "0123456789")])
        return false;
    for (; *text; text++) {
        if (value > (INT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *ret_bytes = value;
    return true;
}

size_t aisys_http_error_json(char *buf, size_t buf_bytes, const char *code, const char *message)
{
    static const char tail[] = "\",\"details\":[]}}";
    size_t at =
        (size_t)snprintf(buf, buf_bytes, "{\"error\":{\"code\":\"%s\",\"message\":\"", code);
    const bool utf8 = http_utf8((const unsigned char *)message, strlen(message));

    for (; *message; message++) {
        const unsigned char c = (unsigned char)*message;
        char out[8];
        size_t len = 1;

        out[0] = (char)c;
        if (c == '"' || c == '\\')
            len = (size_t)snprintf(out, sizeof(out), "\\%c", c);
        else if (c < 0x20)
            len = (size_t)snprintf(out, sizeof(out), "\\u%04x", c);
        else if (c >= 0x80 && !utf8)
            out[0] = '?';
        /* room for this and, were it the first byte of a character, the three that follow */
        if (at + len + 3 + sizeof(tail) > buf_bytes && (c & 0xc0) != 0x80)
            break;
        memcpy(buf + at, out, len);
        at += len;
    }
    memcpy(buf + at, tail, sizeof(tail));
    return at + sizeof(tail) - 1;
}

static const struct http_status {
    unsigned status;
    const char *code;
    const char *reason;
} http_statuses[] = {
    { 400, "INVALID_ARGUMENT", "Bad Request" },
    { 401, "UNAUTHENTICATED", "Unauthorized" },
    { 403, "PERMISSION_DENIED", "Forbidden" },
    { 404, "NOT_FOUND", "Not Found" },
    { 405, "UNIMPLEMENTED", "Method Not Allowed" },
    { 408, "DEADLINE_EXCEEDED", "Request Timeout" },
    { 409, "ABORTED", "Conflict" },
    { 412, "FAILED_PRECONDITION", "Precondition Failed" },
    { 413, "RESOURCE_EXHAUSTED", "Content Too Large" },
    { 415, "INVALID_ARGUMENT", "Unsupported Media Type" },
    { 429, "RESOURCE_EXHAUSTED", "Too Many Requests" },
    { 431, "RESOURCE_EXHAUSTED", "Request Header Fields Too Large" },
    { 499, "CANCELLED", "Client Closed Request" },
    { 500, "INTERNAL", "Internal Server Error" },
    { 501, "UNIMPLEMENTED", "Not Implemented" },
    { 503, "UNAVAILABLE", "Service Unavailable" },
    { 504, "DEADLINE_EXCEEDED", "Gateway Timeout" },
};

static const struct http_status *http_status_find(unsigned status)
{
    for (size_t i = 0; i < sizeof(http_statuses) / sizeof(http_statuses[0]); i++)
        if (http_statuses[i].status == status)
            return &http_statuses[i];
    return NULL;
}

const char *aisys_http_status_code(unsigned status)
{
    const struct http_status *found = http_status_find(status);

    return found ? found->code : "UNKNOWN";
}

const char *aisys_http_status_reason(unsigned status)
{
    const struct http_status *found = http_status_find(status);

    return found ? found->reason : "Error";
}
