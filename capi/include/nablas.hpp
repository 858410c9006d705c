/**
 * nablas for C++17: handles that free themselves, spans that know their length, failures as exceptions.
 *
 * Everything of nablas.h by element type: `nablas::mlp<float>`, `nablas::plan<double>`, `nablas::dense_forward(…)`.
 * A failed call throws `nablas::error`. With NABLAS_NO_EXCEPTIONS defined before the header is included, nothing throws:
 * what would return `T` returns `nablas::result<T>`, which holds a value or a failure and must be looked at.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef NABLAS_HPP
#define NABLAS_HPP

#include <nablas.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef NABLAS_NO_EXCEPTIONS
#include <cstdlib>
#include <optional>
#else
#include <stdexcept>
#endif

namespace nablas {

/* ---- Failures ------------------------------------------------------------------------------------------------- */

#ifdef NABLAS_NO_EXCEPTIONS

/** Why a call failed. */
struct error {
  nablas_status status;
  std::string text;
};

/** A value, or why there is none. */
template <class T>
class [[nodiscard]] result {
 public:
  result(T value) : value_(std::move(value)) {}
  result(error failure) : error_(std::move(failure)) {}
  explicit operator bool() const noexcept { return value_.has_value(); }
  /** The value; the program ends if there is none. */
  T &value() & { return value_ ? *value_ : (std::abort(), *value_); }
  T &&value() && { return std::move(value()); }
  T &operator*() & { return value(); }
  T *operator->() { return &value(); }
  /** The failure; the program ends if there is none. */
  const error &failure() const { return error_ ? *error_ : (std::abort(), *error_); }

 private:
  std::optional<T> value_;
  std::optional<error> error_;
};

/** Nothing, or why it failed. */
template <>
class [[nodiscard]] result<void> {
 public:
  result() = default;
  result(error failure) : error_(std::move(failure)) {}
  explicit operator bool() const noexcept { return !error_.has_value(); }
  const error &failure() const { return error_ ? *error_ : (std::abort(), *error_); }

 private:
  std::optional<error> error_;
};

/** What calls return in place of `T`. */
template <class T>
using outcome = result<T>;

#define NABLAS_HPP_FAIL(status_, text_) return ::nablas::error { (status_), (text_) }
#define NABLAS_HPP_TRY(call_) \
  if (auto done_ = (call_); !done_) return done_.failure()
#define NABLAS_HPP_DONE \
  return {}

#else

/** Why a call failed. */
class error : public std::runtime_error {
 public:
  error(nablas_status status_, const std::string &text) : std::runtime_error(text), status(status_) {}
  nablas_status status;
};

/** What calls return in place of `T`: itself. */
template <class T>
using outcome = T;

#define NABLAS_HPP_FAIL(status_, text_) throw ::nablas::error((status_), (text_))
#define NABLAS_HPP_TRY(call_) (call_)
#define NABLAS_HPP_DONE return

#endif

namespace detail {

/** A status as an outcome. */
inline outcome<void> check(nablas_status status) {
  if (status != NABLAS_STATUS_OK) NABLAS_HPP_FAIL(status, nablas_last_error());
  NABLAS_HPP_DONE;
}

/** Refuses a length that does not fit. */
inline outcome<void> length(const char *what, std::size_t expected, std::size_t got) {
  if (got != expected) {
    NABLAS_HPP_FAIL(NABLAS_STATUS_SHAPE, std::string(what) + ": expected " + std::to_string(expected) + " elements, got " +
                                             std::to_string(got));
  }
  NABLAS_HPP_DONE;
}

/** Refuses a shape that does not fit. */
inline outcome<void> shape(const char *what, std::size_t rows, std::size_t cols, std::size_t got_rows,
                           std::size_t got_cols) {
  if (rows != got_rows || cols != got_cols) {
    NABLAS_HPP_FAIL(NABLAS_STATUS_SHAPE, std::string(what) + ": expected " + std::to_string(rows) + "x" +
                                             std::to_string(cols) + ", got " + std::to_string(got_rows) + "x" +
                                             std::to_string(got_cols));
  }
  NABLAS_HPP_DONE;
}

}  // namespace detail

/* ---- Operands ------------------------------------------------------------------------------------------------- */

/** Adjacent elements of somebody else's, with their number. Made of anything that has data() and size(). */
template <class T>
class span {
 public:
  constexpr span() noexcept = default;
  constexpr span(std::nullptr_t) noexcept {}
  constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
  template <std::size_t N>
  constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}
  template <class C, class = std::enable_if_t<
                         !std::is_array_v<std::remove_reference_t<C>> &&
                         std::is_convertible_v<
                             std::remove_pointer_t<decltype(std::declval<C &>().data())> (*)[], T (*)[]>>>
  constexpr span(C &&container) noexcept : data_(container.data()), size_(container.size()) {}
  constexpr T *data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr T &operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  T *data_ = nullptr;
  std::size_t size_ = 0;
};

