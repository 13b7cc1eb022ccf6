// The generator of the searches: xorshift64* (S. Vigna, doi:10.1145/2845077).
#pragma once

#include <cmath>
#include <cstdint>

namespace bdnn {

class Random {
  public:
    // The state is in memory of the caller, so that Python can save it; 0 is a fixed point and must not be a seed.
    explicit Random(std::uint64_t* state) : state_(state) {}

    // The next number in [0, 1).
    double uniform() {
        std::uint64_t x = *state_;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        *state_ = x;
        return static_cast<double>((x * 2685821657736338717ULL) >> 11) / 9007199254740992.0;
    }

    // 0, ..., count - 1; below 2^53 the product is never rounded up to `count`.
    std::int64_t below(std::int64_t count) { return static_cast<std::int64_t>(uniform() * static_cast<double>(count)); }

    // A standard normal number (Box and Muller).
    double normal() {
        double u = 1.0 - uniform();
        return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * uniform());
    }

    // Whether the next of several equally good choices, the last of them number `ties`, replaces the one held.
    bool replaces(std::int64_t ties) { return uniform() * static_cast<double>(ties) < 1.0; }

  private:
    std::uint64_t* state_;
};

}  // namespace bdnn
