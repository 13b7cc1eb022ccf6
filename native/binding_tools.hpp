// What the bindings of several families of kernels need beside arrays.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "arrays.hpp"

namespace bdnn {

using Integers = std::vector<std::int64_t>;

// No array of a structure is longer.
inline constexpr std::size_t MOST = std::size_t{1} << 30;

// Raise InputError unless a value is from 0 to below `end`; return it.
inline std::size_t within(std::int64_t value, std::size_t end, const char* name) {
    if (value < 0 || static_cast<std::size_t>(value) >= end)
        refuse(name, "must be from 0 to below " + std::to_string(end) + ", got " + std::to_string(value));
    return static_cast<std::size_t>(value);
}

template <class T>
std::span<const T> span_of(const Vector<const T>& array) {
    return {array.data(), array.size()};
}

// A new NumPy array with these values.
template <class Container>
auto copied(const Container& values) {
    auto* data = new std::remove_cvref_t<decltype(values[0])>[values.size()];
    std::copy_n(values.data(), values.size(), data);
    return owned(data, values.size());
}

// A NumPy view of memory that a Python object holds; `const T` for one that is only read.
template <class T, class Container>
auto view_of(nb::handle owner, Container& memory) {
    return nb::ndarray<nb::numpy, T, nb::ndim<1>>(memory.data(), {memory.size()}, owner);
}

template <class T, auto member, class Structure>
void bind_view(nb::class_<Structure>& type, const char* name, const char* text) {
    type.def_prop_ro(
        name, [](nb::handle self) { return view_of<T>(self, nb::cast<Structure&>(self).*member); }, text);
}

}  // namespace bdnn
