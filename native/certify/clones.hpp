// Loops compiled twice, for plain x86-64 and for AVX2; the processor chooses when the library is loaded.
//
// Both give the same numbers: sums have accumulators of their own, and contraction is off.
#pragma once

#include <cstddef>  // makes __GLIBC__ known

#ifndef BDNN_CLONES
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define BDNN_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define BDNN_CLONES
#endif
#endif
