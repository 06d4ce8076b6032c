// Runs simple CUDA kernels on the host, to test their arithmetic and their indexing without a GPU.
//
//   serial    every thread of the grid, one after the other, forwards or backwards: kernels without __syncthreads. If
//             the direction changes a result, threads depend on each other.
//   threaded  blocks one after the other, each of their threads a thread; __syncthreads is a barrier, __shared__ a
//             static. Under the thread sanitiser, a missing barrier is reported.
//
// Not covered: speed, races between blocks, warp intrinsics, atomics, dynamic shared memory, nvcc's own contractions.
#pragma once
#include <barrier>
#include <cmath>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __syncthreads() host_grid::barrier->arrive_and_wait()

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host_grid {
inline std::barrier<> *barrier = nullptr;

enum class Way { forwards, backwards, threads };

inline unsigned count(dim3 size) { return size.x * size.y * size.z; }
inline dim3 place(dim3 size, unsigned i) { return {i % size.x, i / size.x % size.y, i / size.x / size.y}; }

template <class Kernel, class... Arguments>
void serial(bool backwards, dim3 grid, dim3 block, Kernel kernel, Arguments... arguments) {
    gridDim = grid, blockDim = block;
    const unsigned threads = count(block), all = count(grid) * threads;
    for (unsigned k = 0; k < all; k++) {
        const unsigned i = backwards ? all - 1 - k : k;
        blockIdx = place(grid, i / threads), threadIdx = place(block, i % threads);
        kernel(arguments...);
    }
}

template <class Kernel, class... Arguments>
void threaded(dim3 grid, dim3 block, Kernel kernel, Arguments... arguments) {
    for (unsigned b = 0; b < count(grid); b++) {
        std::barrier<> own(count(block));
        barrier = &own;
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < count(block); t++)
            threads.emplace_back([=] {
                gridDim = grid, blockDim = block, blockIdx = place(grid, b), threadIdx = place(block, t);
                kernel(arguments...);
                barrier->arrive_and_drop();
            });
        for (auto &thread : threads) thread.join();
    }
}

template <class Kernel, class... Arguments>
void launch(Way way, dim3 grid, dim3 block, Kernel kernel, Arguments... arguments) {
    if (way == Way::threads) threaded(grid, block, kernel, arguments...);
    else serial(way == Way::backwards, grid, block, kernel, arguments...);
}
} // namespace host_grid
