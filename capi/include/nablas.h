/**
 * nablas: a BLAS for the backward pass.
 *
 * Dense layers on a CPU, forward and backward, fused. Functions `nablas_s…` are of float, `nablas_d…` of double.
 *
 * Words. batch: rows of a minibatch; a layer maps `inputs` features to `outputs`; its weights W are
 * [outputs, inputs], its bias b [outputs]; Z = X·Wᵀ + b, A = g(Z); δ = ∂L/∂Z. Matrices are row-major: [r, c] has r
 * rows of c elements, and `ld…`, at least c, elements from a row to the next.
 *
 * Calls return a nablas_status, and nablas_last_error() has the words. A call that fails has written no output.
 * Outputs must not overlap inputs or one another (blocks of one matrix that interleave are no overlap). A pointer may
 * be NULL where the function says so, and where its operand has no elements.
 *
 * All functions may be called from several threads at once; a workspace and an optimizer serve one call at a time, a kept
 * state one that writes or any number that read, and say so. After fork() the child may call everything.
 *
 * Environment: NABLAS_ISA (scalar, neon, avx2, avx512), NABLAS_NUM_THREADS, NABLAS_AFFINITY=0: threads are not kept off
 * the processor of their caller, NABLAS_VERBOSE=1: one line of CSV for each call on standard error: nablas, function,
 * sizes, instruction set, path, threads at most, microseconds, status.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef NABLAS_H
#define NABLAS_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header. */
#define NABLAS_VERSION "0.1.0"
#define NABLAS_VERSION_MAJOR 0
#define NABLAS_VERSION_MINOR 1
#define NABLAS_VERSION_PATCH 0

/** Default options: `nablas_options options = NABLAS_OPTIONS_INIT;`. */
#define NABLAS_OPTIONS_INIT { sizeof(nablas_options), 0, NABLAS_ISA_DEFAULT, NULL }


/**
 * What a call returns. `nablas_last_error()` has the words.
 */
typedef enum nablas_status {
  /**
   * Done.
   */
  NABLAS_STATUS_OK = 0,
  /**
   * A pointer is NULL that must not be.
   */
  NABLAS_STATUS_NULL = 1,
  /**
   * A pointer is not aligned to its type.
   */
  NABLAS_STATUS_ALIGNMENT = 2,
  /**
   * A leading dimension is below the length of a row.
   */
  NABLAS_STATUS_LEADING_DIMENSION = 3,
  /**
   * A size that no memory has.
   */
  NABLAS_STATUS_OVERFLOW = 4,
  /**
   * An output overlaps an input or another output.
   */
  NABLAS_STATUS_OVERLAP = 5,
  /**
   * A number that names nothing: an activation, a loss, an instruction set, ….
   */
  NABLAS_STATUS_UNKNOWN = 6,
  /**
   * A number outside of its domain.
   */
  NABLAS_STATUS_PARAMETER = 7,
  /**
   * Operands whose sizes do not fit each other.
   */
  NABLAS_STATUS_SHAPE = 8,
  /**
   * A batch larger than the plan was made for.
   */
  NABLAS_STATUS_BATCH = 9,
  /**
   * A workspace that is too small, or was not initialised for this plan at this address.
   */
  NABLAS_STATUS_WORKSPACE = 10,
  /**
   * Kept state that no forward call of so many rows has left.
   */
  NABLAS_STATUS_NOT_KEPT = 11,
  /**
   * A workspace, kept state or optimizer that another thread is using.
   */
  NABLAS_STATUS_BUSY = 12,
  /**
   * A class that the network has no output for.
   */
  NABLAS_STATUS_CLASS = 13,
  /**
   * Targets of a kind that the loss does not take.
   */
  NABLAS_STATUS_TARGETS = 14,
  /**
   * Saved state of another kind than the activation needs.
   */
  NABLAS_STATUS_SAVED = 15,
  /**
   * An instruction set that this machine does not have.
   */
  NABLAS_STATUS_ISA = 16,
  /**
   * More memory than the system has.
   */
  NABLAS_STATUS_MEMORY = 17,
  /**
   * Threads that could not be started.
   */
  NABLAS_STATUS_THREADS = 18,
  /**
   * A defect of the library.
   */
  NABLAS_STATUS_INTERNAL = 19,
  /**
   * Kept state that is too small, or was not initialised for this plan at this address.
   */
  NABLAS_STATUS_KEPT = 20,
} nablas_status;

/**
 * Instruction sets.
 */
typedef enum nablas_isa {
  /**
   * What `NABLAS_ISA` pins, or else the widest of this machine.
   */
  NABLAS_ISA_DEFAULT = 0,
  /**
   * Plain code.
   */
  NABLAS_ISA_SCALAR = 1,
  /**
   * Arm, 128 bits.
   */
  NABLAS_ISA_NEON = 2,
  /**
   * x86-64-v3, 256 bits.
   */
  NABLAS_ISA_AVX2 = 3,
  /**
   * x86-64-v4, 512 bits.
   */
  NABLAS_ISA_AVX512 = 4,
} nablas_isa;

/**
 * Activations. Those with a parameter say which; the others ignore it.
 */
typedef enum nablas_activation {
  /**
   * z
   */
  NABLAS_ACTIVATION_IDENTITY = 0,
  /**
   * max(z, 0); g'(0) = 0
   */
  NABLAS_ACTIVATION_RELU = 1,
  /**
   * z for z > 0, α·z otherwise; parameter α
   */
  NABLAS_ACTIVATION_LEAKY_RELU = 2,
  /**
   * min(max(z, 0), c); parameter c > 0
   */
  NABLAS_ACTIVATION_CLIPPED_RELU = 3,
  /**
   * z for z > 0, α·(eᶻ − 1) otherwise; parameter α
   */
  NABLAS_ACTIVATION_ELU = 4,
  /**
   * λ·ELU(α) with the constants of Klambauer et al. 2017
   */
  NABLAS_ACTIVATION_SELU = 5,
  /**
   * 1/(1 + e⁻ᶻ)
   */
  NABLAS_ACTIVATION_SIGMOID = 6,
  /**
   * tanh z
   */
  NABLAS_ACTIVATION_TANH = 7,
  /**
   * ln(1 + eᶻ)
   */
  NABLAS_ACTIVATION_SOFTPLUS = 8,
  /**
   * z·sigmoid(z)
   */
  NABLAS_ACTIVATION_SILU = 9,
  /**
   * z·Φ(z), by erf
   */
  NABLAS_ACTIVATION_GELU = 10,
  /**
   * ½z·(1 + tanh(√(2/π)·(z + 0.044715·z³)))
   */
  NABLAS_ACTIVATION_GELU_TANH = 11,
  /**
   * z·tanh(softplus z)
   */
  NABLAS_ACTIVATION_MISH = 12,
  /**
   * z·min(max(z + 3, 0), 6)/6
   */
  NABLAS_ACTIVATION_HARD_SWISH = 13,
  /**
   * eᶻ
   */
  NABLAS_ACTIVATION_EXP = 14,
  /**
   * sin(ω·z); parameter ω
   */
  NABLAS_ACTIVATION_SIN = 15,
  /**
   * z/(1 + |z|)
   */
  NABLAS_ACTIVATION_SOFTSIGN = 16,
} nablas_activation;