/** A row-major matrix of somebody else's: `ld` elements from a row to the next. A default one is no matrix. */
template <class T>
class matrix {
 public:
  constexpr matrix() noexcept = default;
  constexpr matrix(std::nullptr_t) noexcept {}
  constexpr matrix(T *data, std::size_t rows, std::size_t cols, std::size_t ld) noexcept
      : data_(data), rows_(rows), cols_(cols), ld_(ld) {}
  constexpr matrix(T *data, std::size_t rows, std::size_t cols) noexcept : matrix(data, rows, cols, cols) {}
  /** What can be written can be read. */
  template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
  constexpr matrix(const matrix<U> &m) noexcept : matrix(m.data(), m.rows(), m.cols(), m.ld()) {}
  constexpr T *data() const noexcept { return data_; }
  constexpr std::size_t rows() const noexcept { return rows_; }
  constexpr std::size_t cols() const noexcept { return cols_; }
  constexpr std::size_t ld() const noexcept { return ld_; }
  constexpr explicit operator bool() const noexcept { return data_ != nullptr; }

 private:
  T *data_ = nullptr;
  std::size_t rows_ = 0, cols_ = 0, ld_ = 0;
};

/** An operand of a template whose element type other arguments decide. */
template <class T>
struct same {
  using type = T;
};
template <class T>
using same_t = typename same<T>::type;

/** An activation and its parameter. */
template <class T>
struct activation {
  nablas_activation kind = NABLAS_ACTIVATION_IDENTITY;
  T parameter = 1;
};

/** A loss, its parameter and its reduction. */
template <class T>
struct loss {
  nablas_loss kind = NABLAS_LOSS_MSE;
  T parameter = 1;
  nablas_reduction reduction = NABLAS_REDUCTION_MEAN;
};

/** How a team is made: see nablas_team_create. */
struct team_numbers {
  std::size_t threads = 0;
  std::vector<std::size_t> processors = {}; /* empty: all */
  std::int64_t linger_us = -1;
  bool affinity = true;
};

/** Threads to run calls on. Plans that were made with it keep it. */
class team {
 public:
  static outcome<team> create(const team_numbers &n = {}) {
    nablas_team *made = nullptr;
    NABLAS_HPP_TRY(detail::check(nablas_team_create(n.threads, n.processors.empty() ? nullptr : n.processors.data(),
                                                    n.processors.size(), n.linger_us, n.affinity ? 1 : 0, &made)));
    return team(made);
  }
  /** Threads, the calling one among them. */
  std::size_t threads() const noexcept { return nablas_team_threads(get()); }
  const nablas_team *get() const noexcept { return handle_.get(); }

 private:
  struct destroy {
    void operator()(nablas_team *t) const noexcept { nablas_team_destroy(t); }
  };
  explicit team(nablas_team *handle) : handle_(handle) {}
  std::unique_ptr<nablas_team, destroy> handle_;
};

/** Default options, with so many threads at most (0: as the team or the process says) and an instruction set. */
inline nablas_options options(std::size_t threads = 0, nablas_isa isa = NABLAS_ISA_DEFAULT) noexcept {
  nablas_options made = NABLAS_OPTIONS_INIT;
  made.threads = threads;
  made.isa = isa;
  return made;
}

/** Options with a team, which must live as long as calls name it; a plan keeps it. */
inline nablas_options options(const team &members, std::size_t threads = 0,
                              nablas_isa isa = NABLAS_ISA_DEFAULT) noexcept {
  nablas_options made = options(threads, isa);
  made.team = members.get();
  return made;
}

/* ---- The C functions by element type ---------------------------------------------------------------------------- */

