// Bindings of bdnn._native.boosting: types, shapes and finiteness are checked here.
#include "binding_tools.hpp"
#include "boosting/forest.hpp"
#include "guard.hpp"

namespace bdnn {

namespace {

using namespace nb::literals;
using boosting::Index;
using Numbers = Vector<const std::int64_t>;
constexpr std::int64_t LARGEST = std::int64_t{1} << 31;  // sums of so many trees are far from the largest integer

// A table of bins, after a check that they are those of its thresholds.
boosting::Table table_of(const Matrix<const std::uint8_t>& bins, const Numbers& start) {
    require(bins.shape(0) < MOST && bins.shape(1) < MOST, "bins", "must be fewer");
    start.sized(0, bins.shape(0) + 1, "start").within(0, static_cast<std::int64_t>(MOST), "start");
    require(start[0] == 0, "start", "must begin with 0");
    for (std::size_t j = 0; j < bins.shape(0); ++j) {
        const std::int64_t most = start[j + 1] - start[j];
        require(most >= 0 && most <= 255, "start", "must ascend by 255 at most");
        for (std::size_t r = 0; r < bins.shape(1); ++r)
            require(bins.row(j)[r] <= most, "bins", "must not be beyond the thresholds of their input");
    }
    return {static_cast<Index>(bins.shape(1)), static_cast<Index>(bins.shape(0)), bins.data(), start.data()};
}

nb::tuple grown(nb::handle bins_object, nb::handle start_object, nb::handle codes_object, nb::handle weight_object,
                Index classes, nb::handle price_object, Index leaves, bool together, double rate, double step,
                Index bound, double damping, Index least, double penalty, double input_price, double split_price,
                double tree_price, double most_bits, nb::object proceed) {
    const Matrix<const std::uint8_t> bins(bins_object, "bins");
    const Numbers start(start_object, "start"), codes(codes_object, "codes");
    const boosting::Table table = table_of(bins, start);
    require(table.rows > 0, "bins", "must have rows");
    require(classes >= 2 && classes < 1000, "classes", "must be from 2 to below 1000");
    codes.sized(0, bins.shape(1), "codes").within(0, classes, "codes");
    const Vector<const double> weight(weight_object, "weight"), price(price_object, "price");
    weight.sized(0, bins.shape(1), "weight").finite("weight");
    for (const double each : weight) require(each > 0.0, "weight", "must be positive");
    price.sized(0, static_cast<std::size_t>(start[bins.shape(0)]), "price").finite("price");
    require(leaves >= 2 && leaves < 10'000, "leaves", "must be from 2 to below 10000");
    require(rate > 0.0 && step > 0.0 && damping > 0.0, "rate, step and damping", "must be positive");
    require(bound >= 1 && bound < 10'000, "bound", "must be from 1 to below 10000");
    require(least >= 1, "least", "must be positive");
    require(tree_price > 0.0 && split_price > 0.0 && most_bits < 1e9, "prices", "must be positive, and bits below 1e9");
    require(penalty >= 0.0 && input_price >= 0.0, "penalty and input_price", "must not be negative");
    for (const double each : price) require(each >= 0.0, "price", "must not be negative");
    const boosting::Settings settings{leaves,      together,    rate,        step,       bound,     damping,  least, penalty,
                                      price.data(), input_price, split_price, tree_price, most_bits};
    Signals poll(std::move(proceed));
    boosting::Forest forest;
    {
        const Released release;
        forest = boosting::grown(table, {codes.data(), weight.data(), classes}, settings, poll);
    }
    return nb::make_tuple(copied(forest.roots), copied(forest.output), copied(forest.threshold), copied(forest.first),
                          copied(forest.values), copied(forest.baseline));
}

void add(nb::handle bins_object, nb::handle start_object, nb::handle roots_object, nb::handle output_object,
         nb::handle threshold_object, nb::handle first_object, nb::handle values_object, nb::handle sums_object) {
    const Matrix<const std::uint8_t> bins(bins_object, "bins");
    const Numbers start(start_object, "start"), roots(roots_object, "roots"), output(output_object, "output");
    const Numbers threshold(threshold_object, "threshold"), first(first_object, "first");
    const Matrix<const std::int64_t> values(values_object, "values");
    const Matrix<std::int64_t> sums(sums_object, "sums");
    const boosting::Table table = table_of(bins, start);
    const auto nodes = static_cast<Index>(threshold.size()), width = static_cast<Index>(values.shape(1));
    const auto outputs = static_cast<Index>(sums.shape(1));
    roots.within(0, nodes, "roots");
    output.sized(0, roots.size(), "output").within(-1, outputs, "output");
    sums.sized(0, bins.shape(1), "sums");
    first.sized(0, threshold.size(), "first");
    threshold.within(-1, start[bins.shape(0)], "threshold");
    for (std::size_t r = 0; r < values.shape(0); ++r)
        for (std::size_t k = 0; k < values.shape(1); ++k)
            require(values.row(r)[k] > -LARGEST && values.row(r)[k] < LARGEST, "values", "must be smaller");
    for (std::size_t r = 0; r < sums.shape(0); ++r)
        for (std::size_t k = 0; k < sums.shape(1); ++k)
            require(sums.row(r)[k] > -LARGEST && sums.row(r)[k] < LARGEST, "sums", "must be smaller");
    require(roots.size() < MOST, "roots", "must be fewer");
    require(width == 1 || width == outputs, "values", "must be one a leaf, or one for each output");
    for (const std::int64_t each : output) require(each >= 0 || width == outputs, "output", "must be that of a tree");
    for (const std::int64_t each : output) require(each < 0 || width == 1, "output", "must be -1 of leaves of all");
    for (std::size_t k = 0; k < threshold.size(); ++k) {
        // children come after their parents, so every walk ends
        const bool leaf = threshold[k] < 0;
        require(leaf ? first[k] >= 0 && first[k] < static_cast<Index>(values.shape(0))
                     : first[k] > static_cast<Index>(k) && first[k] < nodes - 1,
                "first", "must be a later node, or the place of values");
    }
    const Released release;
    boosting::add(table, {threshold.data(), first.data(), values.data(), width}, roots.data(), output.data(),
                  static_cast<Index>(roots.size()), outputs, sums.data());
}

}  // namespace

void bind_boosting(nb::module_& m) {
    m.def("grown", &grown, "bins"_a, "start"_a, "codes"_a, "weight"_a, "classes"_a, "price"_a, "leaves"_a, "together"_a,
          "rate"_a, "step"_a, "bound"_a, "damping"_a, "least"_a, "penalty"_a, "input_price"_a, "split_price"_a,
          "tree_price"_a, "most_bits"_a, "proceed"_a.none(),
          "Boost trees: return roots, output of each tree, threshold and first child or leaf of each node, values, baseline.");
    m.def("add", &add, "bins"_a, "start"_a, "roots"_a, "output"_a, "threshold"_a, "first"_a, "values"_a, "sums"_a,
          "Add to sums what trees say of rows.");
}

}  // namespace bdnn
