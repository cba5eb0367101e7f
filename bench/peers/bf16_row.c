/*
 * How fast this machine reads memory at all, and multiplies a row by a bf16 matrix, in C on two threads: the most that
 * decoding can do. 2 GiB of weights in large pages, rows of 2048. AVX2, or AVX-512 where the compiler may take it; with
 * prefetching by several distances, since the best differs from machine to machine.
 *
 *   cc -O3 -march=native -pthread bench/peers/bf16_row.c -o bf16_row && ./bf16_row
 */
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { THREADS = 2, WIDTH = 2048, ROUNDS = 8 };
#define BYTES (1L << 30) /* a thread's */

uint16_t *weights;
float x[WIDTH];
float *results;
int ahead; /* bytes */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void *read_all(void *id) {
  const char *from = (char *)weights + (long)id * BYTES;
  __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  for (long i = 0; i < BYTES; i += 128)
    for (int j = 0; j < 4; j++)
      sums[j] = _mm256_xor_si256(sums[j], _mm256_load_si256((void *)(from + i + 32 * j)));
  for (int j = 1; j < 4; j++) sums[0] = _mm256_xor_si256(sums[0], sums[j]);
  results[(long)id] = _mm256_cvtss_f32(_mm256_castsi256_ps(sums[0]));
  return NULL;
}

static float row_by_row(const uint16_t *w) {
#ifdef __AVX512F__
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int i = 0; i < WIDTH; i += 64) {
    if (ahead > 0)
      for (int j = 0; j < 128; j += 64) _mm_prefetch((const char *)(w + i) + ahead + j, _MM_HINT_T0);
    for (int j = 0; j < 2; j++) {
      /* Pairs of weights, taken apart: the order of the sums does not matter here, x is all ones. */
      __m512i pairs = _mm512_loadu_si512((void *)(w + i + 32 * j));
      __m512 first = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
      __m512 second = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(0xffff0000)));
      sums[2 * j] = _mm512_fmadd_ps(first, _mm512_loadu_ps(x + i + 32 * j), sums[2 * j]);
      sums[2 * j + 1] = _mm512_fmadd_ps(second, _mm512_loadu_ps(x + i + 32 * j + 16), sums[2 * j + 1]);
    }
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
#else
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int i = 0; i < WIDTH; i += 32) {
    if (ahead > 0) _mm_prefetch((const char *)(w + i) + ahead, _MM_HINT_T0);
    for (int j = 0; j < 4; j++) {
      __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((void *)(w + i + 8 * j)));
      __m256 value = _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
      sums[j] = _mm256_fmadd_ps(value, _mm256_loadu_ps(x + i + 8 * j), sums[j]);
    }
  }
  float parts[8];
  _mm256_storeu_ps(parts, _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
  float sum = 0;
  for (int i = 0; i < 8; i++) sum += parts[i];
  return sum;
#endif
}

static void *multiply(void *id) {
  const long rows = BYTES / 2 / WIDTH;
  const uint16_t *w = weights + (long)id * (BYTES / 2);
  for (long row = 0; row < rows; row++, w += WIDTH) results[(long)id * rows + row] = row_by_row(w);
  return NULL;
}

static void measure(const char *name, void *(*run)(void *)) {
  double best = 1e9;
  for (int round = 0; round < ROUNDS; round++) {
    pthread_t threads[THREADS];
    double start = now();
    for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, run, (void *)i);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    double seconds = now() - start;
    if (seconds < best) best = seconds;
  }
  printf("%s: %.1f GB/s\n", name, THREADS * BYTES / best / 1e9);
}

int main(void) {
  weights = aligned_alloc(1 << 21, THREADS * BYTES);
  madvise(weights, THREADS * BYTES, MADV_HUGEPAGE);
  results = malloc(sizeof(float) * THREADS * BYTES / 2 / WIDTH);
  for (long i = 0; i < THREADS * BYTES / 2; i++) weights[i] = 0x3f80 + (i & 7);
  for (int i = 0; i < WIDTH; i++) x[i] = 1;
  measure("reading", read_all);
  for (ahead = 0; ahead <= 4096; ahead = ahead == 0 ? 512 : 2 * ahead) {
    printf("%4d bytes ahead, ", ahead);
    measure("a row by a bf16 matrix", multiply);
  }
  printf("(%g)\n", results[0] + results[1]);
  return 0;
}
