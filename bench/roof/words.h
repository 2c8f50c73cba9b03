/* The numbers of the words of words.def. */
#ifndef SOFTFOCUS_BENCH_WORDS_H
#define SOFTFOCUS_BENCH_WORDS_H

enum softfocus_word {
#define WORD(kind, repeat, result, name, fresh, arguments) SOFTFOCUS_WORD_##name,
#include "words.def"
#undef WORD
    SOFTFOCUS_WORD_COUNT
};

#endif