/**
 * What an activation saves in a forward call for the backward calls.
 */
typedef enum nablas_saved {
  /**
   * Nothing.
   */
  NABLAS_SAVED_NOTHING = 0,
  /**
   * One bit an element: `nablas_mask_bytes(rows, columns)` bytes.
   */
  NABLAS_SAVED_MASK = 1,
  /**
   * The derivative, a matrix as large as the output.
   */
  NABLAS_SAVED_DERIVATIVE = 2,
  /**
   * Nothing besides the output, which the backward call reads.
   */
  NABLAS_SAVED_OUTPUT = 3,
} nablas_saved;

/**
 * Losses, of outputs y and targets t.
 */
typedef enum nablas_loss {
  /**
   * (y − t)²
   */
  NABLAS_LOSS_MSE = 0,
  /**
   * |y − t|
   */
  NABLAS_LOSS_L1 = 1,
  /**
   * ½r² for |r| ≤ δ, δ·(|r| − ½δ) beyond, r = y − t; parameter δ > 0
   */
  NABLAS_LOSS_HUBER = 2,
  /**
   * Binary cross-entropy of logits y, t in [0, 1]
   */
  NABLAS_LOSS_BCE_WITH_LOGITS = 3,
  /**
   * −Σ t·ln softmax(y), a row: t are probabilities or a class
   */
  NABLAS_LOSS_SOFTMAX_CROSS_ENTROPY = 4,
} nablas_loss;

/**
 * How the losses of the elements or rows become one.
 */
typedef enum nablas_reduction {
  /**
   * Their sum.
   */
  NABLAS_REDUCTION_SUM = 0,
  /**
   * Their mean: over all elements, or for the softmax cross-entropy over the rows.
   */
  NABLAS_REDUCTION_MEAN = 1,
} nablas_reduction;

/**
 * How a plan computes its network.
 */
typedef enum nablas_path {
  /**
   * Tiles of the batch go through all layers while they are in cache.
   */
  NABLAS_PATH_FUSED = 0,
  /**
   * The same with samples in the lanes of vectors.
   */
  NABLAS_PATH_NARROW = 1,
  /**
   * One layer at a time over the whole batch.
   */
  NABLAS_PATH_LAYERED = 2,
} nablas_path;

/**
 * Initial parameters.
 */
typedef enum nablas_init {
  /**
   * He et al. 2015, normal.
   */
  NABLAS_INIT_HE_NORMAL = 0,
  /**
   * He et al. 2015, uniform.
   */
  NABLAS_INIT_HE_UNIFORM = 1,
  /**
   * Glorot, Bengio 2010, normal.
   */
  NABLAS_INIT_XAVIER_NORMAL = 2,
  /**
   * Glorot, Bengio 2010, uniform.
   */
  NABLAS_INIT_XAVIER_UNIFORM = 3,
  /**
   * Sitzmann et al. 2020; parameter ω, that of the activation.
   */
  NABLAS_INIT_SIREN = 4,
  /**
   * Saxe et al. 2014; parameter the gain, 1 unless an activation asks for another.
   */
  NABLAS_INIT_ORTHOGONAL = 5,
} nablas_init;

/**
 * Whether a matrix is transposed.
 */
typedef enum nablas_transpose {
  /**
   * As it is.
   */
  NABLAS_TRANSPOSE_NO = 0,
  /**
   * Transposed.
   */
  NABLAS_TRANSPOSE_YES = 1,
} nablas_transpose;

/**
 * A network of `double`: its widths and activations. The parameters are the caller's.
 */
typedef struct nablas_dmlp nablas_dmlp;

/**
 * An optimizer of `double` parameters, with its state.
 */
typedef struct nablas_doptimizer nablas_doptimizer;

/**
 * How the calls of a network of `double` are done. Any number of threads may use one at a time, each with a workspace
 * of its own.
 */
typedef struct nablas_dplan nablas_dplan;

/**
 * A network of `float`: its widths and activations. The parameters are the caller's.
 */
typedef struct nablas_smlp nablas_smlp;

/**
 * An optimizer of `float` parameters, with its state.
 */
typedef struct nablas_soptimizer nablas_soptimizer;

/**
 * How the calls of a network of `float` are done. Any number of threads may use one at a time, each with a workspace
 * of its own.
 */
typedef struct nablas_splan nablas_splan;

/**
 * Threads to run calls on, the calling one among them. Calls of several threads may use one team at once: each gets the
 * threads that are idle, and runs alone if none is. The child of a `fork` gets threads of its own at its first call.
 */
typedef struct nablas_team nablas_team;

/**
 * What the library is and runs on. Strings and struct live as long as the process.
 */
typedef struct nablas_config {
  /**
   * The version, as `NABLAS_VERSION`.
   */
  const char *version;
  /**
   * The instruction set of calls that name none: `scalar`, `neon`, `avx2` or `avx512`; empty if `NABLAS_ISA` names
   * one that is not here.
   */
  const char *isa;
  /**
   * Why that one, and not a wider.
   */
  const char *isa_reason;
  /**
   * The instruction sets of this machine, narrowest first, with spaces between.
   */
  const char *isas;
  /**
   * Bytes of the first-level data cache.
   */
  size_t l1d_bytes;
  /**
   * Bytes of the second-level cache.
   */
  size_t l2_bytes;
  /**
   * Bytes of the third-level cache that one core may count on.
   */
  size_t l3_bytes;
  /**
   * Processors that the process may use.
   */
  size_t processors;
  /**
   * The optional parts that were built in, with spaces between.
   */
  const char *features;
} nablas_config;

