// Several numbers side by side, 32 bytes of them, on which arithmetic works at once: for accumulators, which compilers do
// not always see in plain loops. To be used inside functions only, neither as parameters nor as results.
#pragma once

#include <cstddef>

#include "clones.hpp"

namespace bdnn {

#if defined(__GNUC__) || defined(__clang__)
template <class Real>
struct SeveralOf {
    typedef Real type __attribute__((vector_size(32), aligned(sizeof(Real)), may_alias));
};
template <class Real>
using Several = typename SeveralOf<Real>::type;
#else
template <class Real>
struct Several {
    static constexpr std::size_t lanes = 32 / sizeof(Real);
    Real lane[lanes];
    Several& operator+=(const Several& x) {
        for (std::size_t k = 0; k < lanes; ++k) lane[k] += x.lane[k];
        return *this;
    }
    friend Several operator*(const Several& x, const Several& y) {
        Several product;
        for (std::size_t k = 0; k < lanes; ++k) product.lane[k] = x.lane[k] * y.lane[k];
        return product;
    }
    Real& operator[](std::size_t k) { return lane[k]; }
    const Real& operator[](std::size_t k) const { return lane[k]; }
};
#endif

// Numbers that lie in memory one after the other.
template <class Real>
BDNN_INLINE const Several<Real>& several(const Real* x) {
    return *reinterpret_cast<const Several<Real>*>(x);
}

}  // namespace bdnn