namespace detail {

template <class T>
struct api;

#define NABLAS_HPP_API(T, L)                                                      \
  template <>                                                                     \
  struct api<T> {                                                                 \
    using mlp = nablas_##L##mlp;                                                  \
    using plan = nablas_##L##plan;                                                \
    using optimizer = nablas_##L##optimizer;                                      \
    static constexpr auto dense_forward = nablas_##L##dense_forward;              \
    static constexpr auto dense_vjp_input = nablas_##L##dense_vjp_input;          \
    static constexpr auto dense_vjp_weights = nablas_##L##dense_vjp_weights;      \
    static constexpr auto dense_vjp_bias = nablas_##L##dense_vjp_bias;            \
    static constexpr auto gemm = nablas_##L##gemm;                                \
    static constexpr auto activate = nablas_##L##activation;                      \
    static constexpr auto activate_and_derive = nablas_##L##activation_and_derivative; \
    static constexpr auto activation_vjp = nablas_##L##activation_vjp;            \
    static constexpr auto loss = nablas_##L##loss;                                \
    static constexpr auto mlp_create = nablas_##L##mlp_create;                    \
    static constexpr auto mlp_destroy = nablas_##L##mlp_destroy;                  \
    static constexpr auto mlp_param_len = nablas_##L##mlp_param_len;              \
    static constexpr auto mlp_offsets = nablas_##L##mlp_offsets;                  \
    static constexpr auto mlp_init = nablas_##L##mlp_init;                        \
    static constexpr auto plan_create = nablas_##L##plan_create;                  \
    static constexpr auto plan_destroy = nablas_##L##plan_destroy;                \
    static constexpr auto plan_explain = nablas_##L##plan_explain;                \
    static constexpr auto plan_path = nablas_##L##plan_path;                      \
    static constexpr auto workspace_size = nablas_##L##plan_workspace_size;       \
    static constexpr auto workspace_init = nablas_##L##plan_workspace_init;       \
    static constexpr auto kept_bytes = nablas_##L##plan_kept_bytes;               \
    static constexpr auto kept_init = nablas_##L##plan_kept_init;                 \
    static constexpr auto forward = nablas_##L##plan_forward;                     \
    static constexpr auto backward = nablas_##L##plan_backward;                   \
    static constexpr auto vjp = nablas_##L##plan_vjp;                             \
    static constexpr auto value_and_grad = nablas_##L##plan_value_and_grad;       \
    static constexpr auto train_step = nablas_##L##plan_train_step;               \
    static constexpr auto clip_by_global_norm = nablas_##L##clip_by_global_norm;  \
    static constexpr auto sgd_create = nablas_##L##sgd_create;                    \
    static constexpr auto adam_create = nablas_##L##adam_create;                  \
    static constexpr auto adamw_create = nablas_##L##adamw_create;                \
    static constexpr auto optimizer_destroy = nablas_##L##optimizer_destroy;      \
    static constexpr auto step = nablas_##L##optimizer_step;                      \
    static constexpr auto set_rate = nablas_##L##optimizer_set_rate;              \
  };
NABLAS_HPP_API(float, s)
NABLAS_HPP_API(double, d)
#undef NABLAS_HPP_API

}  // namespace detail

/* ---- Dense layers, products, arrays ------------------------------------------------------------------------------ */

/** A ← g(X·Wᵀ + b); see nablas_sdense_forward. An empty `bias` is none, an empty `saved` or `mask` saves nothing. */
template <class T>
outcome<void> dense_forward(matrix<const T> x, same_t<matrix<const T>> w, same_t<span<const T>> bias,
                            same_t<activation<T>> g, same_t<matrix<T>> a, same_t<matrix<T>> saved = {},
                            span<std::uint8_t> mask = {}, const nablas_options *options = nullptr) {
  std::size_t batch = x.rows(), inputs = x.cols(), outputs = w.rows();
  NABLAS_HPP_TRY(detail::shape("W", outputs, inputs, w.rows(), w.cols()));
  NABLAS_HPP_TRY(detail::shape("A", batch, outputs, a.rows(), a.cols()));
  if (bias.data() != nullptr) NABLAS_HPP_TRY(detail::length("the bias", outputs, bias.size()));
  if (saved) NABLAS_HPP_TRY(detail::shape("the saved matrix", batch, outputs, saved.rows(), saved.cols()));
  if (mask.data() != nullptr)
    NABLAS_HPP_TRY(detail::length("the mask", nablas_mask_bytes(batch, outputs), mask.size()));
  return detail::check(detail::api<T>::dense_forward(
      batch, inputs, outputs, x.data(), x.ld(), w.data(), w.ld(), bias.data(), g.kind, g.parameter, a.data(), a.ld(),
      saved.data(), saved.ld(), mask.data(), options));
}