/**
 * Options of a call or plan; NULL stands for the defaults. Start from `NABLAS_OPTIONS_INIT`.
 *
 * Later versions add fields at the end. Those that a program does not know have their defaults; those that the library
 * does not know must be zero.
 */
typedef struct nablas_options {
  /**
   * `sizeof(nablas_options)` of the program: which fields it knows.
   */
  size_t size;
  /**
   * Threads at most, the calling one alone if 1, and never more than the team has; 0 for as many as `team` has, or else
   * `nablas_get_num_threads()`. Results are the same to the bit.
   */
  size_t threads;
  /**
   * One of `nablas_isa`. Results are the same to the bit.
   */
  int32_t isa;
  /**
   * Whose threads; NULL for the team of the process, made at the first call that wants it, of as many threads as
   * `NABLAS_NUM_THREADS` says or the processors are. A plan keeps the team it was made with, destroyed or not.
   */
  const struct nablas_team *team;
} nablas_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library that runs; `NABLAS_VERSION` is that of the header.
 */
const char *nablas_version(void);

/**
 * What the library is and runs on. Never NULL.
 */
const struct nablas_config *nablas_get_config(void);

/**
 * The words of the calling thread's last failure, in UTF-8; empty if none failed. Valid until the next failure of the
 * thread. Never NULL.
 */
const char *nablas_last_error(void);

/**
 * The name of a status, `"unknown status"` for a number that is none. Never NULL.
 */
const char *nablas_status_name(int32_t status);

/**
 * Sets the threads at most of calls that name neither threads nor a team, for the whole process; 0 for the default, which
 * is also the size of the team of the process: `NABLAS_NUM_THREADS`, or as many as there are processors. More than that
 * takes a team. Plans keep what they were made with.
 */
enum nablas_status nablas_set_num_threads(size_t threads);

/**
 * The threads at most of calls that name neither threads nor a team; 0 if `NABLAS_NUM_THREADS` is no number of threads.
 */
size_t nablas_get_num_threads(void);

/**
 * `*team` ← a team of `threads` threads, the calling one among them: 1 to 1024, or 0 for as many as
 * `nablas_get_num_threads()` says by default, but no more than there are of `processors`.
 *
 * `processors` [count] are those that its own threads may run on, by the system's numbers; NULL for all that the process
 * may use. `linger_us` is what the threads stay awake for after a call, in microseconds, at the price of their processors'
 * time; below 0 for the default: 50, or 0 where a quota grants less than the processors. If `affinity` is not 0, they are
 * kept off the processor of their caller, where there are enough, unless the environment says `NABLAS_AFFINITY=0`.
 * Processors and affinity are for Linux alone.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_team_create(size_t threads,
                                      const size_t *processors,
                                      size_t count,
                                      int64_t linger_us,
                                      int32_t affinity,
                                      struct nablas_team **team);

/**
 * Gives a team up; NULL is nothing. Its threads end with the last plan that was made with it.
 *
 * `team` is NULL or a team that was not destroyed before, and no call names it.
 */
void nablas_team_destroy(struct nablas_team *team);

/**
 * The threads of a team, the calling one among them; 0 for NULL.
 *
 * `team` is NULL or a team.
 */
size_t nablas_team_threads(const struct nablas_team *team);

/**
 * The name of a path, one of `nablas_path`; `"unknown path"` for a number that is none. Never NULL.
 */
const char *nablas_path_name(int32_t path);

/**
 * Whether an instruction set, one of `nablas_isa`, can be had: a status and the reason.
 */
enum nablas_status nablas_check_isa(int32_t isa);

/**
 * `*saved` ← what an activation, one of `nablas_activation`, saves: one of `nablas_saved`.
 *
 * `saved` is NULL or writable.
 */
enum nablas_status nablas_activation_saved(int32_t activation, int32_t *saved);

/**
 * Bytes of the mask of a matrix: one bit an element, each row from a whole byte on.
 */
size_t nablas_mask_bytes(size_t rows, size_t columns);

/**
 * Frees the scratch that the dense-layer calls of the calling thread have left for the next. A thread that ends frees
 * its own.
 */
void nablas_release_scratch(void);

