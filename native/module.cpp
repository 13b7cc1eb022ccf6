// The extension module bdnn._native: one submodule for each family of kernels.
#include <exception>
#include <typeinfo>

#include "arrays.hpp"

namespace bdnn {
void bind_search(nb::module_& m);
void bind_tree(nb::module_& m);
void bind_walk(nb::module_& m);
void bind_certify(nb::module_& m);
void bind_margins(nb::module_& m);
void bind_boosting(nb::module_& m);
}  // namespace bdnn

NB_MODULE(_native, m) {
    namespace nb = nanobind;
    m.doc() = "Compiled core: loops over points, pivots and nodes. Policy is in Python.";
    nb::register_exception_translator([](const std::exception_ptr& caught, void*) {
        try {
            std::rethrow_exception(caught);
        } catch (const bdnn::InputError& error) {
            nb::object kind = nb::module_::import_("bdnn.errors").attr("InputError");
            PyErr_SetString(kind.ptr(), error.what());
        } catch (const std::bad_cast&) {
            PyErr_SetString(PyExc_TypeError, "an argument, or what a callback returned, has a wrong type");
        }
    });
    nb::module_ search = m.def_submodule("search", "Local search in weight space.");
    bdnn::bind_search(search);
    nb::module_ tree = m.def_submodule("tree", "Linear programs, cuts and exact solutions for branch and cut.");
    bdnn::bind_tree(tree);
    nb::module_ walk = m.def_submodule("walk", "Walks on vertices of the arrangement of all separators.");
    bdnn::bind_walk(walk);
    nb::module_ certify = m.def_submodule("certify", "Nearest points and pattern trees for certification.");
    bdnn::bind_certify(certify);
    nb::module_ margins = m.def_submodule("margins", "Largest margins.");
    bdnn::bind_margins(margins);
    nb::module_ boosting = m.def_submodule("boosting", "Boosted trees that take few bytes.");
    bdnn::bind_boosting(boosting);
}
