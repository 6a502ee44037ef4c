/* AISYS_CHECK for the runtime itself: a false condition is our bug, and the process aborts with the
 * place. (In an actor's code the macro of aisys/actor.h fails that actor alone.) Included before any
 * aisys header. */
#ifndef AISYS_CORE_CHECK_H
#define AISYS_CORE_CHECK_H

#define AISYS_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            aisys_check_failed(#condition, __FILE__, __LINE__);                                    \
    } while (0)

/* Hands the words to the last words function (the environment's log, say), then aborts. Any thread. */
_Noreturn void aisys_check_failed(const char *condition, const char *file, int line);

/* Who is told before the abort; NULL (the start): nobody. Any thread, async-signal-safe functions only. */
extern void (*aisys_check_last_words)(const char *condition, const char *file, int line);

#endif
