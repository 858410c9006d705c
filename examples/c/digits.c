/*
 * Trains 64 -> 128 -> 64 -> 10 on handwritten digits: softmax cross-entropy, AdamW.
 *
 *   zcat data/digits.csv.gz > digits.csv
 *   gcc -O2 examples/c/digits.c $(pkg-config --cflags --libs nablas) -o digits && ./digits digits.csv
 */
#include <nablas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIXELS = 64, CLASSES = 10, BATCH = 32, LAYERS = 3 };

typedef struct {
  size_t count;
  float *images; /* [count, PIXELS], each pixel in 0..1 */
  uint32_t *classes;
} samples;

/* Ends the program if a call of nablas failed. */
static void check(nablas_status status, const char *call) {
  if (status != NABLAS_STATUS_OK) {
    fprintf(stderr, "%s: %s: %s\n", call, nablas_status_name(status), nablas_last_error());
    exit(EXIT_FAILURE);
  }
}
#define CHECK(call) check((call), #call)

static void *allocate(size_t bytes) {
  void *memory = malloc(bytes);
  if (memory == NULL) {
    fprintf(stderr, "out of memory: %zu bytes\n", bytes);
    exit(EXIT_FAILURE);
  }
  return memory;
}

/* Reads rows of 64 pixel counts (0..16) and a class (0..9). */
static samples read_samples(const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) {
    perror(path);
    exit(EXIT_FAILURE);
  }
  const size_t room = 100000;
  samples s = {0, allocate(room * PIXELS * sizeof(float)), allocate(room * sizeof(uint32_t))};
  char line[1024];
  while (fgets(line, sizeof line, file) != NULL) {
    if (s.count == room) {
      fprintf(stderr, "%s: more than %zu rows\n", path, room);
      exit(EXIT_FAILURE);
    }
    char *at = line;
    for (int i = 0; i <= PIXELS; i++) {
      char *end;
      long number = strtol(at, &end, 10);
      if (end == at || number < 0 || number > (i < PIXELS ? 16 : 9)) {
        fprintf(stderr, "%s, row %zu, column %d: no digit\n", path, s.count + 1, i + 1);
        exit(EXIT_FAILURE);
      }
      if (i < PIXELS)
        s.images[s.count * PIXELS + i] = (float)number / 16.0f;
      else
        s.classes[s.count] = (uint32_t)number;
      at = *end == ',' ? end + 1 : end;
    }
    s.count++;
  }
  fclose(file);
  return s;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static void shuffle(samples *s, uint64_t *state) {
  float row[PIXELS];
  for (size_t i = s->count; i > 1; i--) {
    size_t j = draw(state) % i;
    float *a = s->images + (i - 1) * PIXELS, *b = s->images + j * PIXELS;
    memcpy(row, a, sizeof row);
    memmove(a, b, sizeof row);
    memcpy(b, row, sizeof row);
    uint32_t class = s->classes[i - 1];
    s->classes[i - 1] = s->classes[j];
    s->classes[j] = class;
  }
}

static double accuracy(const nablas_splan *plan, const float *params, samples s, void *work, size_t bytes) {
  size_t right = 0;
  for (size_t start = 0; start < s.count; start += BATCH) {
    float y[BATCH * CLASSES];
    size_t rows = s.count - start < BATCH ? s.count - start : BATCH;
    CHECK(nablas_splan_forward(plan, rows, params, s.images + start * PIXELS, PIXELS, y, CLASSES, NULL, 0, work, bytes));
    for (size_t i = 0; i < rows; i++) {
      uint32_t best = 0;
      for (uint32_t c = 1; c < CLASSES; c++)
        if (y[i * CLASSES + c] > y[i * CLASSES + best])
          best = c;
      right += best == s.classes[start + i];
    }
  }
  return (double)right / (double)s.count;
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    fprintf(stderr, "usage: %s digits.csv [epochs]\n", argv[0]);
    return EXIT_FAILURE;
  }
  int epochs = argc == 3 ? atoi(argv[2]) : 30;
  samples all = read_samples(argv[1]);
  if (all.count < 10) {
    fprintf(stderr, "%s: too few rows\n", argv[1]);
    return EXIT_FAILURE;
  }
  uint64_t state = 1;
  shuffle(&all, &state);
  samples train = {all.count / 5 * 4, all.images, all.classes};
  samples test = {all.count - train.count, all.images + train.count * PIXELS, all.classes + train.count};

  const nablas_config *config = nablas_get_config();
  printf("nablas %s on %s: %s\n", config->version, config->isa, config->isa_reason);

  /* The network, and how it is run. */
  const size_t widths[LAYERS + 1] = {PIXELS, 128, 64, CLASSES};
  const int32_t activations[LAYERS] = {NABLAS_ACTIVATION_RELU, NABLAS_ACTIVATION_RELU, NABLAS_ACTIVATION_IDENTITY};
  nablas_smlp *mlp = NULL;
  nablas_splan *plan = NULL;
  nablas_soptimizer *adamw = NULL;
  size_t length, bytes;
  CHECK(nablas_smlp_create(LAYERS, widths, activations, NULL, &mlp));
  CHECK(nablas_splan_create(mlp, BATCH, NULL, &plan));
  CHECK(nablas_smlp_param_len(mlp, &length));
  CHECK(nablas_splan_workspace_size(plan, &bytes));
  CHECK(nablas_sadamw_create(length, 3e-3, 0.9, 0.999, 1e-8, 0.01, NULL, &adamw));
  printf("%s\n", nablas_splan_explain(plan));

  /* All memory is ours. */
  float *params = allocate(length * sizeof(float)), *grads = allocate(length * sizeof(float));
  void *work = allocate(bytes);
  CHECK(nablas_smlp_init(mlp, NABLAS_INIT_HE_NORMAL, 0.0, 1, params));
  CHECK(nablas_splan_workspace_init(plan, work, bytes));

  for (int epoch = 1; epoch <= epochs; epoch++) {
    shuffle(&train, &state);
    double total = 0.0;
    for (size_t start = 0; start < train.count; start += BATCH) {
      size_t rows = train.count - start < BATCH ? train.count - start : BATCH;
      float loss;
      CHECK(nablas_splan_value_and_grad(plan, rows, params, train.images + start * PIXELS, PIXELS,
                                        NABLAS_LOSS_SOFTMAX_CROSS_ENTROPY, 0.0f, NABLAS_REDUCTION_MEAN, NULL, 0,
                                        train.classes + start, &loss, grads, work, bytes));
      CHECK(nablas_soptimizer_step(adamw, params, grads));
      total += loss * (double)rows;
    }
    if (epoch % 10 == 0 || epoch == epochs)
      printf("epoch %d: loss %.4f\n", epoch, total / (double)train.count);
  }
  printf("test accuracy %.4f\n", accuracy(plan, params, test, work, bytes));

  nablas_soptimizer_destroy(adamw);
  nablas_splan_destroy(plan);
  nablas_smlp_destroy(mlp);
  free(work);
  free(grads);
  free(params);
  free(all.classes);
  free(all.images);
  return EXIT_SUCCESS;
}
