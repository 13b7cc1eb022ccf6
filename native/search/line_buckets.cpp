#include "search/line_buckets.hpp"

#include <algorithm>
#include <cmath>

#include "clones.hpp"

namespace bdnn::search {

BDNN_CLONES double places(Index m, const double* BDNN_RESTRICT a, const double* BDNN_RESTRICT s,
                          const double* BDNN_RESTRICT g, const Axis& axis, std::int32_t* BDNN_RESTRICT slot,
                          double* BDNN_RESTRICT jump) {
    const double scale = axis.scale, low = axis.low, per = axis.per, last = static_cast<double>(axis.count - 1);
    double starts[loops::CHUNK];
    for (Index r = 0; r < m; ++r) {
        double t = -a[r] / s[r];
        // 1 - scale / (scale + |t|) never decreases as |t| grows, in spite of rounding
        double u = 1.0 - scale / (scale + std::fabs(t));
        u = t < 0.0 ? -u : u;
        double x = (u - low) * per;
        x = x > 0.0 ? x : 0.0;  // also what is not a number
        x = x < last ? x : last;
        double v = s[r] == 0.0 ? 0.0 : g[r];
        double d = s[r] > 0.0 ? v : -v;
        jump[r] = d;
        slot[r] = 2 * static_cast<std::int32_t>(x) + (d < 0.0 ? 1 : 0);
        starts[r] = (s[r] < 0.0 ? v : 0.0) - (a[r] >= 0.0 ? v : 0.0);
    }
    // gains are multiples of one unit and their sums exact, so the order does not matter
    double total = 0.0;
    for (Index r = 0; r < m; ++r) total += starts[r];
    return total;
}

void merge_equal(std::vector<Jumps>& jumps) {
    std::sort(jumps.begin(), jumps.end(), [](const Jumps& x, const Jumps& y) { return x.t < y.t; });
    std::size_t kept = 0;
    for (const Jumps& each : jumps) {
        if (kept > 0 && jumps[kept - 1].t == each.t) {
            jumps[kept - 1].up += each.up, jumps[kept - 1].down += each.down;
        } else {
            jumps[kept++] = each;
        }
    }
    jumps.resize(kept);
}

}  // namespace bdnn::search
