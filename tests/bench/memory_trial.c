/* How well does Search find? Conversations are made up from a seed, with questions whose answer (one
 * turn) is known; recall is the share of questions whose answer is among the first ten.
 *
 *     memory_trial [directory] [seed]
 *
 * A conversation is about 600 turns of two people in 30 sessions over a year. What is asked for later was
 * told in one turn, or (one in three) asked and answered in two: then the answering turn seldom holds the
 * words of the question. Questions are put in other words than those used in the conversation, one in five
 * names the date, and one in five has a word misspelt or joined. The same topics come up again with other
 * people and other answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory_engine.h"

#define CONVERSATIONS 8
#define SESSIONS      30
#define QUESTIONS_MAX 400
#define DAY_MS        86400000LL

struct topic {
    const char *asks[2];    /* in the conversation; %P: whom it is about */
    const char *answers[2]; /* %V: the value */
    const char *tells[2];   /* or told in one turn */
    const char *queries[2]; /* later; %S: who answered */
    const char *values[8];
};

static const struct topic topics[] = {
    { { "What did you get %P for the birthday?", "Did you find a present for %P in the end?" },
        { "A %V, wrapped in blue paper.", "I went for a %V, it was not even expensive." },
        { "I bought %P a %V as a birthday present.",
            "%P was so happy about the %V that I gave her for the birthday." },
        { "What birthday gift did %S buy for %P?", "Which present did %S choose for %P?" },
        { "ceramic teapot", "wool scarf", "chess set", "cookbook", "silver bracelet", "telescope",
            "raincoat", "record player" } },
    { { "Where are you and %P going on holiday?", "Have you and %P booked the trip yet?" },
        { "We picked %V, flights are paid.", "It will be %V for ten days." },
        { "Next summer I am travelling to %V with %P.",
            "%P and I booked our holiday, we fly to %V." },
        { "Where does %S travel with %P?", "Which vacation destination did %S book with %P?" },
        { "Lisbon", "the Dolomites", "Crete", "Edinburgh", "Sardinia", "Reykjavik", "the Azores",
            "Vienna" } },
    { { "How did %P's interview go?", "Any news about the job that %P applied for?" },
        { "They hired her as a %V straight away.", "Great, starts as a %V next month." },
        { "Guess what, %P got the job and works as a %V now.", "%P was hired, she will be a %V." },
        { "What job did %P get?", "As what was %P employed after the interviews?" },
        { "nurse", "surveyor", "translator", "pastry chef", "librarian", "welder", "botanist",
            "tram driver" } },
    { { "What is wrong with %P's car?", "Did the garage call about the car of %P?" },
        { "It is the %V, they have to order the part.", "The %V again, three hundred euros." },
        { "The car of %P broke down, it was the %V.", "We had to repair the %V of %P's car." },
        { "Which car part of %P was broken?", "What repair did the vehicle of %P need?" },
        { "clutch", "alternator", "exhaust", "radiator", "gearbox", "timing belt", "fuel pump",
            "windscreen" } },
    { { "Is %P allergic to anything? I am cooking.", "What can %P not eat?" },
        { "Keep %V out of it, please.", "No %V, otherwise anything goes." },
        { "Remember that %P cannot eat %V, she is allergic.",
            "%P had an allergic reaction to %V yesterday." },
        { "What is %P allergic to?", "Which food does %P have an allergy against?" },
        { "peanuts", "shellfish", "celery", "sesame", "strawberries", "mustard", "walnuts",
            "lupin" } },
    { { "Which instrument is %P learning now?", "I heard music from the room of %P, what is it?" },
        { "The %V, since last week.", "That is the %V, lessons are on Tuesdays." },
        { "%P started to play the %V, lessons are on Tuesdays.",
            "I gave %P a %V, now she is learning it." },
        { "What musical instrument does %P play?", "Which instrument has %P started to learn?" },
        { "cello", "accordion", "trumpet", "banjo", "oboe", "harp", "bagpipes", "marimba" } },
    { { "Where did you put the spare key for %P?", "I am at the door of %P and have no key." },
        { "Look under the %V.", "It hangs behind the %V." },
        { "I hid the spare key for %P under the %V.", "If %P comes by, the key is near the %V." },
        { "Where is the spare key for %P hidden?", "Where is %P's key kept?" },
        { "flowerpot", "doormat", "mailbox", "bird feeder", "water barrel", "garden gnome",
            "boot rack", "firewood" } },
    { { "What did the doctor tell %P?", "How was the appointment of %P at the hospital?" },
        { "It is only %V, two weeks of rest.", "She says %V, nothing worse." },
        { "%P saw the doctor, the diagnosis is %V.",
            "At the hospital they told %P that it is %V." },
        { "What diagnosis did %P get from the physician?",
            "What illness does %P have according to the doctor?" },
        { "bronchitis", "a sprained ankle", "anaemia", "tonsillitis", "shingles", "a slipped disc",
            "migraine", "a torn ligament" } },
    { { "What pet does %P want to adopt?", "So, has %P been to the animal shelter?" },
        { "We came home with a %V.", "It is going to be a %V." },
        { "%P adopted a %V from the shelter.",
            "We went to the animal shelter and %P took home a %V." },
        { "Which animal did %P adopt from the shelter?", "What kind of pet does %P have?" },
        { "tortoise", "greyhound", "parakeet", "hedgehog", "ferret", "beagle", "chinchilla",
            "tabby cat" } },
    { { "What did you paint the room of %P?", "Is the wall at %P's place finished?" },
        { "All of it %V, two coats.", "We settled on %V after a long talk." },
        { "I painted the walls of %P's room in %V.",
            "%P wants the room in %V, so I bought the paint." },
        { "What colour are the walls in the room of %P?", "Which colour was %P's room painted?" },
        { "turquoise", "ochre", "lavender", "charcoal", "mint", "terracotta", "ivory",
            "burgundy" } },
    { { "Which book is %P reading at the club?", "What is next on the reading list of %P?" },
        { "Something about %V, five hundred pages.", "A thick one on %V." },
        { "In her book club %P is reading about %V.", "%P recommended a book on %V to me." },
        { "What is the book about that %P reads in the book club?",
            "What subject does %P read about?" },
        { "lighthouses", "the silk road", "beekeeping", "volcanoes", "codebreakers", "the potato",
            "glaciers", "medieval bridges" } },
    { { "What is the plan for the wedding anniversary of %P?",
          "How will %P celebrate the anniversary?" },
        { "They rented a %V.", "There is talk of a %V, keep it secret." },
        { "For their anniversary %P rented a %V.",
            "%P celebrates the wedding anniversary in a %V." },
        { "How does %P celebrate the wedding anniversary?",
            "What was rented for the anniversary celebration of %P?" },
        { "houseboat", "castle", "steam train", "vineyard", "ballroom", "hot air balloon",
            "mountain hut", "planetarium" } },
    { { "What is %P growing in the garden this year?", "Did the seeds of %P come up?" },
        { "Mostly %V, and weeds.", "The %V came up first." },
        { "%P planted %V in the garden.", "There are %V growing all over %P's garden." },
        { "What vegetables does %P cultivate in the garden?", "What did %P plant in the gardens?" },
        { "pumpkins", "artichokes", "beetroot", "okra", "fennel", "leeks", "chillies",
            "rhubarb" } },
    { { "What course has %P signed up for?", "I saw %P at the evening school, what for?" },
        { "It is %V, every Thursday.", "She takes %V with her neighbour." },
        { "%P is taking a course in %V on Thursdays.", "At evening school %P now learns %V." },
        { "Which evening classes does %P attend?", "What does %P study at night school?" },
        { "pottery", "sign language", "woodcarving", "fencing", "astronomy", "bookbinding", "salsa",
            "first aid" } },
};

