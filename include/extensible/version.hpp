#pragma once

// ext::version and EXTENSIBLE_VERSION: the version of the library.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

/// The version of the library, as numbers to be compared: EXTENSIBLE_VERSION >= 1'02'00.
#define EXTENSIBLE_VERSION_MAJOR 0
#define EXTENSIBLE_VERSION_MINOR 3
#define EXTENSIBLE_VERSION_PATCH 0
#define EXTENSIBLE_VERSION \
    (EXTENSIBLE_VERSION_MAJOR * 10000 + EXTENSIBLE_VERSION_MINOR * 100 + EXTENSIBLE_VERSION_PATCH)

namespace ext { inline namespace EXTENSIBLE_ABI {

/// The version of the library, as text: "1.2.0".
EXTENSIBLE_HIDDEN inline constexpr char version[] = EXTENSIBLE_TEXT(EXTENSIBLE_VERSION_MAJOR) "." EXTENSIBLE_TEXT(
    EXTENSIBLE_VERSION_MINOR) "." EXTENSIBLE_TEXT(EXTENSIBLE_VERSION_PATCH);

}}  // namespace ext
