/* Makes a kernel count the words that it uses. Included by the compiler (-include) before everything else in the kernels of
 * libsoftfocus-words: the vocabulary comes first, as it is, and from here on its words are macros of the same name, which
 * count and then call it. So what the vocabulary's own words use is not counted beside them. */
#ifndef SOFTFOCUS_BENCH_COUNTING_H
#define SOFTFOCUS_BENCH_COUNTING_H

#include <string.h>

#include "bench/roof/words.h"
#include "kernels/instance.h"

extern uint64_t softfocus_words[SOFTFOCUS_WORD_COUNT]; /* count.c; one thread */

/* A function, so that an expression may use one word twice. */
SOFTFOCUS_INLINE void count_word(enum softfocus_word word) { softfocus_words[word]++; }
#define COUNTED(word) count_word(SOFTFOCUS_WORD_##word)

/* Not counted are words that a compiler does once for a whole loop, or at compile time, such as those of an exp_base of 0 in
   a loop: a word that gets, bit for bit, what it got the last time at this place. Words on truth values, which often repeat
   by themselves, and words on memory are counted in any case. */
#define UNLESS_SAME(word, ...)                                                                                         \
    static __typeof__(now) last_;                                                                                      \
    static int known_;                                                                                                 \
    if (!known_ || memcmp(&last_, &now, sizeof now) != 0)                                                              \
        COUNTED(word);                                                                                                 \
    known_ = 1;                                                                                                        \
    memcpy(&last_, &now, sizeof now);                                                                                  \
    word(__VA_ARGS__);
#define UNLESS_SAME_1(word, a)                                                                                         \
    __extension__({                                                                                                    \
        __auto_type first_ = a;                                                                                        \
        struct {                                                                                                       \
            __typeof__(first_) first;                                                                                  \
        } now;                                                                                                         \
        memset(&now, 0, sizeof now); /* between its members too */                                                     \
        now.first = first_;                                                                                            \
        UNLESS_SAME(word, first_)                                                                                      \
    })
#define UNLESS_SAME_2(word, a, b)                                                                                      \
    __extension__({                                                                                                    \
        __auto_type first_ = a;                                                                                        \
        __auto_type second_ = b;                                                                                       \
        struct {                                                                                                       \
            __typeof__(first_) first;                                                                                  \
            __typeof__(second_) second;                                                                                \
        } now;                                                                                                         \
        memset(&now, 0, sizeof now); /* between its members too */                                                     \
        now.first = first_;                                                                                            \
        now.second = second_;                                                                                          \
        UNLESS_SAME(word, first_, second_)                                                                             \
    })
#define UNLESS_SAME_3(word, a, b, c)                                                                                   \
    __extension__({                                                                                                    \
        __auto_type first_ = a;                                                                                        \
        __auto_type second_ = b;                                                                                       \
        __auto_type third_ = c;                                                                                        \
        struct {                                                                                                       \
            __typeof__(first_) first;                                                                                  \
            __typeof__(second_) second;                                                                                \
            __typeof__(third_) third;                                                                                  \
        } now;                                                                                                         \
        memset(&now, 0, sizeof now); /* between its members too */                                                     \
        now.first = first_;                                                                                            \
        now.second = second_;                                                                                          \
        now.third = third_;                                                                                            \
        UNLESS_SAME(word, first_, second_, third_)                                                                     \
    })
#define UNLESS_SAME_4(word, a, b, c, d)                                                                                \
    __extension__({                                                                                                    \
        __auto_type first_ = a;                                                                                        \
        __auto_type second_ = b;                                                                                       \
        __auto_type third_ = c;                                                                                        \
        __auto_type fourth_ = d;                                                                                       \
        struct {                                                                                                       \
            __typeof__(first_) first;                                                                                  \
            __typeof__(second_) second;                                                                                \
            __typeof__(third_) third;                                                                                  \
            __typeof__(fourth_) fourth;                                                                                \
        } now;                                                                                                         \
        memset(&now, 0, sizeof now); /* between its members too */                                                     \
        now.first = first_;                                                                                            \
        now.second = second_;                                                                                          \
        now.third = third_;                                                                                            \
        now.fourth = fourth_;                                                                                          \
        UNLESS_SAME(word, first_, second_, third_, fourth_)                                                            \
    })

