#include "exact/dixon.hpp"

#include <algorithm>
#include <cmath>

#include "clones.hpp"

namespace bdnn::exact {

namespace {

using Word = std::uint64_t;

constexpr Word MODULUS = static_cast<Word>(PRIME);
constexpr Word LOW = (Word{1} << 29) - 1;
constexpr std::size_t FREE_SUM = 32;  // so many products are added up before the sum is reduced

// A number modulo the prime, from 2^29 = 3: without a division, so that loops are vectorized.
BDNN_INLINE Word reduced(Word x) {
    x = (x & LOW) + 3 * (x >> 29);
    x = (x & LOW) + 3 * (x >> 29);
    return x >= MODULUS ? x - MODULUS : x;
}

// x += factor y modulo the prime; both factors are below 2^32.
BDNN_CLONES void add_multiple(Word* BDNN_RESTRICT x, Word factor, const Word* BDNN_RESTRICT y, std::size_t n) {
    const auto f = static_cast<std::uint32_t>(factor);
    for (std::size_t j = 0; j < n; ++j) x[j] = reduced(x[j] + static_cast<Word>(f) * static_cast<std::uint32_t>(y[j]));
}

BDNN_CLONES void multiply(Word* x, Word factor, std::size_t n) {
    const auto f = static_cast<std::uint32_t>(factor);
    for (std::size_t j = 0; j < n; ++j) x[j] = reduced(static_cast<Word>(f) * static_cast<std::uint32_t>(x[j]));
}

// out_i = Σ_j M_ij x_j modulo the prime.
BDNN_CLONES void product(const std::uint32_t* BDNN_RESTRICT M, const std::uint32_t* BDNN_RESTRICT x, std::size_t n,
                         std::int32_t* BDNN_RESTRICT out) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint32_t* row = M + i * n;
        Word total = 0;
        for (std::size_t start = 0; start < n; start += FREE_SUM) {
            const std::size_t stop = std::min(start + FREE_SUM, n);
            Word block = 0;
            for (std::size_t j = start; j < stop; ++j) block += static_cast<Word>(row[j]) * x[j];
            total += reduced(block);
        }
        out[i] = static_cast<std::int32_t>(reduced(total));
    }
}

// rest_i -= Σ_j M_ij x_j, where rest_i is `stride` apart.
BDNN_CLONES void subtract_product(const std::int32_t* BDNN_RESTRICT M, const std::int32_t* BDNN_RESTRICT x,
                                  std::size_t n, std::int64_t* BDNN_RESTRICT rest, std::size_t stride) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::int32_t* row = M + i * n;
        std::int64_t total = 0;
        for (std::size_t j = 0; j < n; ++j) total += static_cast<std::int64_t>(row[j]) * x[j];
        rest[i * stride] -= total;
    }
}

// word_c = word_c · prime + carry_c, of which 32 bits stay and the others are carried.
BDNN_CLONES void shift_digit(Word* BDNN_RESTRICT word, Word* BDNN_RESTRICT carry, std::size_t count) {
    for (std::size_t c = 0; c < count; ++c) {
        const Word t = static_cast<Word>(static_cast<std::uint32_t>(word[c])) * static_cast<std::uint32_t>(MODULUS) + carry[c];
        word[c] = t & 0xffffffff;
        carry[c] = t >> 32;
    }
}

Word inverse_of(Word a) {
    Word result = 1;
    for (std::int64_t exponent = PRIME - 2; exponent > 0; exponent >>= 1) {
        if (exponent & 1) result = reduced(result * a);
        a = reduced(a * a);
    }
    return result;
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
    const std::int64_t quotient = a / b;
    return quotient - (a % b < 0 ? 1 : 0);
}

// The logarithm of the norm of a vector with one entry more; -1 is that of 0.
double longer(double length, double entry) {
    if (length < 0.0) return entry;
    const double high = std::max(length, entry), low = std::min(length, entry);
    return high + 0.5 * std::log2(1.0 + std::exp2(2.0 * (low - high)));
}

}  // namespace

Lifting::Lifting(const std::int64_t* odd, const std::int64_t* shift, std::size_t k, std::size_t p, Poll& poll)
    : odd_(odd), shift_(shift), k_(k), p_(p), row_length_(k, -1.0), column_length_(p, -1.0), residue_(k * p) {
    measure();
    reduce();
    eliminate(poll);
    if (others.empty() || pivots.empty()) return;
    invert(poll);
    split();
}

// Logarithms of the norms of rows and of columns.
void Lifting::measure() {
    for (std::size_t i = 0; i < k_; ++i)
        for (std::size_t j = 0; j < p_; ++j) {
            if (odd(i, j) == 0) continue;
            const double length = std::log2(std::fabs(static_cast<double>(odd(i, j)))) + static_cast<double>(shift(i, j));
            longest_ = std::max(longest_, static_cast<std::size_t>(length) + 2);
            row_length_[i] = longer(row_length_[i], length);
            column_length_[j] = longer(column_length_[j], length);
        }
}