#define TOPICS (sizeof(topics) / sizeof(topics[0]))

static const char *const people[] = { "Anna", "Peter", "Marta", "Oskar", "Lena", "Jonas", "Irina",
    "Felix", "Clara", "Tomas", "Nadia", "Viktor", "Greta", "Pablo", "Sofia", "Henrik" };

static const char *const talk[] = { "How was your day?", "Not bad, a bit long.",
    "The weather is awful again.", "I have to run, talk later.", "Did you sleep well?",
    "Same as always, really.", "That sounds good to me.", "I am so tired today.",
    "Tell me more about it.", "Haha, I can imagine that.", "We should meet for a coffee soon.",
    "The train was late again this morning.", "I still have work to do.", "Good night, sleep well!",
    "What a week that was.", "I forgot my umbrella at the office.",
    "The new neighbours are quite loud.", "My phone battery is nearly empty.",
    "Let me check the calendar.", "I watched that series until midnight.", "You always say that.",
    "Maybe next weekend then.", "Thanks, that helps a lot.", "I will ask my brother about it.",
    "The coffee machine broke down again.", "Sorry, I was in a meeting.", "That is wonderful news!",
    "Oh no, I am sorry to hear that.", "It was great to see you yesterday.",
    "I need to buy milk and bread.", "Have you paid the bill already?", "We had pasta for dinner.",
    "I went for a run by the river.", "The children were up at five." };

