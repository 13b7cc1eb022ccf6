#include "lp/loops.hpp"

#include <limits>

#include "clones.hpp"

namespace bdnn::lp::loops {

namespace {

BDNN_INLINE double sum(const double* lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

BDNN_INLINE double dot_of(const double* BDNN_RESTRICT x, const double* BDNN_RESTRICT y, std::size_t width) {
    double lanes[LANES] = {};
    for (std::size_t j = 0; j < width; j += LANES)
        for (std::size_t l = 0; l < LANES; ++l) lanes[l] += x[j + l] * y[j + l];
    return sum(lanes);
}

BDNN_INLINE double dot_and_subtract(double* BDNN_RESTRICT row, double factor, const double* BDNN_RESTRICT rho,
                                    std::size_t width) {
    double lanes[LANES] = {};
    for (std::size_t j = 0; j < width; j += LANES)
        for (std::size_t l = 0; l < LANES; ++l) {
            lanes[l] += row[j + l] * rho[j + l];
            row[j + l] -= factor * rho[j + l];
        }
    return sum(lanes);
}

}  // namespace

BDNN_CLONES double dot(const double* x, const double* y, std::size_t width) { return dot_of(x, y, width); }

BDNN_CLONES void add_scaled(double* BDNN_RESTRICT y, double a, const double* BDNN_RESTRICT x, std::size_t width) {
    for (std::size_t j = 0; j < width; ++j) y[j] += a * x[j];
}

BDNN_CLONES void multiply(const double* M, std::size_t stride, std::size_t rows, std::size_t width, const double* x,
                          double* out) {
    for (std::size_t p = 0; p < rows; ++p) out[p] = dot_of(M + p * stride, x, width);
}

BDNN_CLONES void subtract_outer(double* M, std::size_t stride, std::size_t rows, std::size_t width,
                                const double* factor, const double* rho, double* tau) {
    for (std::size_t p = 0; p < rows; ++p) {
        double* row = M + p * stride;
        tau[p] = factor[p] == 0.0 ? dot_of(row, rho, width) : dot_and_subtract(row, factor[p], rho, width);
    }
}

BDNN_CLONES void subtract_multiples(double* BDNN_RESTRICT M, std::size_t stride, std::size_t rows, std::size_t width,
                                    const double* BDNN_RESTRICT factor, const double* BDNN_RESTRICT rho) {
    for (std::size_t p = 0; p < rows; ++p) {
        if (factor[p] == 0.0) continue;
        for (std::size_t j = 0; j < width; ++j) M[p * stride + j] -= factor[p] * rho[j];
    }
}

BDNN_CLONES void divide(double* BDNN_RESTRICT y, const double* BDNN_RESTRICT x, double a, std::size_t width) {
    for (std::size_t j = 0; j < width; ++j) y[j] = x[j] / a;
}

BDNN_CLONES double score(const double* BDNN_RESTRICT value, const double* BDNN_RESTRICT low,
                         const double* BDNN_RESTRICT high, const double* BDNN_RESTRICT norm, std::size_t n,
                         double tolerance, double* BDNN_RESTRICT score) {
    for (std::size_t i = 0; i < n; ++i) {
        const double under = low[i] - value[i], over = value[i] - high[i];
        const double gap = over > under ? over : under;
        const double mine = gap * gap / norm[i];
        score[i] = gap > tolerance ? mine : 0.0;
    }
    double most[LANES] = {};
    std::size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (std::size_t l = 0; l < LANES; ++l) most[l] = score[i + l] > most[l] ? score[i + l] : most[l];
    for (; i < n; ++i) most[0] = score[i] > most[0] ? score[i] : most[0];
    for (std::size_t l = 1; l < LANES; ++l) most[0] = most[l] > most[0] ? most[l] : most[0];
    return most[0];
}

BDNN_CLONES double minimum(const double* x, std::size_t n) {
    double least[LANES];
    for (double& each : least) each = std::numeric_limits<double>::infinity();
    std::size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (std::size_t l = 0; l < LANES; ++l) least[l] = x[j + l] < least[l] ? x[j + l] : least[l];
    for (; j < n; ++j) least[0] = x[j] < least[0] ? x[j] : least[0];
    for (std::size_t l = 1; l < LANES; ++l) least[0] = least[l] < least[0] ? least[l] : least[0];
    return least[0];
}

BDNN_CLONES double ratios(const double* BDNN_RESTRICT alpha, const double* BDNN_RESTRICT side,
                          const double* BDNN_RESTRICT d, std::size_t n, double sign, double least,
                          double* BDNN_RESTRICT slope, double* BDNN_RESTRICT ratio) {
    for (std::size_t j = 0; j < n; ++j) {
        const double t = sign * alpha[j] * side[j], cost = d[j] * side[j];
        const double mine = (cost > 0.0 ? cost : 0.0) / t;
        slope[j] = t;
        ratio[j] = t > least ? mine : std::numeric_limits<double>::infinity();
    }
    return minimum(ratio, n);
}

BDNN_CLONES void reduce(const double* BDNN_RESTRICT V, std::size_t n, std::size_t rows,
                        const double* BDNN_RESTRICT price, const double* BDNN_RESTRICT cost, double constant,
                        double* BDNN_RESTRICT out) {
    for (std::size_t j = 0; j < n; ++j) out[j] = cost[j] - constant;
    std::size_t k = 0;
    for (; k + 4 <= rows; k += 4) {  // the sums are read and written once for four rows
        const double *v0 = V + k * n, *v1 = v0 + n, *v2 = v1 + n, *v3 = v2 + n;
        const double y0 = price[k], y1 = price[k + 1], y2 = price[k + 2], y3 = price[k + 3];
        for (std::size_t j = 0; j < n; ++j)
            out[j] = (((out[j] - y0 * v0[j]) - y1 * v1[j]) - y2 * v2[j]) - y3 * v3[j];
    }
    for (; k < rows; ++k)
        for (std::size_t j = 0; j < n; ++j) out[j] -= price[k] * V[k * n + j];
}

BDNN_CLONES void lower_ratios(const double* BDNN_RESTRICT column, std::size_t n, double side, double cost, double least,
                              double* BDNN_RESTRICT down, double* BDNN_RESTRICT up) {
    for (std::size_t p = 0; p < n; ++p) {
        const double t = side * column[p], size = t < 0.0 ? -t : t, ratio = cost / size;
        const double lower = size > least ? ratio : std::numeric_limits<double>::infinity();
        up[p] = t > 0.0 && lower < up[p] ? lower : up[p];
        down[p] = t < 0.0 && lower < down[p] ? lower : down[p];
    }
}

}  // namespace bdnn::lp::loops