void Lifting::reduce() {
    std::vector<Word> power(longest_ + 1, 1);
    for (std::size_t n = 0; n < longest_; ++n) power[n + 1] = reduced(2 * power[n]);
    for (std::size_t i = 0; i < k_; ++i)
        for (std::size_t j = 0; j < p_; ++j) {
            if (odd(i, j) == 0) continue;
            const Word size = static_cast<Word>(odd(i, j) < 0 ? -odd(i, j) : odd(i, j));
            const Word a = reduced(reduced(size) * power[static_cast<std::size_t>(shift(i, j))]);
            residue_[i * p_ + j] = odd(i, j) < 0 && a != 0 ? MODULUS - a : a;
        }
}

// Find pivot rows and columns by an elimination modulo the prime.
void Lifting::eliminate(Poll& poll) {
    std::vector<Word> work = residue_;
    for (std::size_t i = 0; i < k_; ++i) {
        poll.spent(2 * rank() * p_);
        Word* mine = work.data() + i * p_;
        for (std::size_t s = 0; s < rank(); ++s)
            if (const Word a = mine[column_[s]]) add_multiple(mine, MODULUS - a, work.data() + row_of(s) * p_, p_);
        const auto found = static_cast<std::size_t>(std::find_if(mine, mine + p_, [](Word a) { return a != 0; }) - mine);
        if (found == p_) {
            others.push_back(static_cast<std::int64_t>(i));
            continue;
        }
        pivots.push_back(static_cast<std::int64_t>(i));
        column_.push_back(found);
        multiply(mine, inverse_of(mine[found]), p_);
    }
}

// Invert the square system modulo the prime, by Gauss and Jordan.
void Lifting::invert(Poll& poll) {
    const std::size_t n = rank(), width = 2 * n;
    std::vector<Word> left(n * width);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) left[i * width + j] = residue_[row_of(j) * p_ + column_[i]];
        left[i * width + n + i] = 1;
    }
    for (std::size_t s = 0; s < n; ++s) {
        poll.spent(2 * n * width);
        std::size_t found = s;
        while (found < n && left[found * width + s] == 0) ++found;
        if (found == n) return;  // cannot be: the pivots are independent
        if (found != s) std::swap_ranges(&left[s * width], &left[s * width] + width, &left[found * width]);
        Word* mine = &left[s * width];
        multiply(mine + s, inverse_of(mine[s]), width - s);
        for (std::size_t i = 0; i < n; ++i) {
            const Word a = left[i * width + s];
            if (i != s && a != 0) add_multiple(&left[i * width + s], MODULUS - a, mine + s, width - s);
        }
    }
    inverse_.resize(n * n);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) inverse_[i * n + j] = static_cast<std::uint32_t>(left[i * width + n + j]);
}

// Limb m of an entry, with its sign.
std::int64_t Lifting::limb(std::size_t row, std::size_t column, std::size_t m) const {
    const std::int64_t value = odd(row, column), size = value < 0 ? -value : value;
    const std::int64_t mask = (std::int64_t{1} << bits_) - 1;
    const std::int64_t drop = static_cast<std::int64_t>(m * bits_) - shift(row, column);
    std::int64_t part = 0;
    if (drop >= 0)
        part = drop < 63 ? (size >> drop) & mask : 0;
    else if (-drop < static_cast<std::int64_t>(bits_))
        part = ((size & mask) << -drop) & mask;
    return value < 0 ? -part : part;
}

void Lifting::split() {
    const std::size_t n = rank();
    bits_ = static_cast<unsigned>(
        std::min(28, 33 - static_cast<int>(std::ceil(std::log2(static_cast<double>(n + 1))))));
    n_limbs_ = (longest_ + bits_ - 1) / bits_;
    limbs_.resize(n_limbs_ * n * n);
    for (std::size_t m = 0; m < n_limbs_; ++m)
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < n; ++j)
                limbs_[(m * n + i) * n + j] = static_cast<std::int32_t>(limb(row_of(j), column_[i], m));
}

// Norms of rows and of columns bound the determinants (J. Hadamard).
double Lifting::bound_of(std::size_t t) const {
    double by_row = 0.0, shortest = row_length_[t], by_column = 0.0;
    for (std::size_t s = 0; s < rank(); ++s) {
        by_row += row_length_[row_of(s)];
        shortest = std::min(shortest, row_length_[row_of(s)]);
        by_column += column_length_[column_[s]];
    }
    return std::min(by_row + row_length_[t] - shortest, by_column);
}

