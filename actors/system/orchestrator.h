/* What the two files of the orchestrator share. */
#ifndef ACTORS_SYSTEM_ORCHESTRATOR_H
#define ACTORS_SYSTEM_ORCHESTRATOR_H

#include "aisys/system.pb-c.h"
#include "scratch.h"

/* The row of List about one actor; what it points to is in @scratch or borrowed from @info. */
void orchestrator_fill_actor(
    struct scratch *scratch, const struct aisys_actor_info *info, Aisys__System__Actor *ret_actor);

/* The reply of Describe; as above. */
void orchestrator_fill_description(struct scratch *scratch, const struct aisys_actor_info *info,
    Aisys__System__DescribeReply *ret_reply);

#endif
