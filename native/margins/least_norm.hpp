// The point of least norm in a growing set of half-spaces {v : n·v >= h}, by the dual active-set method of D. Goldfarb
// and A. Idnani (Math. Prog. 27, 1983, doi:10.1007/BF02591962): one violated half-space is entered at a time, and those
// that no longer bind leave.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "buffer.hpp"
#include "poll.hpp"

namespace bdnn::margins {

enum class Outcome : int { SOLVED, STUCK, UNFINISHED };

// Invariant: `point` has the least norm on the boundaries of the active half-spaces, with multipliers >= 0, so its norm
// is a lower bound on that of every point of all half-spaces. Active normals are kept as the columns of Q R.
class LeastNorm {
  public:
    using Index = std::int64_t;

    struct HalfSpaces {
        const double* normals;  // a row of `point.size()` numbers for each
        std::span<const double> h;
    };

    explicit LeastNorm(std::size_t size) : point(size) {}

    // Enter half-spaces, the most violated first, until none is violated by more than `tolerance`. Stuck: rounding
    // errors, or half-spaces without a common point, leave nothing to do. Unfinished: more than `most` are active, or
    // `poll` says so.
    Outcome enter(const HalfSpaces& all, double tolerance, std::size_t most, Poll& poll);

    // Recompute the point for other right-hand sides of all half-spaces, dropping what does not bind.
    void refresh(std::span<const double> h);

    // Seen by Python: the point, and the numbers of the active half-spaces.
    Zeros<double> point;
    std::vector<Index> active;

  private:
    static constexpr double INDEPENDENT = 1e-20;  // squared length of a normal across the others, in units of its own
    static constexpr double BLOCKS = 1e-13;       // least rate at which a multiplier falls, in units of the largest one

    Outcome add(std::size_t label, const double* normal, double h, Poll& poll);
    double project(const double* normal, Poll& poll);
    void solve_upper(std::vector<double>& x) const;
    void append(std::size_t label, double length, double multiplier);
    void drop(std::size_t j);

    std::vector<double> multipliers_;
    std::vector<std::vector<double>> Q_;  // orthonormal columns
    std::vector<std::vector<double>> R_;  // columns, down to the diagonal
    std::vector<double> c_, z_, rate_, slack_;
};

}  // namespace bdnn::margins
