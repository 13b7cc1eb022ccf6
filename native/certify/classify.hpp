// The class of single inputs: by sums where rounding errors cannot change a sign, exactly elsewhere.
//
// Inputs on borders are what attacks are made of, so sums that are not sure are formed again in twice the precision,
// and without any rounding where even that leaves the sign open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bdnn::certify {

class Classifier {
  public:
    struct Layer {
        std::size_t inputs;
        std::vector<double> weights;        // row by row
        std::vector<double> bias;           // one or more
        std::vector<std::uint8_t> integral;  // by row, whether all of its numbers are integers
    };

    // Layers from the first to the last, each with as many inputs as the one before has outputs.
    explicit Classifier(std::vector<Layer> layers) : layers_(std::move(layers)) {}

    static Layer layer(std::span<const double> weights, std::span<const double> bias);

    std::size_t inputs() const { return layers_.front().inputs; }

    // The class of a finite input: whether the only output fires, or the largest one, the first of equal ones.
    std::size_t operator()(const double* x) const;

  private:
    struct Sum {
        double value, radius;  // within `radius` of the value; 0 where it is exact, infinite where it is not finite
    };

    static Sum sum(const Layer& layer, std::size_t i, const double* x, bool integral);
    static bool fires(const Layer& layer, std::size_t i, const double* x, bool integral);
    static std::size_t winner(const Layer& layer, const double* x, bool integral);

    std::vector<Layer> layers_;
};

}  // namespace bdnn::certify
