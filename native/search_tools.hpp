// What the bindings of bdnn._native.search need beside arrays.
#pragma once

#include <atomic>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "search/interrupt.hpp"
#include "search/state.hpp"

namespace bdnn::search_bindings {

using search::Index;

inline constexpr Index MOST_POINTS = (Index{1} << 31) - 1;
inline constexpr Index MOST_WEIGHTS = Index{1} << 31;
inline constexpr Index MOST_LAYERS = 1000;
inline constexpr Index MOST_BOUND = Index{1} << 24;

// Signals are looked at by the main thread of Python only; elsewhere nothing is ever pending.
inline bool signal_pending() {
    Held gil;
    return PyErr_CheckSignals() != 0;
}

// Marks a structure as used by one kernel: kernels must not share its work space.
class Use {
  public:
    Use(std::atomic_flag& flag, const char* name) : flag_(flag) {
        if (flag_.test_and_set()) refuse(name, "is in use by another thread");
    }
    ~Use() { flag_.clear(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

  private:
    std::atomic_flag& flag_;
};

template <class T>
using View = nb::ndarray<nb::numpy, T, nb::c_contig>;

template <class T, class Owner>
View<T> view(Owner& owner, T* data, std::initializer_list<std::size_t> shape) {
    return View<T>(data, shape, nb::find(owner));
}

inline bool is_single(nb::handle array, const char* name) {
    nb::ndarray<nb::ro> any;
    if (!nb::try_cast(array, any, false)) refuse(name, "must be an array");
    if (any.dtype() == nb::dtype<float>()) return true;
    if (any.dtype() == nb::dtype<double>()) return false;
    refuse(name, "must be of type float32 or float64");
}

inline void positive(Index value, const char* name) { require(value >= 1, name, "must be at least 1"); }

inline search::Layers layers_of(Index inputs, const std::vector<Index>& widths) {
    require(!widths.empty() && static_cast<Index>(widths.size()) <= MOST_LAYERS, "widths",
            "must have from 1 to 1000 entries");
    Index weights = 0, below = inputs;
    for (Index width : widths) {
        require(width >= 1 && width <= MOST_WEIGHTS, "widths", "must be at least 1, and not huge");
        require(below <= MOST_WEIGHTS / width, "widths", "stand for too many weights");
        weights += below * width;
        below = width;
        require(weights <= MOST_WEIGHTS, "widths", "stand for too many weights");
    }
    return search::Layers(inputs, widths);
}

// Call a kernel without Python's lock; raise what a signal handler raised meanwhile.
template <class Call>
auto released(Call call) {
    search::Interrupt interrupt(signal_pending);
    auto result = [&] {
        Released unlocked;
        return call(interrupt);
    }();
    if (interrupt.stopped()) throw nb::python_error();
    return result;
}

}  // namespace bdnn::search_bindings