#define vf_add(...) UNLESS_SAME_2(vf_add, __VA_ARGS__)
#define vf_sub(...) UNLESS_SAME_2(vf_sub, __VA_ARGS__)
#define vf_mul(...) UNLESS_SAME_2(vf_mul, __VA_ARGS__)
#define vf_div(...) UNLESS_SAME_2(vf_div, __VA_ARGS__)
#define vf_mul_add(...) UNLESS_SAME_3(vf_mul_add, __VA_ARGS__)
#define vf_neg_mul_add(...) UNLESS_SAME_3(vf_neg_mul_add, __VA_ARGS__)
#define vf_max(...) UNLESS_SAME_2(vf_max, __VA_ARGS__)
#define vf_min(...) UNLESS_SAME_2(vf_min, __VA_ARGS__)
#define vf_abs(...) UNLESS_SAME_1(vf_abs, __VA_ARGS__)
#define vf_minus_abs(...) UNLESS_SAME_1(vf_minus_abs, __VA_ARGS__)
#define vf_xor(...) UNLESS_SAME_2(vf_xor, __VA_ARGS__)
#define vf_or(...) UNLESS_SAME_2(vf_or, __VA_ARGS__)
#define vf_reduce_max(...) UNLESS_SAME_1(vf_reduce_max, __VA_ARGS__)
#define vi_add(...) UNLESS_SAME_2(vi_add, __VA_ARGS__)
#define vf_from_positive_bits(...) UNLESS_SAME_1(vf_from_positive_bits, __VA_ARGS__)
#define vi_lookup(...) UNLESS_SAME_2(vi_lookup, __VA_ARGS__)
#define vm_first(...) UNLESS_SAME_1(vm_first, __VA_ARGS__)
#define vf_less(...) UNLESS_SAME_2(vf_less, __VA_ARGS__)
#define vf_equal(...) UNLESS_SAME_2(vf_equal, __VA_ARGS__)
#define vi_equal(...) UNLESS_SAME_2(vi_equal, __VA_ARGS__)
#define vm_and(...) (COUNTED(vm_and), vm_and(__VA_ARGS__))
#define vm_or(...) (COUNTED(vm_or), vm_or(__VA_ARGS__))
#define vm_all(...) (COUNTED(vm_all), vm_all(__VA_ARGS__))
#define vm_any(...) (COUNTED(vm_any), vm_any(__VA_ARGS__))
#define vm_count(...) (COUNTED(vm_count), vm_count(__VA_ARGS__))
#define vm_first_lane(...) (COUNTED(vm_first_lane), vm_first_lane(__VA_ARGS__))
#define vf_select(...) UNLESS_SAME_3(vf_select, __VA_ARGS__)
#define vi_select(...) UNLESS_SAME_3(vi_select, __VA_ARGS__)
#define vf_keep(...) UNLESS_SAME_2(vf_keep, __VA_ARGS__)
#define vf_not_less(...) UNLESS_SAME_2(vf_not_less, __VA_ARGS__)
#define vi_add_where(...) UNLESS_SAME_3(vi_add_where, __VA_ARGS__)
#define vf_mul_add_where(...) UNLESS_SAME_4(vf_mul_add_where, __VA_ARGS__)
#define vd_widen(...) UNLESS_SAME_1(vd_widen, __VA_ARGS__)
#define vd_narrow(...) UNLESS_SAME_1(vd_narrow, __VA_ARGS__)
#define vd_add(...) UNLESS_SAME_2(vd_add, __VA_ARGS__)
#define vd_sub(...) UNLESS_SAME_2(vd_sub, __VA_ARGS__)
#define vd_mul(...) UNLESS_SAME_2(vd_mul, __VA_ARGS__)
#define vd_div(...) UNLESS_SAME_2(vd_div, __VA_ARGS__)
#define vd_max(...) UNLESS_SAME_2(vd_max, __VA_ARGS__)
#define vd_min(...) UNLESS_SAME_2(vd_min, __VA_ARGS__)
#define vd_mul_add(...) UNLESS_SAME_3(vd_mul_add, __VA_ARGS__)
#define vd_select_less(...) UNLESS_SAME_4(vd_select_less, __VA_ARGS__)
#define vd_exponent(...) UNLESS_SAME_1(vd_exponent, __VA_ARGS__)
#define vd_scale_down(...) UNLESS_SAME_2(vd_scale_down, __VA_ARGS__)
#define vd_pow(...) UNLESS_SAME_2(vd_pow, __VA_ARGS__)
#define vd_exp(...) UNLESS_SAME_1(vd_exp, __VA_ARGS__)
#define vd_reduce_add(...) UNLESS_SAME_1(vd_reduce_add, __VA_ARGS__)
#define vf_load(...) (COUNTED(vf_load), vf_load(__VA_ARGS__))
#define vf_load_part(...) (COUNTED(vf_load_part), vf_load_part(__VA_ARGS__))
#define vf_store(...) (COUNTED(vf_store), vf_store(__VA_ARGS__))
#define vf_stream(...) (COUNTED(vf_store), vf_stream(__VA_ARGS__))
#define vf_unzip(...) (COUNTED(vf_unzip), vf_unzip(__VA_ARGS__))
#define vf_zip(...) (COUNTED(vf_zip), vf_zip(__VA_ARGS__))
#define vf_reduce_max_rows(...) (COUNTED(vf_reduce_max_rows), vf_reduce_max_rows(__VA_ARGS__))
#define vd_reduce_add_rows(...) (COUNTED(vd_reduce_add_rows), vd_reduce_add_rows(__VA_ARGS__))
#define vf_store_part(...) (COUNTED(vf_store_part), vf_store_part(__VA_ARGS__))
#define vf_load_strided(...) (COUNTED(vf_load_strided), vf_load_strided(__VA_ARGS__))
#define vf_store_strided(...) (COUNTED(vf_store_strided), vf_store_strided(__VA_ARGS__))
#define vf_load_columns(...) (COUNTED(vf_load_columns), vf_load_columns(__VA_ARGS__))
#define vf_store_columns(...) (COUNTED(vf_store_columns), vf_store_columns(__VA_ARGS__))
#define vi_load(...) (COUNTED(vi_load), vi_load(__VA_ARGS__))
#define vi_store(...) (COUNTED(vi_store), vi_store(__VA_ARGS__))
#define vd_load(...) (COUNTED(vd_load), vd_load(__VA_ARGS__))
#define vd_store(...) (COUNTED(vd_store), vd_store(__VA_ARGS__))

/* This one is a macro of the vocabulary, which needs its number as a literal. */
SOFTFOCUS_INLINE vi counted_shift_left(vi a, int n)
{
    switch (n) {
#define SHIFT(n)                                                                                                       \
    case n:                                                                                                            \
        return vi_shift_left(a, n);
#define SHIFTS(n) SHIFT(n) SHIFT((n) + 1) SHIFT((n) + 2) SHIFT((n) + 3)
        SHIFTS(1) SHIFTS(5) SHIFTS(9) SHIFTS(13) SHIFTS(17) SHIFTS(21) SHIFTS(25)
    default:
        __builtin_trap(); /* no kernel shifts by 0, or by more than 28 */
    }
}
#undef vi_shift_left
#define vi_shift_left(a, n) (COUNTED(vi_shift_left), counted_shift_left(a, n))

#endif
