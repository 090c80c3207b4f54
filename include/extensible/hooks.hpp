#pragma once

// All ready-made hooks. Each of these headers can also be included by itself; extensible.hpp
// includes none of them. The breaker is left out without exceptions, because it refuses calls by
// throwing.

#include <extensible/detail/platform/compiler.hpp>
// IWYU pragma: begin_exports
#if EXTENSIBLE_EXCEPTIONS
#include <extensible/hooks/breaker.hpp>
#endif
#include <extensible/hooks/cache.hpp>
#include <extensible/hooks/fault.hpp>
#include <extensible/hooks/limit.hpp>
#include <extensible/hooks/metrics.hpp>
#include <extensible/hooks/retry.hpp>
#include <extensible/hooks/spy.hpp>
#include <extensible/hooks/trace.hpp>
// IWYU pragma: end_exports
