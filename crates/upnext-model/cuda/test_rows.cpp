// The kernels of rows.cu on the host, against plain loops in f64. See benches/check-cuda.sh.
#include "host_grid.h"
#include "rows.cu"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>

using host_grid::Way;
using Floats = std::vector<float>;
using Ids = std::vector<unsigned>;

static const Way ALL[] = {Way::forwards, Way::backwards, Way::threads};
static const float NANF = std::numeric_limits<float>::quiet_NaN();
static const float INF = std::numeric_limits<float>::infinity();
static std::mt19937 chance(7);

static Floats noise(size_t count) {
    std::normal_distribution<float> normal;
    Floats values(count);
    for (auto &value : values) value = normal(chance);
    return values;
}
static unsigned below(unsigned end) { return chance() % end; }

static void need(bool holds, const char *what, size_t at = 0) {
    if (holds) return;
    std::printf("FAILED: %s, at %zu\n", what, at);
    std::exit(1);
}
static bool near(double found, double wanted, double bound) {
    return std::abs(found - wanted) <= bound * (1 + std::abs(wanted));
}
static bool same(float a, float b) { return a == b || (a != a && b != b); }

// Runs a kernel without barriers in three ways over copies of `out`; all must agree to the bit. Its result is given.
template <class Run> static Floats in_every_way(const char *what, const Floats &out, Run run) {
    Floats first;
    for (Way way : ALL) {
        Floats found = out;
        run(way, found.data());
        if (first.empty()) first = found;
        for (size_t i = 0; i < found.size(); i++) need(same(found[i], first[i]), what, i);
    }
    return first;
}

// Rows of a table, their sums and their updates; some ids name no row.
static void rows(unsigned n, unsigned r, unsigned items, unsigned grid, unsigned block) {
    const Floats table = noise((size_t)items * r);
    Ids ids(n);
    for (auto &id : ids) id = below(8) == 0 ? (below(2) ? NONE : items) : below(1 + below(items));
    const Floats gathered = in_every_way("gather_rows: order", Floats((size_t)n * r, NANF), [&](Way way, float *out) {
        host_grid::launch(way, {grid}, {block}, gather_rows, table.data(), ids.data(), out, items, n, r);
    });
    for (size_t i = 0; i < gathered.size(); i++) {
        const unsigned id = ids[i / r];
        need(gathered[i] == (id < items ? table[(size_t)id * r + i % r] : 0.f), "gather_rows: value", i);
    }

    // The inverse: real places sorted by id; what follows the last start means nothing.
    Ids order, starts{0}, distinct;
    for (unsigned id = 0; id < items; id++) {
        const size_t before = order.size();
        for (unsigned p = 0; p < n; p++)
            if (ids[p] == id) order.push_back(p);
        if (order.size() > before) distinct.push_back(id), starts.push_back((unsigned)order.size());
    }
    const unsigned u = (unsigned)distinct.size();
    order.resize(n, 0);
    const Floats grads = noise((size_t)n * r);
    const Floats sums = in_every_way("segment_sum: order", Floats((size_t)u * r, NANF), [&](Way way, float *out) {
        host_grid::launch(way, {grid}, {block}, segment_sum, grads.data(), order.data(), starts.data(), out, n, n, u, r);
    });
    std::vector<double> wanted((size_t)items * r);
    for (unsigned p = 0; p < n; p++)
        for (unsigned c = 0; c < r && ids[p] < items; c++) wanted[(size_t)ids[p] * r + c] += grads[(size_t)p * r + c];
    for (size_t i = 0; i < sums.size(); i++)
        need(near(sums[i], wanted[(size_t)distinct[i / r] * r + i % r], 1e-4), "segment_sum: value", i);

    // Two updates of these rows with padding behind them; values and moments lie in one buffer.
    const size_t size = (size_t)items * r;
    Floats start = noise(3 * size);
    for (size_t i = 2 * size; i < 3 * size; i++) start[i] = start[i] * start[i];
    Ids named = distinct;
    named.push_back(NONE), named.push_back(items);
    Floats row_grads = sums;
    row_grads.resize(named.size() * r, NANF);
    const float go[4] = {0.5f, 1.f, 0.f, 0.f}, stop[4] = {0.5f, 0.f, 0.f, 0.f};
    const float beta1 = .9f, beta2 = .98f, eps = 1e-8f, keep = 1.f - 1e-4f;
    auto update = [&](Way way, float *x, const float *control, bool all) {
        for (int t = 1; t <= 2; t++) {
            const float step = float(1e-2 / (1 - std::pow(.9, t))), correction = float(1 / (1 - std::pow(.98, t)));
            if (all)
                host_grid::launch(way, {grid}, {block}, adam_all, x, x + size, x + 2 * size, table.data(), control,
                                  (big)size, beta1, beta2, eps, keep, step, correction);
            else
                host_grid::launch(way, {grid}, {block}, adam_rows, x, x + size, x + 2 * size, row_grads.data(), control,
                                  named.data(), items, (unsigned)named.size(), r, beta1, beta2, eps, keep, step,
                                  correction);
        }
    };
    for (bool all : {false, true}) {
        const Floats still = in_every_way("adam: flag", start, [&](Way way, float *x) { update(way, x, stop, all); });
        need(still == start, "adam: a flag of zero");
        const Floats found = in_every_way("adam: order", start, [&](Way way, float *x) { update(way, x, go, all); });
        for (size_t i = 0; i < size; i++) {
            const auto at = std::lower_bound(distinct.begin(), distinct.end(), unsigned(i / r));
            const bool moves = all || (at != distinct.end() && *at == i / r);
            double x = start[i], m = start[size + i], v = start[2 * size + i];
            for (int t = 1; t <= 2 && moves; t++) {
                const double g = .5 * (all ? table[i] : sums[(size_t)(at - distinct.begin()) * r + i % r]);
                m = .9 * m + .1 * g, v = .98 * v + .02 * g * g;
                x = x * (1 - 1e-4) - 1e-2 / (1 - std::pow(.9, t)) * m / (std::sqrt(v / (1 - std::pow(.98, t))) + 1e-8);
            }
            const double wants[3] = {x, m, v};
            for (size_t part = 0; part < 3; part++) {
                const float value = found[part * size + i];
                if (moves) need(near(value, wants[part], 2e-5), "adam: value", i);
                else need(value == start[part * size + i], "adam: a row that is not named", i);
            }
        }
    }
    std::printf("ok: rows, n %u r %u items %u, grid %u block %u\n", n, r, items, grid, block);
}

