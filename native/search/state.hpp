// Networks under search: their weights, and what all neurons do at all points.
//
// Layers are numbered from 0, neurons through all layers; a *signal* is what a layer reads. Inputs are stored by
// feature, and weights act on raw inputs, so the numbers in a state are those of the network it stands for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "random.hpp"
#include "search/directions.hpp"
#include "search/line_search.hpp"
#include "search/loops.hpp"

namespace bdnn::search {

// Points are evaluated in blocks, so that the sums of a block stay in the cache.
inline constexpr Index BLOCK = 4096;

// The shape of a network, and where the weights and biases of each layer begin.
struct Layers {
    struct Place {
        Index layer, row;
    };

    Layers(Index inputs, const std::vector<Index>& widths)
        : n_inputs(inputs), width(widths), first_weight{0}, first_neuron{0} {
        for (std::size_t k = 0; k < width.size(); ++k) {
            first_weight.push_back(first_weight.back() + width[k] * this->inputs(static_cast<Index>(k)));
            first_neuron.push_back(first_neuron.back() + width[k]);
        }
    }

    Index count() const { return static_cast<Index>(width.size()); }
    Index last() const { return count() - 1; }
    Index outputs() const { return width.back(); }
    Index inputs(Index layer) const { return layer == 0 ? n_inputs : width[layer - 1]; }
    Index weights() const { return first_weight.back(); }
    Index neurons() const { return first_neuron.back(); }
    Index widest() const { return *std::max_element(width.begin(), width.end()); }
    // Where the weights of a neuron begin.
    Index weights_of(Place neuron) const { return first_weight[neuron.layer] + neuron.row * inputs(neuron.layer); }
    Index number(Place neuron) const { return first_neuron[neuron.layer] + neuron.row; }

    Place place(Index neuron) const {
        Index k = 0;
        while (neuron >= first_neuron[k + 1]) ++k;
        return {k, neuron - first_neuron[k]};
    }

    Index n_inputs;
    std::vector<Index> width, first_weight, first_neuron;
};

// What both kinds of search share: a network and the loss of every point.
struct SearchedNetwork {
    SearchedNetwork(Layers shape, Index n_points, bool competes, Index largest, bool biases, std::uint64_t seed)
        : layers(std::move(shape)), points(n_points), W(layers.weights()), b(layers.neurons()), loss(n_points),
          sign(layers.weights()), argmax(competes), bound(largest), intercept(biases), random_state(seed) {}

    // Whether a neuron is an output that competes with others, and has no threshold of its own.
    bool competes(Index layer) const { return argmax && layer == layers.last(); }

    Layers layers;
    Index points;
    Zeros<double> W, b, loss;
    Zeros<std::int8_t> sign;  // of each weight: 1 if it must not be negative, -1 if not positive, 0 if it is free
    bool argmax;
    Index bound;     // largest absolute weight of integer networks; 0 for continuous ones
    bool intercept;  // whether neurons have biases
    std::uint64_t random_state;
};

// The points, in memory of Python; a feature or a label is a row or a column.
template <class Real>
struct Data {
    const Real* feature(Index j) const { return X + j * points; }
    const Real* weights_of(Index i) const { return class_weight + i * classes; }

    Index features, points, classes;
    const Real* X;                 // by feature
    const Real* class_weight;      // weight of each label at each point
    const double *median, *scale;  // a typical value of each feature, and the length of a step along it
    const double* largest;         // largest absolute value of each feature
};

// Work space of an improvement of a neuron; it grows as needed and is kept for the next one.
struct WorkSpace {
    Room<std::int32_t> active;
    Room<double> gain, sum, slope, trial, jumped;
    Room<unsigned char> columns;
    Room<double> forward;
    LineSearch line;
    NewtonStep newton;
};

// A network whose neurons fire or do not, at each point.
template <class Real>
struct State : SearchedNetwork {
    using Value = Real;

    State(Layers shape, const Data<Real>& given, bool competes, Index largest, bool biases, std::uint64_t seed)
        : SearchedNetwork(std::move(shape), given.points, competes, largest, biases, seed), data(given),
          error(layers.neurons()), fires(layers.neurons() * given.points),
          stored_from(layers.count() > 1 ? layers.first_neuron[1] : 0), stored(layers.neurons() - stored_from),
          sums(stored * given.points) {}

    std::uint8_t* fired(Index neuron) const { return fires.data() + neuron * points; }
    // Stored pre-activations of a layer at a point.
    double* sums_of(Index layer, Index i) const {
        return sums.data() + i * stored + (layers.first_neuron[layer] - stored_from);
    }

    Data<Real> data;
    Zeros<double> error;         // bound on the rounding error of the pre-activations of each neuron
    Zeros<std::uint8_t> fires;   // by neuron; the rows of competing outputs are not used
    Index stored_from, stored;   // neurons whose pre-activations are stored: all above the first layer, or all of one
    Zeros<double> sums;          // pre-activations, by point
    WorkSpace work;
    bool halfway = false;  // an interrupted evaluation has left some points as they were: all are to be evaluated anew
};

}  // namespace bdnn::search