/** δ' ← (δ·W) ⊙ g'(Z'), db' ← its column sums; see nablas_sdense_vjp_input. What is empty is left out. */
template <class T>
outcome<void> dense_vjp_input(matrix<const T> delta, same_t<matrix<const T>> w, same_t<activation<T>> g,
                              same_t<matrix<const T>> saved, span<const std::uint8_t> mask, same_t<matrix<T>> out,
                              same_t<span<T>> db = {}, const nablas_options *options = nullptr) {
  std::size_t batch = delta.rows(), outputs = delta.cols(), inputs = w.cols();
  NABLAS_HPP_TRY(detail::shape("W", outputs, inputs, w.rows(), w.cols()));
  NABLAS_HPP_TRY(detail::shape("the result", batch, inputs, out.rows(), out.cols()));
  if (saved) NABLAS_HPP_TRY(detail::shape("the saved matrix", batch, inputs, saved.rows(), saved.cols()));
  if (mask.data() != nullptr)
    NABLAS_HPP_TRY(detail::length("the mask", nablas_mask_bytes(batch, inputs), mask.size()));
  if (db.data() != nullptr) NABLAS_HPP_TRY(detail::length("db", inputs, db.size()));
  return detail::check(detail::api<T>::dense_vjp_input(
      batch, inputs, outputs, delta.data(), delta.ld(), w.data(), w.ld(), g.kind, g.parameter, saved.data(), saved.ld(),
      mask.data(), out.data(), out.ld(), db.data(), options));
}

/** dW ← δᵀ·A, or dW + δᵀ·A; db ← the column sums of δ; see nablas_sdense_vjp_weights. An empty `db` is left out. */
template <class T>
outcome<void> dense_vjp_weights(matrix<const T> delta, same_t<matrix<const T>> a, bool accumulate,
                                same_t<matrix<T>> dw, same_t<span<T>> db = {},
                                const nablas_options *options = nullptr) {
  std::size_t batch = delta.rows(), outputs = delta.cols(), inputs = a.cols();
  NABLAS_HPP_TRY(detail::shape("A", batch, inputs, a.rows(), a.cols()));
  NABLAS_HPP_TRY(detail::shape("dW", outputs, inputs, dw.rows(), dw.cols()));
  if (db.data() != nullptr) NABLAS_HPP_TRY(detail::length("db", outputs, db.size()));
  return detail::check(detail::api<T>::dense_vjp_weights(batch, inputs, outputs, delta.data(), delta.ld(), a.data(),
                                                         a.ld(), accumulate ? 1 : 0, dw.data(), dw.ld(), db.data(),
                                                         options));
}

/** db ← the column sums of δ. */
template <class T>
outcome<void> dense_vjp_bias(matrix<const T> delta, same_t<span<T>> db, const nablas_options *options = nullptr) {
  NABLAS_HPP_TRY(detail::length("db", delta.cols(), db.size()));
  return detail::check(detail::api<T>::dense_vjp_bias(delta.rows(), delta.cols(), delta.data(), delta.ld(), db.data(),
                                                      options));
}

/** C ← α·op(A)·op(B) + β·C; see nablas_sgemm. */
template <class T>
outcome<void> gemm(nablas_transpose ta, nablas_transpose tb, same_t<T> alpha, matrix<const T> a,
                   same_t<matrix<const T>> b, same_t<T> beta, same_t<matrix<T>> c,
                   const nablas_options *options = nullptr) {
  bool turn = ta == NABLAS_TRANSPOSE_YES;
  std::size_t m = turn ? a.cols() : a.rows(), k = turn ? a.rows() : a.cols(), n = c.cols();
  bool turn_b = tb == NABLAS_TRANSPOSE_YES;
  NABLAS_HPP_TRY(detail::shape("B", turn_b ? n : k, turn_b ? k : n, b.rows(), b.cols()));
  NABLAS_HPP_TRY(detail::shape("C", m, n, c.rows(), c.cols()));
  return detail::check(detail::api<T>::gemm(ta, tb, m, n, k, alpha, a.data(), a.ld(), b.data(), b.ld(), beta, c.data(),
                                            c.ld(), options));
}

/** a ← g(z), and d ← g'(z) unless it is empty. */
template <class T>
outcome<void> activate(activation<T> g, same_t<span<const T>> z, same_t<span<T>> a, same_t<span<T>> d = {},
                       const nablas_options *options = nullptr) {
  NABLAS_HPP_TRY(detail::length("a", z.size(), a.size()));
  if (d.data() == nullptr)
    return detail::check(detail::api<T>::activate(z.size(), g.kind, g.parameter, z.data(), a.data(), options));
  NABLAS_HPP_TRY(detail::length("d", z.size(), d.size()));
  return detail::check(
      detail::api<T>::activate_and_derive(z.size(), g.kind, g.parameter, z.data(), a.data(), d.data(), options));
}

