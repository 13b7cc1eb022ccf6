// What the parts of `Dictionary` share.
#pragma once

#include <cstddef>
#include <limits>

#include "lp/sparse_rows.hpp"

namespace bdnn::lp {

inline constexpr double INFINITE = std::numeric_limits<double>::infinity();
inline constexpr double PIVOT = 1e-9;  // smallest pivots
inline constexpr double NOISE = 1e-6;  // gaps that may be rounding errors
inline constexpr double SOUND = 1e-7;  // pivots and reduced costs of a basis that is taken over
inline constexpr double TINY = 1e-30;  // squared lengths are not 0

// Places in `Dictionary::state`.
enum State : std::size_t { OBJECTIVE, PIVOTS, FARKAS };

inline std::size_t spot(Index place) { return static_cast<std::size_t>(place); }

}  // namespace bdnn::lp
