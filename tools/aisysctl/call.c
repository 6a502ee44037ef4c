/* aisysctl call ACTOR METHOD [key=value... | -] */
#include <string.h>

#include "ctl.h"

/* What the method takes, as far as this program knows; NULL: it does not. */
static int call_input(
    struct ctl *ctl, const char *actor, const char *method, const ProtobufCMessageDescriptor **ret)
{
    const ProtobufCServiceDescriptor *service = NULL;
    const ProtobufCMethodDescriptor *found;
    const int r = ctl_service_of(ctl, actor, &service);

    found = ctl_service_method(service, method);
    *ret = found ? found->input : NULL;
    return r;
}

int ctl_call(struct ctl *ctl)
{
    const char *actor = ctl->options.args[0];
    const char *method = ctl->options.args[1];
    char *const *words = ctl->options.args + 2;
    const int words_nr = ctl->options.args_nr - 2;
    const ProtobufCMessageDescriptor *input = NULL;
    const struct aisys_node *reply;
    struct aisys_node *args = NULL;
    int r = 0;

    if (words_nr == 1 && strcmp(words[0], "-") == 0) {
        r = ctl_words_stdin(ctl, stdin, &args);
    } else if (words_nr > 0) {
        r = call_input(ctl, actor, method, &input);
        if (r == 0)
            r = ctl_words(ctl, input, words, words_nr, &args);
    }
    if (r == 0)
        r = ctl_ask(ctl, actor, method, args, &reply);
    if (r != 0)
        return r;
    if (ctl->options.json)
        ctl_show_json(ctl->out, reply);
    else if (reply->kind == AISYS_NODE_MAP && reply->items.count == 0)
        fprintf(ctl->out, "done\n");
    else
        ctl_show_tree(ctl->out, reply);
    return CTL_OK;
}
