#include "exact/enclosure.hpp"

#include <algorithm>
#include <cmath>

#include "lp/loops.hpp"

namespace bdnn::exact {

namespace {

constexpr double UNIT = 1.1102230246251565e-16;   // 2^-53
constexpr double LARGEST = 0x1p300;

}  // namespace

Enclosure::Enclosure(const double* rows, std::size_t p)
    : rows_(rows), p_(p), size_(p + 1), stride_(lp::loops::padded(p + 1)) {
    for (auto* each : {&B_, &left_, &R_}) each->resize(size_ * stride_);
    for (auto* each : {&m_, &reached_, &residual_, &error_}) each->resize(size_);
}

bool Enclosure::holds(const std::int64_t* support) { return fill(support) && invert() && positive(); }

// Write B, with features in units of powers of two; return whether that is exact.
bool Enclosure::fill(const std::int64_t* support) {
    const auto entry = [&](std::size_t i, std::size_t j) { return rows_[static_cast<std::size_t>(support[i]) * p_ + j]; };
    for (std::size_t j = 0; j < p_; ++j) {
        double largest = 0.0;
        for (std::size_t i = 0; i < size_; ++i) {
            const double size = std::fabs(entry(i, j));
            if (!(size < INFINITY)) return false;
            largest = std::max(largest, size);
        }
        int unit = 0;
        std::frexp(largest, &unit);
        for (std::size_t i = 0; i < size_; ++i) {
            const double value = std::ldexp(entry(i, j), -unit);
            if (!(std::fabs(value) <= 1.0) || std::ldexp(value, unit) != entry(i, j)) return false;
            B_[j * stride_ + i] = value;
        }
    }
    std::fill_n(B_.begin() + static_cast<std::ptrdiff_t>(p_ * stride_), size_, 1.0);
    return true;
}

// Compute an approximate inverse by Gauss and Jordan; return whether there is one.
bool Enclosure::invert() {
    left_ = B_;
    std::ranges::fill(R_, 0.0);
    for (std::size_t i = 0; i < size_; ++i) R_[i * stride_ + i] = 1.0;
    for (std::size_t k = 0; k < size_; ++k) {
        std::size_t r = k;
        for (std::size_t i = k + 1; i < size_; ++i)
            if (std::fabs(left_[i * stride_ + k]) > std::fabs(left_[r * stride_ + k])) r = i;
        const double pivot = left_[r * stride_ + k];
        if (!(std::fabs(pivot) > 1.0 / LARGEST)) return false;
        if (r != k) {
            std::swap_ranges(&left_[k * stride_], &left_[k * stride_] + stride_, &left_[r * stride_]);
            std::swap_ranges(&R_[k * stride_], &R_[k * stride_] + stride_, &R_[r * stride_]);
        }
        const double inverse = 1.0 / pivot;
        for (std::size_t j = 0; j < stride_; ++j) {
            left_[k * stride_ + j] *= inverse;
            R_[k * stride_ + j] *= inverse;
        }
        for (std::size_t i = 0; i < size_; ++i) {
            const double f = left_[i * stride_ + k];
            if (i == k || f == 0.0) continue;
            lp::loops::add_scaled(&left_[i * stride_], -f, &left_[k * stride_], stride_);
            lp::loops::add_scaled(&R_[i * stride_], -f, &R_[k * stride_], stride_);
        }
    }
    return true;
}

// Whether B mu = e provably has a positive solution.
bool Enclosure::positive() {
    const double terms = static_cast<double>(size_ + 4) * UNIT, gamma = terms / (1.0 - terms);
    double most = 0.0;
    for (std::size_t i = 0; i < size_; ++i) {
        m_[i] = R_[i * stride_ + p_];
        if (!(m_[i] > 1.0 / LARGEST)) return false;
        for (std::size_t j = 0; j < size_; ++j) most = std::max(most, std::fabs(R_[i * stride_ + j]));
    }
    if (!(most < LARGEST)) return false;
    for (std::size_t i = 0; i < size_; ++i) {
        const double* row = &B_[i * stride_];
        const double target = i == p_ ? 1.0 : 0.0;
        double sum = 0.0, size = 0.0;
        for (std::size_t j = 0; j < size_; ++j) {
            sum += row[j] * m_[j];
            size += std::fabs(row[j]) * m_[j];
        }
        reached_[i] = size;
        residual_[i] = std::fabs(target - sum) + gamma * (size + target);
    }
    for (std::size_t i = 0; i < size_; ++i) {
        const double* mine = &R_[i * stride_];
        double total = gamma * m_[i];
        double* product = left_.data();  // row i of R B
        std::fill_n(product, stride_, 0.0);
        for (std::size_t j = 0; j < size_; ++j) {
            lp::loops::add_scaled(product, mine[j], &B_[j * stride_], stride_);
            total += std::fabs(mine[j]) * (gamma * reached_[j] + residual_[j]);
        }
        for (std::size_t k = 0; k < size_; ++k) total += std::fabs(product[k] - (i == k ? 1.0 : 0.0)) * m_[k];
        if (!(1.01 * (total / m_[i]) < 1.0)) return false;
    }
    return true;
}

std::vector<std::size_t> varying_features(
    const double* rows, std::size_t p, const std::int64_t* support, std::size_t count) {
    const auto row = [&](std::size_t i) { return rows + static_cast<std::size_t>(support[i]) * p; };
    bool signed_points = true;
    for (std::size_t i = 0; i < count; ++i) signed_points = signed_points && std::fabs(row(i)[p - 1]) == 1.0;
    std::vector<std::size_t> features;
    for (std::size_t j = 0; j + 1 < p; ++j) {
        bool varies = !signed_points;
        for (std::size_t i = 1; i < count && !varies; ++i)
            varies = row(i)[j] * row(i)[p - 1] != row(0)[j] * row(0)[p - 1];
        if (varies) features.push_back(j);
    }
    return features;
}

bool enclosed_without_constants(
    const double* rows, std::size_t p, const std::int64_t* support, std::size_t count) {
    if (p == 0 || count == 0) return false;
    std::vector<std::size_t> kept = varying_features(rows, p, support, count);
    kept.push_back(p - 1);
    if (kept.size() + 1 != count) return false;
    std::vector<double> some;
    std::vector<std::int64_t> all(count);
    some.reserve(count * kept.size());
    for (std::size_t i = 0; i < count; ++i) {
        all[i] = static_cast<std::int64_t>(i);
        for (const std::size_t j : kept) some.push_back(rows[static_cast<std::size_t>(support[i]) * p + j]);
    }
    return Enclosure(some.data(), kept.size()).holds(all.data());
}

}  // namespace bdnn::exact
