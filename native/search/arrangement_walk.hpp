// A walk from vertex to vertex of the arrangement of all separators of weighted points.
//
// A hyperplane through n points in general position is a vertex: a small turn puts each of these points on the side where
// it should be. Letting go of one point leaves a line of hyperplanes through the other n - 1, along which the best vertex
// is found exactly by sorting. Like the simplex method, a walk keeps the values of all such lines at all points in one
// table and updates it at each step. It looks at a few random lines, takes the best vertex even if it is worse, and does
// not return for a while (tabu search; F. Glover, doi:10.1287/ijoc.1.3.190).
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "poll.hpp"
#include "random.hpp"

namespace bdnn::search {

class ArrangementWalk {
  public:
    using Index = std::int64_t;

    struct Settings {
        double tenure;  // about so many steps a point is kept out after it was let go of
        double looked;  // about so many lines are searched in a step
        std::uint64_t seed;
    };

    // `table` is of shape (size, p): values of the lines at the points; `lines` of shape (size, size): row 0 is the
    // current hyperplane, row k the direction in which it turns when point basis[k] is let go of and moves to the
    // positive side by 1; `g` of shape (p,): gains. All stay where they are.
    ArrangementWalk(double* table, double* lines, const double* g, std::size_t size, std::size_t p, Settings settings);

    // Go on from one step to another, or to the first vertex below the target; return the objective there.
    double run(Index until, double target, Poll& poll);

    Index step = 0;
    // By line: the point, -1 before the line has met one, -2 if there is none to meet. Seen by Python, as what follows.
    std::vector<Index> basis;
    std::vector<std::uint8_t> inside;  // by point: whether it is on the hyperplane by construction

  private:
    static constexpr Index FREE = -1, NEVER = -2;

    struct Vertex {
        double objective = std::numeric_limits<double>::infinity();
        Index point = -1;  // -1 if there is none
        double away = 0.0;
    };
    struct Crossing {
        std::uint64_t key;  // of the same order as `away`
        double away;
        std::uint32_t point;
    };
    struct Move {
        Vertex vertex;
        std::size_t line = 0;
    };

    double* row(std::size_t k) { return table_ + k * p_; }
    const double* row(std::size_t k) const { return table_ + k * p_; }
    double wanted(Index point) const;
    bool turns_positive(std::size_t line, std::size_t point) const;
    double collect_crossings(std::size_t line);
    void sort_crossings();
    Vertex best_vertex(std::size_t line, double target);
    Move choose(double target, Poll& poll);
    bool vanishes(std::size_t line) const;
    void pivot(std::size_t line, std::size_t point, double away);

    double *table_, *lines_;
    const double* g_;
    std::size_t size_, p_;
    Settings settings_;
    std::uint64_t state_;
    Random random_;
    double fixed_ = 0.0;             // objective of the points on the hyperplane
    std::vector<Index> banned_, kept_;  // by point: until which step it may not be met, or let go of
    std::vector<std::size_t> order_;
    std::vector<Crossing> crossings_, sorted_;
};

}  // namespace bdnn::search
