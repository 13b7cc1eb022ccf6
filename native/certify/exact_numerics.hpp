// Numbers without rounding errors, or with errors that are known. Contraction must be off.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "numerics.hpp"

namespace bdnn::certify {

inline constexpr double UNIT = 0x1p-53;    // unit roundoff
inline constexpr double TINY = 0x1p-1074;  // the least positive double

// b + Σ w_j x_j as if it were summed in twice the precision: with S = |b| + Σ |w_j x_j| the error is at most
// UNIT |result| + γ(n+1)² S plus what underflows (T. Ogita, S. M. Rump and S. Oishi, doi:10.1137/030601818,
// proposition 5.5).
inline double dot_twice(const double* w, double b, const double* x, std::size_t n) {
    double total = b, lost = 0.0;
    for (std::size_t j = 0; j < n; ++j) {
        const Pair product = two_product(w[j], x[j]), sum = two_sum(total, product.high);
        total = sum.high;
        lost += product.low + sum.low;
    }
    return total + lost;
}

// A sum of products of finite doubles without any rounding: a fixed-point number that holds every product
// (U. W. Kulisch's long accumulator), in digits of 32 bits that carry only when the sign is asked for.
class Accumulator {
  public:
    void add_product(double a, double b) {
        if (a == 0.0 || b == 0.0) return;
        int a_power, b_power;
        const auto a_digits = static_cast<std::uint64_t>(std::ldexp(std::frexp(std::fabs(a), &a_power), 53));
        const auto b_digits = static_cast<std::uint64_t>(std::ldexp(std::frexp(std::fabs(b), &b_power), 53));
        const int shift = a_power + b_power - 106 + OFFSET;
        const std::int64_t sign = (a < 0.0) == (b < 0.0) ? 1 : -1;
        const std::uint64_t a_low = a_digits & MASK, a_high = a_digits >> 32;
        const std::uint64_t b_low = b_digits & MASK, b_high = b_digits >> 32;
        add(a_low * b_low, shift, sign);
        add(a_low * b_high, shift + 32, sign);
        add(a_high * b_low, shift + 32, sign);
        add(a_high * b_high, shift + 64, sign);
        if (++pending_ == MOST_PENDING) carry();
    }

    void subtract(Accumulator other) {
        carry();
        other.carry();
        for (std::size_t k = 0; k < DIGITS; ++k) digits_[k] -= other.digits_[k];
        pending_ = 1;
    }

    // -1, 0 or 1.
    int sign() {
        carry();
        if (digits_[DIGITS - 1] < 0) return -1;
        for (std::int64_t digit : digits_)
            if (digit != 0) return 1;
        return 0;
    }

  private:
    // products lie between 2^-2252, with the digits of subnormal numbers filled up, and 2^2048
    static constexpr int OFFSET = 2272;
    static constexpr std::size_t DIGITS = (2272 + 2048) / 32 + 4;
    static constexpr std::uint64_t MASK = 0xffffffff;
    static constexpr std::size_t MOST_PENDING = std::size_t{1} << 26;

    void add(std::uint64_t value, int shift, std::int64_t sign) {
        const auto place = static_cast<std::size_t>(shift / 32);
        const int bit = shift % 32;
        const std::uint64_t low = (value & MASK) << bit, high = (value >> 32) << bit;
        digits_[place] += sign * static_cast<std::int64_t>(low & MASK);
        digits_[place + 1] += sign * static_cast<std::int64_t>((low >> 32) + (high & MASK));
        digits_[place + 2] += sign * static_cast<std::int64_t>(high >> 32);
    }

    void carry() {
        std::int64_t left = 0;
        for (std::size_t k = 0; k + 1 < DIGITS; ++k) {
            const std::int64_t digit = digits_[k] + left;
            digits_[k] = digit & static_cast<std::int64_t>(MASK);
            left = (digit - digits_[k]) / (std::int64_t{1} << 32);
        }
        digits_[DIGITS - 1] += left;
        pending_ = 0;
    }

    std::array<std::int64_t, DIGITS> digits_{};
    std::size_t pending_ = 0;
};

}  // namespace bdnn::certify