static const char *const follow[] = { "Oh nice, I would not have thought of that.",
    "Really? Good choice.", "I hope that works out.", "That must have been a surprise.",
    "I see, thanks for telling me." };

static uint64_t seed;

static unsigned any(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % n);
}

static void fill(
    const char *pattern, const char *speaker, const char *p, const char *v, const char *s, char *to)
{
    to += sprintf(to, "%s", speaker);
    for (; *pattern != '\0'; pattern++) {
        if (pattern[0] == '%') {
            pattern++;
            to = stpcpy(to, *pattern == 'P' ? p : *pattern == 'V' ? v : s);
        } else {
            *to++ = *pattern;
        }
    }
    *to = '\0';
}

struct question {
    char text[200];
    int64_t answer;
};

/* Two letters of the longest word change places, or it grows together with the next. */
static void misspell(char *text)
{
    char *longest = text;
    size_t most = 0;

    for (char *at = text; *at != '\0';) {
        const size_t n = strcspn(at, " ");

        if (n > most) {
            most = n;
            longest = at;
        }
        at += n + (at[n] == ' ');
    }
    if (any(3) == 0 && longest[most] == ' ') {
        memmove(longest + most, longest + most + 1, strlen(longest + most));
    } else if (most > 4) {
        const size_t i = 1 + any((unsigned)most - 3);
        const char c = longest[i];

        longest[i] = longest[i + 1];
        longest[i + 1] = c;
    }
}

static int64_t say(struct memory_engine *e, const char *session, int64_t when_ms, const char *text)
{
    const struct memory_item item = { .text = text, .session = session, .event_ms = when_ms };

    return memory_engine_store(e, &item);
}

static void ask(struct question *q, const struct topic *t, const char *p, const char *s,
    int64_t when_ms, int64_t answer)
{
    fill(t->queries[any(2)], "", p, "", s, q->text);
    if (any(5) == 0)
        misspell(q->text);
    if (any(5) == 0) {
        const time_t seconds = (time_t)(when_ms / 1000);
        struct tm tm;
        const size_t n = strlen(q->text) - 1;

        gmtime_r(&seconds, &tm);
        strftime(q->text + n, 60, any(2) != 0 ? " in %B %Y?" : " on %e %B?", &tm);
    }
    q->answer = answer;
}

static unsigned converse(struct memory_engine *e, struct question *questions)
{
    unsigned n = 0;

    for (unsigned s = 0; s < SESSIONS; s++) {
        const int64_t when_ms = 1672531200000 + s * 12 * DAY_MS + any(10) * DAY_MS;
        const char *speakers[2] = { "Mia", "Tom" };
        char session[16], text[300], prefix[16];

        sprintf(session, "s%u", s);
        for (unsigned exchange = 0; exchange < 4; exchange++) {
            const struct topic *t = &topics[any(TOPICS)];
            const char *p = people[any(16)], *v = t->values[any(8)];
            const unsigned who = any(2);

            for (unsigned i = 1 + any(3); i > 0; i--) {
                sprintf(text, "%s: %s", speakers[i % 2], talk[any(sizeof(talk) / sizeof(talk[0]))]);
                say(e, session, when_ms, text);
            }
            if (any(3) == 0) { /* asked and answered; else told in one turn */
                sprintf(prefix, "%s: ", speakers[who]);
                fill(t->asks[any(2)], prefix, p, v, "", text);
                say(e, session, when_ms, text);
                sprintf(prefix, "%s: ", speakers[!who]);
                fill(t->answers[any(2)], prefix, p, v, "", text);
            } else {
                sprintf(prefix, "%s: ", speakers[!who]);
                fill(t->tells[any(2)], prefix, p, v, "", text);
            }
            ask(&questions[n], t, p, speakers[!who], when_ms, say(e, session, when_ms, text));
            n++;
            sprintf(text, "%s: %s", speakers[who], follow[any(5)]);
            say(e, session, when_ms, text);
        }
    }
    return n;
}

