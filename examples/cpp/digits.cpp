// Trains 64 -> 128 -> 64 -> 10 on handwritten digits: softmax cross-entropy, AdamW.
//
//   zcat data/digits.csv.gz > digits.csv
//   g++ -std=c++17 -O2 examples/cpp/digits.cpp $(pkg-config --cflags --libs nablas) -o digits && ./digits digits.csv
#include <nablas.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>
#include <string>

constexpr std::size_t pixels = 64, classes = 10, batch = 32;

struct samples {
  std::vector<float> images;  // [count, pixels], each pixel in 0..1
  std::vector<std::uint32_t> digits;

  std::size_t count() const { return digits.size(); }
  nablas::matrix<const float> rows(std::size_t from, std::size_t n) const {
    return {images.data() + from * pixels, n, pixels};
  }
};

/// Reads rows of 64 pixel counts (0..16) and a class (0..9), in a random order.
samples read(const char *path, std::mt19937_64 &random) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(std::string(path) + ": cannot be read");
  std::vector<std::vector<float>> table;
  for (std::string line; std::getline(file, line);) {
    std::vector<float> row;
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) row.push_back(std::stof(cell));
    if (row.size() != pixels + 1 || row.back() < 0 || row.back() > 9)
      throw std::runtime_error(std::string(path) + ", row " + std::to_string(table.size() + 1) + ": no digit");
    table.push_back(std::move(row));
  }
  std::shuffle(table.begin(), table.end(), random);
  samples s;
  for (const auto &row : table) {
    for (std::size_t i = 0; i < pixels; i++) s.images.push_back(row[i] / 16.0f);
    s.digits.push_back(static_cast<std::uint32_t>(row[pixels]));
  }
  return s;
}

int main(int argc, char **argv) try {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: %s digits.csv [epochs]\n", argv[0]);
    return EXIT_FAILURE;
  }
  const int epochs = argc == 3 ? std::stoi(argv[2]) : 30;
  std::mt19937_64 random(1);
  const samples all = read(argv[1], random);
  const std::size_t train = all.count() / 5 * 4;

  const nablas::activation<float> relu{NABLAS_ACTIVATION_RELU}, identity{};
  const auto mlp = nablas::mlp<float>::create(pixels, {{128, relu}, {64, relu}, {classes, identity}});
  const auto plan = nablas::plan<float>::create(mlp, batch);
  auto workspace = plan.make_workspace();
  auto adamw = nablas::optimizer<float>::adamw(mlp.param_len(), {3e-3, 0.9, 0.999, 1e-8, 0.01});
  std::vector<float> params(mlp.param_len()), grads(mlp.param_len());
  mlp.init(NABLAS_INIT_HE_NORMAL, 1, params);
  std::printf("%s\n", plan.explain());

  const nablas::loss<float> loss{NABLAS_LOSS_SOFTMAX_CROSS_ENTROPY};
  std::vector<std::size_t> order((train + batch - 1) / batch);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (int epoch = 1; epoch <= epochs; epoch++) {
    std::shuffle(order.begin(), order.end(), random);
    double total = 0;
    for (std::size_t i : order) {
      const std::size_t from = i * batch, n = std::min(batch, train - from);
      const nablas::span<const std::uint32_t> digits(all.digits.data() + from, n);
      total += n * plan.value_and_grad(params, all.rows(from, n), loss, digits, grads, workspace);
      adamw.step(params, grads);
    }
    if (epoch % 10 == 0 || epoch == epochs) std::printf("epoch %d: loss %.4f\n", epoch, total / train);
  }

  std::size_t right = 0;
  std::vector<float> y(batch * classes);
  for (std::size_t from = train; from < all.count(); from += batch) {
    const std::size_t n = std::min(batch, all.count() - from);
    plan.forward(params, all.rows(from, n), {y.data(), n, classes}, workspace);
    for (std::size_t i = 0; i < n; i++) {
      const float *row = y.data() + i * classes;
      right += static_cast<std::uint32_t>(std::max_element(row, row + classes) - row) == all.digits[from + i];
    }
  }
  std::printf("test accuracy %.4f\n", static_cast<double>(right) / static_cast<double>(all.count() - train));
  return EXIT_SUCCESS;
} catch (const std::exception &failure) {
  std::fprintf(stderr, "%s\n", failure.what());
  return EXIT_FAILURE;
}
