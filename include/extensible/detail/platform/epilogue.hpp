// Ends what prologue.hpp begins. No #pragma once: each header includes it.

#if defined(_MSC_VER)
#pragma warning(pop)
#elif defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