/** out ← cotangent ⊙ g'(z). */
template <class T>
outcome<void> activation_vjp(activation<T> g, same_t<span<const T>> z, same_t<span<const T>> cotangent,
                             same_t<span<T>> out, const nablas_options *options = nullptr) {
  NABLAS_HPP_TRY(detail::length("the cotangent", z.size(), cotangent.size()));
  NABLAS_HPP_TRY(detail::length("the result", z.size(), out.size()));
  return detail::check(detail::api<T>::activation_vjp(z.size(), g.kind, g.parameter, z.data(), cotangent.data(),
                                                      out.data(), options));
}

/** What the outputs should be: a value for each, or a class for each row. */
template <class T>
class targets {
 public:
  targets(matrix<const T> values) : values_(values) {}
  targets(matrix<T> values) : values_(values) {}
  targets(span<const std::uint32_t> classes) : classes_(classes) {}
  targets(const std::vector<std::uint32_t> &classes) : classes_(classes) {}
  matrix<const T> values() const { return values_; }
  span<const std::uint32_t> classes() const { return classes_; }
  /** Refuses targets that are not of `rows` rows of `cols`. */
  outcome<void> check(std::size_t rows, std::size_t cols) const {
    if (classes_.data() != nullptr) return detail::length("the classes", rows, classes_.size());
    return detail::shape("the targets", rows, cols, values_.rows(), values_.cols());
  }

 private:
  matrix<const T> values_;
  span<const std::uint32_t> classes_;
};

/** The loss of the outputs y, and delta ← ∂L/∂y unless it is empty. */
template <class T>
outcome<T> evaluate(loss<T> l, same_t<matrix<const T>> y, same_t<targets<T>> t, same_t<matrix<T>> delta = {},
                    const nablas_options *options = nullptr) {
  T value{};
  NABLAS_HPP_TRY(t.check(y.rows(), y.cols()));
  if (delta) NABLAS_HPP_TRY(detail::shape("the delta", y.rows(), y.cols(), delta.rows(), delta.cols()));
  NABLAS_HPP_TRY(detail::check(detail::api<T>::loss(
      y.rows(), y.cols(), l.kind, l.parameter, l.reduction, y.data(), y.ld(), t.values().data(), t.values().ld(),
      t.classes().data(), &value, delta.data(), delta.ld(), options)));
  return value;
}

/* ---- Networks ------------------------------------------------------------------------------------------------- */

/** A layer to come: its width and activation. */
template <class T>
struct layer {
  std::size_t width;
  activation<T> g;
};

/** Where a layer's parameters start in the flat buffer, in elements. */
struct offsets {
  std::size_t weights, bias;
};

/** A network; the parameters are the caller's. */
template <class T>
class mlp {
  using api = detail::api<T>;

 public:
  /** A network that reads `inputs` features. */
  static outcome<mlp> create(std::size_t inputs, const std::vector<layer<T>> &layers) {
    std::vector<std::size_t> widths{inputs};
    std::vector<std::int32_t> kinds;
    std::vector<T> parameters;
    for (const layer<T> &l : layers) {
      widths.push_back(l.width);
      kinds.push_back(l.g.kind);
      parameters.push_back(l.g.parameter);
    }
    typename api::mlp *made = nullptr;
    NABLAS_HPP_TRY(
        detail::check(api::mlp_create(layers.size(), widths.data(), kinds.data(), parameters.data(), &made)));
    return mlp(made, inputs, widths.back());
  }
  std::size_t inputs() const noexcept { return inputs_; }
  std::size_t outputs() const noexcept { return outputs_; }
  /** Elements of the flat buffers of parameters and gradients. */
  std::size_t param_len() const noexcept {
    std::size_t length = 0;
    static_cast<void>(api::mlp_param_len(get(), &length)); /* fails for NULL alone */
    return length;
  }
  outcome<nablas::offsets> offsets(std::size_t layer) const {
    nablas::offsets at{};
    NABLAS_HPP_TRY(detail::check(api::mlp_offsets(get(), layer, &at.weights, &at.bias)));
    return at;
  }
  /** Fills the parameters. */
  outcome<void> init(nablas_init kind, std::uint64_t seed, span<T> params, double omega = 1.0) const {
    NABLAS_HPP_TRY(detail::length("the parameters", param_len(), params.size()));
    return detail::check(api::mlp_init(get(), kind, omega, seed, params.data()));
  }
  const typename api::mlp *get() const noexcept { return handle_.get(); }

 private:
  struct destroy {
    void operator()(typename api::mlp *m) const noexcept { api::mlp_destroy(m); }
  };
  mlp(typename api::mlp *handle, std::size_t inputs, std::size_t outputs)
      : handle_(handle), inputs_(inputs), outputs_(outputs) {}
  std::unique_ptr<typename api::mlp, destroy> handle_;
  std::size_t inputs_, outputs_;
};

