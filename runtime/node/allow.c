#include "core/check.h"
#include "allow.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_BYTES 16u

/* An address of either family as 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). */
static bool address_parse(const char *text, uint8_t ret_bytes[ADDRESS_BYTES])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (inet_pton(AF_INET6, text, ret_bytes) == 1)
        return true;
    memcpy(ret_bytes, mapped, sizeof(mapped));
    return inet_pton(AF_INET, text, ret_bytes + sizeof(mapped)) == 1;
}

struct network {
    uint8_t bytes[ADDRESS_BYTES];
    unsigned bits;
};

static bool network_parse(const char *text, struct network *ret_network)
{
    const char *slash = strchr(text, '/');
    const bool v6 = strchr(text, ':') != NULL;
    const unsigned width = v6 ? 128 : 32;
    unsigned long bits = width;
    char address[INET6_ADDRSTRLEN];
    char *end;

    if (slash) {
        bits = strtoul(slash + 1, &end, 10);
        if (end == slash + 1 || *end || slash[1] == '-' || slash[1] == '+' || bits > width)
            return false;
    } else {
        slash = text + strlen(text);
    }
    if ((size_t)(slash - text) >= sizeof(address))
        return false;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    ret_network->bits = (unsigned)bits + (v6 ? 0 : 96);
    return address_parse(address, ret_network->bytes);
}

static bool network_has(const struct network *network, const uint8_t bytes[ADDRESS_BYTES])
{
    const unsigned whole = network->bits / 8, rest = network->bits % 8;
    const uint8_t mask = (uint8_t)(0xff00u >> rest);

    return memcmp(network->bytes, bytes, whole) == 0 &&
           (rest == 0 || ((network->bytes[whole] ^ bytes[whole]) & mask) == 0);
}

bool aisys_allow_valid(const char *text)
{
    struct network network;

    return network_parse(text, &network);
}

bool aisys_allow_match(char *const *list, size_t list_nr, const char *peer)
{
    static const char *const loopback[] = { "127.0.0.0/8", "::1" };
    uint8_t bytes[ADDRESS_BYTES];
    struct network network;

    if (!address_parse(peer, bytes))
        return false;
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++)
        if (network_parse(loopback[i], &network) && network_has(&network, bytes))
            return true;
    for (size_t i = 0; i < list_nr; i++)
        if (network_parse(list[i], &network) && network_has(&network, bytes))
            return true;
    return false;
}
