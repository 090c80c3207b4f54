// Other libraries' headers define these macros. Every header of this library is included after
// them, and uses none of their names.

// The standard headers come first: not all of them tolerate the macros.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <compare>
#include <condition_variable>
#include <coroutine>
#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <ostream>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#if defined(_WIN32)
#include <windows.h>  // it defines some of them itself
#else
#include <dlfcn.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#endif
#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#endif

// <windows.h>, Arduino and the Linux kernel.
#undef min
#undef max
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))

// <windows.h>
#undef small
#undef hyper
#undef near
#undef far
#undef interface
#undef IN
#undef OUT
#undef OPTIONAL
#undef CONST
#undef VOID
#undef ERROR
#undef DELETE
#undef IGNORE
#undef TRUE
#undef FALSE
#undef Yield
#define small char
#define hyper long long
#define near
#define far
#define interface struct
#define IN
#define OUT
#define OPTIONAL
#define CONST const
#define VOID void
#define ERROR 0
#define DELETE 0x00010000L
#define IGNORE 0
#define TRUE 1
#define FALSE 0
#define Yield()

// Qt, unless QT_NO_KEYWORDS is defined
#define slots
#define signals public
#define emit
#define foreach(variable, container) for (variable : container)
#define forever for (;;)

// Unreal Engine (AssertionMacros.h and others) and macOS (AssertMacros.h)
#define check(expression) do { } while (false)
#define checkf(expression, ...) do { } while (false)
#define checkCode(code) do { } while (false)
#define checkSlow(expression) do { } while (false)
#define check_noerr(expression) do { } while (false)
#define check_string(expression, message) do { } while (false)
#define verify(expression) do { } while (false)
#define verifyf(expression, ...) do { } while (false)
#define verify_action(expression, action) do { } while (false)
#define verify_noerr(expression) do { } while (false)
#define require(expression, label) do { } while (false)
#define require_action(expression, label, action) do { } while (false)
#define require_noerr(expression, label) do { } while (false)
#define require_quiet(expression, label) do { } while (false)
#define nrequire(expression, label) do { } while (false)
#define ensure(expression) (expression)
#define ensureMsgf(expression, ...) (expression)
#define unimplemented() do { } while (false)
#undef TEXT
#define TEXT(text) L##text
#define PI 3.1415926535897932

// X11 (Xlib.h, X.h and Xos.h)
#undef index
#undef rindex
#define index(text, character) strchr((text), (character))
#define rindex(text, character) strrchr((text), (character))
#define Bool int
#define Status int
#define True 1
#define False 0
#define None 0L
#define Success 0
#define Always 2
#define Above 0
#define Below 1
#define Expose 12
#define Unsorted 0
#define Convex 2
#define Complex 0

// Arduino
#define abs(x) ((x) > 0 ? (x) : -(x))
#define bit(b) (1UL << (b))
#define constrain(amount, low, high) ((amount) < (low) ? (low) : ((amount) > (high) ? (high) : (amount)))
#define degrees(rad) ((rad) * 57.29577951308232)
#define F(text) (text)
#define round(x) ((x) >= 0 ? (long)((x) + 0.5) : (long)((x) - 0.5))
#define sq(x) ((x) * (x))
#define word(...) (__VA_ARGS__)
#define interrupts()
#define lowByte(w) ((unsigned char)((w) & 0xff))
#undef INPUT
#define INPUT 0x0
#define OUTPUT 0x1
#define HIGH 0x1
#define LOW 0x0
#define DEFAULT 1

// <complex.h> of C
#define complex _Complex
#define imaginary _Imaginary
#define I _Complex_I

// glog
#define LOG(severity) static_cast<void>(0)
#define VLOG(level) static_cast<void>(0)
#define CHECK(condition) static_cast<void>(0)
#define CHECK_EQ(a, b) static_cast<void>(0)
#define CHECK_NOTNULL(value) (value)

// The Linux kernel, and code in its style
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define noinline __attribute__((__noinline__))
#define cold __attribute__((__cold__))
#define fallthrough __attribute__((__fallthrough__))
#define clamp(value, low, high) min(max(value, low), high)
#define container_of(pointer, type, member) ((type*)((char*)(pointer) - offsetof(type, member)))
#define barrier() __asm__ __volatile__("" : : : "memory")
#define current 0
#define major(device) ((device) >> 8)
#define minor(device) ((device) & 0xff)

#include "every_header.hpp"
