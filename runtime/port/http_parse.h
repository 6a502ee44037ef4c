/* The parts of a request that decide who may ask for what: target, host, origin. Pure text work
 * of the HTTP port, in a file of its own so that it can be tested without sockets.
 *
 * Functions that judge return NULL for right, else static words for the client. */
#ifndef AISYS_PORT_HTTP_PARSE_H
#define AISYS_PORT_HTTP_PARSE_H

#include "port/http_port.h"

/* Split and decode @target ("/a%20b?x=1") in place.
 *
 * The path: must start with '/'; empty and "." segments are dropped, ".." is refused, and so are
 * %00 and other control characters, %2F (it would hide a segment), bad escapes, what is not UTF-8.
 * The query: name=value pairs, '+' is a space; a name alone has the value "".
 * @params has room for @params_max pairs; more are refused. */
const char *aisys_http_target_parse(char *target, const char **ret_path,
    struct aisys_http_pair *params, size_t params_max, size_t *ret_params_len);

/* How many pairs the query of @target can hold at most. */
size_t aisys_http_target_params(const char *target);

/* Whether @host (a Host header: name, a.b.c.d or [v6], with or without :port) names @allowed
 * (without port; v6 without brackets), in any case of letters. */
bool aisys_http_host_is(const char *host, const char *allowed);

/* Whether @origin is http:// or https:// followed by exactly @host (with its port). */
bool aisys_http_origin_is_host(const char *origin, const char *host);

/* A Content-Length: digits alone, below 2^63. False otherwise. */
bool aisys_http_length_parse(const char *text, uint64_t *ret_bytes);

/* {"error":{...}} into @buf, escaped and cut to fit (never inside an escape); its length. */
size_t aisys_http_error_json(char *buf, size_t buf_bytes, const char *code, const char *message);

/* The gRPC name that belongs to an HTTP status, and its reason phrase. Static. */
const char *aisys_http_status_code(unsigned status);
const char *aisys_http_status_reason(unsigned status);

#endif