/**
 * A ← g(X·Wᵀ + b): X [batch, inputs], W [outputs, inputs], b [outputs], A [batch, outputs].
 *
 * `bias` may be NULL. What the backward calls will need is saved if asked for, as `nablas_activation_saved` says: in
 * `saved` [batch, outputs] or in `mask` (`nablas_mask_bytes(batch, outputs)` bytes), the other NULL; both NULL to save
 * nothing. `options` may be NULL. Outputs overlap nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sdense_forward(size_t batch,
                                         size_t inputs,
                                         size_t outputs,
                                         const float *x,
                                         size_t ldx,
                                         const float *w,
                                         size_t ldw,
                                         const float *bias,
                                         int32_t activation,
                                         float parameter,
                                         float *a,
                                         size_t lda,
                                         float *saved,
                                         size_t ldsaved,
                                         uint8_t *mask,
                                         const struct nablas_options *options);

/**
 * δ' ← (δ·W) ⊙ g'(Z'), and db' ← the column sums of δ': δ [batch, outputs], W [outputs, inputs], δ' [batch, inputs],
 * db' [inputs].
 *
 * `activation` is g of the layer below, and `saved` [batch, inputs] or `mask` what that layer's forward call saved (for
 * `NABLAS_ACTIVATION_EXP` its output), the other NULL; `NABLAS_ACTIVATION_IDENTITY` and both NULL give dX. `db` and
 * `options` may be NULL. Outputs overlap nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sdense_vjp_input(size_t batch,
                                           size_t inputs,
                                           size_t outputs,
                                           const float *delta,
                                           size_t lddelta,
                                           const float *w,
                                           size_t ldw,
                                           int32_t activation,
                                           float parameter,
                                           const float *saved,
                                           size_t ldsaved,
                                           const uint8_t *mask,
                                           float *out,
                                           size_t ldout,
                                           float *db,
                                           const struct nablas_options *options);

/**
 * dW ← δᵀ·A, or dW + δᵀ·A if `accumulate` is not 0; db ← the column sums of δ: δ [batch, outputs], A [batch, inputs],
 * dW [outputs, inputs], db [outputs]. Sums over the batch.
 *
 * `db` and `options` may be NULL. Outputs overlap nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sdense_vjp_weights(size_t batch,
                                             size_t inputs,
                                             size_t outputs,
                                             const float *delta,
                                             size_t lddelta,
                                             const float *a,
                                             size_t lda,
                                             int32_t accumulate,
                                             float *dw,
                                             size_t lddw,
                                             float *db,
                                             const struct nablas_options *options);

/**
 * db ← the column sums of δ: δ [batch, outputs], db [outputs]. `options` may be NULL. db does not overlap δ.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sdense_vjp_bias(size_t batch,
                                          size_t outputs,
                                          const float *delta,
                                          size_t lddelta,
                                          float *db,
                                          const struct nablas_options *options);

/**
 * C ← α·op(A)·op(B) + β·C, all row-major: op(A) [m, k], op(B) [k, n], C [m, n].
 *
 * `transa` and `transb` are of `nablas_transpose`. β = 0 does not read C. `options` may be NULL. C overlaps neither A
 * nor B.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sgemm(int32_t transa,
                                int32_t transb,
                                size_t m,
                                size_t n,
                                size_t k,
                                float alpha,
                                const float *a,
                                size_t lda,
                                const float *b,
                                size_t ldb,
                                float beta,
                                float *c,
                                size_t ldc,
                                const struct nablas_options *options);

/**
 * a ← g(z), for `n` elements. `options` may be NULL. a does not overlap z.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sactivation(size_t n,
                                      int32_t activation,
                                      float parameter,
                                      const float *z,
                                      float *a,
                                      const struct nablas_options *options);

/**
 * a ← g(z) and d ← g'(z), for `n` elements. `options` may be NULL. Outputs overlap nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sactivation_and_derivative(size_t n,
                                                     int32_t activation,
                                                     float parameter,
                                                     const float *z,
                                                     float *a,
                                                     float *d,
                                                     const struct nablas_options *options);

/**
 * out ← g ⊙ g'(z), for `n` elements: the cotangent of z from the cotangent g of the value. `options` may be NULL. The
 * output overlaps nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sactivation_vjp(size_t n,
                                          int32_t activation,
                                          float parameter,
                                          const float *z,
                                          const float *g,
                                          float *out,
                                          const struct nablas_options *options);

/**
 * `*value` ← the loss of the outputs y [batch, outputs], and delta ← ∂L/∂y [batch, outputs].
 *
 * `loss` is of `nablas_loss`, `reduction` of `nablas_reduction`. Either `targets` [batch, outputs] or, for the softmax
 * cross-entropy, `classes` [batch] is given, the other NULL. `delta` (then nothing but the value is computed) and
 * `options` may be NULL. Outputs overlap nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sloss(size_t batch,
                                size_t outputs,
                                int32_t loss,
                                float parameter,
                                int32_t reduction,
                                const float *y,
                                size_t ldy,
                                const float *targets,
                                size_t ldtargets,
                                const uint32_t *classes,
                                float *value,
                                float *delta,
                                size_t lddelta,
                                const struct nablas_options *options);

/**
 * `*mlp` ← a network: `widths` [layers + 1] from the input on, `activations` [layers] of `nablas_activation`,
 * `parameters` [layers] of those activations that have one (NULL for 0.01, 6, 1, 1 in their order).
 *
 * Parameters and gradients of the network are one flat buffer: for each layer in order W [outputs, inputs], row-major
 * without padding, and then b [outputs].
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_smlp_create(size_t layers,
                                      const size_t *widths,
                                      const int32_t *activations,
                                      const float *parameters,
                                      struct nablas_smlp **mlp);

/**
 * Frees a network; NULL is nothing. Plans of it stay.
 *
 * `mlp` is NULL or a network that was not destroyed before.
 */
void nablas_smlp_destroy(struct nablas_smlp *mlp);

/**
 * `*length` ← the elements of the flat buffer of parameters, and of gradients.
 *
 * `mlp` is NULL or a network, `length` is NULL or writable.
 */
enum nablas_status nablas_smlp_param_len(const struct nablas_smlp *mlp, size_t *length);

/**
 * `*weights` and `*bias` ← where W and b of a layer start in the flat buffer, in elements; layers count from 0.
 *
 * `mlp` is NULL or a network, the others are NULL or writable.
 */
enum nablas_status nablas_smlp_offsets(const struct nablas_smlp *mlp,
                                       size_t layer,
                                       size_t *weights,
                                       size_t *bias);

/**
 * Fills the parameters [param_len]: `init` of `nablas_init`, `omega` for `NABLAS_INIT_SIREN`, and the gain of
 * `NABLAS_INIT_ORTHOGONAL`. The same seed gives the same numbers on every machine.
 *
 * `mlp` is NULL or a network, `params` NULL or valid for its operand.
 */
enum nablas_status nablas_smlp_init(const struct nablas_smlp *mlp,
                                    int32_t init,
                                    double omega,
                                    uint64_t seed,
                                    float *params);

/**
 * `*plan` ← how the calls of a network are done, for batches of at most `max_batch` rows. `options` (NULL for the
 * defaults) hold for every call of the plan.
 *
 * `mlp` is NULL or a network, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_splan_create(const struct nablas_smlp *mlp,
                                       size_t max_batch,
                                       const struct nablas_options *options,
                                       struct nablas_splan **plan);

/**
 * Frees a plan; NULL is nothing.
 *
 * `plan` is NULL or a plan that was not destroyed before, and no call uses it.
 */
void nablas_splan_destroy(struct nablas_splan *plan);

/**
 * Which path a plan chose, and why, in a sentence; NULL for NULL. Valid as long as the plan.
 *
 * `plan` is NULL or a plan.
 */
const char *nablas_splan_explain(const struct nablas_splan *plan);

