/*
 * What only a C program shows: calls from several threads at once, while and after a process forks, and in a process whose
 * teams a fork left behind. Every result must have the bits of one thread's.
 */
#define _GNU_SOURCE
#include <nablas.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 4000, INPUTS = 64, HIDDEN = 96, OUTPUTS = 10, THREADS = 6 };

#define CHECK(call)                                                                                                    \
  do {                                                                                                                 \
    nablas_status status_ = (call);                                                                                    \
    if (status_ != NABLAS_STATUS_OK) {                                                                                 \
      fprintf(stderr, "%d: %s: %s\n", __LINE__, nablas_status_name(status_), nablas_last_error());                     \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

#define EXPECT(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%d: not so: %s\n", __LINE__, #condition);                                                       \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

static float x[BATCH * INPUTS], w[HIDDEN * INPUTS];
static uint32_t classes[BATCH];
static nablas_smlp *mlp;
static size_t length;
static float *params;

static nablas_team *team;

/* So many threads at most: of the team of the process, or of ours. */
static nablas_options bring(size_t threads, const nablas_team *members) {
  nablas_options options = NABLAS_OPTIONS_INIT;
  options.threads = threads;
  options.team = members;
  return options;
}

/* A step of the network; the gradient, to be freed. */
static float *step(nablas_options options) {
  nablas_splan *plan;
  size_t bytes;
  CHECK(nablas_splan_create(mlp, BATCH, &options, &plan));
  CHECK(nablas_splan_workspace_size(plan, &bytes));
  void *work = malloc(bytes);
  float *grads = malloc(length * sizeof(float)), loss;
  CHECK(nablas_splan_workspace_init(plan, work, bytes));
  CHECK(nablas_splan_value_and_grad(plan, BATCH, params, x, INPUTS, NABLAS_LOSS_SOFTMAX_CROSS_ENTROPY, 0.0f,
                                    NABLAS_REDUCTION_SUM, NULL, 0, classes, &loss, grads, work, bytes));
  free(work);
  nablas_splan_destroy(plan);
  return grads;
}

/* A dense layer; its output, to be freed. */
static float *layer(nablas_options options) {
  float *a = malloc(BATCH * HIDDEN * sizeof(float));
  CHECK(nablas_sdense_forward(BATCH, INPUTS, HIDDEN, x, INPUTS, w, INPUTS, NULL, NABLAS_ACTIVATION_GELU, 0.0f, a, HIDDEN,
                              NULL, HIDDEN, NULL, &options));
  return a;
}

static float *right_grads, *right_layer;

static void compare(size_t threads) {
  const nablas_team *teams[] = {NULL, team};
  for (int i = 0; i < 2; i++) {
    float *grads = step(bring(threads, teams[i])), *a = layer(bring(threads, teams[i]));
    EXPECT(memcmp(grads, right_grads, length * sizeof(float)) == 0);
    EXPECT(memcmp(a, right_layer, BATCH * HIDDEN * sizeof(float)) == 0);
    free(grads);
    free(a);
  }
}

static void *thread(void *argument) {
  size_t threads = (size_t)argument;
  for (int i = 0; i < 4; i++)
    compare(1 + (threads + (size_t)i) % 4);
  EXPECT(nablas_check_isa(1000 + (int)threads) == NABLAS_STATUS_UNKNOWN);
  char expected[32];
  snprintf(expected, sizeof expected, "%d is none", 1000 + (int)threads);
  EXPECT(strstr(nablas_last_error(), expected) != NULL);
  return NULL;
}

static void threads_at_once(void) {
  pthread_t threads[THREADS];
  for (size_t i = 0; i < THREADS; i++)
    EXPECT(pthread_create(&threads[i], NULL, thread, (void *)i) == 0);
  for (size_t i = 0; i < THREADS; i++)
    EXPECT(pthread_join(threads[i], NULL) == 0);
}

static void wait_for(pid_t child) {
  int status;
  EXPECT(waitpid(child, &status, 0) == child);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The child of a fork, and its child, must get on without the parent's threads. */
static void fork_and_compare(int generations) {
  fflush(NULL);
  pid_t child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    alarm(120);
    compare(2);
    threads_at_once();
    if (generations > 1)
      fork_and_compare(generations - 1);
    _exit(0);
  }
  wait_for(child);
}

#ifndef __SANITIZE_ADDRESS__ /* its allocator may be left locked by a fork */
/* Forks while other threads call: the members of both teams are in the midst of it. */
static volatile int over;

static void *calling(void *nothing) {
  while (!over)
    compare(0);
  return nothing;
}

static void fork_during_calls(void) {
  pthread_t threads[2];
  over = 0;
  for (int i = 0; i < 2; i++)
    EXPECT(pthread_create(&threads[i], NULL, calling, NULL) == 0);
  for (int i = 0; i < 20; i++)
    fork_and_compare(1);
  over = 1;
  for (int i = 0; i < 2; i++)
    EXPECT(pthread_join(threads[i], NULL) == 0);
}

/* A fork while another thread is in its first call: what is made or asked once there must be had in the child. */
static void *first_call(void *nothing) {
  free(layer(bring(2, NULL)));
  EXPECT(nablas_get_config()->processors > 0 && nablas_get_num_threads() > 0);
  return nothing;
}

static void fork_in_a_first_call(void) {
  for (unsigned i = 0; i < 60; i++) {
    fflush(NULL);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
      pthread_t other;
      EXPECT(pthread_create(&other, NULL, first_call, NULL) == 0);
      usleep(i * 10);
      pid_t grandchild = fork();
      EXPECT(grandchild >= 0);
      alarm(60);
      if (grandchild == 0) {
        first_call(NULL);
        _exit(0);
      }
      wait_for(grandchild);
      EXPECT(pthread_join(other, NULL) == 0);
      _exit(0);
    }
    wait_for(child);
  }
}
#endif

#ifdef __linux__
/* A child with the number of its parent: each is the first process of a namespace. Where the system lets us. */
static void fork_to_the_same_number(void) {
  fflush(NULL);
  pid_t outside = fork();
  EXPECT(outside >= 0);
  if (outside == 0) {
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
      puts("process numbers that repeat: not tried, no namespaces to be had");
      fflush(NULL);
      _exit(0);
    }
    pid_t parent = fork();
    EXPECT(parent >= 0);
    if (parent == 0) {
      EXPECT(getpid() == 1);
      alarm(120);
      compare(2);
      EXPECT(unshare(CLONE_NEWPID) == 0);
      pid_t child = fork();
      EXPECT(child >= 0);
      if (child == 0) {
        EXPECT(getpid() == 1);
        alarm(60);
        compare(2);
        _exit(0);
      }
      wait_for(child);
      _exit(0);
    }
    wait_for(parent);
    _exit(0);
  }
  wait_for(outside);
}
#endif

