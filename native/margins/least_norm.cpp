#include "margins/least_norm.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "certify/vector_loops.hpp"

namespace bdnn::margins {

namespace {

namespace loops = certify::loops;

constexpr double INFINITE = std::numeric_limits<double>::infinity();

// (x, y) = (c x + s y, c y - s x).
void rotate(std::vector<double>& x, std::vector<double>& y, double c, double s) {
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double turned = c * x[i] + s * y[i];
        y[i] = c * y[i] - s * x[i];
        x[i] = turned;
    }
}

}  // namespace

Outcome LeastNorm::enter(const HalfSpaces& all, double tolerance, std::size_t most, Poll& poll) {
    const std::size_t n = point.size();
    slack_.resize(all.h.size());
    while (!all.h.empty()) {
        for (std::size_t i = 0; i < all.h.size(); ++i) {
            slack_[i] = loops::dot(all.normals + i * n, point.data(), n) - all.h[i];
            poll.spent(n);
        }
        const auto worst = static_cast<std::size_t>(std::min_element(slack_.begin(), slack_.end()) - slack_.begin());
        if (!(slack_[worst] < -tolerance)) break;
        if (active.size() > most || poll.stopped()) return Outcome::UNFINISHED;
        if (std::ranges::find(active, static_cast<Index>(worst)) != active.end()) return Outcome::STUCK;
        const Outcome entered = add(worst, all.normals + worst * n, all.h[worst], poll);
        if (entered != Outcome::SOLVED) return entered;
    }
    return Outcome::SOLVED;
}

// Enter a violated half-space: move towards it as far as all multipliers stay >= 0, drop the one that is 0 there, and so
// on until it holds.
Outcome LeastNorm::add(std::size_t label, const double* normal, double h, Poll& poll) {
    const std::size_t n = point.size();
    const double length = loops::dot(normal, normal, n);
    double own = 0.0;
    while (true) {
        const double across = project(normal, poll);
        if (poll.stopped()) return Outcome::UNFINISHED;
        rate_ = c_;
        solve_upper(rate_);
        double step = INFINITE, full = INFINITE;
        if (across > INDEPENDENT * length && active.size() < n)
            step = full = std::max(h - loops::dot(normal, point.data(), n), 0.0) / across;
        double fastest = 1.0;
        for (double rate : rate_) fastest = std::max(fastest, std::fabs(rate));
        std::size_t blocking = active.size();
        for (std::size_t j = 0; j < active.size(); ++j)
            if (rate_[j] > BLOCKS * fastest && multipliers_[j] / rate_[j] < step) {
                step = multipliers_[j] / rate_[j];
                blocking = j;
            }
        if (!std::isfinite(step)) return Outcome::STUCK;
        for (std::size_t j = 0; j < active.size(); ++j)
            multipliers_[j] = std::max(multipliers_[j] - step * rate_[j], 0.0);
        own += step;
        if (std::isfinite(full)) loops::add_scaled(point.data(), step, z_.data(), n);
        if (blocking == active.size()) {
            append(label, std::sqrt(across), own);
            return Outcome::SOLVED;
        }
        drop(blocking);
    }
}

// Split a normal into Q c and what is left, z, twice for the digits that cancel; return z·z.
double LeastNorm::project(const double* normal, Poll& poll) {
    const std::size_t n = point.size();
    z_.assign(normal, normal + n);
    c_.assign(Q_.size(), 0.0);
    for (int turn = 0; turn < 2; ++turn)
        for (std::size_t i = 0; i < Q_.size(); ++i) {
            const double part = loops::dot(Q_[i].data(), z_.data(), n);
            loops::add_scaled(z_.data(), -part, Q_[i].data(), n);
            c_[i] += part;
            poll.spent(n);
        }
    return loops::dot(z_.data(), z_.data(), n);
}

// x = R⁻¹ x.
void LeastNorm::solve_upper(std::vector<double>& x) const {
    for (std::size_t j = x.size(); j-- > 0;) {
        x[j] /= R_[j][j];
        loops::add_scaled(x.data(), -x[j], R_[j].data(), j);
    }
}

void LeastNorm::append(std::size_t label, double length, double multiplier) {
    for (double& each : z_) each /= length;
    Q_.push_back(z_);
    c_.push_back(length);
    R_.push_back(c_);
    active.push_back(static_cast<Index>(label));
    multipliers_.push_back(multiplier);
}

// Remove a column of Q R: what then stands below the diagonal is rotated away.
void LeastNorm::drop(std::size_t j) {
    const auto at = static_cast<std::ptrdiff_t>(j);
    R_.erase(R_.begin() + at);
    active.erase(active.begin() + at);
    multipliers_.erase(multipliers_.begin() + at);
    for (std::size_t i = j; i < R_.size(); ++i) {
        const double size = std::hypot(R_[i][i], R_[i][i + 1]);
        const double c = R_[i][i] / size, s = R_[i][i + 1] / size;
        rotate(Q_[i], Q_[i + 1], c, s);
        R_[i][i] = size;
        R_[i].pop_back();
        for (std::size_t later = i + 1; later < R_.size(); ++later) {
            double &x = R_[later][i], &y = R_[later][i + 1];
            const double turned = c * x + s * y;
            y = c * y - s * x;
            x = turned;
        }
    }
    Q_.pop_back();
}

void LeastNorm::refresh(std::span<const double> h) {
    std::fill_n(point.data(), point.size(), 0.0);
    std::vector<double> y;
    while (!active.empty()) {
        y.clear();
        for (std::size_t j = 0; j < active.size(); ++j)
            y.push_back((h[static_cast<std::size_t>(active[j])] - loops::dot(R_[j].data(), y.data(), j)) / R_[j][j]);
        multipliers_ = y;
        solve_upper(multipliers_);
        const auto least = std::min_element(multipliers_.begin(), multipliers_.end());
        if (!(*least < 0.0)) break;
        drop(static_cast<std::size_t>(least - multipliers_.begin()));
    }
    for (std::size_t j = 0; j < active.size(); ++j) loops::add_scaled(point.data(), y[j], Q_[j].data(), point.size());
}

}  // namespace bdnn::margins