namespace detail {

/** Memory that a plan has initialised: its own, or the caller's. It may be moved; the memory stays where it is, and what was
 * moved from has none: calls with it are refused. */
class memory {
 public:
  memory(memory &&from) noexcept
      : own_(std::move(from.own_)), data_(std::exchange(from.data_, nullptr)), size_(std::exchange(from.size_, 0)) {}
  memory &operator=(memory &&from) noexcept {
    memory to(std::move(from));
    std::swap(own_, to.own_);
    std::swap(data_, to.data_);
    std::swap(size_, to.size_);
    return *this;
  }
  void *data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 protected:
  memory(std::unique_ptr<unsigned char[]> own, void *data, std::size_t size)
      : own_(std::move(own)), data_(data), size_(size) {}

 private:
  std::unique_ptr<unsigned char[]> own_;
  void *data_;
  std::size_t size_;
};

}  // namespace detail

/** A plan's scratch; one call at a time. */
class workspace : public detail::memory {
  template <class T>
  friend class plan;
  workspace(std::unique_ptr<unsigned char[]> own, void *data, std::size_t size) : memory(std::move(own), data, size) {}
};

/** The state that a forward pass leaves for its backward pass. Any number may be alive, and one serves any number of
 * backward calls, at once too. */
class kept : public detail::memory {
  template <class T>
  friend class plan;
  kept(std::unique_ptr<unsigned char[]> own, void *data, std::size_t size) : memory(std::move(own), data, size) {}
};

template <class T>
class optimizer;

/** What a training step gave: the loss of the parameters before it, and the norm of the gradient if it was asked for. */
template <class T>
struct trained {
  T value{};
  double norm = 0.0;
};

/** How the calls of a network are done. Several threads may use one, each with a workspace of its own. */
template <class T>
class plan {
  using api = detail::api<T>;

