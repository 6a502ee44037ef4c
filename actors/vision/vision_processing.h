/* The class of the actor vision_processing, and the module that holds it. */
#ifndef AISYS_VISION_PROCESSING_H
#define AISYS_VISION_PROCESSING_H

#include <aisys/actor.h>

#include "tools.h"

extern const struct aisys_actor_ops aisys_vision_processing_ops;

/* How actors that start from now on open engines: dlopen() of modules beside this one. Tests and the
 * simulator set their own, on the loop thread, before the actor starts. */
extern vision_open_engine_fn aisys_vision_open_engine;

#endif
