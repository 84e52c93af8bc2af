// CUDA on one CPU thread, strictly: what the kernels of kernels/cuda use, and nothing else.
//
// Every thread of a block is a fiber. A fiber runs until it waits at a barrier or in a shuffle, or returns; a warp goes on
// until it waits for other warps; when none can run, the barrier at which all have arrived opens. What a GPU would leave undefined is an error here: a barrier that
// some threads never reach, a shuffle of part of a warp, an unaligned or outside access (see `guarded`). Blocks and
// threads run in a given order, so that a missing barrier shows as a result that depends on the order.
#pragma once

#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

namespace emulator {

constexpr int WARP = 32;
constexpr size_t STACK = 64 * 1024;

enum class State { ready, at_block_barrier, at_warp_barrier, done };

struct Fiber {
    ucontext_t context;  // where it starts; later it is left and entered by jumps, which take no system call
    jmp_buf here;
    bool started;
    std::vector<char> stack = std::vector<char>(STACK);
    State state;
    dim3 thread;
    uint64_t value[2];  // what a shuffle gives away; in turn, so that a fast thread spoils nothing
    unsigned shuffles;
};

struct Machine {
    std::vector<Fiber> fibers;
    jmp_buf scheduler;
    Fiber* current;
    dim3 grid, block, block_index;
    void (*body)(void*);
    void* argument;
    sigjmp_buf escape;
    std::string error;
};

inline Machine machine;

inline void wait(State state) {
    Fiber* self = machine.current;
    self->state = state;
    if (_setjmp(self->here) == 0) _longjmp(machine.scheduler, 1);
}

inline void run_fiber() {
    machine.body(machine.argument);
    machine.current->state = State::done;
    _longjmp(machine.scheduler, 1);
}

__attribute__((noinline)) inline void resume(Fiber& fiber) {
    machine.current = &fiber;
    if (_setjmp(machine.scheduler)) return;
    if (fiber.started) _longjmp(fiber.here, 1);
    fiber.started = true;
    setcontext(&fiber.context);
}

// Lets a warp go as far as it can without the others, its threads in the order given.
inline void run_warp(const std::vector<int>& threads) {
    for (;;) {
        size_t waiting = 0;
        for (int i : threads) {
            Fiber& fiber = machine.fibers[i];
            if (fiber.state == State::ready) resume(fiber);
            waiting += fiber.state == State::at_warp_barrier;
        }
        if (waiting != WARP) return;
        for (int i : threads) machine.fibers[i].state = State::ready;
    }
}

inline bool run_block(const std::vector<int>& order) {
    for (size_t i = 0; i < machine.fibers.size(); ++i) {
        Fiber& fiber = machine.fibers[i];
        const unsigned n = unsigned(i);
        fiber.thread = {n % machine.block.x, n / machine.block.x % machine.block.y,
                        n / machine.block.x / machine.block.y};
        fiber.state = State::ready;
        fiber.started = false;
        fiber.shuffles = 0;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, run_fiber, 0);
    }
    // One warp is at the next barrier of the block before another has left the last: no order is more unlike the natural.
    std::vector<std::vector<int>> warps(machine.fibers.size() / WARP);
    std::vector<int> turns;
    for (int i : order) {
        if (warps[i / WARP].empty()) turns.push_back(i / WARP);
        warps[i / WARP].push_back(i);
    }
    for (;;) {
        for (int warp : turns) run_warp(warps[warp]);
        size_t done = 0, waiting = 0;
        for (const Fiber& fiber : machine.fibers) {
            done += fiber.state == State::done;
            waiting += fiber.state == State::at_block_barrier;
        }
        if (done == machine.fibers.size()) return true;
        if (waiting != machine.fibers.size()) {
            machine.error = "a barrier or shuffle that not all threads reach";
            return false;
        }
        for (Fiber& fiber : machine.fibers) fiber.state = State::ready;
    }
}

inline std::vector<int> order_of(size_t size, int seed) {
    std::vector<int> order(size);
    std::iota(order.begin(), order.end(), 0);
    std::mt19937 random(seed);
    if (seed)
        for (size_t i = size; i > 1; --i) std::swap(order[i - 1], order[random() % i]);
    return order;
}

// A page beside an array was touched, or a word that is not aligned: the fiber is left where it is.
inline void on_signal(int signal) {
    machine.error = signal == SIGSEGV ? "an access outside an array" : "an unaligned access or an overflow";
    siglongjmp(machine.escape, 1);
}

inline bool run_grid(dim3 grid, dim3 block, int seed, void (*body)(void*), void* argument) {
    const size_t threads = size_t(block.x) * block.y * block.z, blocks = size_t(grid.x) * grid.y * grid.z;
    machine.error.clear();
    if (threads % WARP || threads > 1024 || !blocks) {
        machine.error = "a block or grid that cannot be launched";
        return false;
    }
    if (machine.fibers.size() != threads) machine.fibers = std::vector<Fiber>(threads);
    machine.grid = grid, machine.block = block, machine.body = body, machine.argument = argument;
    struct sigaction mine = {}, segv, ill;
    mine.sa_handler = on_signal;
    sigaction(SIGSEGV, &mine, &segv);
    sigaction(SIGILL, &mine, &ill);
    volatile bool good = true;
    if (sigsetjmp(machine.escape, 1) == 0) {
        const std::vector<int> order = order_of(threads, seed);
        for (int b : order_of(blocks, seed)) {
            const unsigned n = unsigned(b);
            machine.block_index = {n % grid.x, n / grid.x % grid.y, n / grid.x / grid.y};
            if (!run_block(order)) {
                good = false;
                break;
            }
        }
    } else {
        good = false;
    }
    sigaction(SIGSEGV, &segv, nullptr);
    sigaction(SIGILL, &ill, nullptr);
    return good;
}

// Calls a kernel with arguments behind pointers, as the driver does.
template <class... A> struct Call {
    void (*kernel)(A...);
    void** arguments;
    template <size_t... I> void go(std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
    }
    static void body(void* self) { static_cast<Call*>(self)->go(std::index_sequence_for<A...>{}); }
};

template <class... A>
bool launch(void (*kernel)(A...), dim3 grid, dim3 block, int seed, void** arguments) {
    Call<A...> call{kernel, arguments};
    return run_grid(grid, block, seed, &Call<A...>::body, &call);
}

}  // namespace emulator

#define threadIdx (emulator::machine.current->thread)
#define blockIdx (emulator::machine.block_index)
#define blockDim (emulator::machine.block)
#define gridDim (emulator::machine.grid)

inline void __syncthreads() { emulator::wait(emulator::State::at_block_barrier); }

template <class T> T __shfl_xor_sync(unsigned mask, T value, int distance) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    emulator::Fiber* self = emulator::machine.current;
    if (mask != 0xffffffffu || distance <= 0 || distance >= emulator::WARP) std::abort();
    const unsigned turn = self->shuffles++ % 2;
    std::memcpy(&self->value[turn], &value, sizeof value);
    emulator::wait(emulator::State::at_warp_barrier);
    const ptrdiff_t at = self - emulator::machine.fibers.data(), lane = at % emulator::WARP;
    std::memcpy(&value, &emulator::machine.fibers[at - lane + (lane ^ distance)].value[turn], sizeof value);
    return value;
}

inline unsigned atomicMax(unsigned* at, unsigned value) {
    const unsigned before = *at;
    if (value > before) *at = value;
    return before;
}