 public:
  /** For batches of at most `max_batch` rows. */
  static outcome<plan> create(const mlp<T> &network, std::size_t max_batch,
                              const nablas_options *options = nullptr) {
    typename api::plan *made = nullptr;
    NABLAS_HPP_TRY(detail::check(api::plan_create(network.get(), max_batch, options, &made)));
    return plan(made, network);
  }
  /** Which path the plan chose. */
  nablas_path path() const noexcept {
    std::int32_t path = NABLAS_PATH_LAYERED;
    static_cast<void>(api::plan_path(handle_.get(), &path)); /* fails for NULL alone */
    return static_cast<nablas_path>(path);
  }
  /** Which path the plan chose, and why. */
  const char *explain() const noexcept { return api::plan_explain(handle_.get()); }
  std::size_t workspace_size() const noexcept {
    std::size_t bytes = 0;
    static_cast<void>(api::workspace_size(handle_.get(), &bytes)); /* fails for NULL alone */
    return bytes;
  }
  /** A workspace in memory of its own. */
  outcome<workspace> make_workspace() const {
    std::size_t bytes = workspace_size();
    std::unique_ptr<unsigned char[]> own(new (std::nothrow) unsigned char[bytes]);
    if (own == nullptr) NABLAS_HPP_FAIL(NABLAS_STATUS_MEMORY, "a workspace: out of memory");
    void *data = own.get();
    NABLAS_HPP_TRY(detail::check(api::workspace_init(handle_.get(), data, bytes)));
    return workspace(std::move(own), data, bytes);
  }
  /** A workspace in the caller's memory, which must outlive it. */
  outcome<workspace> make_workspace(span<unsigned char> memory) const {
    NABLAS_HPP_TRY(detail::check(api::workspace_init(handle_.get(), memory.data(), memory.size())));
    return workspace(nullptr, memory.data(), memory.size());
  }
  /** Bytes of the state of a forward pass of at most `batch` rows. */
  outcome<std::size_t> kept_bytes(std::size_t batch) const {
    std::size_t bytes = 0;
    NABLAS_HPP_TRY(detail::check(api::kept_bytes(handle_.get(), batch, &bytes)));
    return bytes;
  }
  /** Room for the state of a forward pass of at most `batch` rows, in memory of its own. */
  outcome<kept> make_kept(std::size_t batch) const {
    std::size_t bytes = 0;
    NABLAS_HPP_TRY(detail::check(api::kept_bytes(handle_.get(), batch, &bytes)));
    std::unique_ptr<unsigned char[]> own(new (std::nothrow) unsigned char[bytes]);
    if (own == nullptr) NABLAS_HPP_FAIL(NABLAS_STATUS_MEMORY, "a kept state: out of memory");
    void *data = own.get();
    NABLAS_HPP_TRY(detail::check(api::kept_init(handle_.get(), batch, data, bytes)));
    return kept(std::move(own), data, bytes);
  }
  /** The same in the caller's memory, which must outlive it. */
  outcome<kept> make_kept(std::size_t batch, span<unsigned char> memory) const {
    NABLAS_HPP_TRY(detail::check(api::kept_init(handle_.get(), batch, memory.data(), memory.size())));
    return kept(nullptr, memory.data(), memory.size());
  }
  /** Y ← the outputs of X; nothing is left. */
  outcome<void> forward(span<const T> params, matrix<const T> x, matrix<T> y, workspace &w) const {
    return forward(params, x, y, nullptr, 0, w);
  }
  /** Y ← the outputs of X; what `backward` needs goes to `state`. */
  outcome<void> forward(span<const T> params, matrix<const T> x, matrix<T> y, kept &state, workspace &w) const {
    if (state.data() == nullptr) NABLAS_HPP_FAIL(NABLAS_STATUS_NULL, "the kept state was moved from");
    return forward(params, x, y, state.data(), state.size(), w);
  }
  /** grads ← the gradient, dX unless it is empty, from the state that a `forward` left. */
  outcome<void> backward(span<const T> params, matrix<const T> x, matrix<const T> dy, span<T> grads, const kept &state,
                         workspace &w, matrix<T> dx = {}) const {
    NABLAS_HPP_TRY(operands(params, x, dy, grads, dx));
    return detail::check(api::backward(handle_.get(), x.rows(), params.data(), x.data(), x.ld(), dy.data(), dy.ld(),
                                       grads.data(), dx.data(), dx.ld(), state.data(), state.size(), w.data(),
                                       w.size()));
  }
  /** `forward` and `backward` in one pass; Y and dX unless they are empty. */
  outcome<void> vjp(span<const T> params, matrix<const T> x, matrix<const T> dy, matrix<T> y, span<T> grads,
                    workspace &w, matrix<T> dx = {}) const {
    NABLAS_HPP_TRY(operands(params, x, dy, grads, dx));
    if (y) NABLAS_HPP_TRY(detail::shape("Y", x.rows(), outputs_, y.rows(), y.cols()));
    return detail::check(api::vjp(handle_.get(), x.rows(), params.data(), x.data(), x.ld(), dy.data(), dy.ld(),
                                  y.data(), y.ld(), grads.data(), dx.data(), dx.ld(), w.data(), w.size()));
  }
  /** The loss of the outputs, and grads ← its gradient. */
  outcome<T> value_and_grad(span<const T> params, matrix<const T> x, loss<T> l, targets<T> t, span<T> grads,
                            workspace &w) const {
    T value{};
    NABLAS_HPP_TRY(inputs(params, x));
    NABLAS_HPP_TRY(t.check(x.rows(), outputs_));
    NABLAS_HPP_TRY(detail::length("the gradient", params_, grads.size()));
    NABLAS_HPP_TRY(detail::check(api::value_and_grad(
        handle_.get(), x.rows(), params.data(), x.data(), x.ld(), l.kind, l.parameter, l.reduction, t.values().data(),
        t.values().ld(), t.classes().data(), &value, grads.data(), w.data(), w.size())));
    return value;
  }
  /**
   * One step of training: the loss, grads ← its gradient, made no longer than `max_norm` unless that is 0, and params moved by
   * the optimizer; not if `max_norm` is not 0 and the norm is infinite or NaN.
   */
  outcome<trained<T>> train_step(span<T> params, matrix<const T> x, loss<T> l, targets<T> t, span<T> grads,
                                 optimizer<T> &o, workspace &w, double max_norm = 0.0) const {
    trained<T> done{};
    NABLAS_HPP_TRY(inputs(params, x));
    NABLAS_HPP_TRY(t.check(x.rows(), outputs_));
    NABLAS_HPP_TRY(detail::length("the gradient", params_, grads.size()));
    NABLAS_HPP_TRY(detail::check(api::train_step(
        handle_.get(), x.rows(), params.data(), x.data(), x.ld(), l.kind, l.parameter, l.reduction, t.values().data(),
        t.values().ld(), t.classes().data(), max_norm, o.handle_.get(), &done.value, &done.norm, grads.data(), w.data(),
        w.size())));
    return done;
  }

