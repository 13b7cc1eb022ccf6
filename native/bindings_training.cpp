// Binding of the training of smooth starts, in bdnn._native.search.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include <nanobind/stl/vector.h>

#include "arrays.hpp"
#include "search_tools.hpp"
#include "search/straight_through.hpp"

namespace bdnn {

namespace {

using namespace nb::literals;
using namespace search_bindings;

// SciPy's matrix product, of 32-bit integers: its signature is checked.
template <class Real>
search::Gemm<Real> gemm() {
    const char* name = sizeof(Real) == sizeof(float) ? "sgemm" : "dgemm";
    nb::object capsules = nb::module_::import_("scipy.linalg.cython_blas").attr("__pyx_capi__");
    nb::object capsule = capsules[name];
    const char* signature = PyCapsule_GetName(capsule.ptr());
    std::string expected = "void (char *, char *, int *, int *, int *, ";
    if (!signature || std::string(signature).compare(0, expected.size(), expected) != 0)
        refuse(name, "of SciPy has an unknown signature");
    void* routine = PyCapsule_GetPointer(capsule.ptr(), signature);
    if (!routine) throw nb::python_error();
    return {reinterpret_cast<typename search::Gemm<Real>::Routine*>(routine)};
}

// The training of a smooth start: the class that Python sees, in single or double precision.
class PyStraightThrough {
  public:
    PyStraightThrough(nb::object Z, nb::object target, nb::object weight, const std::vector<Index>& widths, bool argmax,
                      Index bound)
        : Z_(Z), target_(target), weight_(weight) {
        require(bound >= 0 && bound <= MOST_BOUND, "bound", "must be from 0 to 2^24");
        if (is_single(Z, "Z"))
            make<float>(widths, argmax, bound);
        else
            make<double>(widths, argmax, bound);
    }

    template <class Call>
    decltype(auto) visit(Call call) {
        return std::visit([&](auto& training) -> decltype(auto) { return call(*training); }, training_);
    }

    Index points = 0, largest_layer = 0;
    std::atomic_flag busy;

  private:
    template <class Real>
    void make(const std::vector<Index>& widths, bool argmax, Index bound) {
        Matrix<const Real> Z(Z_, "Z"), target(target_, "target");
        Vector<const Real> weight(weight_, "weight");
        search::Layers layers = layers_of(static_cast<Index>(Z.shape(1)), widths);
        require(static_cast<Index>(Z.shape(0)) <= MOST_POINTS, "Z", "has too many points");
        target.sized(0, Z.shape(0), "target").sized(1, layers.outputs(), "target");
        weight.sized(0, Z.shape(0), "weight");
        points = static_cast<Index>(Z.shape(0));
        largest_layer = std::max(layers.widest(), layers.n_inputs);
        require(largest_layer <= MOST_POINTS, "widths", "are too large");
        search::Sample<Real> sample{points, layers.n_inputs, Z.data(), target.data(), weight.data()};
        training_ = std::make_unique<search::StraightThrough<Real>>(sample, widths, argmax, bound, gemm<Real>());
    }

    nb::object Z_, target_, weight_;
    std::variant<std::unique_ptr<search::StraightThrough<double>>, std::unique_ptr<search::StraightThrough<float>>>
        training_;
};

Index training_steps(PyStraightThrough& st, nb::handle order_array, Index batch, double rate) {
    Vector<const std::int64_t> order(order_array, "order");
    order.within(0, st.points, "order");
    positive(batch, "batch");
    require(std::isfinite(rate), "rate", "must be finite");
    Index count = static_cast<Index>(order.size());
    batch = std::max<Index>(1, std::min(batch, count));
    Use use(st.busy, "training");
    Released unlocked;
    return st.visit([&](auto& training) { return training.steps(order.data(), count, batch, rate); });
}

double training_loss(PyStraightThrough& st) {
    Use use(st.busy, "training");
    Released unlocked;
    return st.visit([&](auto& training) { return training.loss(); });
}

nb::object training_rounded(PyStraightThrough& st) {
    Use use(st.busy, "training");
    return st.visit([&]<class Real>(search::StraightThrough<Real>& training) {
        std::size_t size = training.size(), neurons = training.neurons();
        auto used = std::make_unique<Real[]>(size), factor = std::make_unique<Real[]>(neurons);
        training.round(used.get(), factor.get());
        return nb::object(nb::make_tuple(owned(used.release(), size), owned(factor.release(), neurons)));
    });
}

}  // namespace

void bind_training(nb::module_& m) {
    nb::class_<PyStraightThrough>(m, "StraightThrough", "The training of a smooth start; see bdnn.search.starts.")
        .def(nb::init<nb::object, nb::object, nb::object, const std::vector<Index>&, bool, Index>(), "Z"_a, "target"_a,
             "weight"_a, "widths"_a, "argmax"_a, "bound"_a)
        .def_prop_ro("values",
                     [](PyStraightThrough& st) {
                         return st.visit([&](auto& training) -> nb::object {
                             return nb::cast(view(st, training.values(), {static_cast<std::size_t>(training.size())}));
                         });
                     })
        .def("steps", &training_steps, "order"_a, "batch"_a, "rate"_a)
        .def("loss", &training_loss)
        .def("rounded", &training_rounded);
}

}  // namespace bdnn