/* The first process of a namespace ignores what it has no handler for. */
static void too_long(int number) {
  static const char words[] = "process: took too long\n";
  (void)number;
  if (write(2, words, sizeof words - 1)) {
  }
  _exit(1);
}

int main(void) {
  signal(SIGALRM, too_long);
  alarm(300);
  for (size_t i = 0; i < BATCH * INPUTS; i++)
    x[i] = (float)((i * 7919u) % 1009u) / 1009.0f - 0.5f;
  for (size_t i = 0; i < HIDDEN * INPUTS; i++)
    w[i] = (float)((i * 104729u) % 997u) / 997.0f - 0.5f;
  for (uint32_t i = 0; i < BATCH; i++)
    classes[i] = i % OUTPUTS;
#ifndef __SANITIZE_ADDRESS__
  fork_in_a_first_call();
#endif
  const size_t widths[] = {INPUTS, HIDDEN, OUTPUTS};
  const int32_t activations[] = {NABLAS_ACTIVATION_TANH, NABLAS_ACTIVATION_IDENTITY};
  CHECK(nablas_smlp_create(2, widths, activations, NULL, &mlp));
  CHECK(nablas_smlp_param_len(mlp, &length));
  params = malloc(length * sizeof(float));
  CHECK(nablas_smlp_init(mlp, NABLAS_INIT_XAVIER_UNIFORM, 0.0, 7, params));
  right_grads = step(bring(1, NULL));
  right_layer = layer(bring(1, NULL));

  fork_and_compare(1); /* before any team */
  CHECK(nablas_team_create(3, NULL, 0, 100, 1, &team));
  EXPECT(nablas_team_threads(team) == 3);
  compare(2);
  threads_at_once();
  fork_and_compare(2); /* with members that do not survive */
  compare(2);
#ifndef __SANITIZE_ADDRESS__
  fork_during_calls();
#endif
#ifdef __linux__
  fork_to_the_same_number();
#endif

  CHECK(nablas_set_num_threads(3));
  EXPECT(nablas_get_num_threads() == 3);
  compare(0);
  CHECK(nablas_set_num_threads(0));

  nablas_team_destroy(team);

  free(right_layer);
  free(right_grads);
  free(params);
  nablas_smlp_destroy(mlp);
  nablas_release_scratch();
  puts("threads and forks: passed");
  return 0;
}