 private:
  struct destroy {
    void operator()(typename api::plan *p) const noexcept { api::plan_destroy(p); }
  };
  plan(typename api::plan *handle, const mlp<T> &network)
      : handle_(handle), inputs_(network.inputs()), outputs_(network.outputs()), params_(network.param_len()) {}
  outcome<void> forward(span<const T> params, matrix<const T> x, matrix<T> y, void *state, std::size_t state_bytes,
                        workspace &w) const {
    NABLAS_HPP_TRY(inputs(params, x));
    NABLAS_HPP_TRY(detail::shape("Y", x.rows(), outputs_, y.rows(), y.cols()));
    return detail::check(api::forward(handle_.get(), x.rows(), params.data(), x.data(), x.ld(), y.data(), y.ld(), state,
                                      state_bytes, w.data(), w.size()));
  }
  outcome<void> inputs(span<const T> params, matrix<const T> x) const {
    NABLAS_HPP_TRY(detail::length("the parameters", params_, params.size()));
    return detail::shape("X", x.rows(), inputs_, x.rows(), x.cols());
  }
  outcome<void> operands(span<const T> params, matrix<const T> x, matrix<const T> dy, span<T> grads,
                         matrix<T> dx) const {
    NABLAS_HPP_TRY(inputs(params, x));
    NABLAS_HPP_TRY(detail::shape("dY", x.rows(), outputs_, dy.rows(), dy.cols()));
    if (dx) NABLAS_HPP_TRY(detail::shape("dX", x.rows(), inputs_, dx.rows(), dx.cols()));
    return detail::length("the gradient", params_, grads.size());
  }
  std::unique_ptr<typename api::plan, destroy> handle_;
  std::size_t inputs_, outputs_, params_;
};

/* ---- Optimizers ------------------------------------------------------------------------------------------------ */

/** The numbers of Adam and AdamW. */
struct adam_numbers {
  double rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0.0;
};

/** An optimizer of a flat buffer, with its state. */
template <class T>
class optimizer {
  using api = detail::api<T>;

 public:
  static outcome<optimizer> sgd(std::size_t length, double rate, double momentum = 0.0, bool nesterov = false,
                                double decay = 0.0, const nablas_options *options = nullptr) {
    typename api::optimizer *made = nullptr;
    NABLAS_HPP_TRY(
        detail::check(api::sgd_create(length, rate, momentum, nesterov ? 1 : 0, decay, options, &made)));
    return optimizer(made, length);
  }
  static outcome<optimizer> adam(std::size_t length, adam_numbers n = {}, const nablas_options *options = nullptr) {
    return make(api::adam_create, length, n, options);
  }
  /** As adam, but the decay is its own. */
  static outcome<optimizer> adamw(std::size_t length, adam_numbers n, const nablas_options *options = nullptr) {
    return make(api::adamw_create, length, n, options);
  }
  /** One step. */
  outcome<void> step(span<T> params, span<const T> grads) {
    NABLAS_HPP_TRY(detail::length("the parameters", length_, params.size()));
    NABLAS_HPP_TRY(detail::length("the gradient", length_, grads.size()));
    return detail::check(api::step(handle_.get(), params.data(), grads.data()));
  }
  outcome<void> set_rate(double rate) { return detail::check(api::set_rate(handle_.get(), rate)); }

 private:
  struct destroy {
    void operator()(typename api::optimizer *o) const noexcept { api::optimizer_destroy(o); }
  };
  template <class F>
  static outcome<optimizer> make(F create, std::size_t length, adam_numbers n, const nablas_options *options) {
    typename api::optimizer *made = nullptr;
    NABLAS_HPP_TRY(
        detail::check(create(length, n.rate, n.beta1, n.beta2, n.epsilon, n.decay, options, &made)));
    return optimizer(made, length);
  }
  friend class plan<T>;
  optimizer(typename api::optimizer *handle, std::size_t length) : handle_(handle), length_(length) {}
  std::unique_ptr<typename api::optimizer, destroy> handle_;
  std::size_t length_;
};

/** grads ← grads·min(1, max_norm/‖grads‖); the norm ‖grads‖ before that. A norm that is infinite or NaN clips nothing. */
template <class T>
outcome<double> clip_by_global_norm(span<T> grads, double max_norm, const nablas_options *options = nullptr) {
  double norm = 0.0;
  NABLAS_HPP_TRY(
      detail::check(detail::api<T>::clip_by_global_norm(grads.size(), grads.data(), max_norm, &norm, options)));
  return norm;
}

}  // namespace nablas

#undef NABLAS_HPP_FAIL
#undef NABLAS_HPP_TRY
#undef NABLAS_HPP_DONE

#endif /* NABLAS_HPP */
