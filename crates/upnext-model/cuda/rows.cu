// Kernels of a training step: rows of tables, sums of their gradients, dropout, clipping, AdamW, the best scores.
//
// Compiled three ways: by NVRTC at run time, by nvcc, and by g++ for tests on the host. No headers, no templates, no
// atomics and no warp intrinsics: that is what lets one source serve all three, and what makes equal inputs give equal
// bits. Each sum has one order, whatever the grid.
//
// An id or an index that is out of range reads zeros or is passed over: nothing outside an array is ever touched.
//
// Letters: n places, u rows, r rank, k length of a list.

typedef unsigned long long big;

static const unsigned NONE = 0xffffffffu;

// out (n, r): row ids[p] of table (rows, r), or zeros where there is no such row. A block a place at a time.
extern "C" __global__ void gather_rows(const float *__restrict__ table, const unsigned *__restrict__ ids,
                                       float *__restrict__ out, unsigned rows, unsigned n, unsigned r) {
    for (big p = blockIdx.x; p < n; p += gridDim.x) {
        const unsigned id = ids[p];
        for (unsigned c = threadIdx.x; c < r; c += blockDim.x)
            out[p * r + c] = id < rows ? table[(big)id * r + c] : 0.f;
    }
}

// out (u, r): row j is the sum of grads[order[s]] for s in starts[j] .. starts[j + 1], in that order.
extern "C" __global__ void segment_sum(const float *__restrict__ grads, const unsigned *__restrict__ order,
                                       const unsigned *__restrict__ starts, float *__restrict__ out, unsigned n,
                                       unsigned places, unsigned u, unsigned r) {
    for (big j = blockIdx.x; j < u; j += gridDim.x) {
        const unsigned from = starts[j], end = starts[j + 1], to = end < places ? end : places;
        for (unsigned c = threadIdx.x; c < r; c += blockDim.x) {
            float sum = 0.f;
            for (unsigned s = from; s < to; s++)
                if (order[s] < n) sum += grads[(big)order[s] * r + c];
            out[j * r + c] = sum;
        }
    }
}

