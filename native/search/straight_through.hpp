// A smooth start for the search: stochastic gradients through the thresholds.
//
// Thresholds pass gradients where the pre-activation is at most 1 in absolute value (the straight-through estimator of
// Y. Bengio, N. Léonard and A. Courville, arXiv:1308.3432), steps are those of Adam (D. P. Kingma and J. Ba,
// arXiv:1412.6980).
//
// With integers, steps evaluate rounded weights and move the real ones behind them, as if rounding passed gradients
// unchanged (M. Courbariaux, Y. Bengio and J.-P. David, BinaryConnect, NeurIPS 2015, arXiv:1511.00363; ternary: F. Li,
// B. Zhang and B. Liu, arXiv:1605.04711). A neuron is measured in units of the spread that its sum would have on
// independent signals, so large weights do not make it surer; what makes a point surer is a wider margin, which is why
// steps go on after the last error.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "search/matrix.hpp"

namespace bdnn::search {

// The points, in memory of Python.
template <class Real>
struct Sample {
    Index points, features;
    const Real* X;        // by point
    const Real* target;   // weight for each output to fire, by point
    const Real* weight;   // of each point
};

template <class Real>
class StraightThrough {
  public:
    // `bound` is the largest absolute value of integer weights; 0 for real weights.
    StraightThrough(const Sample<Real>& sample, std::vector<Index> width, bool argmax, Index bound,
                    Gemm<Real> gemm);

    // Take a step of Adam, with its usual constants, for each batch of points; return how many steps there were so far.
    Index steps(const std::int64_t* order, Index count, Index batch, double rate);

    // Weight of the wrong outputs, or of the wrong points if outputs compete.
    double loss();

    // Write the rounded network into `used`, laid out as the values, and the factor of each neuron: factor times integer
    // weights, and biases of signals that are 0 or 1. Outputs that compete have one factor, and biases that are whole
    // multiples of it.
    void round(Real* used, Real* factor) const;

    Index size() const { return static_cast<Index>(values_.size()); }
    Index neurons() const { return neurons_; }
    // Weights and biases of each layer. With integers, biases are those of centered signals: 0 is a neuron that fires at
    // half of what its weights add up to.
    Real* values() { return values_.data(); }

  private:
    struct Batch {
        Index m;
        Real *points, *target, *weight;
    };

    Batch load(const std::int64_t* order, Index m, Index batch);
    void forward(const Real* points, Index m, const Real* values);
    void output_gradient(const Batch& batch);
    void backward(const Batch& batch, const Real* values);
    void adam(double rate);
    void round_layer(Index k, const Real* values, Real* used, Real* factor) const;
    Index inputs(Index k) const { return k == 0 ? sample_.features : width_[k - 1]; }

    Sample<Real> sample_;
    std::vector<Index> width_;
    bool argmax_;
    Index bound_, neurons_, widest_, taken_ = 0;
    double finer_;  // how much finer the grid of integers is than that of ternary weights
    Gemm<Real> gemm_;
    Zeros<Real> values_, gradient_, first_, second_;  // the moments of Adam
    std::vector<Real> used_, factor_;
    Room<Real> points_, target_, weight_, sums_, signals_, delta_, below_, work_;
};

extern template class StraightThrough<float>;
extern template class StraightThrough<double>;

}  // namespace bdnn::search