/**
 * `*path` ← which path a plan chose, one of `nablas_path`; `nablas_path_name` has its name.
 *
 * `plan` is NULL or a plan, `path` is NULL or writable.
 */
enum nablas_status nablas_splan_path(const struct nablas_splan *plan, int32_t *path);

/**
 * `*bytes` ← the bytes of a workspace of the plan. The memory may have any alignment.
 *
 * `plan` is NULL or a plan, `bytes` is NULL or writable.
 */
enum nablas_status nablas_splan_workspace_size(const struct nablas_splan *plan, size_t *bytes);

/**
 * Makes a workspace of the caller's memory, for this plan at this address. Until the last call in it, nothing else may
 * write there. Between calls it holds nothing.
 *
 * `plan` is NULL or a plan, `work` NULL or writable over `work_bytes` bytes.
 */
enum nablas_status nablas_splan_workspace_init(const struct nablas_splan *plan,
                                               void *work,
                                               size_t work_bytes);

/**
 * `*bytes` ← the bytes of the state that a `forward` of at most `batch` rows leaves for its `backward`. The memory may have
 * any alignment.
 *
 * `plan` is NULL or a plan, `bytes` is NULL or writable.
 */
enum nablas_status nablas_splan_kept_bytes(const struct nablas_splan *plan,
                                           size_t batch,
                                           size_t *bytes);

/**
 * Makes room for the state of a `forward` of at most `batch` rows of the caller's memory, for this plan at this address.
 * Until the last call with it, nothing else may write there. Any number of states may be alive.
 *
 * `plan` is NULL or a plan, `kept` NULL or writable over `kept_bytes` bytes.
 */
enum nablas_status nablas_splan_kept_init(const struct nablas_splan *plan,
                                          size_t batch,
                                          void *kept,
                                          size_t kept_bytes);

/**
 * Y ← the outputs [batch, n_L] of the inputs X [batch, n_0]; what `backward` needs goes to `kept`, in place of what was
 * there. `kept` may be NULL, to leave nothing. Outputs overlap nothing.
 *
 * `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_splan_forward(const struct nablas_splan *plan,
                                        size_t batch,
                                        const float *params,
                                        const float *x,
                                        size_t ldx,
                                        float *y,
                                        size_t ldy,
                                        void *kept,
                                        size_t kept_bytes,
                                        void *work,
                                        size_t work_bytes);

/**
 * grads ← dW and db of every layer (sums over the batch), laid out as the parameters, and dX ← ∂L/∂X [batch, n_0], from
 * dY = ∂L/∂Y [batch, n_L].
 *
 * Parameters and X are those of the `forward` that left `kept`, which stays, for any number of calls, several at once
 * too. `dx` may be NULL. Outputs overlap nothing.
 *
 * `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_splan_backward(const struct nablas_splan *plan,
                                         size_t batch,
                                         const float *params,
                                         const float *x,
                                         size_t ldx,
                                         const float *dy,
                                         size_t lddy,
                                         float *grads,
                                         float *dx,
                                         size_t lddx,
                                         void *kept,
                                         size_t kept_bytes,
                                         void *work,
                                         size_t work_bytes);

/**
 * `forward` and `backward` in one pass, that keeps a tile of the batch at a time. `y` and `dx` may be NULL. Outputs
 * overlap nothing.
 *
 * `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_splan_vjp(const struct nablas_splan *plan,
                                    size_t batch,
                                    const float *params,
                                    const float *x,
                                    size_t ldx,
                                    const float *dy,
                                    size_t lddy,
                                    float *y,
                                    size_t ldy,
                                    float *grads,
                                    float *dx,
                                    size_t lddx,
                                    void *work,
                                    size_t work_bytes);

/**
 * `*value` ← the loss of the outputs, and grads ← its gradient: dW and db of every layer, laid out as the parameters.
 *
 * The loss as for `loss`: either `targets` [batch, n_L] or `classes` [batch] is given, the other NULL. Outputs overlap
 * nothing.
 *
 * `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_splan_value_and_grad(const struct nablas_splan *plan,
                                               size_t batch,
                                               const float *params,
                                               const float *x,
                                               size_t ldx,
                                               int32_t loss,
                                               float parameter,
                                               int32_t reduction,
                                               const float *targets,
                                               size_t ldtargets,
                                               const uint32_t *classes,
                                               float *value,
                                               float *grads,
                                               void *work,
                                               size_t work_bytes);

/**
 * One step of training: `*value` ← the loss, grads ← its gradient, clipped; then params [param_len] are moved by the
 * optimizer, which was made for as many.
 *
 * The loss as for `loss`: either `targets` [batch, n_L] or `classes` [batch] is given, the other NULL. With `max_norm` above
 * 0, the gradient is made no longer than that, and `*norm` ← its norm before (if `norm` is NULL, nothing tells of what follows); if that is infinite or NaN,
 * neither parameters nor optimizer change. INFINITY only measures; with 0 nothing is measured or clipped, and `*norm` stays as it
 * was. The numbers are those of `value_and_grad`, `clip_by_global_norm` and `step` one after another. On the plan's threads and
 * instruction set. Outputs overlap nothing.
 *
 * `plan` is NULL or a plan, `optimizer` NULL or an optimizer, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_splan_train_step(const struct nablas_splan *plan,
                                           size_t batch,
                                           float *params,
                                           const float *x,
                                           size_t ldx,
                                           int32_t loss,
                                           float parameter,
                                           int32_t reduction,
                                           const float *targets,
                                           size_t ldtargets,
                                           const uint32_t *classes,
                                           double max_norm,
                                           struct nablas_soptimizer *optimizer,
                                           float *value,
                                           double *norm,
                                           float *grads,
                                           void *work,
                                           size_t work_bytes);

/**
 * grads [length] ← grads·min(1, max_norm/‖grads‖), and `*norm` ← ‖grads‖ before that, in double; `norm` may be NULL.
 *
 * `max_norm` is above 0; INFINITY only measures. If the norm is infinite or NaN, grads stay as they are. The same numbers on any
 * number of threads and any instruction set. `options` may be NULL; they choose the instruction set.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sclip_by_global_norm(size_t length,
                                               float *grads,
                                               double max_norm,
                                               double *norm,
                                               const struct nablas_options *options);

/**
 * `*optimizer` ← stochastic gradient descent of `length` parameters: v ← μ·v + (g + λ·p); p ← p − η·v, with Nesterov's
 * look ahead if `nesterov` is not 0. `options` may be NULL.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_ssgd_create(size_t length,
                                      double rate,
                                      double momentum,
                                      int32_t nesterov,
                                      double decay,
                                      const struct nablas_options *options,
                                      struct nablas_soptimizer **optimizer);

/**
 * `*optimizer` ← Adam of `length` parameters (Kingma, Ba 2014); the decay is added to the gradient. Usual numbers:
 * β₁ = 0.9, β₂ = 0.999, ε = 1e-8, decay 0. `options` may be NULL.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sadam_create(size_t length,
                                       double rate,
                                       double beta1,
                                       double beta2,
                                       double epsilon,
                                       double decay,
                                       const struct nablas_options *options,
                                       struct nablas_soptimizer **optimizer);

/**
 * `*optimizer` ← AdamW of `length` parameters (Loshchilov, Hutter 2017): as Adam, but the decay is its own. Usual
 * decay: 0.01.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_sadamw_create(size_t length,
                                        double rate,
                                        double beta1,
                                        double beta2,
                                        double epsilon,
                                        double decay,
                                        const struct nablas_options *options,
                                        struct nablas_soptimizer **optimizer);

/**
 * Frees an optimizer; NULL is nothing.
 *
 * `optimizer` is NULL or an optimizer that was not destroyed before, and no call uses it.
 */