// A bijection of 64 bits that scatters them (the finaliser of SplitMix64, Steele et al. 2014).
static __device__ big mix(big x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

// The factor of element `index` under a mask: the hash of upnext-kernels' dropout.rs, bit for bit.
static __device__ float kept(big key, big index, unsigned dropped, float scale) {
    const big seed = mix(key ^ mix(index >> 32));
    unsigned x = (unsigned)index * 0x9e3779b1u ^ (unsigned)seed;
    x = (x ^ (x >> 16)) * 0x7feb352du ^ (unsigned)(seed >> 32);
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    x ^= x >> 16;
    return x < dropped ? 0.f : scale;
}

// out (n, d) = x times the mask of token tokens[p], its element being token · d + column; zeros where there is none.
extern "C" __global__ void drop_tokens(const float *__restrict__ x, const unsigned *__restrict__ tokens,
                                       float *__restrict__ out, unsigned n, unsigned d, big key, unsigned dropped,
                                       float scale) {
    for (big p = blockIdx.x; p < n; p += gridDim.x) {
        const unsigned token = tokens[p];
        for (unsigned c = threadIdx.x; c < d; c += blockDim.x)
            out[p * d + c] = token == NONE ? 0.f : x[p * d + c] * kept(key, (big)token * d + c, dropped, scale);
    }
}

// out (b, h, t, t) = x times the masks of the histories[j], elements being head, query and key; zeros where there is
// no history. A block a query at a time.
extern "C" __global__ void drop_probabilities(const float *__restrict__ x, const unsigned *__restrict__ histories,
                                              float *__restrict__ out, unsigned b, unsigned h, unsigned t, big key,
                                              unsigned dropped, float scale) {
    const big rows = (big)b * h * t;
    for (big row = blockIdx.x; row < rows; row += gridDim.x) {
        const unsigned history = histories[row / ((big)h * t)];
        const big own = mix(key ^ mix((big)history + 0x9e3779b97f4a7c15ull));
        const big first = (row / t % h) << 56 | (row % t) << 32;
        for (unsigned c = threadIdx.x; c < t; c += blockDim.x)
            out[row * t + c] = history == NONE ? 0.f : x[row * t + c] * kept(own, first | c, dropped, scale);
    }
}

// The sum over a block's threads, in one order, for blocks of a power of two up to 256 threads; thread 0 has it.
static __device__ double block_sum(double own) {
    __shared__ double sums[256];
    const unsigned t = threadIdx.x;
    sums[t] = own;
    __syncthreads();
    for (unsigned w = blockDim.x / 2; w > 0; w /= 2) {
        if (t < w) sums[t] += sums[t + w];
        __syncthreads();
    }
    return sums[0];
}

// parts[block]: the sum of the squares of the block's own run of `share` values.
extern "C" __global__ void square_parts(const float *__restrict__ x, double *__restrict__ parts, big n, big share) {
    const big from = blockIdx.x * share, end = from + share, to = end < n ? end : n;
    double sum = 0.;
    for (big i = from + threadIdx.x; i < to; i += blockDim.x) sum += (double)x[i] * (double)x[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// out: [scale, flag, norm, loss]. A number that is not finite differs from itself when itself is taken from it.
extern "C" __global__ void control(const double *__restrict__ parts, const float *__restrict__ loss,
                                   float *__restrict__ out, big count, double clip) {
    double sum = 0.;
    for (big i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        const double norm = sqrt(sum);
        out[0] = norm > clip ? (float)(clip / norm) : 1.f;
        out[1] = sum - sum == 0. && *loss - *loss == 0.f ? 1.f : 0.f;
        out[2] = (float)norm;
        out[3] = *loss;
    }
}

// One value of AdamW, the roundings of the form for the CPU.
static __device__ void adam(float *value, float *m, float *v, float grad, float beta1, float beta2, float eps,
                            float keep, float step, float correction2) {
    *m = fmaf(*m, beta1, (1.f - beta1) * grad);
    *v = fmaf(*v, beta2, (1.f - beta2) * grad * grad);
    *value = fmaf(*value, keep, -(step * *m / (sqrtf(*v * correction2) + eps)));
}

// AdamW on all n values, unless control's flag is 0. keep = 1 - lr · weight_decay, step = lr / (1 - beta1^t),
// correction2 = 1 / (1 - beta2^t).
extern "C" __global__ void adam_all(float *__restrict__ values, float *__restrict__ m, float *__restrict__ v,
                                    const float *__restrict__ grads, const float *__restrict__ control, big n,
                                    float beta1, float beta2, float eps, float keep, float step, float correction2) {
    if (control[1] == 0.f) return;
    const float scale = control[0];
    for (big i = (big)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (big)gridDim.x * blockDim.x)
        adam(values + i, m + i, v + i, grads[i] * scale, beta1, beta2, eps, keep, step, correction2);
}

// AdamW on the rows `ids`, all different, of a table (rows, r); other rows are not touched.
extern "C" __global__ void adam_rows(float *__restrict__ table, float *__restrict__ m, float *__restrict__ v,
                                     const float *__restrict__ grads, const float *__restrict__ control,
                                     const unsigned *__restrict__ ids, unsigned rows, unsigned u, unsigned r,
                                     float beta1, float beta2, float eps, float keep, float step,
                                     float correction2) {
    if (control[1] == 0.f) return;
    const float scale = control[0];
    for (big j = blockIdx.x; j < u; j += gridDim.x) {
        if (ids[j] >= rows) continue;
        const big row = (big)ids[j] * r;
        for (unsigned c = threadIdx.x; c < r; c += blockDim.x) {
            const big i = row + c;
            adam(table + i, m + i, v + i, grads[j * r + c] * scale, beta1, beta2, eps, keep, step, correction2);
        }
    }
}

// Whether score a of id i comes before score b of id j: finite ones first, higher ones first, then by id; no id last.
static __device__ bool before(float a, unsigned i, float b, unsigned j) {
    if (i == NONE || j == NONE) return i != NONE;
    const bool finite_a = a - a == 0.f, finite_b = b - b == 0.f;
    if (finite_a != finite_b) return finite_a;
    if (finite_a && a != b) return a > b;
    return i < j;
}

// The k best of the columns from .. to of one row, best first; NONE where there are no more. ids of 0: the columns are
// the ids. Nothing is removed: the next best is the best of those that come after the last one. For blocks of a power
// of two up to 256 threads.
static __device__ void best_of(const float *scores, const unsigned *ids, unsigned from, big to, unsigned k,
                              float *best, unsigned *best_ids) {
    __shared__ float own[256];
    __shared__ unsigned own_ids[256];
    const unsigned t = threadIdx.x;
    float last = 0.f, mine = 0.f;
    unsigned last_id = NONE, my_id = NONE;
    for (unsigned j = 0; j < k; j++) {
        if (my_id == last_id) { // the thread's best was taken, or it has not looked yet
            my_id = NONE;
            for (big c = from + t; c < to; c += blockDim.x) {
                const float score = scores[c];
                const unsigned id = ids ? ids[c] : (unsigned)c;
                if ((j == 0 || before(last, last_id, score, id)) && before(score, id, mine, my_id))
                    mine = score, my_id = id;
            }
        }
        own[t] = mine, own_ids[t] = my_id;
        __syncthreads();
        for (unsigned w = blockDim.x / 2; w > 0; w /= 2) {
            if (t < w && before(own[t + w], own_ids[t + w], own[t], own_ids[t]))
                own[t] = own[t + w], own_ids[t] = own_ids[t + w];
            __syncthreads();
        }
        last = own[0], last_id = own_ids[0];
        if (t == 0) best[j] = last, best_ids[j] = last_id;
        __syncthreads();
    }
}

// best and best_ids (b, blocks, k): the k best of each block of `width` of a row's `columns`. Block (x, y) of the grid
// takes block x of the rows y, y + gridDim.y, …
extern "C" __global__ void top_k(const float *__restrict__ scores, float *__restrict__ best,
                                 unsigned *__restrict__ best_ids, unsigned b, unsigned columns, unsigned width,
                                 unsigned k) {
    for (big row = blockIdx.y; row < b; row += gridDim.y) {
        const big from = (big)blockIdx.x * width, end = from + width, out = (row * gridDim.x + blockIdx.x) * k;
        best_of(scores + row * columns, 0, (unsigned)from, end < columns ? end : columns, k, best + out,
               best_ids + out);
    }
}

// The same over what an earlier pass has found: columns that have ids.
extern "C" __global__ void top_k_of(const float *__restrict__ scores, const unsigned *__restrict__ ids,
                                    float *__restrict__ best, unsigned *__restrict__ best_ids, unsigned b,
                                    unsigned columns, unsigned width, unsigned k) {
    for (big row = blockIdx.y; row < b; row += gridDim.y) {
        const big from = (big)blockIdx.x * width, end = from + width, out = (row * gridDim.x + blockIdx.x) * k;
        best_of(scores + row * columns, ids + row * columns, (unsigned)from, end < columns ? end : columns, k,
               best + out, best_ids + out);
    }
}
