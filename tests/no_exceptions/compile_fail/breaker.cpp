// A breaker can reject a call only by throwing.
// expect-first: ext::hooks::breaker: this is compiled without exceptions
#ifndef FIXED
#include <extensible/hooks/breaker.hpp>
#endif