void nablas_soptimizer_destroy(struct nablas_soptimizer *optimizer);

/**
 * One step: params [length] from grads [length]. They do not overlap.
 *
 * `optimizer` is NULL or an optimizer, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_soptimizer_step(struct nablas_soptimizer *optimizer,
                                          float *params,
                                          const float *grads);

/**
 * Sets the learning rate of the steps to come.
 *
 * `optimizer` is NULL or an optimizer.
 */
enum nablas_status nablas_soptimizer_set_rate(struct nablas_soptimizer *optimizer, double rate);

/**
 * A ← g(X·Wᵀ + b): X [batch, inputs], W [outputs, inputs], b [outputs], A [batch, outputs].
 *
 * `bias` may be NULL. What the backward calls will need is saved if asked for, as `nablas_activation_saved` says: in
 * `saved` [batch, outputs] or in `mask` (`nablas_mask_bytes(batch, outputs)` bytes), the other NULL; both NULL to save
 * nothing. `options` may be NULL. Outputs overlap nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_ddense_forward(size_t batch,
                                         size_t inputs,
                                         size_t outputs,
                                         const double *x,
                                         size_t ldx,
                                         const double *w,
                                         size_t ldw,
                                         const double *bias,
                                         int32_t activation,
                                         double parameter,
                                         double *a,
                                         size_t lda,
                                         double *saved,
                                         size_t ldsaved,
                                         uint8_t *mask,
                                         const struct nablas_options *options);

/**
 * δ' ← (δ·W) ⊙ g'(Z'), and db' ← the column sums of δ': δ [batch, outputs], W [outputs, inputs], δ' [batch, inputs],
 * db' [inputs].
 *
 * `activation` is g of the layer below, and `saved` [batch, inputs] or `mask` what that layer's forward call saved (for
 * `NABLAS_ACTIVATION_EXP` its output), the other NULL; `NABLAS_ACTIVATION_IDENTITY` and both NULL give dX. `db` and
 * `options` may be NULL. Outputs overlap nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_ddense_vjp_input(size_t batch,
                                           size_t inputs,
                                           size_t outputs,
                                           const double *delta,
                                           size_t lddelta,
                                           const double *w,
                                           size_t ldw,
                                           int32_t activation,
                                           double parameter,
                                           const double *saved,
                                           size_t ldsaved,
                                           const uint8_t *mask,
                                           double *out,
                                           size_t ldout,
                                           double *db,
                                           const struct nablas_options *options);

/**
 * dW ← δᵀ·A, or dW + δᵀ·A if `accumulate` is not 0; db ← the column sums of δ: δ [batch, outputs], A [batch, inputs],
 * dW [outputs, inputs], db [outputs]. Sums over the batch.
 *
 * `db` and `options` may be NULL. Outputs overlap nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_ddense_vjp_weights(size_t batch,
                                             size_t inputs,
                                             size_t outputs,
                                             const double *delta,
                                             size_t lddelta,
                                             const double *a,
                                             size_t lda,
                                             int32_t accumulate,
                                             double *dw,
                                             size_t lddw,
                                             double *db,
                                             const struct nablas_options *options);

/**
 * db ← the column sums of δ: δ [batch, outputs], db [outputs]. `options` may be NULL. db does not overlap δ.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_ddense_vjp_bias(size_t batch,
                                          size_t outputs,
                                          const double *delta,
                                          size_t lddelta,
                                          double *db,
                                          const struct nablas_options *options);

/**
 * C ← α·op(A)·op(B) + β·C, all row-major: op(A) [m, k], op(B) [k, n], C [m, n].
 *
 * `transa` and `transb` are of `nablas_transpose`. β = 0 does not read C. `options` may be NULL. C overlaps neither A
 * nor B.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_dgemm(int32_t transa,
                                int32_t transb,
                                size_t m,
                                size_t n,
                                size_t k,
                                double alpha,
                                const double *a,
                                size_t lda,
                                const double *b,
                                size_t ldb,
                                double beta,
                                double *c,
                                size_t ldc,
                                const struct nablas_options *options);

/**
 * a ← g(z), for `n` elements. `options` may be NULL. a does not overlap z.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_dactivation(size_t n,
                                      int32_t activation,
                                      double parameter,
                                      const double *z,
                                      double *a,
                                      const struct nablas_options *options);

/**
 * a ← g(z) and d ← g'(z), for `n` elements. `options` may be NULL. Outputs overlap nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_dactivation_and_derivative(size_t n,
                                                     int32_t activation,
                                                     double parameter,
                                                     const double *z,
                                                     double *a,
                                                     double *d,
                                                     const struct nablas_options *options);

/**
 * out ← g ⊙ g'(z), for `n` elements: the cotangent of z from the cotangent g of the value. `options` may be NULL. The
 * output overlaps nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_dactivation_vjp(size_t n,
                                          int32_t activation,
                                          double parameter,
                                          const double *z,
                                          const double *g,
                                          double *out,
                                          const struct nablas_options *options);

/**
 * `*value` ← the loss of the outputs y [batch, outputs], and delta ← ∂L/∂y [batch, outputs].
 *
 * `loss` is of `nablas_loss`, `reduction` of `nablas_reduction`. Either `targets` [batch, outputs] or, for the softmax
 * cross-entropy, `classes` [batch] is given, the other NULL. `delta` (then nothing but the value is computed) and
 * `options` may be NULL. Outputs overlap nothing.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_dloss(size_t batch,
                                size_t outputs,
                                int32_t loss,
                                double parameter,
                                int32_t reduction,
                                const double *y,
                                size_t ldy,
                                const double *targets,
                                size_t ldtargets,
                                const uint32_t *classes,
                                double *value,
                                double *delta,
                                size_t lddelta,
                                const struct nablas_options *options);

/**
 * `*mlp` ← a network: `widths` [layers + 1] from the input on, `activations` [layers] of `nablas_activation`,
 * `parameters` [layers] of those activations that have one (NULL for 0.01, 6, 1, 1 in their order).
 *
 * Parameters and gradients of the network are one flat buffer: for each layer in order W [outputs, inputs], row-major
 * without padding, and then b [outputs].
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_dmlp_create(size_t layers,
                                      const size_t *widths,
                                      const int32_t *activations,
                                      const double *parameters,
                                      struct nablas_dmlp **mlp);

/**
 * Frees a network; NULL is nothing. Plans of it stay.
 *
 * `mlp` is NULL or a network that was not destroyed before.
 */
