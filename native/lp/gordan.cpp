#include "lp/gordan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lp/loops.hpp"

namespace bdnn::lp {

namespace {

constexpr double INFINITE = std::numeric_limits<double>::infinity();
constexpr double TOLERANCE = 1e-9;  // of reduced costs, and of multipliers that count
constexpr double PIVOT = 1e-9;      // smallest pivots
constexpr double SINGULAR = 1e-12;  // smallest pivots of a factorization
constexpr double SLACK = 1e-11;     // how far multipliers may go below 0 for a larger pivot
constexpr double STANDING = 1e-12;  // steps that count as none
constexpr std::size_t STALLED = 50;  // so many steps of length 0, then the rule that cannot cycle (R. G. Bland)
constexpr std::int64_t REFACTOR = 100;

}  // namespace

Alternative::Alternative(const double* rows, std::size_t m, std::size_t p)
    : V((p + 1) * m, 1.0),
      basis(p + 1),
      inverse((p + 1) * loops::padded(p + 1)),
      mu(p + 1),
      prices(p + 1),
      m_(m),
      q_(p + 1),
      stride_(loops::padded(p + 1)),
      columns_(m * stride_),
      reduced_(m),
      direction_(p + 1),
      eliminated_(p + 1),
      pivot_row_(stride_) {
    for (std::size_t i = 0; i < m; ++i) {
        for (std::size_t k = 0; k < p; ++k) columns_[i * stride_ + k] = V[k * m + i] = rows[i * p + k];
        columns_[i * stride_ + p] = 1.0;
    }
    restart(0);
}

void Alternative::restart(std::size_t first) {
    const std::size_t p = q_ - 1;
    std::ranges::fill(inverse, 0.0);
    for (std::size_t k = 0; k < p; ++k) {
        // the residual sign e_k takes up -v_k
        const double v = V[k * m_ + first], sign = v > 0.0 ? -1.0 : 1.0;
        basis[k] = static_cast<Index>(m_ + 2 * k + (sign > 0.0 ? 0 : 1));
        inverse_row(k)[k] = sign;
        inverse_row(k)[p] = -sign * v;
        mu[k] = std::fabs(v);
    }
    basis[p] = static_cast<Index>(first);
    inverse_row(p)[p] = 1.0;
    mu[p] = 1.0;
    count[0] = 0;
}

// Compute the inverse anew by Gauss and Jordan; return whether the basis is regular.
bool Alternative::factorise() {
    const std::size_t q = q_;
    std::vector<double> B(q * q), result(q * q);
    for (std::size_t k = 0; k < q; ++k) {
        const auto j = static_cast<std::size_t>(basis[k]);
        result[k * q + k] = 1.0;
        if (j >= m_) {
            B[(j - m_) / 2 * q + k] = (j - m_) % 2 == 0 ? 1.0 : -1.0;
            continue;
        }
        for (std::size_t i = 0; i < q; ++i) B[i * q + k] = V[i * m_ + j];
    }
    for (std::size_t k = 0; k < q; ++k) {
        std::size_t r = k;
        for (std::size_t i = k + 1; i < q; ++i)
            if (std::fabs(B[i * q + k]) > std::fabs(B[r * q + k])) r = i;
        if (!(std::fabs(B[r * q + k]) >= SINGULAR)) return false;
        if (r != k) {
            std::swap_ranges(&B[k * q], &B[k * q] + q, &B[r * q]);
            std::swap_ranges(&result[k * q], &result[k * q] + q, &result[r * q]);
        }
        const double scale = 1.0 / B[k * q + k];
        for (std::size_t j = 0; j < q; ++j) {
            B[k * q + j] *= scale;
            result[k * q + j] *= scale;
        }
        for (std::size_t i = 0; i < q; ++i) {
            const double f = B[i * q + k];
            if (i == k || f == 0.0) continue;
            loops::add_scaled(&B[i * q], -f, &B[k * q], q);
            loops::add_scaled(&result[i * q], -f, &result[k * q], q);
        }
    }
    for (std::size_t i = 0; i < q; ++i) {
        std::copy_n(&result[i * q], q, inverse_row(i));
        mu[i] = std::max(result[i * q + q - 1], 0.0);
    }
    count[0] = 0;
    return true;
}

void Alternative::make_sure(const Question& question) {
    if (factorise()) return;
    const auto cheapest = std::ranges::min_element(question.cost) - question.cost.begin();
    restart(static_cast<std::size_t>(cheapest));
}

void Alternative::compute_prices(const Question& question) {
    std::ranges::fill(prices, 0.0);
    for (std::size_t i = 0; i < q_; ++i) {
        const double c = price_of(static_cast<std::size_t>(basis[i]), question);
        if (c != 0.0) loops::add_scaled(prices.data(), c, inverse_row(i), q_);
    }
}

// The column with the least reduced cost, or in a stall the first with one below 0; NONE at the optimum.
std::size_t Alternative::choose_entering(const Question& question, bool stalling) {
    loops::reduce(V.data(), m_, q_ - 1, prices.data(), question.cost.data(), prices[q_ - 1], reduced_.data());
    std::size_t entering = NONE;
    double best = -TOLERANCE;
    if (!stalling) {
        const double least = loops::minimum(reduced_.data(), m_);
        if (least < best) {
            best = least;
            entering = 0;
            while (reduced_[entering] != least) ++entering;
        }
    } else {
        const auto first = std::ranges::find_if(reduced_, [](double each) { return each < -TOLERANCE; });
        if (first != reduced_.end()) return static_cast<std::size_t>(first - reduced_.begin());
    }
    for (std::size_t k = 0; k + 1 < q_; ++k)
        for (std::size_t side = 0; side < 2; ++side) {
            const double value = question.residual - (side == 0 ? prices[k] : -prices[k]);
            if (!(value < best) || (entering != NONE && stalling)) continue;
            entering = m_ + 2 * k + side;
            best = value;
        }
    return entering;
}

void Alternative::compute_direction(std::size_t entering) {
    if (entering < m_) {
        loops::multiply(inverse.data(), stride_, q_, stride_, &columns_[entering * stride_], direction_.data());
        return;
    }
    const std::size_t k = (entering - m_) / 2;
    const double sign = (entering - m_) % 2 == 0 ? 1.0 : -1.0;
    for (std::size_t i = 0; i < q_; ++i) direction_[i] = sign * inverse_row(i)[k];
}

// The largest pivot among the rows that block within a tolerance; NONE if no row blocks.
std::size_t Alternative::choose_leaving(bool stalling) const {
    double step = INFINITE;
    for (std::size_t i = 0; i < q_; ++i)
        if (direction_[i] > PIVOT) step = std::min(step, (mu[i] + SLACK) / direction_[i]);
    std::size_t leaving = NONE;
    double size = 0.0;
    for (std::size_t i = 0; i < q_; ++i) {
        if (!(direction_[i] > PIVOT) || !(mu[i] / direction_[i] <= step)) continue;
        if (!(direction_[i] > size) && !(stalling && leaving != NONE && basis[i] < basis[leaving])) continue;
        leaving = i;
        size = direction_[i];
    }
    return leaving;
}

void Alternative::pivot(std::size_t leaving, std::size_t entering, double step) {
    for (std::size_t i = 0; i < q_; ++i) mu[i] = std::max(mu[i] - step * direction_[i], 0.0);
    mu[leaving] = step;
    double* mine = inverse_row(leaving);
    loops::divide(pivot_row_.data(), mine, direction_[leaving], q_);
    std::ranges::copy(pivot_row_, mine);
    std::ranges::copy(direction_, eliminated_.begin());
    eliminated_[leaving] = 0.0;
    loops::subtract_multiples(inverse.data(), stride_, q_, stride_, eliminated_.data(), pivot_row_.data());
    basis[leaving] = static_cast<Index>(entering);
    count[0] += 1;
    count[1] += 1;
}

double Alternative::objective(const Question& question) const {
    double total = 0.0;
    for (std::size_t i = 0; i < q_; ++i) total += mu[i] * price_of(static_cast<std::size_t>(basis[i]), question);
    return total;
}

// Write the support down as a set if `given` violates it and it is new.
void Alternative::store(const Question& question, Sets& sets) const {
    double total = 0.0;
    for (std::size_t k = 0; k < q_; ++k) {
        if (!(mu[k] > TOLERANCE)) continue;
        if (basis[k] >= static_cast<Index>(m_)) return;
        total += question.given[static_cast<std::size_t>(basis[k])];
        if (total >= question.most) return;
    }
    if (sets.found == sets.capacity) return;
    Index* mine = sets.rows + sets.found * q_;
    std::size_t size = 0;
    for (std::size_t k = 0; k < q_; ++k)
        if (mu[k] > TOLERANCE) mine[size++] = basis[k];
    std::sort(mine, mine + size);
    for (std::size_t s = 0; s < sets.found; ++s)
        if (sets.sizes[s] == static_cast<Index>(size) && std::equal(mine, mine + size, sets.rows + s * q_)) return;
    sets.sizes[sets.found++] = static_cast<Index>(size);
}

double Alternative::separate(const Question& question, Sets& sets, Poll& poll) {
    std::size_t stalled = 0;
    for (std::size_t turn = 0; turn < question.limit; ++turn) {
        poll.spent(m_ * q_ + q_ * q_);
        if (poll.stopped()) break;
        if (count[0] >= REFACTOR) make_sure(question);
        compute_prices(question);
        const bool stalling = stalled >= STALLED;
        const std::size_t entering = choose_entering(question, stalling);
        if (entering == NONE) {
            store(question, sets);
            return objective(question);
        }
        compute_direction(entering);
        const std::size_t leaving = choose_leaving(stalling);
        if (leaving == NONE) {
            make_sure(question);
            stalled += 1;
            continue;
        }
        const double step = std::max(mu[leaving] / direction_[leaving], 0.0);
        stalled = step <= STANDING ? stalled + 1 : 0;
        pivot(leaving, entering, step);
    }
    return INFINITE;
}

}  // namespace bdnn::lp