// The factor of an element as upnext-kernels makes it, written out once more.
static float factor(big key, big index, unsigned dropped, float scale) {
    auto scatter = [](big x) {
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull, x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
        return x ^ (x >> 31);
    };
    const big seed = scatter(key ^ scatter(index >> 32));
    unsigned x = (unsigned)index * 0x9e3779b1u ^ (unsigned)seed;
    x = (x ^ (x >> 16)) * 0x7feb352du ^ (unsigned)(seed >> 32);
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return (x ^ (x >> 16)) < dropped ? 0.f : scale;
}

static void masks(unsigned grid, unsigned block) {
    const big key = 0x1234567890abcdefull;
    const unsigned dropped = 1u << 30, n = 6, d = 33, b = 3, h = 2, t = 5;
    const float scale = 4.f / 3.f;
    // The last token lies past 2^32 elements.
    const Ids tokens{3, NONE, 0, 9, 200'000'000, 7}, histories{4, NONE, 0};
    const Floats x = noise(n * d), p = noise(b * h * t * t);
    const Floats by_token = in_every_way("drop_tokens: order", Floats(n * d, NANF), [&](Way way, float *out) {
        host_grid::launch(way, {grid}, {block}, drop_tokens, x.data(), tokens.data(), out, n, d, key, dropped, scale);
    });
    size_t zeros = 0;
    for (size_t i = 0; i < by_token.size(); i++) {
        const unsigned token = tokens[i / d];
        const float by = token == NONE ? 0.f : factor(key, (big)token * d + i % d, dropped, scale);
        need(by_token[i] == x[i] * by, "drop_tokens: value", i);
        zeros += token != NONE && by == 0.f;
    }
    need(zeros > 20 && zeros < 65, "drop_tokens: about a quarter", zeros);
    const Floats by_key = in_every_way("drop_probabilities: order", Floats(p.size(), NANF), [&](Way way, float *out) {
        host_grid::launch(way, {grid}, {block}, drop_probabilities, p.data(), histories.data(), out, b, h, t, key,
                          dropped, scale);
    });
    for (size_t i = 0; i < by_key.size(); i++) {
        const size_t history = histories[i / (h * t * t)], head = i / (t * t) % h, query = i / t % t, column = i % t;
        const big own = mix(key ^ mix((big)history + 0x9e3779b97f4a7c15ull));
        const float by = histories[i / (h * t * t)] == NONE
                             ? 0.f
                             : factor(own, (big)head << 56 | (big)query << 32 | column, dropped, scale);
        need(by_key[i] == p[i] * by, "drop_probabilities: value", i);
    }
    std::printf("ok: masks, grid %u block %u\n", grid, block);
}