void nablas_dmlp_destroy(struct nablas_dmlp *mlp);

/**
 * `*length` ← the elements of the flat buffer of parameters, and of gradients.
 *
 * `mlp` is NULL or a network, `length` is NULL or writable.
 */
enum nablas_status nablas_dmlp_param_len(const struct nablas_dmlp *mlp, size_t *length);

/**
 * `*weights` and `*bias` ← where W and b of a layer start in the flat buffer, in elements; layers count from 0.
 *
 * `mlp` is NULL or a network, the others are NULL or writable.
 */
enum nablas_status nablas_dmlp_offsets(const struct nablas_dmlp *mlp,
                                       size_t layer,
                                       size_t *weights,
                                       size_t *bias);

/**
 * Fills the parameters [param_len]: `init` of `nablas_init`, `omega` for `NABLAS_INIT_SIREN`, and the gain of
 * `NABLAS_INIT_ORTHOGONAL`. The same seed gives the same numbers on every machine.
 *
 * `mlp` is NULL or a network, `params` NULL or valid for its operand.
 */
enum nablas_status nablas_dmlp_init(const struct nablas_dmlp *mlp,
                                    int32_t init,
                                    double omega,
                                    uint64_t seed,
                                    double *params);

/**
 * `*plan` ← how the calls of a network are done, for batches of at most `max_batch` rows. `options` (NULL for the
 * defaults) hold for every call of the plan.
 *
 * `mlp` is NULL or a network, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_dplan_create(const struct nablas_dmlp *mlp,
                                       size_t max_batch,
                                       const struct nablas_options *options,
                                       struct nablas_dplan **plan);

/**
 * Frees a plan; NULL is nothing.
 *
 * `plan` is NULL or a plan that was not destroyed before, and no call uses it.
 */
void nablas_dplan_destroy(struct nablas_dplan *plan);

/**
 * Which path a plan chose, and why, in a sentence; NULL for NULL. Valid as long as the plan.
 *
 * `plan` is NULL or a plan.
 */
const char *nablas_dplan_explain(const struct nablas_dplan *plan);

/**
 * `*path` ← which path a plan chose, one of `nablas_path`; `nablas_path_name` has its name.
 *
 * `plan` is NULL or a plan, `path` is NULL or writable.
 */
enum nablas_status nablas_dplan_path(const struct nablas_dplan *plan, int32_t *path);

/**
 * `*bytes` ← the bytes of a workspace of the plan. The memory may have any alignment.
 *
 * `plan` is NULL or a plan, `bytes` is NULL or writable.
 */
enum nablas_status nablas_dplan_workspace_size(const struct nablas_dplan *plan, size_t *bytes);

/**
 * Makes a workspace of the caller's memory, for this plan at this address. Until the last call in it, nothing else may
 * write there. Between calls it holds nothing.
 *
 * `plan` is NULL or a plan, `work` NULL or writable over `work_bytes` bytes.
 */
enum nablas_status nablas_dplan_workspace_init(const struct nablas_dplan *plan,
                                               void *work,
                                               size_t work_bytes);

/**
 * `*bytes` ← the bytes of the state that a `forward` of at most `batch` rows leaves for its `backward`. The memory may have
 * any alignment.
 *
 * `plan` is NULL or a plan, `bytes` is NULL or writable.
 */
enum nablas_status nablas_dplan_kept_bytes(const struct nablas_dplan *plan,
                                           size_t batch,
                                           size_t *bytes);

/**
 * Makes room for the state of a `forward` of at most `batch` rows of the caller's memory, for this plan at this address.
 * Until the last call with it, nothing else may write there. Any number of states may be alive.
 *
 * `plan` is NULL or a plan, `kept` NULL or writable over `kept_bytes` bytes.
 */
enum nablas_status nablas_dplan_kept_init(const struct nablas_dplan *plan,
                                          size_t batch,
                                          void *kept,
                                          size_t kept_bytes);

