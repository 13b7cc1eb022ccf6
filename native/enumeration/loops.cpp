#include "enumeration/loops.hpp"

#include <cmath>

#include "clones.hpp"

namespace bdnn::enumeration::loops {

namespace {

template <int n>
BDNN_INLINE void forms_loop(Index points, const double* const* x, const double* origin, const double* first,
                            const double* second, double* BDNN_RESTRICT a, double* BDNN_RESTRICT b) {
    const double* BDNN_RESTRICT x0 = x[0];
    const double* BDNN_RESTRICT x1 = x[1];
    const double* BDNN_RESTRICT x2 = x[n > 2 ? 2 : 1];
    const double* BDNN_RESTRICT x3 = x[n > 3 ? 3 : 1];
    for (Index i = 0; i < points; ++i) {
        double d = x0[i] - origin[0];
        double p = first[0] * d, q = second[0] * d;
        d = x1[i] - origin[1];
        p += first[1] * d;
        q += second[1] * d;
        if constexpr (n > 2) {
            d = x2[i] - origin[2];
            p += first[2] * d;
            q += second[2] * d;
        }
        if constexpr (n > 3) {
            d = x3[i] - origin[3];
            p += first[3] * d;
            q += second[3] * d;
        }
        a[i] = p;
        b[i] = q;
    }
}

// rounding of a key whose a and b are exact, with room
constexpr double KEY_ERROR = 0x1p-49;

// as parameters, since compilers do not see that local pointers have no aliases
BDNN_INLINE Sums keys_loop(Index points, const double* BDNN_RESTRICT a, const double* BDNN_RESTRICT b,
                           const double* BDNN_RESTRICT error, const double* BDNN_RESTRICT gain, double shift,
                           double scale, double* BDNN_RESTRICT key, double* BDNN_RESTRICT turned,
                           double* BDNN_RESTRICT doubt, std::int32_t* BDNN_RESTRICT bucket) {
    std::int64_t flat = 0, unsure = 0;
    for (Index i = 0; i < points; ++i) {
        const double p = a[i], q = b[i], size = std::fabs(p) + std::fabs(q);
        // no branches, so that several points are looked at at once: 1 for (0, 0), -1 if it is reversed
        const double zero = size > 0.0 ? 0.0 : 1.0;
        const double first = p < 0.0 ? -1.0 : 1.0, other = q == 0.0 ? first : 1.0, sign = q < 0.0 ? -1.0 : other;
        const double inverse = (1.0 - zero) / (size + zero);
        const double at = -sign * p * inverse;
        const double around = 4.0 * error[i] * inverse + KEY_ERROR;
        const double place = (at + shift) * scale, margin = (around + KEY_ERROR) * scale;
        const auto number = static_cast<std::int32_t>(place);
        const double part = place - number;
        key[i] = at;
        doubt[i] = around;
        bucket[i] = number;
        turned[i] = sign * (1.0 - zero) * gain[i];
        const double nearest = part < 0.5 ? part : 1.0 - part;
        flat += zero > 0.0 ? 1 : 0;
        unsure += nearest < margin ? 1 : 0;
    }
    return {flat, unsure != 0};
}

}  // namespace

BDNN_CLONES
void forms(int inputs, Index points, const double* const* x, const double* origin, const double* first,
           const double* second, double* a, double* b) {
    if (inputs == 2) forms_loop<2>(points, x, origin, first, second, a, b);
    else if (inputs == 3) forms_loop<3>(points, x, origin, first, second, a, b);
    else forms_loop<4>(points, x, origin, first, second, a, b);
}

BDNN_CLONES
Sums keys(Index points, const Keys& given) {
    return keys_loop(points, given.a, given.b, given.error, given.gain, given.shift, given.scale, given.key,
                     given.turned, given.doubt, given.bucket);
}

}  // namespace bdnn::enumeration::loops
