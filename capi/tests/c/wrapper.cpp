// Every function of nablas.hpp, for float and double, in both modes: with exceptions, and with NABLAS_NO_EXCEPTIONS.
#include <nablas.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#define EXPECT(...)                                                     \
  do {                                                                  \
    if (!(__VA_ARGS__)) {                                               \
      std::fprintf(stderr, "%d: not so: %s\n", __LINE__, #__VA_ARGS__); \
      std::abort();                                                     \
    }                                                                   \
  } while (0)

#ifdef NABLAS_NO_EXCEPTIONS
template <class T>
T must(nablas::result<T> r) {
  return std::move(r.value());
}
void must(nablas::result<void> r) { EXPECT(r); }
#define REFUSED(status_, ...)                              \
  do {                                                     \
    auto done = (__VA_ARGS__);                             \
    EXPECT(!done && done.failure().status == (status_));   \
    EXPECT(!done.failure().text.empty());                  \
  } while (0)
#else
template <class T>
T must(T value) {
  return value;
}
#define must(...) (__VA_ARGS__)
#define REFUSED(status_, ...)                        \
  do {                                               \
    bool refused = false;                            \
    try {                                            \
      (void)(__VA_ARGS__);                           \
    } catch (const nablas::error &e) {               \
      refused = e.status == (status_) && *e.what();  \
    }                                                \
    EXPECT(refused);                                 \
  } while (0)
#endif

template <class T>
bool close(T a, T b) {
  return std::abs(a - b) <= T(1e-5) * (1 + std::abs(b));
}

template <class T>
void run() {
  using nablas::matrix;
  const std::size_t b = 6, n = 4, m = 3;
  std::vector<T> x(b * n), w(m * n), bias(m, T(0.5)), a(b * m), d(b * m);
  for (std::size_t i = 0; i < x.size(); i++) x[i] = T(i % 7) / 7 - T(0.4);
  for (std::size_t i = 0; i < w.size(); i++) w[i] = T(i % 5) / 5 - T(0.3);
  const matrix<const T> X(x.data(), b, n), W(w.data(), m, n);
  const nablas::activation<T> tanh{NABLAS_ACTIVATION_TANH}, identity{};

  // A layer by the fused call, and by product and array.
  must(nablas::dense_forward<T>(X, W, bias, tanh, {a.data(), b, m}, {d.data(), b, m}));
  std::vector<T> z(b * m), a2(b * m), d2(b * m);
  for (std::size_t i = 0; i < z.size(); i++) z[i] = bias[i % m];
  must(nablas::gemm<T>(NABLAS_TRANSPOSE_NO, NABLAS_TRANSPOSE_YES, 1, X, W, 1, {z.data(), b, m}));
  must(nablas::activate<T>(tanh, z, a2, d2));
  for (std::size_t i = 0; i < z.size(); i++) EXPECT(close(a[i], a2[i]) && close(d[i], d2[i]));
  std::vector<T> ones(b * m, T(1)), g(b * m);
  must(nablas::activation_vjp<T>(tanh, z, ones, g));
  for (std::size_t i = 0; i < z.size(); i++) EXPECT(close(g[i], d2[i]));

  // The backward calls against the network's.
  const auto mlp = must(nablas::mlp<T>::create(n, {{m, tanh}}));
  EXPECT(mlp.param_len() == m * n + m && must(mlp.offsets(0)).bias == m * n);
  std::vector<T> params(w);
  params.insert(params.end(), bias.begin(), bias.end());
  auto members = must(nablas::team::create({3, {}, 0, true}));
  EXPECT(members.threads() == 3 && must(nablas::team::create({2})).threads() == 2);
  auto options = nablas::options(members, 2, NABLAS_ISA_SCALAR);
  const auto plan = must(nablas::plan<T>::create(mlp, b, &options));
  members = must(nablas::team::create({1})); /* the plan keeps the one it was made with */
  options = nablas::options(1, NABLAS_ISA_SCALAR);
  EXPECT(std::string(plan.explain()).rfind(nablas_path_name(plan.path()), 0) == 0);
  auto own = must(plan.make_workspace());
  std::vector<unsigned char> memory(plan.workspace_size());
  auto lent = must(plan.make_workspace(memory));
  std::vector<T> y(b * m), grads(params.size()), grads2(params.size()), dx(b * n), dx2(b * n), dw(m * n), db(m);
  const matrix<const T> dY(ones.data(), b, m), D(d.data(), b, m);
  // Two states at once, in memory of its own and the caller's; the first is used twice, last and first.
  auto state = must(plan.make_kept(b));
  std::vector<unsigned char> other(must(plan.kept_bytes(2)));
  auto few = must(plan.make_kept(2, other));
  const matrix<const T> X2(x.data(), 2, n), dY2(ones.data(), 2, m);
  std::vector<T> y2(2 * m), grads3(params.size()), grads4(params.size());
  must(plan.forward(params, X, {y.data(), b, m}, state, own));
  must(plan.forward(params, X2, {y2.data(), 2, m}, few, own));
  EXPECT(std::equal(y2.begin(), y2.end(), y.begin()));
  must(plan.backward(params, X, dY, grads3, state, lent));
  must(plan.backward(params, X2, dY2, grads4, few, own));
  must(plan.backward(params, X, dY, grads, state, own, {dx.data(), b, n}));
  EXPECT(grads == grads3 && grads != grads4);
  must(plan.vjp(params, X2, dY2, nullptr, grads2, lent));
  EXPECT(grads4 == grads2);
  must(plan.vjp(params, X, dY, nullptr, grads2, lent, {dx2.data(), b, n}));
  EXPECT(grads == grads2 && dx == dx2);
  for (std::size_t i = 0; i < y.size(); i++) EXPECT(close(y[i], a[i]));
  must(nablas::dense_vjp_weights<T>(D, X, false, {dw.data(), m, n}, db));
  must(nablas::dense_vjp_input<T>(D, W, identity, nullptr, nullptr, {dx2.data(), b, n}));
  for (std::size_t i = 0; i < dw.size(); i++) EXPECT(close(dw[i], grads[i]));
  for (std::size_t i = 0; i < m; i++) EXPECT(close(db[i], grads[m * n + i]));
  for (std::size_t i = 0; i < dx.size(); i++) EXPECT(close(dx[i], dx2[i]));
  std::vector<T> sums(m);
  must(nablas::dense_vjp_bias<T>(D, sums));
  EXPECT(sums == db);

  // Losses and steps.
  const nablas::loss<T> mse{NABLAS_LOSS_MSE, 0, NABLAS_REDUCTION_SUM};
  std::vector<T> delta(b * m);
  const T loss = must(nablas::evaluate<T>(mse, {y.data(), b, m}, dY, {delta.data(), b, m}));
  EXPECT(close(loss, must(plan.value_and_grad(params, X, mse, dY, grads, own))));
  auto adam = must(nablas::optimizer<T>::adam(params.size()));
  auto sgd = must(nablas::optimizer<T>::sgd(params.size(), 0.1, 0.9, true));
  must(adam.step(params, grads));
  must(sgd.set_rate(0.01));
  must(sgd.step(params, grads));
  EXPECT(must(plan.value_and_grad(params, X, mse, dY, grads, own)) < loss);
  const auto step = must(plan.train_step(params, X, mse, dY, grads, adam, own, 1e-3));
  EXPECT(step.norm > 1e-3 && step.value < loss);
  EXPECT(must(nablas::clip_by_global_norm<T>(grads, 1.0)) < 1.001e-3);
  REFUSED(NABLAS_STATUS_PARAMETER, nablas::clip_by_global_norm<T>(grads, -1.0));
  must(mlp.init(NABLAS_INIT_ORTHOGONAL, 3, params, 1.5));
  must(mlp.init(NABLAS_INIT_XAVIER_NORMAL, 3, params));

  // Refusals: the wrapper's, by lengths that C cannot see, and the library's.
  std::vector<T> shorter(params.size() - 1);
  REFUSED(NABLAS_STATUS_SHAPE, plan.forward(shorter, X, {y.data(), b, m}, own));
  REFUSED(NABLAS_STATUS_SHAPE, plan.backward(params, X, {ones.data(), b, m - 1}, grads, state, own));
  REFUSED(NABLAS_STATUS_NOT_KEPT, plan.backward(params, X2, dY2, grads, state, own));
  REFUSED(NABLAS_STATUS_BATCH, plan.forward(params, X, {y.data(), b, m}, few, own));
  REFUSED(NABLAS_STATUS_BATCH, plan.make_kept(b + 1));
  REFUSED(NABLAS_STATUS_KEPT, plan.make_kept(2, nablas::span<unsigned char>(other.data(), other.size() - 1)));
  REFUSED(NABLAS_STATUS_PARAMETER, nablas::team::create({1025}));
  REFUSED(NABLAS_STATUS_SHAPE, nablas::dense_forward<T>(X, W, shorter, tanh, {a.data(), b, m}));
  REFUSED(NABLAS_STATUS_SHAPE, adam.step(params, shorter));
  REFUSED(NABLAS_STATUS_OVERLAP, nablas::activate<T>(tanh, a, a));
  REFUSED(NABLAS_STATUS_PARAMETER, nablas::mlp<T>::create(0, {{m, tanh}}));
  REFUSED(NABLAS_STATUS_PARAMETER, nablas::optimizer<T>::sgd(4, -1));
  REFUSED(NABLAS_STATUS_WORKSPACE,
          plan.make_workspace(nablas::span<unsigned char>(memory.data(), memory.size() - 1)));

  // What memory was moved from is empty; what it was moved to goes on.
  auto goes = std::move(state);
  EXPECT(state.data() == nullptr && state.size() == 0);
  REFUSED(NABLAS_STATUS_NULL, plan.forward(params, X, {y.data(), b, m}, state, own));
  REFUSED(NABLAS_STATUS_NULL, plan.backward(params, X, dY, grads, state, own));
  state = std::move(goes);
  must(plan.backward(params, X, dY, grads, state, own));
  void *const at = own.data();
  auto taken = std::move(own);
  EXPECT(own.data() == nullptr && own.size() == 0 && taken.data() == at);
  REFUSED(NABLAS_STATUS_NULL, plan.forward(params, X, {y.data(), b, m}, own));
  must(plan.forward(params, X, {y.data(), b, m}, taken));
  lent = std::move(taken);
  EXPECT(taken.data() == nullptr && lent.data() == at);
  must(plan.forward(params, X, {y.data(), b, m}, lent));
  own = std::move(lent);

  const std::vector<std::uint32_t> classes(b, 7);
  const nablas::loss<T> softmax{NABLAS_LOSS_SOFTMAX_CROSS_ENTROPY};
  REFUSED(NABLAS_STATUS_CLASS, plan.value_and_grad(params, X, softmax, classes, grads, own));
}

int main() {
  run<float>();
  run<double>();
  std::puts("wrapper: passed");
}