static void clipping(unsigned parts, unsigned block) {
    const Floats x = noise(10'007);
    const big share = (x.size() + parts - 1) / parts;
    std::vector<double> squares(parts, -1.);
    host_grid::threaded({parts}, {block}, square_parts, x.data(), squares.data(), (big)x.size(), share);
    double wanted = 0;
    for (float value : x) wanted += (double)value * value;
    need(near(std::accumulate(squares.begin(), squares.end(), 0.), wanted, 1e-12), "square_parts: value");

    auto found = [&](std::vector<double> sums, float loss, double clip) {
        Floats out(4, NANF);
        host_grid::threaded({1}, {block}, control, sums.data(), &loss, out.data(), (big)sums.size(), clip);
        return out;
    };
    const double norm = std::sqrt(wanted);
    need(found(squares, 2.f, norm / 4) == Floats{.25f, 1.f, (float)norm, 2.f}, "control: clipped");
    need(found(squares, 2.f, norm * 2) == Floats{1.f, 1.f, (float)norm, 2.f}, "control: not clipped");
    need(found(squares, 2.f, INFINITY)[0] == 1.f, "control: no limit");
    need(found({1., (double)INF}, 2.f, 1.)[1] == 0.f, "control: an infinite gradient");
    need(found({1., (double)NANF}, 2.f, 1.)[1] == 0.f, "control: a gradient that is no number");
    need(found({1., 1.}, NANF, 1.)[1] == 0.f && found({1., 1.}, -INF, 1.)[1] == 0.f, "control: the loss");
    std::printf("ok: clipping, %u parts, block %u\n", parts, block);
}

static void best(unsigned b, unsigned columns, unsigned width, unsigned k, unsigned block, unsigned grid_rows) {
    Floats scores((size_t)b * columns);
    for (auto &score : scores) {
        const unsigned kind = below(40);
        score = kind == 0 ? NANF : kind == 1 ? INF : kind == 2 ? -INF : (float)below(columns / 3 + 2);
    }
    unsigned blocks = (columns + width - 1) / width;
    Floats found((size_t)b * blocks * k, NANF);
    Ids ids(found.size(), 1);
    host_grid::threaded({blocks, grid_rows}, {block}, top_k, scores.data(), found.data(), ids.data(), b, columns, width,
                        k);
    while (blocks > 1) {
        const unsigned wide = blocks * k;
        blocks = (wide + width - 1) / width;
        Floats next((size_t)b * blocks * k, NANF);
        Ids next_ids(next.size(), 1);
        host_grid::threaded({blocks, grid_rows}, {block}, top_k_of, found.data(), ids.data(), next.data(),
                            next_ids.data(), b, wide, width, k);
        found = next, ids = next_ids;
    }
    for (unsigned row = 0; row < b; row++) {
        const float *own = scores.data() + (size_t)row * columns;
        Ids wanted(columns);
        std::iota(wanted.begin(), wanted.end(), 0u);
        std::stable_sort(wanted.begin(), wanted.end(), [&](unsigned i, unsigned j) {
            const bool fi = std::isfinite(own[i]), fj = std::isfinite(own[j]);
            return fi != fj ? fi : fi && own[i] > own[j];
        });
        wanted.resize(k, NONE);
        for (unsigned j = 0; j < k; j++) {
            const unsigned id = ids[(size_t)row * k + j];
            need(id == wanted[j], "top_k: id", j);
            if (id != NONE) need(same(found[(size_t)row * k + j], own[id]), "top_k: score", j);
        }
    }
    std::printf("ok: best %u of %u x %u, width %u, block %u\n", k, b, columns, width, block);
}

int main() {
    rows(1, 1, 1, 1, 1);
    rows(400, 64, 300, 7, 32);  // fewer blocks than rows
    rows(120, 33, 40, 150, 16); // more blocks than rows; columns no multiple of the block
    rows(600, 3, 900, 3, 8);    // more threads than columns
    masks(2, 8);
    masks(50, 64);
    clipping(128, 64);
    clipping(3, 256);
    best(3, 1, 8, 1, 4, 1);
    best(2, 300, 64, 10, 16, 2);
    best(3, 500, 40, 7, 32, 2); // several passes, fewer rows of blocks than rows
    best(1, 20, 64, 20, 8, 1);  // all of them
    std::puts("all kernels agree with plain loops");
}
