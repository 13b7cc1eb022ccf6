// Four doubles at once, for loops with choices, which compilers do not vectorize well by themselves. GCC turns these into
// vectors of the processor; for other compilers they are plain arrays (Clang lets no function return a vector to one that
// is compiled for another processor). The numbers are the same.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are only passed to functions that are inlined
#endif

namespace bdnn::certify {

#if defined(__GNUC__) && !defined(__clang__)

typedef double Four __attribute__((vector_size(32)));
typedef long long FourFlags __attribute__((vector_size(32)));

inline Four pick(const FourFlags& flags, const Four& a, const Four& b) { return flags ? a : b; }

inline Four absolute(const Four& a) {
    FourFlags bits;
    std::memcpy(&bits, &a, sizeof bits);
    bits &= 0x7fffffffffffffff;
    Four found;
    std::memcpy(&found, &bits, sizeof found);
    return found;
}

#else

struct FourFlags {
    bool flag[4];
};

struct Four {
    double value[4];

    double& operator[](std::size_t l) { return value[l]; }
    double operator[](std::size_t l) const { return value[l]; }
    Four& operator+=(const Four& b) { return *this = *this + b; }

#define BDNN_FOUR(operation)                                                             \
    friend Four operator operation(const Four& a, const Four& b) {                       \
        Four found;                                                                      \
        for (int l = 0; l < 4; ++l) found.value[l] = a.value[l] operation b.value[l];    \
        return found;                                                                    \
    }
    BDNN_FOUR(+)
    BDNN_FOUR(-)
    BDNN_FOUR(*)
    BDNN_FOUR(/)
#undef BDNN_FOUR
#define BDNN_FOUR(comparison)                                                            \
    friend FourFlags operator comparison(const Four& a, const Four& b) {                 \
        FourFlags found;                                                                 \
        for (int l = 0; l < 4; ++l) found.flag[l] = a.value[l] comparison b.value[l];    \
        return found;                                                                    \
    }
    BDNN_FOUR(>)
    BDNN_FOUR(<)
    BDNN_FOUR(==)
#undef BDNN_FOUR
};

inline Four pick(const FourFlags& flags, const Four& a, const Four& b) {
    Four found;
    for (int l = 0; l < 4; ++l) found.value[l] = flags.flag[l] ? a.value[l] : b.value[l];
    return found;
}

inline Four absolute(const Four& a) {
    Four found;
    for (int l = 0; l < 4; ++l) found.value[l] = std::fabs(a.value[l]);
    return found;
}

#endif

inline Four all(double a) { return Four{a, a, a, a}; }

inline Four load(const double* place) {
    Four found;
    std::memcpy(&found, place, sizeof found);
    return found;
}

inline void store(double* place, const Four& values) { std::memcpy(place, &values, sizeof values); }

}  // namespace bdnn::certify