void Lifting::subtract_digit(const std::vector<std::int32_t>& digit, std::vector<std::int64_t>& rest) const {
    const std::size_t n = rank();
    for (std::size_t m = 0; m < n_limbs_; ++m)
        subtract_product(limbs_.data() + m * n * n, digit.data(), n, rest.data() + m, n_limbs_ + 3);
}

// Carry what is beyond a limb into the next one.
void Lifting::carry(std::int64_t* rest) const {
    const std::int64_t mask = (std::int64_t{1} << bits_) - 1;
    for (std::size_t m = 0; m < n_limbs_ + 2; ++m) {
        rest[m + 1] += rest[m] >> bits_;
        rest[m] &= mask;
    }
}

std::int64_t Lifting::modulo(const std::int64_t* rest) const {
    const std::int64_t base = std::int64_t{1} << bits_;
    std::int64_t value = 0;
    for (std::size_t m = n_limbs_ + 3; m-- > 0;) {
        value = value * base + rest[m];
        value -= floor_divide(value, PRIME) * PRIME;
    }
    return value;
}

// Divide a number by the prime; return the quotient modulo the prime.
std::int64_t Lifting::divide(std::int64_t* rest) const {
    const std::int64_t base = std::int64_t{1} << bits_;
    std::int64_t remainder = 0, value = 0;
    for (std::size_t m = n_limbs_ + 3; m-- > 0;) {
        remainder = remainder * base + rest[m];
        const std::int64_t quotient = floor_divide(remainder, PRIME);
        remainder -= quotient * PRIME;
        rest[m] = quotient;
        value = value * base + quotient;
        value -= floor_divide(value, PRIME) * PRIME;
    }
    return value;
}

Lifting::Solution Lifting::solve(std::size_t which, Poll& poll) {
    const std::size_t n = rank(), t = static_cast<std::size_t>(others[which]), stride = n_limbs_ + 3;
    Solution found;
    found.bound = bound_of(t);
    if (n == 0) return found;
    std::vector<std::int64_t> rest(n * stride);
    std::vector<std::uint32_t> right(n);
    std::vector<std::int32_t> digit(n);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t m = 0; m < n_limbs_; ++m) rest[i * stride + m] = -limb(t, column_[i], m);
        carry(&rest[i * stride]);
        right[i] = static_cast<std::uint32_t>(modulo(&rest[i * stride]));
    }
    const auto n_digits = static_cast<std::size_t>(std::ceil((2.0 * found.bound + 64.0) / DIGIT));
    found.digits.reserve(n_digits * n);
    // solve modulo the prime, subtract, divide by the prime without remainder
    for (std::size_t step = 0; step < n_digits; ++step) {
        poll.spent((n_limbs_ + 1) * n * n);
        product(inverse_.data(), right.data(), n, digit.data());
        found.digits.insert(found.digits.end(), digit.begin(), digit.end());
        subtract_digit(digit, rest);
        for (std::size_t i = 0; i < n; ++i) {
            carry(&rest[i * stride]);
            right[i] = static_cast<std::uint32_t>(divide(&rest[i * stride]));
        }
    }
    return found;
}

std::size_t numbers_of(
    const std::int64_t* digits, std::size_t length, std::size_t count, std::vector<std::uint8_t>& bytes) {
    const std::size_t most = (29 * length + 31) / 32;
    std::vector<Word> words(most * count), carry(count);
    for (std::size_t step = length, used = 0; step-- > 0;) {
        std::copy_n(digits + step * count, count, carry.begin());
        for (std::size_t w = 0; w < used; ++w) shift_digit(words.data() + w * count, carry.data(), count);
        if (used == most || std::ranges::all_of(carry, [](Word each) { return each == 0; })) continue;
        std::copy_n(carry.begin(), count, words.data() + used * count);
        ++used;
    }
    const std::size_t width = 4 * most;
    bytes.resize(width * count);
    for (std::size_t c = 0; c < count; ++c)
        for (std::size_t b = 0; b < width; ++b)
            bytes[c * width + b] = static_cast<std::uint8_t>(words[b / 4 * count + c] >> (8 * (b % 4)));
    return width;
}

Steps euclid_steps(std::int64_t x, std::int64_t y) {
    std::int64_t a = 1, b = 0, c = 0, d = 1;
    while (y + c != 0 && y + d != 0) {
        const std::int64_t quotient = floor_divide(x + a, y + c);
        if (quotient != floor_divide(x + b, y + d)) break;
        const std::int64_t next_c = a - quotient * c, next_d = b - quotient * d, rest = x - quotient * y;
        a = c;
        b = d;
        c = next_c;
        d = next_d;
        x = y;
        y = rest;
    }
    return {a, b, c, d};
}

}  // namespace bdnn::exact
