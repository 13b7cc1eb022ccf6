// Integers of a few hundred bits, for determinants whose sign floating-point numbers leave open.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace bdnn::enumeration {

// Sign and absolute value, of up to LIMBS digits to the base 2^32. Whoever computes sees to it that results fit.
class WideInteger {
  public:
    // six factors of 260 bits, for the comparison of two angles in four dimensions
    static constexpr int LIMBS = 50;

    WideInteger() {}
    WideInteger(const WideInteger& other) { *this = other; }
    WideInteger& operator=(const WideInteger& other) {
        size_ = other.size_;
        negative_ = other.negative_;
        std::copy_n(other.limb_, size_, limb_);
        return *this;
    }

    // A double in units of 2^unit, of which it is a multiple.
    static WideInteger of(double value, int unit) {
        WideInteger result;
        if (value == 0.0) return result;
        int exponent = 0;
        auto digits = static_cast<std::uint64_t>(std::ldexp(std::frexp(std::fabs(value), &exponent), 53));
        int shift = exponent - 53 - unit;
        if (shift < 0) {
            digits >>= -shift;
            shift = 0;
        }
        const int first = shift / 32;
        std::fill_n(result.limb_, first, 0u);
        std::uint64_t carry = 0;
        result.size_ = first;
        for (int part = 0; part < 2 || carry; ++part) {
            // 32 bits, shifted by less than 32, and the carry of as many
            const std::uint64_t piece = part < 2 ? (digits >> (32 * part) & 0xFFFFFFFFu) << (shift % 32) : 0;
            const std::uint64_t sum = piece + carry;
            result.limb_[result.size_++] = static_cast<std::uint32_t>(sum);
            carry = sum >> 32;
        }
        result.trim();
        result.negative_ = value < 0.0;
        return result;
    }

    int sign() const { return size_ == 0 ? 0 : negative_ ? -1 : 1; }

    WideInteger operator-() const {
        WideInteger result = *this;
        result.negative_ = !negative_;
        return result;
    }

    friend WideInteger operator+(const WideInteger& x, const WideInteger& y) {
        if (x.negative_ == y.negative_) return added(x, y, x.negative_);
        const int order = compared(x, y);
        if (order == 0) return {};
        return order > 0 ? subtracted(x, y, x.negative_) : subtracted(y, x, y.negative_);
    }

    friend WideInteger operator-(const WideInteger& x, const WideInteger& y) { return x + -y; }

    friend WideInteger operator*(const WideInteger& x, const WideInteger& y) {
        WideInteger result;
        if (x.size_ == 0 || y.size_ == 0) return result;
        result.size_ = x.size_ + y.size_;
        std::fill_n(result.limb_, result.size_, 0u);
        for (int i = 0; i < x.size_; ++i) {
            std::uint64_t carry = 0;
            for (int j = 0; j < y.size_; ++j) {
                carry += std::uint64_t{x.limb_[i]} * y.limb_[j] + result.limb_[i + j];
                result.limb_[i + j] = static_cast<std::uint32_t>(carry);
                carry >>= 32;
            }
            result.limb_[i + y.size_] = static_cast<std::uint32_t>(carry);
        }
        result.trim();
        result.negative_ = x.negative_ != y.negative_;
        return result;
    }

    // This times 2^unit, with a relative error below 2^-52; not 0 unless this is.
    double value(int unit) const {
        double sum = 0.0;
        for (int k = size_ - 1; k >= std::max(0, size_ - 3); --k) sum += std::ldexp(static_cast<double>(limb_[k]), 32 * k + unit);
        return negative_ ? -sum : sum;
    }

  private:
    void trim() {
        while (size_ > 0 && limb_[size_ - 1] == 0) --size_;
    }

    static int compared(const WideInteger& x, const WideInteger& y) {
        if (x.size_ != y.size_) return x.size_ < y.size_ ? -1 : 1;
        for (int k = x.size_ - 1; k >= 0; --k)
            if (x.limb_[k] != y.limb_[k]) return x.limb_[k] < y.limb_[k] ? -1 : 1;
        return 0;
    }

    static WideInteger added(const WideInteger& x, const WideInteger& y, bool negative) {
        WideInteger result;
        const int size = std::max(x.size_, y.size_);
        std::uint64_t carry = 0;
        for (int k = 0; k < size; ++k) {
            carry += std::uint64_t{k < x.size_ ? x.limb_[k] : 0} + (k < y.size_ ? y.limb_[k] : 0);
            result.limb_[k] = static_cast<std::uint32_t>(carry);
            carry >>= 32;
        }
        result.size_ = size;
        if (carry) result.limb_[result.size_++] = static_cast<std::uint32_t>(carry);
        result.negative_ = negative;
        return result;
    }

    // |x| - |y| for |x| > |y|.
    static WideInteger subtracted(const WideInteger& x, const WideInteger& y, bool negative) {
        WideInteger result;
        std::int64_t borrow = 0;
        for (int k = 0; k < x.size_; ++k) {
            borrow += std::int64_t{x.limb_[k]} - (k < y.size_ ? std::int64_t{y.limb_[k]} : 0);
            result.limb_[k] = static_cast<std::uint32_t>(borrow & 0xFFFFFFFF);
            borrow >>= 32;
        }
        result.size_ = x.size_;
        result.trim();
        result.negative_ = negative;
        return result;
    }

    int size_ = 0;
    bool negative_ = false;
    std::uint32_t limb_[LIMBS];
};

}  // namespace bdnn::enumeration