/**
 * Y ← the outputs [batch, n_L] of the inputs X [batch, n_0]; what `backward` needs goes to `kept`, in place of what was
 * there. `kept` may be NULL, to leave nothing. Outputs overlap nothing.
 *
 * `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_dplan_forward(const struct nablas_dplan *plan,
                                        size_t batch,
                                        const double *params,
                                        const double *x,
                                        size_t ldx,
                                        double *y,
                                        size_t ldy,
                                        void *kept,
                                        size_t kept_bytes,
                                        void *work,
                                        size_t work_bytes);

/**
 * grads ← dW and db of every layer (sums over the batch), laid out as the parameters, and dX ← ∂L/∂X [batch, n_0], from
 * dY = ∂L/∂Y [batch, n_L].
 *
 * Parameters and X are those of the `forward` that left `kept`, which stays, for any number of calls, several at once
 * too. `dx` may be NULL. Outputs overlap nothing.
 *
 * `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_dplan_backward(const struct nablas_dplan *plan,
                                         size_t batch,
                                         const double *params,
                                         const double *x,
                                         size_t ldx,
                                         const double *dy,
                                         size_t lddy,
                                         double *grads,
                                         double *dx,
                                         size_t lddx,
                                         void *kept,
                                         size_t kept_bytes,
                                         void *work,
                                         size_t work_bytes);

/**
 * `forward` and `backward` in one pass, that keeps a tile of the batch at a time. `y` and `dx` may be NULL. Outputs
 * overlap nothing.
 *
 * `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_dplan_vjp(const struct nablas_dplan *plan,
                                    size_t batch,
                                    const double *params,
                                    const double *x,
                                    size_t ldx,
                                    const double *dy,
                                    size_t lddy,
                                    double *y,
                                    size_t ldy,
                                    double *grads,
                                    double *dx,
                                    size_t lddx,
                                    void *work,
                                    size_t work_bytes);

/**
 * `*value` ← the loss of the outputs, and grads ← its gradient: dW and db of every layer, laid out as the parameters.
 *
 * The loss as for `loss`: either `targets` [batch, n_L] or `classes` [batch] is given, the other NULL. Outputs overlap
 * nothing.
 *
 * `plan` is NULL or a plan, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_dplan_value_and_grad(const struct nablas_dplan *plan,
                                               size_t batch,
                                               const double *params,
                                               const double *x,
                                               size_t ldx,
                                               int32_t loss,
                                               double parameter,
                                               int32_t reduction,
                                               const double *targets,
                                               size_t ldtargets,
                                               const uint32_t *classes,
                                               double *value,
                                               double *grads,
                                               void *work,
                                               size_t work_bytes);

/**
 * One step of training: `*value` ← the loss, grads ← its gradient, clipped; then params [param_len] are moved by the
 * optimizer, which was made for as many.
 *
 * The loss as for `loss`: either `targets` [batch, n_L] or `classes` [batch] is given, the other NULL. With `max_norm` above
 * 0, the gradient is made no longer than that, and `*norm` ← its norm before (if `norm` is NULL, nothing tells of what follows); if that is infinite or NaN,
 * neither parameters nor optimizer change. INFINITY only measures; with 0 nothing is measured or clipped, and `*norm` stays as it
 * was. The numbers are those of `value_and_grad`, `clip_by_global_norm` and `step` one after another. On the plan's threads and
 * instruction set. Outputs overlap nothing.
 *
 * `plan` is NULL or a plan, `optimizer` NULL or an optimizer, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_dplan_train_step(const struct nablas_dplan *plan,
                                           size_t batch,
                                           double *params,
                                           const double *x,
                                           size_t ldx,
                                           int32_t loss,
                                           double parameter,
                                           int32_t reduction,
                                           const double *targets,
                                           size_t ldtargets,
                                           const uint32_t *classes,
                                           double max_norm,
                                           struct nablas_doptimizer *optimizer,
                                           double *value,
                                           double *norm,
                                           double *grads,
                                           void *work,
                                           size_t work_bytes);

/**
 * grads [length] ← grads·min(1, max_norm/‖grads‖), and `*norm` ← ‖grads‖ before that, in double; `norm` may be NULL.
 *
 * `max_norm` is above 0; INFINITY only measures. If the norm is infinite or NaN, grads stay as they are. The same numbers on any
 * number of threads and any instruction set. `options` may be NULL; they choose the instruction set.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_dclip_by_global_norm(size_t length,
                                               double *grads,
                                               double max_norm,
                                               double *norm,
                                               const struct nablas_options *options);

/**
 * `*optimizer` ← stochastic gradient descent of `length` parameters: v ← μ·v + (g + λ·p); p ← p − η·v, with Nesterov's
 * look ahead if `nesterov` is not 0. `options` may be NULL.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_dsgd_create(size_t length,
                                      double rate,
                                      double momentum,
                                      int32_t nesterov,
                                      double decay,
                                      const struct nablas_options *options,
                                      struct nablas_doptimizer **optimizer);

/**
 * `*optimizer` ← Adam of `length` parameters (Kingma, Ba 2014); the decay is added to the gradient. Usual numbers:
 * β₁ = 0.9, β₂ = 0.999, ε = 1e-8, decay 0. `options` may be NULL.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_dadam_create(size_t length,
                                       double rate,
                                       double beta1,
                                       double beta2,
                                       double epsilon,
                                       double decay,
                                       const struct nablas_options *options,
                                       struct nablas_doptimizer **optimizer);

/**
 * `*optimizer` ← AdamW of `length` parameters (Loshchilov, Hutter 2017): as Adam, but the decay is its own. Usual
 * decay: 0.01.
 *
 * Each pointer is NULL or valid for its operand.
 */
enum nablas_status nablas_dadamw_create(size_t length,
                                        double rate,
                                        double beta1,
                                        double beta2,
                                        double epsilon,
                                        double decay,
                                        const struct nablas_options *options,
                                        struct nablas_doptimizer **optimizer);

/**
 * Frees an optimizer; NULL is nothing.
 *
 * `optimizer` is NULL or an optimizer that was not destroyed before, and no call uses it.
 */
void nablas_doptimizer_destroy(struct nablas_doptimizer *optimizer);

/**
 * One step: params [length] from grads [length]. They do not overlap.
 *
 * `optimizer` is NULL or an optimizer, the other pointers are NULL or valid for their operands.
 */
enum nablas_status nablas_doptimizer_step(struct nablas_doptimizer *optimizer,
                                          double *params,
                                          const double *grads);

/**
 * Sets the learning rate of the steps to come.
 *
 * `optimizer` is NULL or an optimizer.
 */
enum nablas_status nablas_doptimizer_set_rate(struct nablas_doptimizer *optimizer, double rate);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NABLAS_H */
