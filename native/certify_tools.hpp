// What the bindings of bdnn._native.certify need beside arrays.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "arrays.hpp"
#include "certify/support.hpp"
#include "poll.hpp"

namespace bdnn::certify_bindings {

using namespace certify;
using Floats = Vector<const double>;
using Rows = Matrix<const double>;
using Flags = Vector<const bool>;

inline constexpr double INFINITE = std::numeric_limits<double>::infinity();
inline constexpr std::size_t BRIEF = 20'000;  // operations that take some 10 microseconds: not worth letting the GIL go

inline Norm norm_of(int norm) {
    require(norm >= 0 && norm <= 2, "norm", "must be 0 (inf), 1 or 2");
    return static_cast<Norm>(norm);
}

inline double number(double value, const char* name) {
    require(!std::isnan(value), name, "must be a number, not NaN");
    return value;
}

inline double distance(double value, const char* name) {
    require(value >= 0.0, name, "must be a number from 0 on");
    return value;
}

template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> copied(const T* values, std::size_t count) {
    auto* data = new T[count];
    std::copy_n(values, count, data);
    return owned(data, count);
}

// Bounds of columns. Around a point they hold 0; those of integers may be infinite.
struct Bounds {
    Floats low, high;

    Bounds(nb::handle low_object, nb::handle high_object, std::size_t n) : low(low_object, "low"), high(high_object, "high") {
        low.sized(0, n, "low");
        high.sized(0, n, "high");
        for (std::size_t j = 0; j < n; ++j) {
            require(low[j] <= 0.0, "low", "must not exceed 0, nor be NaN");
            require(high[j] >= 0.0, "high", "must be 0 or more, and not NaN");
        }
    }

    Box box() const { return {low.data(), high.data(), low.size()}; }
};

// What steps cost, and which columns take integers.
struct Steps {
    Rows costs;
    Flags whole;

    Steps(nb::handle costs_object, nb::handle whole_object, std::size_t n) : costs(costs_object, "costs"), whole(whole_object, "whole") {
        whole.sized(0, n, "whole");
        costs.sized(1, 3, "costs");
        for (double each : costs) require(each >= 0.0, "costs", "must be numbers from 0 on");
    }
};

// Rows need not be finite: those of networks with huge weights are not, and then nothing is proven.
struct Sides {
    Rows W;
    Floats alpha;
    std::optional<Floats> error;

    Sides(nb::handle W_object, nb::handle alpha_object) : W(W_object, "W"), alpha(alpha_object, "alpha") {
        alpha.sized(0, W.shape(0), "alpha");
    }

    Sides(nb::handle W_object, nb::handle alpha_object, nb::handle error_object) : Sides(W_object, alpha_object) {
        error.emplace(error_object, "error");
        error->sized(0, W.shape(0), "error");
        for (double each : *error) require(each >= 0.0, "error", "must be numbers from 0 on");
    }

    HalfSpaces rows() const {
        return {W.data(), alpha.data(), error ? error->data() : nullptr, W.shape(0), W.shape(1)};
    }
};

// Calls a function of Python, which may raise.
class PythonPoll : public Poll {
  public:
    explicit PythonPoll(nb::object pause) : pause_(std::move(pause)) {}

  protected:
    bool ask() override {
        Held held;
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
        if (!pause_.is_none()) pause_(0);
        return true;
    }

  private:
    nb::object pause_;
};

// Run without the GIL, so that other threads go on; the GIL is kept for what takes microseconds.
template <class Work>
auto released(std::size_t operations, const Work& work) {
    if (operations < BRIEF) return work();
    Released open;
    return work();
}

}  // namespace bdnn::certify_bindings
