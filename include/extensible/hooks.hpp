#pragma once

// Which hooks are ready-made? All of them are here; each may be included by itself. Not a part of extensible.hpp.
// Without exceptions there is no breaker, whose way to refuse a call is to throw.

#include <extensible/detail/config.hpp>
// IWYU pragma: begin_exports
#if EXTENSIBLE_EXCEPTIONS
#include <extensible/hooks/breaker.hpp>
#endif
#include <extensible/hooks/cache.hpp>
#include <extensible/hooks/fault.hpp>
#include <extensible/hooks/limit.hpp>
#include <extensible/hooks/retry.hpp>
#include <extensible/hooks/spy.hpp>
#include <extensible/hooks/trace.hpp>
// IWYU pragma: end_exports