struct setting {
    const char *name;
    enum memory_mode mode;
    struct memory_field_weights fields;
    double constant, vector_weight;
};

static const struct setting settings[] = {
    { "words alone", MEMORY_TEXT, { 1, 0, 0, 0 }, 10, 0 },
    { "+ date", MEMORY_TEXT, { 1, 0, 0, 0.7 }, 10, 0 },
    { "+ neighbours .35 .35", MEMORY_TEXT, { 1, 0.35, 0.35, 0.7 }, 10, 0 },
    { "+ neighbours .6 .25", MEMORY_TEXT, { 1, 0.6, 0.25, 0.7 }, 10, 0 },
    { "+ neighbours .9 .3", MEMORY_TEXT, { 1, 0.9, 0.3, 0.7 }, 10, 0 },
    { "vectors alone", MEMORY_VECTOR, { 1, 0.6, 0.25, 0.7 }, 10, 1 },
    { "fused, c 10, vectors 0.1", MEMORY_HYBRID, { 1, 0.6, 0.25, 0.7 }, 10, 0.1 },
    { "fused, c 10, vectors 0.3", MEMORY_HYBRID, { 1, 0.6, 0.25, 0.7 }, 10, 0.3 },
    { "fused, c 10, vectors 0.5", MEMORY_HYBRID, { 1, 0.6, 0.25, 0.7 }, 10, 0.5 },
    { "fused, c 10, vectors 1", MEMORY_HYBRID, { 1, 0.6, 0.25, 0.7 }, 10, 1 },
    { "fused, c 60, vectors 0.1", MEMORY_HYBRID, { 1, 0.6, 0.25, 0.7 }, 60, 0.1 },
    { "fused, c 60, vectors 0.3", MEMORY_HYBRID, { 1, 0.6, 0.25, 0.7 }, 60, 0.3 },
    { "fused, c 60, vectors 1", MEMORY_HYBRID, { 1, 0.6, 0.25, 0.7 }, 60, 1 },
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static unsigned rank_of(struct memory_engine *e, const struct setting *s, const struct question *q)
{
    struct memory_search search = { .k = 10,
        .mode = s->mode,
        .weights = &s->fields,
        .filter.now_ms = 1672531200000 + 365 * DAY_MS };
    unsigned rank = 0;

    e->params.constant = s->constant;
    e->params.vector_weight = s->vector_weight > 0 ? s->vector_weight : e->params.vector_weight;
    memory_engine_search(e, &search, q->text);
    for (unsigned i = 0; i < search.n && rank == 0; i++) {
        if (search.candidates[i].id == q->answer)
            rank = i + 1;
    }
    memory_search_deinit(&search);
    return rank;
}

int main(int argc, char **argv)
{
    static struct memory_engine engine;
    static struct question questions[QUESTIONS_MAX];
    unsigned first[SETTINGS] = { 0 }, ten[SETTINGS] = { 0 }, asked = 0, turns = 0;
    double reciprocal[SETTINGS] = { 0 };
    char path[120];

    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    snprintf(path, sizeof(path), "%s/memory_trial.%ld.db", argc > 1 ? argv[1] : "/tmp",
        (long)time(NULL));
    for (unsigned c = 0; c < CONVERSATIONS; c++) {
        unsigned n;

        memory_engine_open(&engine, path);
        n = converse(&engine, questions);
        turns += memory_rows_count(engine.rows);
        asked += n;
        for (unsigned s = 0; s < SETTINGS; s++) {
            for (unsigned q = 0; q < n; q++) {
                const unsigned rank = rank_of(&engine, &settings[s], &questions[q]);

                first[s] += rank == 1;
                ten[s] += rank > 0;
                reciprocal[s] += rank > 0 ? 1.0 / rank : 0;
            }
        }
        memory_engine_remove(&engine);
    }
    printf("%u turns, %u questions\n%-24s %9s %9s %9s\n", turns, asked, "", "first", "recall@10",
        "MRR");
    for (unsigned s = 0; s < SETTINGS; s++)
        printf("%-24s %9.3f %9.3f %9.3f\n", settings[s].name, first[s] / (double)asked,
            ten[s] / (double)asked, reciprocal[s] / asked);
    return 0;
}
