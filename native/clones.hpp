// Run-time dispatch: a function marked BDNN_CLONES is compiled twice, for processors with AVX2 and for all others, and
// the loader picks one. Both round every operation by itself (contraction is off), so results are the same.
//
// Only where compiler and platform know it: elsewhere there is one version. Not with the address sanitizer, which is not
// ready yet when the loader picks.
#pragma once

#include <cstdint>  // says which C library it is

#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__has_attribute) && \
    !defined(__SANITIZE_ADDRESS__)
#if __has_attribute(target_clones)
#define BDNN_CLONES __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef BDNN_CLONES
#define BDNN_CLONES
#endif

#if defined(__GNUC__) || defined(__clang__)
#define BDNN_INLINE inline __attribute__((always_inline))
#define BDNN_RESTRICT __restrict__
#else
#define BDNN_INLINE __forceinline
#define BDNN_RESTRICT __restrict
#endif
