#include "search/straight_through.hpp"

#include <bit>
#include <cmath>

#include "clones.hpp"
#include "lanes.hpp"

namespace bdnn::search {

namespace {

constexpr double STEP = 1.4;    // of the grid of ternary weights, in mean absolute weights: drops those below 0.7
constexpr double FINER = 0.6;   // how much finer the grid of larger integers is: their bound to this power
constexpr double GAIN = 1.6;    // of the outputs
constexpr double SIGNAL_SPREAD = 0.5;
constexpr Index BLOCK_OF_LOSS = 256;

template <class Real>
BDNN_INLINE void add_bias_and_fire(Index m, Real bias, Real* BDNN_RESTRICT a, Real* BDNN_RESTRICT u) {
    for (Index r = 0; r < m; ++r) {
        a[r] += bias;
        u[r] = a[r] >= Real(0) ? Real(1) : Real(0);
    }
}

// Let gradients pass where the pre-activation is at most 1.
template <class Real>
BDNN_INLINE void pass_loop(Index m, const Real* BDNN_RESTRICT a, Real* BDNN_RESTRICT delta) {
    for (Index r = 0; r < m; ++r) delta[r] = std::fabs(a[r]) <= Real(1) ? delta[r] : Real(0);
}

template <class Real>
struct Adam {
    Real length, scale;
};

template <class Real>
BDNN_INLINE void adam_loop(Index m, Adam<Real> step, const Real* BDNN_RESTRICT gradient, Real* BDNN_RESTRICT first,
                           Real* BDNN_RESTRICT second, Real* BDNN_RESTRICT values) {
    // keeps the moments of weights without gradients above the denormal numbers, which are very slow
    constexpr Real normal = Real(1e-25);
    for (Index i = 0; i < m; ++i) {
        Real g = gradient[i];
        first[i] = Real(0.9) * first[i] + (Real(0.1) * g + normal);
        second[i] = Real(0.999) * second[i] + (Real(0.001) * g * g + normal);
        values[i] -= step.length * first[i] / (std::sqrt(step.scale * second[i]) + Real(1e-8));
    }
}

BDNN_CLONES void bias_and_fire(Index m, float bias, float* a, float* u) { add_bias_and_fire(m, bias, a, u); }
BDNN_CLONES void bias_and_fire(Index m, double bias, double* a, double* u) { add_bias_and_fire(m, bias, a, u); }
BDNN_CLONES void pass(Index m, const float* a, float* delta) { pass_loop(m, a, delta); }
BDNN_CLONES void pass(Index m, const double* a, double* delta) { pass_loop(m, a, delta); }
BDNN_CLONES void adam_step(Index m, Adam<float> step, const float* g, float* first, float* second, float* values) {
    adam_loop(m, step, g, first, second, values);
}
BDNN_CLONES void adam_step(Index m, Adam<double> step, const double* g, double* first, double* second,
                           double* values) {
    adam_loop(m, step, g, first, second, values);
}

// The exponential function in single precision, from -87 to 88, by a polynomial on -log(2)/2, ..., log(2)/2 (S. L.
// Moshier, Cephes): so that several numbers are worked on at once. It errs by at most 2 units of the last place.
BDNN_INLINE float exponential(float x) {
    x = x > -87.0f ? x : -87.0f;  // also what is not a number
    x = x < 88.0f ? x : 88.0f;
    float scaled = 1.44269504f * x;
    std::int32_t power = static_cast<std::int32_t>(scaled + (scaled < 0.0f ? -0.5f : 0.5f));
    float k = static_cast<float>(power), r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return (p * (r * r) + r + 1.0f) * std::bit_cast<float>((power + 127) << 23);
}
BDNN_INLINE double exponential(double x) { return std::exp(x); }

// Gradient of the cross-entropy by the competing outputs, of shape (d, m), times the number of points.
template <class Real>
BDNN_INLINE void softmax_loop(Index d, Index m, const Real* BDNN_RESTRICT out, const Real* BDNN_RESTRICT target,
                              const Real* BDNN_RESTRICT weight, Real* BDNN_RESTRICT delta, Real* BDNN_RESTRICT most,
                              Real* BDNN_RESTRICT total) {
    for (Index r = 0; r < m; ++r) most[r] = out[r], total[r] = 0;
    for (Index c = 1; c < d; ++c)
        for (Index r = 0; r < m; ++r) most[r] = most[r] < out[c * m + r] ? out[c * m + r] : most[r];
    for (Index c = 0; c < d; ++c)
        for (Index r = 0; r < m; ++r) {
            Real e = exponential(out[c * m + r] - most[r]);
            delta[c * m + r] = e;
            total[r] += e;
        }
    for (Index r = 0; r < m; ++r) total[r] = weight[r] / total[r];
    for (Index c = 0; c < d; ++c)
        for (Index r = 0; r < m; ++r) delta[c * m + r] = delta[c * m + r] * total[r] - target[c * m + r];
}

// The same for outputs that are logistic regressions.
template <class Real>
BDNN_INLINE void logistic_loop(Index d, Index m, const Real* BDNN_RESTRICT out, const Real* BDNN_RESTRICT target,
                               const Real* BDNN_RESTRICT weight, Real* BDNN_RESTRICT delta) {
    constexpr Real most = 60;
    for (Index c = 0; c < d; ++c)
        for (Index r = 0; r < m; ++r) {
            Real x = out[c * m + r];
            x = x < -most ? -most : x;
            x = x > most ? most : x;
            delta[c * m + r] = weight[r] / (Real(1) + exponential(-x)) - target[c * m + r];
        }
}

BDNN_CLONES void softmax(Index d, Index m, const float* out, const float* target, const float* weight, float* delta,
                         float* most, float* total) {
    softmax_loop(d, m, out, target, weight, delta, most, total);
}
BDNN_CLONES void softmax(Index d, Index m, const double* out, const double* target, const double* weight,
                         double* delta, double* most, double* total) {
    softmax_loop(d, m, out, target, weight, delta, most, total);
}
BDNN_CLONES void logistic(Index d, Index m, const float* out, const float* target, const float* weight, float* delta) {
    logistic_loop(d, m, out, target, weight, delta);
}
BDNN_CLONES void logistic(Index d, Index m, const double* out, const double* target, const double* weight,
                          double* delta) {
    logistic_loop(d, m, out, target, weight, delta);
}

// A sum in as many accumulators as there are lanes.
template <class Real>
BDNN_INLINE Real sum_loop(Index m, const Real* values) {
    Several<Real> total = {};
    constexpr Index lanes = sizeof(total) / sizeof(Real);
    Index r = 0;
    for (; r + lanes <= m; r += lanes) total += several(values + r);
    Real sum = 0;
    for (Index lane = 0; lane < lanes; ++lane) sum += total[lane];
    for (; r < m; ++r) sum += values[r];
    return sum;
}
BDNN_CLONES float sum(Index m, const float* values) { return sum_loop(m, values); }
BDNN_CLONES double sum(Index m, const double* values) { return sum_loop(m, values); }

// Round weights to a grid of `per_step` points a unit, at most `bound` from 0; return the sums of the integers and of
// their squares.
struct Sums {
    double plain, squares;
};
template <class Real>
BDNN_INLINE Sums round_loop(Index n, const Real* BDNN_RESTRICT row, double per_step, double bound,
                            Real* BDNN_RESTRICT used) {
    for (Index j = 0; j < n; ++j) {
        double q = std::rint(static_cast<double>(row[j]) * per_step);
        q = q > -bound ? q : -bound;  // also what is not a number
        q = q < bound ? q : bound;
        used[j] = static_cast<Real>(q);
    }
    // of integers, in any order
    double plain = 0.0, squares = 0.0;
    std::int64_t small_plain = 0, small_squares = 0;
    if (bound < 4096.0) {
        for (Index j = 0; j < n; ++j) {
            std::int32_t q = static_cast<std::int32_t>(used[j]);
            small_plain += q;
            small_squares += q * q;
        }
        return {static_cast<double>(small_plain), static_cast<double>(small_squares)};
    }
    for (Index j = 0; j < n; ++j) {
        double q = used[j];
        plain += q;
        squares += q * q;
    }
    return {plain, squares};
}
BDNN_CLONES Sums round_row(Index n, const float* row, double per_step, double bound, float* used) {
    return round_loop(n, row, per_step, bound, used);
}
BDNN_CLONES Sums round_row(Index n, const double* row, double per_step, double bound, double* used) {
    return round_loop(n, row, per_step, bound, used);
}

// Sum of absolute values, in double precision.
template <class Real>
BDNN_INLINE double size_loop(Index n, const Real* row) {
    Several<double> total = {};
    Index j = 0;
    for (; j + 4 <= n; j += 4)
        for (Index lane = 0; lane < 4; ++lane) total[lane] += std::fabs(static_cast<double>(row[j + lane]));
    double sum = (total[0] + total[1]) + (total[2] + total[3]);
    for (; j < n; ++j) sum += std::fabs(static_cast<double>(row[j]));
    return sum;
}
BDNN_CLONES double size_of(Index n, const float* row) { return size_loop(n, row); }
BDNN_CLONES double size_of(Index n, const double* row) { return size_loop(n, row); }

}  // namespace

template <class Real>
StraightThrough<Real>::StraightThrough(const Sample<Real>& sample, std::vector<Index> width, bool argmax, Index bound,
                                       Gemm<Real> gemm)
    : sample_(sample), width_(std::move(width)), argmax_(argmax), bound_(bound),
      finer_(std::pow(static_cast<double>(bound), FINER)), gemm_(gemm) {
    Index size = 0;
    neurons_ = 0, widest_ = 0;
    for (Index k = 0; k < static_cast<Index>(width_.size()); ++k) {
        size += width_[k] * (inputs(k) + 1);
        neurons_ += width_[k];
        widest_ = std::max(widest_, width_[k]);
    }
    values_ = Zeros<Real>(size), gradient_ = Zeros<Real>(size);
    first_ = Zeros<Real>(size), second_ = Zeros<Real>(size);
    if (bound_ > 0) used_.resize(size), factor_.resize(neurons_);
}

template <class Real>
Index StraightThrough<Real>::steps(const std::int64_t* order, Index count, Index batch, double rate) {
    for (Index start = 0; start < count; start += batch) {
        const Real* values = values_.data();
        if (bound_ > 0) {
            round(used_.data(), factor_.data());
            values = used_.data();
        }
        Batch some = load(order + start, std::min(batch, count - start), batch);
        forward(some.points, some.m, values);
        output_gradient(some);
        backward(some, values);
        ++taken_;
        adam(rate);
    }
    return taken_;
}

// Copy the points of a batch.
template <class Real>
typename StraightThrough<Real>::Batch StraightThrough<Real>::load(const std::int64_t* order, Index m, Index batch) {
    Index n = sample_.features, d = width_.back();
    Batch some{m, points_.get(batch * n), target_.get(batch * d), weight_.get(batch)};
    for (Index r = 0; r < m;) {
        Index next = r + 1;  // neighbors are copied together
        while (next < m && order[next] == order[next - 1] + 1) ++next;
        std::copy(sample_.X + order[r] * n, sample_.X + (order[next - 1] + 1) * n, some.points + r * n);
        r = next;
    }
    for (Index r = 0; r < m; ++r) {
        Index i = order[r];
        for (Index c = 0; c < d; ++c) some.target[c * m + r] = sample_.target[i * d + c];
        some.weight[r] = sample_.weight[i];
    }
    return some;
}

// Pre-activations and signals of all layers, one after the other, each of shape (d, m).
template <class Real>
void StraightThrough<Real>::forward(const Real* points, Index m, const Real* values) {
    Real *sums = sums_.get(neurons_ * m), *signals = signals_.get(neurons_ * m);
    const Real* below = points;
    for (Index k = 0; k < static_cast<Index>(width_.size()); ++k) {
        Index d = width_[k], n = inputs(k);
        gemm_(false, k == 0, d, m, n, values, below, sums);
        const Real* bias = values + d * n;
        for (Index c = 0; c < d; ++c) bias_and_fire(m, bias[c], sums + c * m, signals + c * m);
        below = signals;
        values += d * (n + 1), sums += d * m, signals += d * m;
    }
}

template <class Real>
void StraightThrough<Real>::output_gradient(const Batch& batch) {
    Index d = width_.back(), m = batch.m;
    const Real* out = sums_.get(neurons_ * m) + (neurons_ - d) * m;
    Real* delta = delta_.get(widest_ * m);
    if (argmax_)
        softmax(d, m, out, batch.target, batch.weight, delta, work_.get(2 * m), work_.get(2 * m) + m);
    else
        logistic(d, m, out, batch.target, batch.weight, delta);
    Real share = Real(1) / static_cast<Real>(m);
    for (Index i = 0; i < d * m; ++i) delta[i] *= share;
}

template <class Real>
void StraightThrough<Real>::backward(const Batch& batch, const Real* values) {
    Index m = batch.m;
    const Real *sums = sums_.get(neurons_ * m) + neurons_ * m, *signals = signals_.get(neurons_ * m) + neurons_ * m;
    Real *delta = delta_.get(widest_ * m), *below = below_.get(widest_ * m);
    Index at = size();
    sums -= width_.back() * m, signals -= width_.back() * m;
    for (Index k = static_cast<Index>(width_.size()) - 1; k >= 0; --k) {
        Index d = width_[k], n = inputs(k);
        at -= d * (n + 1);
        Real *G = gradient_.data() + at, *bias = G + d * n;
        for (Index c = 0; c < d; ++c) bias[c] = sum(m, delta + c * m);
        if (k == 0) {
            gemm_(false, false, d, n, m, delta, batch.points, G);
            return;
        }
        sums -= n * m, signals -= n * m;
        gemm_(false, true, d, n, m, delta, signals, G);
        if (bound_ > 0)  // of centered signals
            for (Index c = 0; c < d; ++c)
                for (Index j = 0; j < n; ++j) G[c * n + j] -= Real(0.5) * bias[c];
        gemm_(true, false, n, m, d, values + at, delta, below);
        pass(n * m, sums, below);
        std::swap(delta, below);
    }
}

template <class Real>
void StraightThrough<Real>::adam(double rate) {
    double steps = static_cast<double>(taken_);
    Adam<Real> step{static_cast<Real>(rate / (1 - std::pow(0.9, steps))),
                    static_cast<Real>(1 / (1 - std::pow(0.999, steps)))};
    adam_step(size(), step, gradient_.data(), first_.data(), second_.data(), values_.data());
}

template <class Real>
double StraightThrough<Real>::loss() {
    const Real* values = values_.data();
    if (bound_ > 0) {
        round(used_.data(), factor_.data());
        values = used_.data();
    }
    double total = 0.0;
    Index d = width_.back();
    for (Index start = 0; start < sample_.points; start += BLOCK_OF_LOSS) {
        Index m = std::min(BLOCK_OF_LOSS, sample_.points - start);
        forward(sample_.X + start * sample_.features, m, values);
        const Real* out = sums_.get(neurons_ * m) + (neurons_ - d) * m;
        for (Index r = 0; r < m; ++r) {
            const Real* target = sample_.target + (start + r) * d;
            double weight = sample_.weight[start + r];
            Index best = 0;
            for (Index c = 0; c < d; ++c) {
                if (argmax_)
                    best = out[c * m + r] > out[best * m + r] ? c : best;
                else
                    total += out[c * m + r] >= Real(0) ? weight - target[c] : static_cast<double>(target[c]);
            }
            if (argmax_) total += weight - target[best];
        }
    }
    return total;
}

template <class Real>
void StraightThrough<Real>::round(Real* used, Real* factor) const {
    const Real* values = values_.data();
    for (Index k = 0; k < static_cast<Index>(width_.size()); ++k) {
        round_layer(k, values, used, factor);
        Index size = width_[k] * (inputs(k) + 1);
        values += size, used += size, factor += width_[k];
    }
}

template <class Real>
void StraightThrough<Real>::round_layer(Index k, const Real* values, Real* used, Real* factor) const {
    Index d = width_[k], n = inputs(k);
    bool last = k + 1 == static_cast<Index>(width_.size());
    double bound = static_cast<double>(bound_), unit = (last ? GAIN : 1.0) / (k == 0 ? 1.0 : SIGNAL_SPREAD);
    double together = 0.0;
    std::vector<double> total(d);
    for (Index c = 0; c < d; ++c) {
        double size = size_of(n, values + c * n);
        double per_step = size > 0.0 ? static_cast<double>(n) * finer_ / (STEP * size) : 0.0;
        Sums sums = round_row(n, values + c * n, per_step, bound, used + c * n);
        total[c] = sums.plain;
        factor[c] = static_cast<Real>(unit / std::sqrt(std::max(sums.squares, 1.0)));
        together += sums.squares;
    }
    if (last && argmax_)
        std::fill(factor, factor + d,
                  static_cast<Real>(unit / std::sqrt(std::max(together / static_cast<double>(d), 1.0))));
    for (Index c = 0; c < d; ++c) {
        double f = factor[c], bias = values[d * n + c];
        for (Index j = 0; j < n; ++j) used[c * n + j] *= factor[c];
        if (k > 0) {
            bias -= 0.5 * f * total[c];
            if (last && argmax_) bias = f * std::rint(bias / f);
        }
        used[d * n + c] = static_cast<Real>(bias);
    }
}

template class StraightThrough<float>;
template class StraightThrough<double>;

}  // namespace bdnn::search
